//! `/v1/batches` and uploads in the Worker: finds the batch's object and forwards the request.

use crate::objects::batch::{self, Body};
use crate::platform::body_reader::BodyReader;
use crate::platform::log::Event;
use crate::platform::{clock, http};
use api::batch as contract;
use api::batch::{BatchAction, BatchRequest, DeviceList};
use api::coding::Coding;
use api::config::Caller;
use api::format::Format;
use api::listing::ReceiptRange;
use api::problem::{Kind, Problem};
use api::push;
use api::route::BatchEndpoint;
use futures::StreamExt;
use futures::stream;
use worker::{Env, Headers, Request, Response, ResponseBody, ResponseBuilder};

/// Whether a request's headers ask for a batch.
pub(crate) fn is_wanted(request: &Request) -> bool {
    let prefer = http::header(request, "prefer");
    push::respond_async(prefer.as_deref()) || http::header(request, IDEMPOTENCY_KEY).is_some()
}

/// Creates a batch from a request whose body was not read.
pub(crate) async fn stream_upload(
    request: &Request,
    caller: &Caller,
    format: Format,
    env: &Env,
) -> Result<Response, Problem> {
    match request.inner().body() {
        Some(stream) => {
            let body = Body::Stream(stream, http::coding(request)?);
            upload(request, caller, format, body, env).await
        }
        None => upload(request, caller, format, Body::Bytes(Vec::new()), env).await,
    }
}

/// Creates a batch from a request whose body was partly read.
pub(crate) async fn continue_upload(
    request: &Request,
    caller: &Caller,
    format: Format,
    (read, rest): (Vec<u8>, BodyReader),
    env: &Env,
) -> Result<Response, Problem> {
    let rest = stream::try_unfold(rest, |mut rest| async move {
        // The stream's reader only learns that it broke off.
        let piece = rest.next().await.map_err(|_| "the body cannot be read on")?;
        Ok::<_, worker::Error>(piece.map(|piece| (piece, rest)))
    });
    let whole = stream::iter([Ok(read)]).chain(rest.boxed_local());
    let response = ResponseBuilder::new().from_stream(whole).map_err(unavailable)?;
    let ResponseBody::Stream(stream) = response.into_parts().1 else {
        return Err(unavailable("a stream without a body"));
    };
    upload(
        request,
        caller,
        format,
        Body::Stream(stream, Coding::Identity),
        env,
    )
    .await
}

/// Creates a batch from a request's body.
pub(crate) async fn upload(
    request: &Request,
    caller: &Caller,
    format: Format,
    body: Body,
    env: &Env,
) -> Result<Response, Problem> {
    let id = match idempotency_key(request)? {
        Some(key) => contract::named_id(&caller.name, &key),
        None => contract::id(clock::seed()),
    };
    let headers = Headers::new();
    let lines = format.lines_in.to_string();
    let caller_header = caller.to_header();
    for (name, value) in [
        (batch::CALLER, caller_header.as_str()),
        (batch::ID, id.as_str()),
        (batch::LINES, lines.as_str()),
        (batch::CODING, body.coding().as_str()),
    ] {
        headers.set(name, value).map_err(unavailable)?;
    }
    batch::upload(env, &id, headers, body).await.map_err(unavailable)
}

/// Returns the request's `Idempotency-Key`, if it has one.
pub(crate) fn idempotency_key(request: &Request) -> Result<Option<String>, Problem> {
    let key = http::header(request, IDEMPOTENCY_KEY);
    match &key {
        Some(key) if key.is_empty() || key.len() > MAX_KEY => {
            let detail = format!("Idempotency-Key has {} bytes; it has 1 to {MAX_KEY}", key.len());
            Err(Problem::new(Kind::InvalidRequest, detail))
        }
        Some(_) | None => Ok(key),
    }
}

/// Handles a caller's request about a batch.
pub(crate) async fn answer(
    request: &Request,
    id: &str,
    endpoint: BatchEndpoint,
    caller: &Caller,
    env: &Env,
) -> Result<Response, Problem> {
    // An id that no batch can have creates no object.
    if contract::seed(id).is_none() {
        return Err(Problem::new(
            Kind::BatchNotFound,
            "a batch's id has 32 hex digits in lower case",
        ));
    }
    let query = http::query(request);
    let action = match endpoint {
        BatchEndpoint::Status => BatchAction::Status,
        BatchEndpoint::Delete => BatchAction::Delete,
        BatchEndpoint::Receipts => {
            let range = ReceiptRange::parse(&query).map_err(Problem::invalid)?;
            BatchAction::Receipts {
                from: range.from,
                limit: usize::try_from(range.limit).unwrap_or(usize::MAX),
                only: range.statuses.into_iter().map(str::to_owned).collect(),
            }
        }
        BatchEndpoint::Gone => devices(DeviceList::Gone, &query)?,
        BatchEndpoint::Suspect => devices(DeviceList::Suspect, &query)?,
        BatchEndpoint::Events => BatchAction::Events,
        BatchEndpoint::Deliveries => BatchAction::Deliveries,
        BatchEndpoint::Cancel => BatchAction::Cancel,
        BatchEndpoint::Pause => BatchAction::Pause,
        BatchEndpoint::Resume => BatchAction::Resume,
    };
    let caller = caller.clone();
    batch::ask(env, id, &BatchRequest { caller, action })
        .await
        .map_err(unavailable)
}

/// Parses a page of one of the lists of refused devices.
fn devices(list: DeviceList, query: &str) -> Result<BatchAction, Problem> {
    let range = ReceiptRange::of_devices(query).map_err(Problem::invalid)?;
    Ok(BatchAction::Devices {
        list,
        from: range.from,
        limit: usize::try_from(range.limit).unwrap_or(usize::MAX),
    })
}

fn unavailable(error: impl std::fmt::Display) -> Problem {
    Event::BatchFailed {
        batch: "",
        problem: &error.to_string(),
    }
    .write();
    Problem::new(Kind::Unavailable, "the batch did not answer").retry_after_ms(1000)
}

/// Source: IETF draft "The Idempotency-Key HTTP Header Field".
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The maximum length of a key: a UUID or a hash several times over.
const MAX_KEY: usize = 255;
