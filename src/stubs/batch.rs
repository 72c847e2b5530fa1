//! How the rest of the Worker talks to a batch's object.

use crate::objects::batch::{ASK, COMMAND, NOTHING, UPLOAD};
use crate::platform::bindings;
use crate::stubs;
use ::batch::{Append, Appended, Assignment, Command, LeftOut, Record, Results, Settled, Stands};
use api::batch::Question;
use api::coding::Coding;
use apns::time::Timestamp;
use worker::js_sys::Uint8Array;
use worker::{Env, Headers, Method, RequestInit, Response, Result};

/// Tells a batch something; gives its answer, or nothing if it has none to give.
pub(crate) async fn command(
    env: &Env,
    id: &str,
    command: &Command,
) -> std::result::Result<Option<Vec<u8>>, String> {
    let text = serde_json::to_string(command).map_err(|error| error.to_string())?;
    tell(env, id, text).await
}

/// Opens a batch that so many scans will fill, and tells how it stands; one that is there stays as it is. `head` is what every
/// push has: the first line of an order in lines. After `until` it is not opened any more.
pub(crate) async fn open(
    env: &Env,
    record: Record,
    head: String,
    scans: u32,
    until: Option<Timestamp>,
) -> std::result::Result<Stands, String> {
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

/// How many devices a run has left out so far; nothing from a batch that is not there.
pub(crate) async fn left_out(env: &Env, id: &str) -> std::result::Result<LeftOut, String> {
    let body = command(env, id, &Command::CountLeftOut).await?;
    body.map_or_else(|| Ok(LeftOut::default()), |body| stubs::read(&body))
}

/// Brings a scan's next step, with a line for each of its pushes. Nothing comes back from a batch that is not there any
/// more: the scan is to end.
pub(crate) async fn append(
    env: &Env,
    id: &str,
    append: Append,
    lines: &str,
) -> std::result::Result<Option<Appended>, String> {
    let mut text = serde_json::to_string(&Command::Append(append)).map_err(|error| error.to_string())?;
    text.push('\n');
    text.push_str(lines);
    let body = tell(env, id, text).await?;
    body.map(|body| stubs::read(&body)).transpose()
}

/// Says how pushes ended.
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

/// Passes a caller's question on.
pub(crate) async fn ask(env: &Env, id: &str, question: &Question) -> Result<Response> {
    let text = serde_json::to_string(question)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(text.into()));
    stubs::begin(env, (bindings::BATCH, id), ASK, &init).await
}

/// Passes an upload on: its body as a stream, or as bytes.
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
    /// A stream, and how what comes of it is coded.
    Stream(worker::web_sys::ReadableStream, Coding),
}

impl Body {
    /// How it is coded.
    pub(crate) const fn coding(&self) -> Coding {
        match self {
            Self::Bytes(_) => Coding::Identity,
            Self::Stream(_, coding) => *coding,
        }
    }
}

async fn tell(env: &Env, id: &str, text: String) -> std::result::Result<Option<Vec<u8>>, String> {
    let answer = stubs::send(env, (bindings::BATCH, id), COMMAND, text).await;
    match answer.map_err(|error| error.to_string())? {
        (200, body) => Ok(Some(body)),
        (NOTHING, _) => Ok(None),
        (status, _) => Err(format!("the batch answered {status}")),
    }
}
