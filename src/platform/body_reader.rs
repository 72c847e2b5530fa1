//! A reader of a request's body: reads large pieces through one buffer, and decodes them.
//!
//! `Request::stream` asks the platform for each piece of a body with a new buffer of some thousand bytes.
//! Each piece leaves a promise, closures and views to the garbage collector, which is slow to free them.
//! After a million lines they took more memory than everything else that an upload needs. This reader lets
//! the platform fill the same buffer again and again, at least half of it while the body arrives quickly.

use std::time::Duration;

use crate::platform::clock;
use api::coding::{Coding, Decoder};
use api::problem::Problem;
use worker::js_sys::{ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Request, Result};

/// A body that is being read.
pub(crate) struct BodyReader {
    reader: Reader,
    buffer: ArrayBuffer,
    /// The minimum number of bytes to wait for.
    least: u32,
    decoder: Decoder,
    /// Bytes that were read and are not decoded yet: `coded` from `decoded` on.
    coded: Vec<u8>,
    decoded: usize,
    is_at_end: bool,
}

/// Why the rest of a body cannot be read.
pub(crate) enum BodyError {
    /// It broke off.
    BrokenOff,
    /// It does not match its `Content-Encoding`, or is too large.
    Refused(Problem),
}

impl BodyError {
    /// Converts to a problem; `broken_off` creates it if the body broke off.
    pub(crate) fn or(self, broken_off: impl FnOnce() -> Problem) -> Problem {
        match self {
            Self::BrokenOff => broken_off(),
            Self::Refused(problem) => problem,
        }
    }
}

impl From<Problem> for BodyError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl BodyReader {
    /// Returns a reader for the body of a request with this encoding. Returns `None` if there is no body.
    pub(crate) fn of(request: &Request, coding: Coding) -> Result<Option<Self>> {
        let Some(body) = request.inner().body() else {
            return Ok(None);
        };
        let options = Object::new();
        Reflect::set(&options, &"mode".into(), &"byob".into())?;
        Ok(Some(Self {
            reader: body.unchecked_ref::<Body>().reader(&options)?,
            buffer: ArrayBuffer::new(BUFFER),
            least: 1,
            decoder: Decoder::new(coding),
            coded: Vec::new(),
            decoded: 0,
            is_at_end: false,
        }))
    }

    /// Returns the next piece of the decoded body, of at most some megabytes. Returns `None` at its end.
    ///
    /// # Errors
    /// Returns an error if the rest of the body cannot be read.
    pub(crate) async fn next(&mut self) -> std::result::Result<Option<Vec<u8>>, BodyError> {
        loop {
            let rest = self.coded.get(self.decoded..).unwrap_or_default();
            if !rest.is_empty() {
                let (taken, piece) = self.decoder.decode(rest)?;
                self.decoded += taken;
                if !piece.is_empty() {
                    return Ok(Some(piece));
                }
                continue;
            }
            if self.is_at_end {
                return Ok(None);
            }
            match self.read().await.map_err(|_| BodyError::BrokenOff)? {
                Some(piece) if self.decoder.is_identity() => return Ok(Some(piece)),
                Some(piece) => (self.coded, self.decoded) = (piece, 0),
                None => {
                    self.is_at_end = true;
                    let last = self.decoder.finish()?;
                    return Ok(Some(last).filter(|last| !last.is_empty()));
                }
            }
        }
    }

    /// Returns the next piece as it arrived. Returns `None` at the end.
    async fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let asked = clock::now();
        let buffer = Uint8Array::new_with_byte_offset_and_length(&self.buffer, 0, BUFFER);
        let read = JsFuture::from(self.reader.read(self.least, &buffer)?).await?;
        let Some(piece) = read.unchecked_into::<Piece>().value() else {
            return Ok(None);
        };
        let is_quick = clock::now().since(asked) < QUICK;
        self.least = if is_quick { BUFFER / 2 } else { 1 };
        // The platform has detached the buffer. This is the same memory.
        self.buffer = piece.buffer();
        Ok((piece.length() > 0).then(|| piece.to_vec()))
    }
}

#[wasm_bindgen]
extern "C" {
    /// A `ReadableStream` of bytes.
    type Body;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn reader(this: &Body, options: &Object) -> std::result::Result<Reader, JsValue>;

    /// Its `ReadableStreamBYOBReader`, with Cloudflare's extension `readAtLeast`.
    type Reader;
    #[wasm_bindgen(method, catch, js_name = readAtLeast)]
    fn read(this: &Reader, least: u32, buffer: &Uint8Array) -> std::result::Result<Promise, JsValue>;

    /// The result of a read; without bytes at the end of the body.
    type Piece;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Piece) -> Option<Uint8Array>;
}

/// The size of the buffer: some hundred lines.
const BUFFER: u32 = 64 * 1024;

/// If a piece takes longer, the body arrives slowly. Each available byte is then read at once, so that the
/// time of the last bytes is exact.
const QUICK: Duration = Duration::from_millis(500);
