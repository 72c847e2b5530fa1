//! A push in flight.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::{HeaderMap, StatusCode};

use super::connection::Shared;
use super::ledger::{Key, StreamEnd};
use apns::reply::MAX_BODY;
use apns::time::Timestamp;
use apns::{Outcome, Reply, TransportError};

/// A push that was handed to the connection. It resolves to the outcome.
///
/// If it is dropped before, the push's stream is reset and the outcome is unknown.
#[derive(Debug)]
#[must_use = "the outcome says whether the push may be sent again"]
pub struct Sent {
    /// Declared before `push`: the stream is dropped first, so nothing more of it is written once the push
    /// has left the ledger.
    stage: Stage,
    push: Option<Push>,
}

#[derive(Debug)]
enum Stage {
    Head(ResponseFuture),
    Body(Box<Reading>),
    Over(Option<Outcome>),
}

/// An answer whose body has not arrived completely.
#[derive(Debug)]
struct Reading {
    status: StatusCode,
    fields: HeaderMap,
    body: RecvStream,
    read: BytesMut,
}

/// The push's entry in the ledger.
#[derive(Debug)]
struct Push {
    shared: Rc<Shared>,
    /// `None` once the push is settled.
    key: Option<Key>,
    stream: u32,
}

impl Sent {
    pub(super) fn launched(shared: Rc<Shared>, key: Key, stream: u32, response: ResponseFuture) -> Self {
        Self {
            stage: Stage::Head(response),
            push: Some(Push {
                shared,
                key: Some(key),
                stream,
            }),
        }
    }

    pub(super) const fn failed(outcome: Outcome) -> Self {
        Self {
            stage: Stage::Over(Some(outcome)),
            push: None,
        }
    }

    fn now(&self) -> Timestamp {
        let push = self.push.as_ref();
        push.map(|push| push.shared.timer.now()).unwrap_or_default()
    }

    fn poll_stream_end(&mut self, cx: &mut Context<'_>) -> Poll<StreamEnd> {
        if let Stage::Head(response) = &mut self.stage {
            match Pin::new(response).poll(cx) {
                Poll::Ready(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    if body.is_end_stream() {
                        return Poll::Ready(StreamEnd::Answered(reply(
                            head.status,
                            &head.headers,
                            b"",
                            self.now(),
                        )));
                    }
                    let (status, fields) = (head.status, head.headers);
                    self.stage = Stage::Body(Box::new(Reading {
                        status,
                        fields,
                        body,
                        read: BytesMut::new(),
                    }));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(stream_end(&error)),
                Poll::Pending => return self.poll_expired(cx),
            }
        }
        if let Stage::Body(reading) = &mut self.stage {
            let mut read = reading.poll_body(cx);
            if read.is_pending() {
                read = self.poll_expired(cx).map(drop);
            }
            ready!(read);
        }
        match &self.stage {
            // The status has arrived, so the body does not matter.
            Stage::Body(reading) => Poll::Ready(StreamEnd::Answered(reply(
                reading.status,
                &reading.fields,
                &reading.read,
                self.now(),
            ))),
            Stage::Head(_) | Stage::Over(_) => Poll::Pending,
        }
    }

    fn poll_expired(&self, cx: &Context<'_>) -> Poll<StreamEnd> {
        if let Some(Push {
            shared,
            key: Some(key),
            ..
        }) = &self.push
        {
            let mut ledger = shared.ledger.borrow_mut();
            if ledger.is_expired(key) {
                return Poll::Ready(StreamEnd::Expired);
            }
            ledger.watch(key, cx.waker(), Waker::will_wake);
        }
        Poll::Pending
    }
}

impl Future for Sent {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Stage::Over(outcome) = &mut self.stage {
            return outcome.take().map_or(Poll::Pending, Poll::Ready);
        }
        let stream_end = ready!(self.poll_stream_end(cx));
        self.stage = Stage::Over(None);
        match self.push.take() {
            Some(push) => Poll::Ready(push.settle(stream_end)),
            None => Poll::Pending,
        }
    }
}

impl Push {
    fn settle(mut self, stream_end: StreamEnd) -> Outcome {
        match self.key.take() {
            Some(key) => self.shared.settle(key, self.stream, stream_end),
            None => Outcome::Lost(TransportError::ConnectionLost),
        }
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.shared.forget(key, self.stream);
        }
    }
}

impl Reading {
    /// Ready when the body has ended, has broken off, or is longer than any of Apple's.
    ///
    /// The server's windows are restored when the stream is dropped: less than one stream's window is read.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(piece)) = ready!(self.body.poll_data(cx)) {
            self.keep(&piece);
            if self.read.len() > MAX_BODY {
                break;
            }
        }
        Poll::Ready(())
    }

    fn keep(&mut self, piece: &Bytes) {
        let room = (MAX_BODY + 1).saturating_sub(self.read.len());
        self.read.extend(piece.iter().take(room));
    }
}

/// Returns how a stream ended for which `h2` reported an error.
fn stream_end(error: &h2::Error) -> StreamEnd {
    match error.reason() {
        Some(_) if error.is_go_away() && error.is_remote() => StreamEnd::PassedOver,
        Some(Reason::REFUSED_STREAM) if error.is_remote() => StreamEnd::Refused,
        Some(_) if error.is_reset() => StreamEnd::Reset,
        _ => StreamEnd::Broken,
    }
}

fn reply(status: StatusCode, fields: &HeaderMap, body: &[u8], now: Timestamp) -> Reply {
    Reply::read(
        status.as_u16(),
        |name| fields.get(name).and_then(|value| value.to_str().ok()),
        body,
        now,
    )
}
