//! The platform's requests and responses.

use std::rc::Rc;

use crate::platform::body_reader::BodyReader;
use crate::platform::clock;
use api::Answer;
use api::byte_budget::{ByteBudget, MAX_BYTES_IN_FLIGHT, Reservation};
use api::coding::Coding;
use api::format::LINES;
use api::problem::{Kind, Problem};
use worker::js_sys::Uint8Array;
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Headers, Request, Response, ResponseBody, ResponseBuilder, Result, web_sys};

/// Returns the value of a request's header.
pub(crate) fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// Returns the content encoding of a request.
pub(crate) fn coding(request: &Request) -> std::result::Result<Coding, Problem> {
    Coding::of(header(request, "content-encoding").as_deref())
}

/// Returns the size of a body according to its request. Returns 0 if the request has no size or the body is
/// encoded.
pub(crate) fn declared_size(request: &Request) -> usize {
    if !matches!(coding(request), Ok(Coding::Identity)) {
        return 0;
    }
    let declared = header(request, "content-length").and_then(|value| value.parse().ok());
    declared.unwrap_or_default()
}

/// Returns the query of a request's URL, unchanged.
pub(crate) fn query(request: &Request) -> String {
    let url = request.inner().url();
    let query = url.split_once('?').map(|(_, query)| query);
    query.unwrap_or_default().to_owned()
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read_body(request: &Request, limit: usize) -> std::result::Result<Vec<u8>, Problem> {
    check_size(declared_size(request), limit)?;
    match read_up_to(request, limit).await? {
        Read::Whole(body, _) => Ok(body),
        Read::Part(read, ..) => Err(too_large(&format!("at least {}", read.len()), limit)),
    }
}

/// The part of a body that was read, with the memory reserved for it.
pub(crate) enum Read {
    /// The whole body.
    Whole(Vec<u8>, Reservation),
    /// More than the limit, and the rest of the body.
    Part(Vec<u8>, Box<BodyReader>, Reservation),
}

/// Reserves memory for a request's body.
fn reserve(bytes: usize) -> std::result::Result<Reservation, Problem> {
    thread_local! {
        static BODIES: Rc<ByteBudget> = ByteBudget::new(MAX_BYTES_IN_FLIGHT);
    }
    BODIES.with(|budget| budget.reserve(bytes, clock::now()))
}

/// Reads a body until it ends or exceeds `limit` bytes. Reads nothing if there is no memory for it.
pub(crate) async fn read_up_to(request: &Request, limit: usize) -> std::result::Result<Read, Problem> {
    let declared = declared_size(request).min(limit);
    let mut reservation = reserve(declared)?;
    let mut body = Vec::with_capacity(declared.min(RESERVED));
    let broken_off = || Problem::new(Kind::NotJson, "the body broke off");
    let Some(mut pieces) = BodyReader::of(request, coding(request)?).map_err(|_| broken_off())? else {
        return Ok(Read::Whole(body, reservation));
    };
    while let Some(piece) = pieces.next().await.map_err(|error| error.or(broken_off))? {
        reservation.grow_to(body.len() + piece.len(), clock::now())?;
        if body.capacity() - body.len() < piece.len() {
            // Grows by at most what has arrived, so that a header alone takes no memory, and by no more than
            // was declared.
            let rest = declared.saturating_sub(body.len()).min(body.len());
            body.reserve_exact(rest.max(piece.len()));
        }
        body.extend_from_slice(&piece);
        if body.len() > limit {
            return Ok(Read::Part(body, Box::new(pieces), reservation));
        }
    }
    Ok(Read::Whole(body, reservation))
}

/// Returns the body of an object's response, read by the platform in one piece.
///
/// `Response::bytes` reads it in pieces through JavaScript, and at the end creates an error with a stack
/// trace that is never used.
pub(crate) async fn whole(response: &Response) -> Result<Vec<u8>> {
    let stream = match response.body() {
        ResponseBody::Empty => return Ok(Vec::new()),
        ResponseBody::Body(bytes) => return Ok(bytes.clone()),
        ResponseBody::Stream(stream) => stream,
    };
    let response = web_sys::Response::new_with_opt_readable_stream(Some(stream))?;
    let buffer = JsFuture::from(response.array_buffer()?).await?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// Returns an error if a body has more than `limit` bytes.
pub(crate) fn check_size(size: usize, limit: usize) -> std::result::Result<(), Problem> {
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

/// Returns the status and headers of a response, for a `HEAD` request. An unread stream ends.
pub(crate) fn without_body(response: Response) -> Response {
    let (head, _body) = response.into_parts();
    head.empty()
}

/// Converts NDJSON to the platform's response.
pub(crate) fn lines(text: Vec<u8>) -> Result<Response> {
    let headers = Headers::new();
    headers.set("content-type", LINES)?;
    headers.set("cache-control", "no-store")?;
    Ok(ResponseBuilder::new().with_headers(headers).fixed(text))
}

/// Converts an answer to the platform's response.
pub(crate) fn response(answer: Answer) -> Result<Response> {
    let headers = Headers::new();
    headers.set("content-type", answer.content_type)?;
    headers.set("cache-control", "no-store")?;
    for (name, value) in &answer.headers {
        headers.set(name, value)?;
    }
    let response = ResponseBuilder::new()
        .with_status(answer.status)
        .with_headers(headers);
    // The platform accepts no body, not even an empty one, with a status that has none.
    Ok(match answer.status {
        204 => response.empty(),
        _ => response.fixed(answer.body.into_bytes()),
    })
}

/// How much of a declared body is reserved before any of it has arrived.
const RESERVED: usize = 64 * 1024;
