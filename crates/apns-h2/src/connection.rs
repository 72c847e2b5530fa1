//! The handles: a connection, and a slot in its stream limit.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::driver::Driver;
use super::frame_observer::{FrameObserver, Traffic};
use super::frames::MAX_STREAM;
use super::ledger::{
    CloseReason, Closed, Counters, KeepaliveTimes, Key, Ledger, SlotAnswer, State, StreamEnd, Ticket,
};
use super::sent::Sent;
use super::template::Template;
use super::timer::Timer;
use apns::time::Timestamp;
use apns::{Outcome, Request};

/// The settings of a connection. The defaults suit Apple's servers.
#[derive(Clone, Debug)]
pub struct Options {
    /// The maximum number of pushes in flight, if the server allows as many.
    pub max_in_flight: usize,
    /// The time limit for the server's first HTTP/2 frame.
    pub open_timeout: Duration,
    /// How long an idle connection may be silent before a PING is sent.
    pub idle_ping: Duration,
    /// How long the server may be silent while pushes wait before a PING is sent.
    pub stall_ping: Duration,
    /// The time limit for the answer to a PING.
    pub pong_timeout: Duration,
    /// The last stream id that the connection uses. The highest id in HTTP/2 is 2^31 - 1.
    pub last_stream: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_in_flight: 1000,
            open_timeout: Duration::from_secs(15),
            idle_ping: Duration::from_secs(3600),
            stall_ping: Duration::from_secs(10),
            pong_timeout: Duration::from_secs(10),
            last_stream: MAX_STREAM,
        }
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The host's name is not valid in a URI.
    #[error("`{0}` is not a host")]
    Host(String),
    /// The server did not speak HTTP/2 in time.
    #[error("the server did not greet in HTTP/2 in time")]
    Silent,
    /// The byte stream broke or ended, or the server did not speak HTTP/2.
    #[error("the connection ended before it was open: {0}")]
    Ended(CloseReason),
    /// HTTP/2 could not start.
    #[error("HTTP/2 could not begin: {0}")]
    Protocol(#[source] h2::Error),
}

/// One connection to APNs. Clones share it. It closes when the last clone is dropped and no push is in
/// flight.
#[derive(Clone)]
pub struct Connection {
    handle: Rc<Handle>,
}

/// The state that the clones of a connection share; dropping it closes the connection.
struct Handle(Rc<Shared>);

/// The right to send one push now. Dropping it returns the right.
#[derive(Debug)]
pub struct Slot {
    shared: Rc<Shared>,
    used: bool,
}

/// The state that the handles, the pushes in flight and the driver share.
pub(super) struct Shared {
    pub(super) ledger: RefCell<Ledger<Waker>>,
    pub(super) timer: Rc<dyn Timer>,
    pub(super) traffic: Rc<RefCell<Traffic>>,
    /// `None` once the connection takes no more pushes, so that `h2` ends when it is idle.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    authority: Authority,
    last_stream: u32,
    /// Kept for its capacity, so that waking tasks does not allocate.
    woken: RefCell<Vec<Waker>>,
}

impl Connection {
    /// Starts HTTP/2 on `io`, an open byte stream to `host`, and waits for the server's SETTINGS.
    ///
    /// The driver must be spawned, or polled along with this future: only the driver moves bytes. It ends
    /// with the connection.
    ///
    /// # Errors
    /// Returns an error if the server does not speak HTTP/2, or not in time.
    pub async fn open<IO>(
        io: IO,
        host: &str,
        timer: Rc<dyn Timer>,
        options: Options,
    ) -> Result<(Self, Driver<IO>), OpenError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let authority = host.parse().map_err(|_| OpenError::Host(host.to_owned()))?;
        let observer = FrameObserver::new(io);
        let mut timeout = timer.sleep(options.open_timeout);
        let (sender, h2) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // By default `h2` remembers the streams that we have reset, using the clock of `std`, which the
            // platform does not have. With these settings it forgets them at once. It resets them again if an
            // answer arrives late, without a limit.
            .max_concurrent_reset_streams(0)
            .max_local_error_reset_streams(None)
            .handshake(observer.clone())
            .await
            .map_err(OpenError::Protocol)?;
        let times = KeepaliveTimes {
            idle: options.idle_ping,
            stall: options.stall_ping,
            pong: options.pong_timeout,
        };
        let shared = Rc::new(Shared {
            ledger: RefCell::new(Ledger::new(options.max_in_flight, times, timer.now())),
            traffic: observer.traffic(),
            timer,
            sender: RefCell::new(Some(sender)),
            authority,
            last_stream: options.last_stream,
            woken: RefCell::new(Vec::new()),
        });
        let mut driver = Driver::new(h2, observer, Rc::clone(&shared));
        poll_fn(|cx| {
            if let Poll::Ready(end) = Pin::new(&mut driver).poll(cx) {
                return Poll::Ready(Err(OpenError::Ended(end)));
            }
            if shared.ledger.borrow().is_greeted() {
                return Poll::Ready(Ok(()));
            }
            timeout.as_mut().poll(cx).map(|()| Err(OpenError::Silent))
        })
        .await?;
        Ok((
            Self {
                handle: Rc::new(Handle(shared)),
            },
            driver,
        ))
    }

    /// Waits until a push may be sent, in the order of the callers. Nothing is buffered for waiting callers.
    ///
    /// The position in the queue belongs to the future. A caller that drops the future and creates a new one
    /// goes to the end.
    ///
    /// # Errors
    /// Returns an error if the connection takes no more pushes.
    pub async fn slot(&self) -> Result<Slot, Closed> {
        SlotFuture {
            shared: self.shared(),
            ticket: None,
        }
        .await
    }

    /// Returns whether the connection is in use.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared().ledger.borrow().state().clone()
    }

    /// Returns what the connection has done and is doing.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let traffic = self.shared().traffic.borrow();
        let counters = self.shared().ledger.borrow().counters();
        Counters {
            bytes_out: traffic.bytes_out,
            bytes_in: traffic.bytes_in,
            ..counters
        }
    }

    /// Stops accepting pushes. The connection ends when the pushes in flight have ended.
    pub fn close(&self) {
        self.shared().drain(CloseReason::Done);
    }

    fn shared(&self) -> &Rc<Shared> {
        &self.handle.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.drain(CloseReason::Done);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Lets `act` change the ledger, then calls the wakers once nothing is borrowed.
    pub(super) fn with_ledger<T>(&self, act: impl FnOnce(&mut Ledger<Waker>, &mut Vec<Waker>) -> T) -> T {
        let mut woken = std::mem::take(&mut *self.woken.borrow_mut());
        let result = act(&mut self.ledger.borrow_mut(), &mut woken);
        for waker in woken.drain(..) {
            waker.wake();
        }
        *self.woken.borrow_mut() = woken;
        result
    }

    /// Stops accepting pushes.
    pub(super) fn drain(&self, end: CloseReason) {
        let now = self.timer.now();
        self.with_ledger(|ledger, woken| ledger.drain(end, now, woken));
        let sender = self.sender.borrow_mut().take();
        drop(sender);
    }

    fn launch(self: Rc<Self>, request: &Request, template: &Template, deadline: Timestamp) -> Sent {
        // Uses one clone per push: an `h2` handle waits until its last stream is opened and holds on to that
        // stream meanwhile.
        let sender = self.sender.borrow().clone();
        let opened = sender.ok_or(()).and_then(|mut sender| {
            let head = self.head(request, template)?;
            sender.send_request(head, request.body.is_empty()).map_err(drop)
        });
        let Ok((response, mut body)) = opened else {
            let outcome = self.with_ledger(Ledger::launch_failed);
            return Sent::failed(outcome);
        };
        if !request.body.is_empty() {
            // Fails only if the stream has ended, which the response then reports. `h2` keeps the body until
            // the server's windows allow it.
            let _ = body.send_data(request.body.clone(), true);
        }
        let stream = u32::from(response.stream_id());
        if stream + 2 > self.last_stream {
            self.drain(CloseReason::StreamIds);
        }
        let key = self.ledger.borrow_mut().launch(deadline, self.timer.now());
        Sent::launched(self, key, stream, response)
    }

    fn head(&self, request: &Request, template: &Template) -> Result<http::Request<()>, ()> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query =
            Some(PathAndQuery::from_maybe_shared(Bytes::from(request.path())).map_err(drop)?);
        let mut head = http::Request::new(());
        *head.method_mut() = Method::POST;
        *head.uri_mut() = Uri::from_parts(uri).map_err(drop)?;
        *head.version_mut() = Version::HTTP_2;
        *head.headers_mut() = template.fill(request).map_err(drop)?;
        Ok(head)
    }

    /// Ends a push on the stream `stream` and returns its outcome.
    pub(super) fn settle(&self, key: Key, stream: u32, stream_end: StreamEnd) -> Outcome {
        let with_server = {
            let mut traffic = self.traffic.borrow_mut();
            let with_server = match stream_end {
                StreamEnd::Expired => traffic.may_leave(stream),
                StreamEnd::Broken => traffic.has_left(stream),
                StreamEnd::Answered(_) | StreamEnd::Refused | StreamEnd::PassedOver | StreamEnd::Reset => {
                    true
                }
            };
            traffic.forget(stream);
            with_server
        };
        let now = self.timer.now();
        self.with_ledger(|ledger, woken| ledger.settle(key, stream_end, with_server, now, woken))
    }

    /// Forgets a push on the stream `stream` whose result was dropped.
    pub(super) fn forget(&self, key: Key, stream: u32) {
        self.traffic.borrow_mut().forget(stream);
        let now = self.timer.now();
        self.with_ledger(|ledger, woken| ledger.forget(key, now, woken));
    }
}

impl Slot {
    /// Sends a push, which fails at `deadline`.
    ///
    /// The push is sent whether or not the result is awaited. If the result is dropped, the stream is reset.
    pub fn send(mut self, request: &Request, template: &Template, deadline: Timestamp) -> Sent {
        self.used = true;
        Rc::clone(&self.shared).launch(request, template, deadline)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.used {
            self.shared.with_ledger(Ledger::give_back);
        }
    }
}

/// Resolves to a slot.
struct SlotFuture<'c> {
    shared: &'c Rc<Shared>,
    ticket: Option<Ticket>,
}

impl Future for SlotFuture<'_> {
    type Output = Result<Slot, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, ticket } = &mut *self;
        let answer = shared.ledger.borrow_mut().ask(ticket, cx.waker().clone());
        match answer {
            SlotAnswer::Granted => Poll::Ready(Ok(Slot {
                shared: Rc::clone(shared),
                used: false,
            })),
            SlotAnswer::Wait => Poll::Pending,
            SlotAnswer::Closed(closed) => Poll::Ready(Err(closed)),
        }
    }
}

impl Drop for SlotFuture<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared
                .with_ledger(|ledger, woken| ledger.leave(&ticket, woken));
        }
    }
}

/// How much of an answer's body the server may send at once. Apple's bodies have fewer than 100 bytes.
const STREAM_WINDOW: u32 = 65_535;

/// The same limit for all streams together: over a thousand error answers, so updates are rare.
const CONNECTION_WINDOW: u32 = 1 << 20;
