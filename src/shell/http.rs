//! The platform's requests and responses.

use futures::StreamExt;
use worker::{Headers, Request, Response, ResponseBuilder, Result};

use crate::api::Answer;
use crate::api::format::LINES;
use crate::api::problem::{Kind, Problem};

/// The value of a request's header.
pub(super) fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// Reads a body, and stops at `limit` bytes.
pub(super) async fn read_body(request: &mut Request, limit: usize) -> std::result::Result<Vec<u8>, Problem> {
    let declared: Option<usize> = header(request, "content-length").and_then(|value| value.parse().ok());
    check_size(declared.unwrap_or_default(), limit)?;
    let Ok(mut stream) = request.stream() else {
        return Ok(Vec::new());
    };
    let mut body = Vec::with_capacity(declared.unwrap_or_default());
    while let Some(part) = stream.next().await {
        let part = part.map_err(|_| Problem::new(Kind::NotJson, "the body broke off"))?;
        body.extend_from_slice(&part);
        if body.len() > limit {
            return Err(too_large(&format!("at least {}", body.len()), limit));
        }
    }
    Ok(body)
}

/// Refuses a body that has more than `limit` bytes.
pub(super) fn check_size(size: usize, limit: usize) -> std::result::Result<(), Problem> {
    if size <= limit {
        return Ok(());
    }
    Err(too_large(&size.to_string(), limit))
}

fn too_large(size: &str, limit: usize) -> Problem {
    Problem::new(
        Kind::BodyTooLarge,
        format!("the body has {size} bytes; the limit is {limit}"),
    )
}

/// Lines of JSON as the platform's response.
pub(super) fn lines(text: Vec<u8>) -> Result<Response> {
    let headers = Headers::new();
    headers.set("content-type", LINES)?;
    headers.set("cache-control", "no-store")?;
    Ok(ResponseBuilder::new().with_headers(headers).fixed(text))
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
