//! How the rest of the Worker talks to the shards of an audience.

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use worker::{Env, Result};

use super::{COMMAND, WALK, WIPE};
use crate::delivery::audience::{Command, Reply};
use crate::delivery::walk::Walk;
use crate::shell::{bindings, stub};

/// Asks a shard.
pub(in crate::shell) async fn ask(env: &Env, audience: &str, shard: u32, command: &Command) -> Result<Reply> {
    let name = name(audience, shard);
    stub::ask(env, (bindings::AUDIENCE, &name), COMMAND, command).await
}

/// Asks all shards; their replies are in their order.
pub(in crate::shell) async fn ask_all(
    env: &Env,
    audience: &str,
    shards: u32,
    command: &Command,
) -> Result<Vec<Reply>> {
    ask_each(env, audience, shards, command).try_collect().await
}

/// Asks one shard after the other, some at a time, as long as somebody wants their replies.
pub(in crate::shell) fn ask_each(
    env: &Env,
    audience: &str,
    shards: u32,
    command: &Command,
) -> impl Stream<Item = Result<Reply>> {
    stream::iter(0..shards)
        .map(move |shard| ask(env, audience, shard, command))
        .buffered(AT_ONCE)
}

/// Lets all shards walk through their devices for a run. One that does so already goes on.
pub(in crate::shell) async fn begin(env: &Env, audience: &str, shards: u32, walk: &Walk) -> Result<()> {
    let of_shard = |number| Walk {
        number,
        ..walk.clone()
    };
    tell_all(env, audience, shards, WALK, of_shard).await
}

/// Removes all devices.
pub(in crate::shell) async fn wipe(env: &Env, audience: &str, shards: u32) -> Result<()> {
    tell_all(env, audience, shards, WIPE, |_| ()).await
}

async fn tell_all<T: serde::Serialize>(
    env: &Env,
    audience: &str,
    shards: u32,
    path: &str,
    message: impl Fn(u32) -> T,
) -> Result<()> {
    let message = &message;
    stream::iter(0..shards)
        .map(|shard| async move {
            let name = name(audience, shard);
            stub::ask(env, (bindings::AUDIENCE, &name), path, &message(shard)).await
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// The name of a shard's object. No audience has a `#` in its name.
fn name(audience: &str, shard: u32) -> String {
    format!("{audience}#{shard}")
}

/// How many shards are asked at once: an invocation has six connections, and one is left for others.
const AT_ONCE: usize = 5;
