//! A server that does what a test says, frame by frame.
//!
//! It decodes no header fields. A push is identified by its body.

use apns_h2::Options;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::support::{Client, client, status};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// `:status: 200` and `:status: 400`, by HPACK's static table.
const STATUS_200: u8 = 0x88;
const STATUS_400: u8 = 0x8c;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Bytes,
}

/// The server's end of a connection.
pub(crate) struct Peer {
    io: DuplexStream,
    input: BytesMut,
}

impl Peer {
    /// Waits for the client's preface and sends SETTINGS with a stream limit.
    pub(crate) async fn greet(io: DuplexStream, streams: Option<u32>) -> Self {
        let mut peer = Self {
            io,
            input: BytesMut::new(),
        };
        let mut preface = [0; 24];
        peer.io.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        peer.settings(streams).await;
        peer
    }

    /// Returns the next frame, or `None` when the client is gone. Cancelling it loses nothing.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            if self.io.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.input.first_chunk::<9>()?;
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if self.input.len() < 9 + len {
            return None;
        }
        self.input.advance(9);
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload: self.input.split_to(len).freeze(),
        })
    }

    /// Returns the next frame of a kind and skips others.
    pub(crate) async fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().await.expect("the client is gone");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The client may have hung up.
        let _ = self.io.write_all(&frame).await;
    }

    pub(crate) async fn settings(&mut self, streams: Option<u32>) {
        let mut payload = Vec::new();
        if let Some(streams) = streams {
            payload.extend([0, 3]);
            payload.extend(streams.to_be_bytes());
        }
        self.send(SETTINGS, 0, 0, &payload).await;
    }

    /// Answers 200 without a body.
    pub(crate) async fn accept(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &[STATUS_200])
            .await;
    }

    /// Answers 400 with a reason.
    pub(crate) async fn reject(&mut self, stream: u32) {
        self.reject_with(stream, br#"{"reason":"BadDeviceToken"}"#).await;
    }

    /// Answers 400 with a body.
    pub(crate) async fn reject_with(&mut self, stream: u32, body: &[u8]) {
        self.send(HEADERS, END_HEADERS, stream, &[STATUS_400]).await;
        self.send(DATA, END_STREAM, stream, body).await;
    }

    pub(crate) async fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    pub(crate) async fn go_away(&mut self, last: u32, code: u32, debug: &[u8]) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(code.to_be_bytes());
        payload.extend(debug);
        self.send(GO_AWAY, 0, 0, &payload).await;
    }

    pub(crate) async fn widen(&mut self, stream: u32, bytes: u32) {
        if bytes > 0 {
            self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()).await;
        }
    }
}

/// Creates a connection to a peer that allows `streams` streams and has accepted one push.
pub(crate) async fn pair(streams: u32, options: Options) -> (Peer, Client) {
    let (ours, theirs) = duplex(1 << 20);
    let (mut peer, client) = tokio::join!(Peer::greet(theirs, Some(streams)), client(ours, options));
    let request = client.request(0);
    let (outcome, ()) = tokio::join!(client.push(&request), async {
        let stream = peer.next(HEADERS).await.stream;
        peer.next(DATA).await;
        peer.accept(stream).await;
    });
    assert_eq!(status(&outcome), 200);
    (peer, client)
}
