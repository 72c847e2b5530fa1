//! How objects are asked: JSON text there, JSON text back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::{Env, Method, Request, RequestInit, Response, Result};

use super::http;

/// Asks an object, by the name of its binding and its own, and reads its answer.
pub(super) async fn ask<R: DeserializeOwned>(
    env: &Env,
    (binding, name): (&str, &str),
    path: &str,
    question: &impl Serialize,
) -> Result<R> {
    let response = send(env, (binding, name), path, serde_json::to_string(question)?).await?;
    let body = http::whole(&response).await?;
    match response.status_code() {
        200 => read(&body).map_err(Into::into),
        status => Err(format!("{binding} answered {status}").into()),
    }
}

/// Reads what an object answered. As text, because objects read commands as text: `serde_json` makes a reader of its own for
/// each type and kind of input, and many types are in commands and replies.
pub(super) fn read<R: DeserializeOwned>(body: &[u8]) -> std::result::Result<R, String> {
    let text = str::from_utf8(body).map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Sends a text to an object, by the name of its binding and its own.
pub(super) async fn send(
    env: &Env,
    (binding, name): (&str, &str),
    path: &str,
    text: String,
) -> Result<Response> {
    let stub = env.durable_object(binding)?.get_by_name(name)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(text.into()));
    let request = Request::new_with_init(&format!("https://object{path}"), &init)?;
    stub.fetch_with_request(request).await
}
