//! The platform's requests and responses.

use futures::StreamExt;
use worker::{Headers, Request, Response, ResponseBuilder, Result};

use crate::api::Answer;
use crate::api::order::MAX_BODY;
use crate::api::problem::{Kind, Problem};

/// The value of a request's header.
pub(super) fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// Reads a body, and stops at the limit.
pub(super) async fn read_body(request: &mut Request) -> std::result::Result<Vec<u8>, Problem> {
    let declared: Option<usize> = header(request, "content-length").and_then(|value| value.parse().ok());
    if let Some(size) = declared.filter(|size| *size > MAX_BODY) {
        return Err(too_large(&size.to_string()));
    }
    let broken = |_| Problem::new(Kind::NotJson, "the body broke off");
    let mut stream = match request.stream() {
        Ok(stream) => stream,
        Err(_) => return Ok(Vec::new()),
    };
    let mut body = Vec::with_capacity(declared.unwrap_or_default());
    while let Some(part) = stream.next().await {
        let part = part.map_err(broken)?;
        if body.len() + part.len() > MAX_BODY {
            return Err(too_large("more"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn too_large(size: &str) -> Problem {
    Problem::new(
        Kind::BodyTooLarge,
        format!("the body has {size} bytes; the limit is {MAX_BODY}"),
    )
}

/// An answer as the platform's response.
pub(super) fn response(answer: Answer) -> Result<Response> {
    let headers = Headers::new();
    headers.set("content-type", answer.content_type)?;
    headers.set("cache-control", "no-store")?;
    for (name, value) in &answer.headers {
        headers.set(name, value)?;
    }
    Ok(ResponseBuilder::new()
        .with_status(answer.status)
        .with_headers(headers)
        .fixed(answer.body.into_bytes()))
}
