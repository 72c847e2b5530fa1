//! How the rest of the Worker talks to the shards of an audience.

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

/// Asks a shard.
pub(crate) async fn ask(env: &Env, audience: &AudienceRef, shard: u32, command: &Command) -> Result<Reply> {
    send(env, audience, shard, COMMAND, command).await
}

/// Asks all shards; their replies are in their order.
pub(crate) async fn ask_all(env: &Env, audience: &AudienceRef, command: &Command) -> Result<Vec<Reply>> {
    ask_each(env, audience, command).try_collect().await
}

/// Asks one shard after the other, some at a time, as long as somebody wants their replies.
pub(crate) fn ask_each(
    env: &Env,
    audience: &AudienceRef,
    command: &Command,
) -> impl Stream<Item = Result<Reply>> {
    stream::iter(0..audience.shards)
        .map(move |shard| ask(env, audience, shard, command))
        .buffered(AT_ONCE)
}

/// Counts the devices of all shards, of a segment or in all, page by page.
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

/// Lets all shards scan their devices for a run. One that does so already goes on.
pub(crate) async fn begin(env: &Env, audience: &AudienceRef, scan: &AudienceScan) -> Result<()> {
    let of_shard = |number| AudienceScan {
        number,
        ..scan.clone()
    };
    let shards = (0..audience.shards).collect();
    tell(env, audience, shards, SCAN, of_shard).await
}

/// Wakes shards whose scans for this batch have not been heard of.
pub(crate) async fn wake(env: &Env, audience: &AudienceRef, shards: Vec<u32>, batch: &str) -> Result<()> {
    tell(env, audience, shards, WAKE, |_| batch).await
}

/// Removes all devices.
pub(crate) async fn wipe(env: &Env, audience: &AudienceRef) -> Result<()> {
    let shards = (0..audience.shards).collect();
    tell(env, audience, shards, WIPE, |_| ()).await
}

async fn tell<T: Serialize>(
    env: &Env,
    audience: &AudienceRef,
    shards: Vec<u32>,
    path: &str,
    message: impl Fn(u32) -> T,
) -> Result<()> {
    let message = &message;
    let told = stream::iter(shards)
        .map(|shard| async move { send(env, audience, shard, path, &message(shard)).await })
        .buffer_unordered(AT_ONCE);
    // One that fails keeps none of the others from being told.
    told.fold(Ok(()), |all, one: Result<()>| async move { all.and(one) })
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
    // No audience has a `#` in its name.
    let name = format!("{}#{shard}", audience.name);
    stubs::ask(env, (bindings::AUDIENCE, &name), path, &request).await
}

/// How many shards are asked at once: an invocation has six connections, and one is left for others.
const AT_ONCE: usize = 5;
