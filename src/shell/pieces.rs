//! A request's body, read in large pieces through one buffer.
//!
//! `Request::stream` asks the platform for each piece of a body with a buffer of its own, some thousands of bytes. Each
//! leaves a promise, closures and views to the collector of garbage, which lets them lie: after a million lines they took
//! more memory than all else that an upload needs. Here the platform fills one buffer again and again, half of it at
//! least while the body comes quickly.

use std::time::Duration;

use worker::js_sys::{ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Request, Result};

use super::clock;

/// A body that is being read.
pub(super) struct Pieces {
    reader: Reader,
    buffer: ArrayBuffer,
    /// How many bytes are waited for.
    least: u32,
}

impl Pieces {
    /// The body of a request; nothing if it has none.
    pub(super) fn of(request: &Request) -> Result<Option<Self>> {
        let Some(body) = request.inner().body() else {
            return Ok(None);
        };
        let options = Object::new();
        Reflect::set(&options, &"mode".into(), &"byob".into())?;
        Ok(Some(Self {
            reader: body.unchecked_ref::<Body>().reader(&options)?,
            buffer: ArrayBuffer::new(BUFFER),
            least: 1,
        }))
    }

    /// The next piece; nothing at the end of the body.
    ///
    /// # Errors
    /// The body broke off. There is nothing to read any more then.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
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
