//! The layer between `h2` and the byte stream.
//!
//! It collects what `h2` writes, one or two frames at a time, and writes it in large pieces when `h2` has no
//! more. Each write crosses into JavaScript on the platform and is a system call elsewhere. It also observes
//! the frames in both directions: `h2` does not report which requests have left it, nor what the server wrote
//! into its GOAWAY.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{self, Frames, Head};

/// An observed byte stream. `h2` and the driver each hold a clone.
#[derive(Debug)]
pub(super) struct FrameObserver<IO> {
    inner: Rc<RefCell<Inner<IO>>>,
    traffic: Rc<RefCell<Traffic>>,
}

#[derive(Debug)]
struct Inner<IO> {
    io: IO,
    /// Bytes that `h2` has written and the byte stream has not accepted yet.
    out: BytesMut,
    /// Whether the byte stream has something to flush.
    unflushed: bool,
    failed: Option<io::ErrorKind>,
}

/// What has passed in both directions.
#[derive(Debug)]
pub(super) struct Traffic {
    /// Bytes written by us.
    pub(super) bytes_out: u64,
    /// Bytes written by the server.
    pub(super) bytes_in: u64,
    /// What the server said about the connection, until the driver takes it.
    pub(super) events: VecDeque<ConnectionEvent>,
    /// Whether `h2` holds frames that it could not write.
    blocked: bool,
    outward: Frames,
    inward: Frames,
    /// The highest stream whose headers have been written.
    headed: u32,
    /// The streams up to `headed` whose end has not been written, in order.
    unended: VecDeque<u32>,
}

/// What the server said about the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEvent {
    /// SETTINGS, with its stream limit if it has one.
    Settings(Option<u32>),
    /// GOAWAY, with its error code and debug data.
    GoAway(u32, Vec<u8>),
}

impl Traffic {
    /// Whether a stream's request may have reached the server: all of it has been written.
    pub(super) fn has_left(&self, stream: u32) -> bool {
        stream <= self.headed && self.unended.binary_search(&stream).is_err()
    }

    /// Whether a stream's request may still be written although the stream was abandoned: `h2` may have
    /// encoded it already.
    pub(super) fn may_leave(&self, stream: u32) -> bool {
        self.blocked || self.has_left(stream)
    }

    /// Stops watching for the end of a stream.
    pub(super) fn forget(&mut self, stream: u32) {
        if let Ok(index) = self.unended.binary_search(&stream) {
            self.unended.remove(index);
        }
    }

    fn observe_sent(&mut self, bytes: &[u8]) {
        let Self {
            outward,
            headed,
            unended,
            ..
        } = self;
        outward.feed(bytes, |head, _| match head {
            Head {
                kind: frames::HEADERS,
                stream,
                ..
            } if stream > *headed => {
                *headed = stream;
                if !head.ends_stream() {
                    unended.push_back(stream);
                }
            }
            Head { kind, stream, .. } if head.ends_stream() || kind == frames::RST_STREAM => {
                if let Ok(index) = unended.binary_search(&stream) {
                    unended.remove(index);
                }
            }
            _ => {}
        });
        self.bytes_out += bytes.len() as u64;
    }

    fn observe_received(&mut self, bytes: &[u8]) {
        let Self { inward, events, .. } = self;
        inward.feed(bytes, |head, contents| match head.kind {
            frames::SETTINGS if head.flags & frames::ACK == 0 => {
                events.push_back(ConnectionEvent::Settings(frames::stream_limit(contents)));
            }
            frames::GO_AWAY => {
                if let Some((_, code, debug)) = frames::go_away(contents) {
                    events.push_back(ConnectionEvent::GoAway(code, debug.to_vec()));
                }
            }
            _ => {}
        });
        self.bytes_in += bytes.len() as u64;
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> FrameObserver<IO> {
    pub(super) fn new(io: IO) -> Self {
        let inner = Inner {
            io,
            out: BytesMut::with_capacity(CAPACITY),
            unflushed: false,
            failed: None,
        };
        let traffic = Traffic {
            bytes_out: 0,
            bytes_in: 0,
            events: VecDeque::new(),
            blocked: false,
            outward: Frames::of_client(),
            inward: Frames::of_server(),
            headed: 0,
            unended: VecDeque::new(),
        };
        Self {
            inner: Rc::new(RefCell::new(inner)),
            traffic: Rc::new(RefCell::new(traffic)),
        }
    }

    pub(super) fn traffic(&self) -> Rc<RefCell<Traffic>> {
        Rc::clone(&self.traffic)
    }

    /// Writes to the byte stream what `h2` has written. Ready when everything is written or an error
    /// occurred, which `h2` also gets.
    ///
    /// Returns `true` if `h2` was waiting for the space that is now free.
    pub(super) fn poll_forward(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut inner = self.inner.borrow_mut();
        let poll = match inner.poll_empty(cx) {
            Poll::Ready(Ok(())) => inner.poll_flush(cx),
            other => other,
        };
        poll.map_ok(|()| std::mem::take(&mut self.traffic.borrow_mut().blocked))
    }
}

impl<IO> Clone for FrameObserver<IO> {
    fn clone(&self) -> Self {
        Self {
            inner: Rc::clone(&self.inner),
            traffic: Rc::clone(&self.traffic),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Inner<IO> {
    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Remembers an error: only one of the stream's holders sees it first.
    fn note<T>(&mut self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &poll {
            self.failed = Some(error.kind());
        }
        poll
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        while !self.out.is_empty() {
            let poll = Pin::new(&mut self.io).poll_write(cx, &self.out);
            let written = match ready!(self.note(poll)) {
                Ok(0) => return self.note(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                other => other?,
            };
            self.out.advance(written);
            self.unflushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            let poll = Pin::new(&mut self.io).poll_flush(cx);
            ready!(self.note(poll))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for FrameObserver<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let mut inner = self.inner.borrow_mut();
        inner.check()?;
        let poll = Pin::new(&mut inner.io).poll_read(cx, buf);
        ready!(inner.note(poll))?;
        if let Some(read) = buf.filled().get(before..) {
            self.traffic.borrow_mut().observe_received(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FrameObserver<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.inner.borrow_mut();
        inner.check()?;
        let mut traffic = self.traffic.borrow_mut();
        if inner.out.len() >= CAPACITY {
            traffic.blocked = true;
            ready!(inner.poll_empty(cx))?;
        }
        traffic.blocked = false;
        traffic.observe_sent(bytes);
        inner.out.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Does nothing. `h2` flushes after each long body; the driver flushes once, when `h2` has nothing more
    /// to write.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.inner.borrow().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner.borrow_mut();
        ready!(inner.poll_empty(cx))?;
        ready!(inner.poll_flush(cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}

/// How much is collected before `h2` has to wait: some 150 pushes, and four times `h2`'s own buffer.
const CAPACITY: usize = 64 * 1024;
