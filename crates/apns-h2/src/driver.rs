//! The driver: moves a connection's bytes and keeps its time.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Shared;
use super::frame_observer::{ConnectionEvent, FrameObserver};
use super::ledger::CloseReason;
use super::timer::Sleep;
use apns::time::Timestamp;

/// Reads, writes and keeps the time of a connection. Resolves to the reason why the connection ended.
///
/// Dropping it ends the connection and all pushes in flight.
#[must_use = "nothing moves on a connection whose driver is not polled"]
pub struct Driver<IO: AsyncRead + AsyncWrite + Unpin> {
    /// `None` once the connection has ended.
    h2: Option<h2::client::Connection<FrameObserver<IO>, Bytes>>,
    observer: FrameObserver<IO>,
    shared: Rc<Shared>,
    bytes_in: u64,
    ping: Pinging,
    /// When to check the time again. It may be too early, so that it need not be reset for each push.
    alarm: Option<(Timestamp, Sleep)>,
}

/// The state of PINGs; `h2` accepts one at a time.
enum Pinging {
    Idle(PingPong),
    SlotAnswer(Pin<Box<dyn Future<Output = Option<PingPong>>>>),
    Over,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    pub(super) fn new(
        mut h2: h2::client::Connection<FrameObserver<IO>, Bytes>,
        observer: FrameObserver<IO>,
        shared: Rc<Shared>,
    ) -> Self {
        let ping = h2.ping_pong().map_or(Pinging::Over, Pinging::Idle);
        Self {
            h2: Some(h2),
            observer,
            shared,
            bytes_in: 0,
            ping,
            alarm: None,
        }
    }

    /// Moves bytes until neither side can continue. Ready when the connection has ended.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let Some(h2) = &mut self.h2 else {
            return Poll::Ready(CloseReason::Done);
        };
        loop {
            if let Poll::Ready(result) = Pin::new(&mut *h2).poll(cx) {
                return Poll::Ready(match result {
                    Ok(()) => CloseReason::Broken("the server closed it".to_owned()),
                    Err(error) => CloseReason::Broken(error.to_string()),
                });
            }
            match self.observer.poll_forward(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) | Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(CloseReason::Broken(error.to_string())),
            }
        }
    }

    /// Reports to the ledger what arrived.
    fn report(&mut self, now: Timestamp) {
        let bytes_in = self.shared.traffic.borrow().bytes_in;
        if bytes_in != self.bytes_in {
            self.bytes_in = bytes_in;
            self.shared.ledger.borrow_mut().heard(now);
        }
        while let Some(event) = self.next_event() {
            match event {
                ConnectionEvent::Settings(streams) => {
                    self.shared
                        .with_ledger(|ledger, woken| ledger.settings(streams, woken));
                }
                ConnectionEvent::GoAway(code, debug) => self.shared.drain(CloseReason::go_away(code, &debug)),
            }
        }
    }

    fn next_event(&self) -> Option<ConnectionEvent> {
        self.shared.traffic.borrow_mut().events.pop_front()
    }

    /// Executes what is due. Returns `true` if the server is gone.
    fn keep_time(&mut self, now: Timestamp, cx: &mut Context<'_>) -> bool {
        self.poll_pong(now, cx);
        let due = self.shared.with_ledger(|ledger, woken| ledger.tick(now, woken));
        if due.ping {
            self.ping = match std::mem::replace(&mut self.ping, Pinging::Over) {
                Pinging::Idle(mut ping) => Pinging::SlotAnswer(Box::pin(async move {
                    let pong = ping.ping(Ping::opaque()).await;
                    pong.ok().map(|_| ping)
                })),
                other => other,
            };
            self.poll_pong(now, cx);
        }
        due.dead
    }

    fn poll_pong(&mut self, now: Timestamp, cx: &mut Context<'_>) {
        if let Pinging::SlotAnswer(pong) = &mut self.ping
            && let Poll::Ready(pong) = pong.as_mut().poll(cx)
        {
            self.ping = pong.map_or(Pinging::Over, Pinging::Idle);
            self.shared.ledger.borrow_mut().ponged(now);
        }
    }

    /// Sets the alarm unless an earlier one is set. Returns `true` if it has fired.
    fn poll_alarm(&mut self, now: Timestamp, cx: &mut Context<'_>) -> bool {
        let next = self.shared.ledger.borrow().next_tick();
        if self.alarm.as_ref().is_none_or(|(at, _)| next < *at) {
            self.alarm = Some((next, self.shared.timer.sleep(next.since(now))));
        }
        let rang = self
            .alarm
            .as_mut()
            .is_some_and(|(_, alarm)| alarm.as_mut().poll(cx).is_ready());
        if rang {
            self.alarm = None;
        }
        rang
    }

    fn end(&mut self, end: CloseReason) -> Poll<CloseReason> {
        // `h2` is dropped first, so that woken tasks find that all pushes in flight have ended.
        self.h2 = None;
        self.alarm = None;
        self.shared.drain(end.clone());
        Poll::Ready(self.shared.with_ledger(|ledger, woken| ledger.close(end, woken)))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Driver<IO> {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        loop {
            let bytes = self.poll_bytes(cx);
            let now = self.shared.timer.now();
            self.report(now);
            if let Poll::Ready(end) = bytes {
                return self.end(end);
            }
            if self.keep_time(now, cx) {
                return self.end(CloseReason::Silent);
            }
            if !self.poll_alarm(now, cx) {
                return Poll::Pending;
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Drop for Driver<IO> {
    fn drop(&mut self) {
        if self.h2.is_some() {
            let _ = self.end(CloseReason::Done);
        }
    }
}
