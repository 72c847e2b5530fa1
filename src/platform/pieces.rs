//! A request's body, read in large pieces through one buffer, and decoded.
//!
//! `Request::stream` asks the platform for each piece of a body with a buffer of its own, some thousands of bytes. Each
//! leaves a promise, closures and views to the collector of garbage, which lets them lie: after a million lines they took
//! more memory than all else that an upload needs. Here the platform fills one buffer again and again, half of it at
//! least while the body comes quickly.

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
pub(crate) struct Pieces {
    reader: Reader,
    buffer: ArrayBuffer,
    /// How many bytes are waited for.
    least: u32,
    decoder: Decoder,
    /// What was read and is not decoded yet: all of `coded` from `decoded` on.
    coded: Vec<u8>,
    decoded: usize,
    is_at_end: bool,
}

/// Why a body cannot be read on.
pub(crate) enum BodyError {
    /// It broke off.
    BrokenOff,
    /// It is not what its `Content-Encoding` says, or too much.
    Refused(Problem),
}

impl BodyError {
    /// The problem: `broken_off` if the body broke off.
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

impl Pieces {
    /// The body of a request, which has this coding; nothing if it has none.
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

    /// The next piece of the decoded body, of some megabytes at most; nothing at its end.
    ///
    /// # Errors
    /// There is nothing to read any more.
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

    /// The next piece as it came; nothing at the end.
    async fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let asked = clock::now();
        let buffer = Uint8Array::new_with_byte_offset_and_length(&self.buffer, 0, BUFFER);
        let read = JsFuture::from(self.reader.read(self.least, &buffer)?).await?;
        let Some(piece) = read.unchecked_into::<Piece>().value() else {
            return Ok(None);
        };
        let is_quick = clock::now().since(asked) < QUICK;
        self.least = if is_quick { BUFFER / 2 } else { 1 };
        // The platform took the buffer away; this is the same memory.
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

    /// Its `ReadableStreamBYOBReader`, with what Cloudflare's has more than others.
    type Reader;
    #[wasm_bindgen(method, catch, js_name = readAtLeast)]
    fn read(this: &Reader, least: u32, buffer: &Uint8Array) -> std::result::Result<Promise, JsValue>;

    /// What a read gives: at the end of the body, no bytes.
    type Piece;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Piece) -> Option<Uint8Array>;
}

/// The size of the buffer: some hundreds of lines.
const BUFFER: u32 = 64 * 1024;

/// A piece that took longer is of a body that trickles: what there is of it is taken then, so that whoever looks when
/// the last bytes came sees them.
const QUICK: Duration = Duration::from_millis(500);
