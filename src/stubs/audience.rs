//! Requests to the shards of an audience.

use crate::objects::audience::{COMMAND, SCAN, WAKE, WIPE};
use crate::platform::bindings;
use crate::stubs;
use batch::AudienceRef;
use campaign::audience::{Command, CountFault, CountRequests, Counter, Reply, Request};
use campaign::scan::AudienceScan;
use campaign::segment::Segment;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::{Env, Result};

/// Sends a command to a shard.
pub(crate) async fn ask(env: &Env, audience: &AudienceRef, shard: u32, command: &Command) -> Result<Reply> {
    send(env, audience, shard, COMMAND, command).await
}

/// Sends a command to all shards and returns their replies in order.
pub(crate) async fn ask_all(env: &Env, audience: &AudienceRef, command: &Command) -> Result<Vec<Reply>> {
    ask_each(env, audience, command).try_collect().await
}

/// Sends a command to each shard, some at a time, while the stream of replies is read.
pub(crate) fn ask_each(
    env: &Env,
    audience: &AudienceRef,
    command: &Command,
) -> impl Stream<Item = Result<Reply>> {
    stream::iter(0..audience.shards)
        .map(move |shard| ask(env, audience, shard, command))
        .buffered(AT_ONCE)
}

/// Counts the devices of all shards, or those in a segment, page by page.
pub(crate) async fn count(
    env: &Env,
    audience: &AudienceRef,
    segment: Option<&Segment>,
) -> std::result::Result<Counter, CountFault> {
    let requests = &CountRequests::all();
    let counted = stream::iter(0..audience.shards).map(|shard| async move {
        let mut counter = Counter::default();
        while let Some(command) = counter.next(segment) {
            requests.take()?;
            let reply = ask(env, audience, shard, &command).await;
            counter.take(&reply.map_err(|error| CountFault::Shard(error.to_string()))?);
        }
        Ok(counter)
    });
    let sum = |all: Counter, one: Counter| async move { Ok(all.and(one)) };
    counted.buffered(AT_ONCE).try_fold(Counter::default(), sum).await
}

/// Starts scans of all shards for a run. A scan that has started continues.
pub(crate) async fn begin(env: &Env, audience: &AudienceRef, scan: &AudienceScan) -> Result<()> {
    let of_shard = |number| AudienceScan {
        number,
        ..scan.clone()
    };
    let shards = (0..audience.shards).collect();
    notify(env, audience, shards, SCAN, of_shard).await
}

/// Wakes the shards whose scans for this batch are silent.
pub(crate) async fn wake(env: &Env, audience: &AudienceRef, shards: Vec<u32>, batch: &str) -> Result<()> {
    notify(env, audience, shards, WAKE, |_| batch).await
}

/// Deletes all devices.
pub(crate) async fn wipe(env: &Env, audience: &AudienceRef) -> Result<()> {
    let shards = (0..audience.shards).collect();
    notify(env, audience, shards, WIPE, |_| ()).await
}

async fn notify<T: Serialize>(
    env: &Env,
    audience: &AudienceRef,
    shards: Vec<u32>,
    path: &str,
    message: impl Fn(u32) -> T,
) -> Result<()> {
    let message = &message;
    let results = stream::iter(shards)
        .map(|shard| async move { send(env, audience, shard, path, &message(shard)).await })
        .buffer_unordered(AT_ONCE);
    // A shard that fails does not stop the others.
    results
        .fold(Ok(()), |all, one: Result<()>| async move { all.and(one) })
        .await
}

async fn send<R: DeserializeOwned>(
    env: &Env,
    audience: &AudienceRef,
    shard: u32,
    path: &str,
    command: &impl Serialize,
) -> Result<R> {
    let request = Request {
        epoch: audience.created_at,
        command,
    };
    // No audience name contains `#`.
    let name = format!("{}#{shard}", audience.name);
    stubs::ask(env, (bindings::AUDIENCE, &name), path, &request).await
}

/// The number of shards that are asked at once: an invocation has six connections, and one is left for other
/// requests.
const AT_ONCE: usize = 5;
