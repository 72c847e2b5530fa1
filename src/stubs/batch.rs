//! Requests to a batch's object.

use crate::objects::batch::{ASK, COMMAND, NOTHING, UPLOAD};
use crate::platform::bindings;
use crate::stubs;
use ::batch::{Append, Appended, Assignment, BatchStatus, Command, LeftOut, Record, Results, Settled};
use api::batch::BatchRequest;
use api::coding::Coding;
use apns::time::Timestamp;
use worker::js_sys::Uint8Array;
use worker::{Env, Headers, Method, RequestInit, Response, Result};

/// Sends a command to a batch. Returns its answer, or `None` if the answer is empty.
pub(crate) async fn command(
    env: &Env,
    id: &str,
    command: &Command,
) -> std::result::Result<Option<Vec<u8>>, String> {
    let text = serde_json::to_string(command).map_err(|error| error.to_string())?;
    exchange(env, id, text).await
}

/// Opens a batch that `scans` scans fill, and returns its state.
///
/// An existing batch is not changed. `head` is what all pushes share: the first line of an NDJSON request.
/// After `until` the batch is not opened any more.
pub(crate) async fn open(
    env: &Env,
    record: Record,
    head: String,
    scans: u32,
    until: Option<Timestamp>,
) -> std::result::Result<BatchStatus, String> {
    let id = record.id.clone();
    let record = Box::new(record);
    let open = Command::Open {
        record,
        head,
        scans,
        until,
    };
    let body = command(env, &id, &open).await?;
    stubs::read(&body.unwrap_or_default())
}

/// Returns how many devices a run has left out so far; none if the batch does not exist.
pub(crate) async fn left_out(env: &Env, id: &str) -> std::result::Result<LeftOut, String> {
    let body = command(env, id, &Command::CountLeftOut).await?;
    body.map_or_else(|| Ok(LeftOut::default()), |body| stubs::read(&body))
}

/// Appends a scan's next step, with one line per push. Returns `None` if the batch no longer exists; the scan
/// then ends.
pub(crate) async fn append(
    env: &Env,
    id: &str,
    append: Append,
    lines: &str,
) -> std::result::Result<Option<Appended>, String> {
    let mut text = serde_json::to_string(&Command::Append(append)).map_err(|error| error.to_string())?;
    text.push('\n');
    text.push_str(lines);
    let body = exchange(env, id, text).await?;
    body.map(|body| stubs::read(&body)).transpose()
}

/// Reports results of pushes.
pub(crate) async fn settle(
    env: &Env,
    assignment: &Assignment,
    results: Results,
    over: bool,
) -> std::result::Result<Settled, String> {
    let settle = Command::Settle {
        chunk: assignment.chunk,
        claim: assignment.claim,
        results,
        over,
    };
    match command(env, &assignment.batch, &settle).await? {
        Some(body) => stubs::read(&body),
        None => Ok(Settled { stop: true }),
    }
}

/// Forwards a caller's request.
pub(crate) async fn ask(env: &Env, id: &str, request: &BatchRequest) -> Result<Response> {
    let text = serde_json::to_string(request)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(text.into()));
    stubs::begin(env, (bindings::BATCH, id), ASK, &init).await
}

/// Forwards an upload, with its body as a stream or as bytes.
pub(crate) async fn upload(env: &Env, id: &str, headers: Headers, body: Body) -> Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers);
    init.with_body(Some(match body {
        Body::Bytes(bytes) => Uint8Array::from(bytes.as_slice()).into(),
        Body::Stream(stream, _) => stream.into(),
    }));
    stubs::begin(env, (bindings::BATCH, id), UPLOAD, &init).await
}

/// The body of an upload.
pub(crate) enum Body {
    Bytes(Vec<u8>),
    /// A stream, and its content encoding.
    Stream(worker::web_sys::ReadableStream, Coding),
}

impl Body {
    /// Returns its content encoding.
    pub(crate) const fn coding(&self) -> Coding {
        match self {
            Self::Bytes(_) => Coding::Identity,
            Self::Stream(_, coding) => *coding,
        }
    }
}

async fn exchange(env: &Env, id: &str, text: String) -> std::result::Result<Option<Vec<u8>>, String> {
    let answer = stubs::send(env, (bindings::BATCH, id), COMMAND, text).await;
    match answer.map_err(|error| error.to_string())? {
        (200, body) => Ok(Some(body)),
        (NOTHING, _) => Ok(None),
        (status, _) => Err(format!("the batch answered {status}")),
    }
}
