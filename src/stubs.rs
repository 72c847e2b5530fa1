//! Requests to Durable Objects: JSON text in both directions, within the time limit of the [`Call`].

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

/// Sends a command to an object, given by its binding and name, and parses its answer.
///
/// # Errors
/// Returns an error if the object failed or did not answer in time. In the second case it is unknown whether
/// the command was executed.
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

/// Parses an object's answer.
///
/// It is parsed from text because objects parse commands from text: `serde_json` compiles a separate parser
/// per type and kind of input, and commands and replies have many types.
pub(crate) fn read<R: DeserializeOwned>(body: &[u8]) -> std::result::Result<R, String> {
    let text = str::from_utf8(body).map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Sends a text to an object, given by its binding and name. Returns the status and the body of its answer.
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

/// Sends a request to an object and returns its response as soon as the headers arrive. The body is a stream
/// and may take any time.
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

/// Waits for an answer for at most `limit`.
///
/// # Errors
/// Returns an error if none arrived in time. The request may still be executed.
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

/// Returns the kind of call for a request to this path.
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
