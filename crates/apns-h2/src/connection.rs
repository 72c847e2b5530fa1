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

/// How a connection behaves; the defaults suit Apple's servers.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most pushes under way, if the server allows as many.
    pub max_in_flight: usize,
    /// How long the server has to show that it speaks HTTP/2.
    pub open_timeout: Duration,
    /// How long the connection may be idle before a PING.
    pub idle_ping: Duration,
    /// How long pushes may wait with nothing heard from the server before a PING.
    pub stall_ping: Duration,
    /// How long the server has to answer a PING.
    pub pong_timeout: Duration,
    /// The stream id after which the connection takes no more pushes; HTTP/2 has no higher one than 2^31 - 1.
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
    /// The host's name is no authority of a URI.
    #[error("`{0}` is not a host")]
    Host(String),
    /// The server did not answer in HTTP/2 in time.
    #[error("the server did not greet in HTTP/2 in time")]
    Silent,
    /// The byte stream broke or ended, or what came was not HTTP/2.
    #[error("the connection ended before it was open: {0}")]
    Ended(CloseReason),
    /// HTTP/2 could not begin.
    #[error("HTTP/2 could not begin: {0}")]
    Protocol(#[source] h2::Error),
}

/// One connection to APNs. Clones are the same connection; it closes when the last is dropped and nothing is under way.
#[derive(Clone)]
pub struct Connection {
    handle: Rc<Handle>,
}

/// What the clones of a connection share and nobody else holds.
struct Handle(Rc<Shared>);

/// The right to send one push now. Dropped, it is given back.
#[derive(Debug)]
pub struct Slot {
    shared: Rc<Shared>,
    used: bool,
}

/// What the handles, the pushes under way and the driver share.
pub(super) struct Shared {
    pub(super) ledger: RefCell<Ledger<Waker>>,
    pub(super) timer: Rc<dyn Timer>,
    pub(super) traffic: Rc<RefCell<Traffic>>,
    /// Gone once the connection takes no more pushes, so that `h2` ends when it is idle.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    authority: Authority,
    last_stream: u32,
    /// Kept for its room, so that waking somebody does not allocate.
    woken: RefCell<Vec<Waker>>,
}

impl Connection {
    /// Begins HTTP/2 on `io`, an open byte stream to `host`, and waits for the server's SETTINGS.
    ///
    /// The driver must be spawned, or polled along: nothing moves without it. It ends with the connection.
    ///
    /// # Errors
    /// The server does not speak HTTP/2, or not in time.
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
            // `h2` keeps the streams that we have reset by the clock of `std`, which does not exist on the platform. It
            // forgets them at once instead, and resets them again if an answer comes late, as often as need be.
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

    /// Waits until a push may be sent, in the order of the callers. Nothing is buffered for those who wait.
    ///
    /// The position in the queue belongs to the future: one that is dropped and made anew waits behind the others.
    ///
    /// # Errors
    /// The connection takes no more pushes.
    pub async fn slot(&self) -> Result<Slot, Closed> {
        SlotFuture {
            shared: self.shared(),
            ticket: None,
        }
        .await
    }

    /// Whether it is in use.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared().ledger.borrow().state().clone()
    }

    /// What it has done and is doing.
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

    /// Takes no more pushes; the connection ends when those under way have.
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
    /// Lets `act` change the ledger, then calls the wakers when nothing is borrowed any more.
    pub(super) fn with_ledger<T>(&self, act: impl FnOnce(&mut Ledger<Waker>, &mut Vec<Waker>) -> T) -> T {
        let mut woken = std::mem::take(&mut *self.woken.borrow_mut());
        let result = act(&mut self.ledger.borrow_mut(), &mut woken);
        for waker in woken.drain(..) {
            waker.wake();
        }
        *self.woken.borrow_mut() = woken;
        result
    }

    /// Takes no more pushes.
    pub(super) fn drain(&self, end: CloseReason) {
        let now = self.timer.now();
        self.with_ledger(|ledger, woken| ledger.drain(end, now, woken));
        let sender = self.sender.borrow_mut().take();
        drop(sender);
    }

    fn launch(self: Rc<Self>, request: &Request, template: &Template, deadline: Timestamp) -> Sent {
        // A clone each: `h2` lets a handle wait for its last stream to be opened, and holds on to that stream meanwhile.
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
            // It fails only if the stream has ended, which the response then says. `h2` keeps it until the server's
            // windows allow it.
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

    /// A push has ended; its stream is `stream`.
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

    /// Nobody waits for a push any more; its stream is `stream`.
    pub(super) fn forget(&self, key: Key, stream: u32) {
        self.traffic.borrow_mut().forget(stream);
        let now = self.timer.now();
        self.with_ledger(|ledger, woken| ledger.forget(key, now, woken));
    }
}

impl Slot {
    /// Sends a push, which is given up at `deadline`.
    ///
    /// It goes out whether or not the result is awaited; if the result is dropped, its stream is reset.
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

/// How much of an answer's body the server may send unasked; Apple's are below 100 bytes.
const STREAM_WINDOW: u32 = 65_535;

/// The same for all streams together: a thousand error answers and more, so that updating it is rare.
const CONNECTION_WINDOW: u32 = 1 << 20;
