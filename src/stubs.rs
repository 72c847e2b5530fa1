//! How objects are asked: JSON text there, JSON text back, within the time limit of the [`Call`].

pub(crate) mod audience;
pub(crate) mod batch;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::objects::scheduler;
use crate::platform::{bindings, clock, http};
use api::call_limit::{self, Call};
use futures::future::{Either, select};
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::{Env, Method, Request, RequestInit, Response, Result};

/// Asks an object, by the name of its binding and its own, and reads its answer.
///
/// # Errors
/// The object failed, or did not answer in time: whether it did what it was asked is then unknown.
pub(crate) async fn ask<R: DeserializeOwned>(
    env: &Env,
    (binding, name): (&str, &str),
    path: &str,
    question: &impl Serialize,
) -> Result<R> {
    let text = serde_json::to_string(question)?;
    let answer = within(call(binding, path).limit(), binding, async {
        let response = fetch(env, (binding, name), path, &post(text)).await?;
        Ok((response.status_code(), http::whole(&response).await?))
    });
    match answer.await? {
        (200, body) => read(&body).map_err(Into::into),
        (status, _) => Err(format!("{binding} answered {status}").into()),
    }
}

/// Reads what an object answered. As text, because objects read commands as text: `serde_json` makes a reader of its own for
/// each type and kind of input, and many types are in commands and replies.
pub(crate) fn read<R: DeserializeOwned>(body: &[u8]) -> std::result::Result<R, String> {
    let text = str::from_utf8(body).map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Sends a text to an object, by the name of its binding and its own. Returns its status and the body of its answer.
pub(crate) async fn send(
    env: &Env,
    (binding, name): (&str, &str),
    path: &str,
    text: String,
) -> Result<(u16, Vec<u8>)> {
    let answer = within(call(binding, path).limit(), binding, async {
        let response = fetch(env, (binding, name), path, &post(text)).await?;
        Ok((response.status_code(), http::whole(&response).await?))
    });
    answer.await
}

/// Sends a request to an object and returns its response as soon as that begins. Its body may take any time: it is a
/// stream that somebody reads.
pub(crate) async fn begin(
    env: &Env,
    (binding, name): (&str, &str),
    path: &str,
    init: &RequestInit,
) -> Result<Response> {
    within(
        call(binding, path).limit(),
        binding,
        fetch(env, (binding, name), path, init),
    )
    .await
}

async fn fetch(env: &Env, (binding, name): (&str, &str), path: &str, init: &RequestInit) -> Result<Response> {
    let stub = env.durable_object(binding)?.get_by_name(name)?;
    let request = Request::new_with_init(&format!("https://object{path}"), init)?;
    stub.fetch_with_request(request).await
}

fn post(text: String) -> RequestInit {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(text.into()));
    init
}

/// Waits for an answer for so long.
///
/// # Errors
/// There was none in time: what was asked for may happen all the same.
pub(crate) async fn within<T>(
    limit: Duration,
    whom: &str,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    match select(pin!(answer), pin!(clock::at(clock::now() + limit))).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(call_limit::no_answer(whom, limit).into()),
    }
}

/// What an object is asked for with a request to this path.
fn call(binding: &str, path: &str) -> Call {
    match binding {
        bindings::GATE => Call::Lease,
        bindings::CONNECTION => Call::Send,
        bindings::AUDIENCE => Call::Shard,
        bindings::SCHEDULER if path == scheduler::START => Call::StartRun,
        bindings::BATCH if path == crate::objects::batch::UPLOAD => Call::Upload,
        bindings::BATCH if path == crate::objects::batch::ASK => Call::BatchRequest,
        _ => Call::Command,
    }
}
