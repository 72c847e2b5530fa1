//! The socket as `h2` sees it: reports passing frames, and inserts others.
//!
//! Inbound bytes are copied frame by frame from a buffer, so that a frame can be withheld. Outbound bytes
//! pass unchanged unless a frame is to be inserted or dropped. This relies on `h2` writing each frame's
//! header in one piece.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Wire;
use super::frame::{FrameHead, Kind, PREFACE};
use crate::link::Link;

/// The size of the inbound buffer: one TLS record.
const INBOX_SIZE: usize = 16 * 1024;

/// A byte stream with its [`Wire`].
pub(crate) struct Tap<T> {
    io: T,
    link: Arc<Link>,
    inbox: Vec<u8>,
    /// The bytes that were not passed on yet: `inbox[start..end]`.
    start: usize,
    end: usize,
    /// How many bytes of the current inbound frame are still to be passed on, and to be dropped.
    passing: usize,
    withholding: usize,
    /// Whether the client has closed its side.
    ended: bool,
    /// How many bytes of the current outbound frame are still to come.
    writing: usize,
    /// How many bytes of an outbound frame are still to be dropped.
    dropping: usize,
    /// Whether `h2`'s own first SETTINGS were dropped. They are replaced by those sent before.
    settings_dropped: bool,
    /// The frames that are being inserted.
    inserting: Vec<u8>,
}

impl<T> Tap<T> {
    pub(crate) fn new(io: T, link: Arc<Link>) -> Self {
        Self {
            io,
            link,
            inbox: vec![0; INBOX_SIZE],
            start: 0,
            end: 0,
            passing: PREFACE.len(),
            withholding: 0,
            ended: false,
            writing: 0,
            dropping: 0,
            settings_dropped: false,
            inserting: Vec::new(),
        }
    }

    /// Passes whole frames, or what has arrived of them, to the reader.
    fn deliver(&mut self, wire: &mut Wire, buf: &mut ReadBuf<'_>) {
        while self.start < self.end && buf.remaining() > 0 {
            if self.withholding > 0 {
                let skipped = self.withholding.min(self.end - self.start);
                self.start += skipped;
                self.withholding -= skipped;
                continue;
            }
            let waiting = self.inbox.get(self.start..self.end).unwrap_or_default();
            if self.passing == 0 {
                if let Some(head) = FrameHead::read(waiting) {
                    if wire.received(head, &self.link.simulation) {
                        self.withholding = head.whole();
                        continue;
                    }
                    self.passing = head.whole();
                } else if self.ended {
                    self.passing = waiting.len();
                } else {
                    return;
                }
            }
            let count = self.passing.min(waiting.len()).min(buf.remaining());
            buf.put_slice(waiting.get(..count).unwrap_or_default());
            self.start += count;
            self.passing -= count;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tap<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let link = Arc::clone(&this.link);
        loop {
            {
                let mut wire = link.wire();
                wire.set_waker(cx.waker());
                this.deliver(&mut wire, buf);
            }
            if buf.filled().len() > before || buf.remaining() == 0 || this.ended {
                return Poll::Ready(Ok(()));
            }
            this.inbox.copy_within(this.start..this.end, 0);
            this.end -= this.start;
            this.start = 0;
            let mut space = ReadBuf::new(this.inbox.get_mut(this.end..).unwrap_or_default());
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut space))?;
            let count = space.filled().len();
            this.end += count;
            this.ended = count == 0;
        }
    }
}

impl<T: AsyncWrite + Unpin> Tap<T> {
    /// Writes the inserted frames at a frame boundary.
    fn poll_insert(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writing > 0 {
            return Poll::Ready(Ok(()));
        }
        self.inserting.append(&mut self.link.wire().outbox);
        while !self.inserting.is_empty() {
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, &self.inserting))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.inserting.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    /// Returns how many of `bytes` to write now, or to drop.
    fn plan(&mut self, bytes: &[u8]) -> usize {
        let wire = self.link.wire();
        let care = !self.settings_dropped || wire.has_said_farewell() || !wire.outbox.is_empty();
        drop(wire);
        if !care {
            return bytes.len();
        }
        if self.writing > 0 {
            return self.writing.min(bytes.len());
        }
        let Some(head) = FrameHead::read(bytes) else {
            return bytes.len();
        };
        let is_first_settings = !self.settings_dropped && head.kind == Kind::Settings;
        if is_first_settings || head.kind == Kind::GoAway && self.link.wire().has_said_farewell() {
            self.settings_dropped = true;
            self.dropping = head.whole();
        }
        head.whole().min(bytes.len())
    }

    /// Tracks the frames among the written bytes. `bytes` may be longer.
    fn follow(&mut self, bytes: &[u8], written: usize) {
        let link = Arc::clone(&self.link);
        let mut wire = link.wire();
        let mut place = 0;
        while place < written {
            if self.writing == 0 {
                let Some(head) = bytes.get(place..).and_then(FrameHead::read) else {
                    return;
                };
                wire.sent(head, &link.simulation);
                self.writing = head.whole();
            }
            let step = self.writing.min(written - place);
            self.writing -= step;
            place += step;
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tap<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.dropping == 0 {
            ready!(this.poll_insert(cx))?;
            let length = this.plan(bytes);
            if this.dropping == 0 {
                let chosen = bytes.get(..length).unwrap_or_default();
                let written = ready!(Pin::new(&mut this.io).poll_write(cx, chosen))?;
                this.follow(bytes, written);
                return Poll::Ready(Ok(written));
            }
        }
        let dropped = this.dropping.min(bytes.len());
        this.dropping -= dropped;
        Poll::Ready(Ok(dropped))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_insert(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::Request;
    use tokio::io::duplex;

    use super::*;
    use crate::environment::Environment;
    use crate::fault::{Fault, FaultKind};
    use crate::http2;
    use crate::options::Options;
    use crate::simulation::Simulation;

    /// Reads and writes so few bytes at a time that every frame, and every frame header, is split.
    struct Narrow<T>(T, usize);

    impl<T: AsyncRead + Unpin> AsyncRead for Narrow<T> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let mut bytes = vec![0; self.1.min(buf.remaining())];
            let mut piece = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut piece))?;
            buf.put_slice(piece.filled());
            Poll::Ready(Ok(()))
        }
    }

    impl<T: AsyncWrite + Unpin> AsyncWrite for Narrow<T> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let piece = &bytes[..self.1.min(bytes.len())];
            Pin::new(&mut self.0).poll_write(cx, piece)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn frames_in_pieces_are_followed_withheld_and_put_in() {
        for width in [1, 2, 7, 10, 4096] {
            let (near, far) = duplex(4096);
            let simulation = Arc::new(Simulation::new(&Options::default()));
            tokio::spawn(http2::serve(
                Narrow(far, width),
                Environment::Production,
                Arc::clone(&simulation),
            ));
            let (client, connection) = h2::client::handshake(near).await.unwrap();
            let connection = tokio::spawn(connection);
            let push = async || {
                let request = Request::post("https://localhost/3/device/00").body(()).unwrap();
                let mut send = client.clone().ready().await?;
                let (response, mut body) = send.send_request(request, false)?;
                body.send_data(Bytes::from_static(b"{}"), true)?;
                let response = tokio::time::timeout(Duration::from_secs(10), response).await;
                let (head, mut body) = response.expect("an answer in time")?.into_parts();
                let body = body.data().await.unwrap()?;
                Ok::<_, h2::Error>((head.status.as_u16(), body))
            };
            let refused = (403, Bytes::from_static(br#"{"reason":"MissingProviderToken"}"#));
            for limit in [5, 6, 7] {
                assert_eq!(push().await.unwrap(), refused, "width {width}");
                simulation.links().first().unwrap().wire().set_limit(limit);
                let raised = async {
                    while client.clone().ready().await.unwrap().current_max_send_streams() != limit as usize {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(10), raised)
                    .await
                    .expect("a new limit in time");
            }
            assert_eq!(simulation.counters.in_flight.get(), 0);
            let goaway = Fault {
                reason: Some("Shutdown".to_owned()),
                ..Fault::new(FaultKind::GoAway)
            };
            simulation.links().first().unwrap().say_farewell(&goaway, None);
            let end = tokio::time::timeout(Duration::from_secs(10), connection).await;
            end.expect("it closes").unwrap().unwrap();
            assert!(push().await.is_err());
            assert_eq!(simulation.violations.snapshot().0, 0);
        }
    }
}
