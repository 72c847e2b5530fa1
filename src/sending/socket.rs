//! The socket transport: our own HTTP/2 connections over the platform's sockets.
//!
//! They live in a connection object, whose memory keeps the sockets open between requests. The platform
//! resolves the host's name for each new connection.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::objects::{gate, metrics};
use crate::platform::clock;
use crate::platform::log::Event;
use crate::sending::sender::{SendLimit, Transport};
use api::config::{self, Address, Sockets};
use apns::credential::Credential;
use apns::provider_token::ProviderToken;
use apns::request::Headers;
use apns::time::Timestamp;
use apns::{Outcome, Request, TransportError};
use apns_h2::{Connection, Options, Sleep, Slot, State, Template, Timer};
use delivery::dial::Dial;
use delivery::gate::{Command, Reply};
use delivery::metrics::MetricsDelta;
use delivery::verdict::{Verdict, judge};
use futures::future::{Either, FutureExt, LocalBoxFuture, Shared, select};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, Env, SecureTransport, Socket};

/// The connections of one object. Clones share them.
#[derive(Clone)]
pub(crate) struct Links(Rc<Inner>);

struct Inner {
    address: Address,
    sockets: Sockets,
    env: Env,
    credential: &'static Credential,
    links: RefCell<Vec<Connection>>,
    under_way: RefCell<Option<Attempt>>,
    used_at: RefCell<Timestamp>,
    counted: RefCell<MetricsDelta>,
}

/// A dial that several tasks wait for. If it fails, it returns the delay before the next.
type Attempt = Shared<LocalBoxFuture<'static, Result<(), Duration>>>;

impl Links {
    /// Creates an empty set of connections to `address` for a credential.
    pub(crate) fn new(address: Address, sockets: Sockets, credential: &'static Credential, env: Env) -> Self {
        Self(Rc::new(Inner {
            address,
            sockets,
            env,
            credential,
            links: RefCell::default(),
            under_way: RefCell::default(),
            used_at: RefCell::default(),
            counted: RefCell::default(),
        }))
    }

    /// Returns the least busy connection, or opens one if there is none.
    ///
    /// # Errors
    /// Returns how long no connection can be opened.
    pub(crate) async fn pick(&self) -> Result<Connection, Duration> {
        loop {
            if let Some(link) = self.least_busy() {
                return Ok(link);
            }
            self.open().await?;
        }
    }

    /// Waits for a free stream of a connection.
    async fn slot(&self) -> Result<(Connection, Slot), TransportError> {
        let connection = self.pick().await.map_err(|_| TransportError::Unreachable)?;
        let slot = connection.slot().await.map_err(|_| TransportError::GoingAway)?;
        Ok((connection, slot))
    }

    fn least_busy(&self) -> Option<Connection> {
        let mut links = self.0.links.borrow_mut();
        links.retain(|link| link.state() == State::Open);
        let busy = |link: &Connection| {
            let counters = link.counters();
            (counters.in_flight + counters.waiting, counters.limit)
        };
        let (link, (load, limit)) = links
            .iter()
            .map(|link| (link, busy(link)))
            .min_by_key(|(_, busy)| *busy)?;
        let may_grow = links.len() < usize::try_from(self.0.sockets.per_object).unwrap_or(1);
        if load >= limit && limit > 1 && may_grow && self.0.under_way.borrow().is_none() {
            let this = self.clone();
            // The new connection helps later pushes; this one uses an open connection.
            spawn_local(async move {
                let _ = this.open().await;
            });
        }
        Some(link.clone())
    }

    async fn open(&self) -> Result<(), Duration> {
        let under_way = self.0.under_way.borrow().clone();
        let attempt = under_way.unwrap_or_else(|| {
            let this = self.clone();
            let attempt = async move {
                let result = this.connect().await;
                *this.0.under_way.borrow_mut() = None;
                result
            };
            let attempt = attempt.boxed_local().shared();
            *self.0.under_way.borrow_mut() = Some(attempt.clone());
            // Driven by its own task, because a waiting task may be dropped.
            spawn_local(attempt.clone().map(drop));
            attempt
        });
        attempt.await
    }

    /// Opens a connection when the gate allows it: only one object of the credential dials at a time.
    async fn connect(&self) -> Result<(), Duration> {
        let until = clock::now() + DIAL_WAIT;
        loop {
            match self.ask(Command::Dial).await? {
                Dial::Allowed => break,
                Dial::Refused(delay) => return Err(delay),
                Dial::InProgress if clock::now() >= until => return Err(DIAL_PAUSE),
                Dial::InProgress => clock::at(clock::now() + DIAL_PAUSE).await,
            }
        }
        let result = connect(&self.0.address).await;
        let succeeded = result.is_ok();
        let credential = metrics::name(&self.0.env, self.0.credential);
        self.0.counted.borrow_mut().opening(&credential, succeeded);
        if let Ok(link) = &result {
            self.0.links.borrow_mut().push(link.clone());
        }
        let reply = self.ask(Command::Dialed { succeeded }).await;
        let Err(problem) = result else { return Ok(()) };
        let delay = match reply {
            Ok(Dial::Refused(delay)) | Err(delay) => delay,
            Ok(Dial::Allowed | Dial::InProgress) => DIAL_PAUSE,
        };
        Event::ConnectFailed {
            host: &self.0.address.host,
            problem: &problem,
            retry_in_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        }
        .write();
        Err(delay)
    }

    /// Sends a dial command to the gate. If the gate does not answer, dialing waits for a while.
    async fn ask(&self, command: Command) -> Result<Dial, Duration> {
        match gate::ask(&self.0.env, self.0.credential, &command).await {
            Ok(Reply::Dial(dial)) => Ok(dial),
            Ok(_) => Ok(Dial::InProgress),
            Err(problem) => {
                Event::GateFailed {
                    app: &self.0.credential.name(),
                    problem: &problem,
                }
                .write();
                Err(GATE_PAUSE)
            }
        }
    }

    /// Returns the counters of connections since the last call.
    pub(crate) fn take_counted(&self) -> MetricsDelta {
        self.0.counted.take()
    }

    /// Closes the connections when they were unused for the idle time.
    pub(crate) fn close_when_idle(&self) {
        let used_at = clock::now();
        *self.0.used_at.borrow_mut() = used_at;
        let this = self.clone();
        let idle = self.0.sockets.pool.idle;
        spawn_local(async move {
            Delay::from(idle).await;
            let idle = *this.0.used_at.borrow() == used_at;
            let in_flight = this
                .0
                .links
                .borrow()
                .iter()
                .any(|link| link.counters().in_flight > 0);
            if idle && !in_flight {
                this.0.links.borrow_mut().clear();
            }
        });
    }
}

/// Opens a socket and starts HTTP/2 on it.
pub(crate) async fn connect(address: &Address) -> Result<Connection, String> {
    let security = if address.tls {
        SecureTransport::On
    } else {
        SecureTransport::Off
    };
    let socket = Socket::builder()
        .secure_transport(security)
        .connect(address.host.as_str(), address.port)
        .map_err(|error| error.to_string())?;
    {
        let opened = pin!(socket.opened());
        match select(opened, pin!(Delay::from(CONNECT_TIMEOUT))).await {
            Either::Left((result, _)) => drop(result.map_err(|error| error.to_string())?),
            Either::Right(_) => return Err("no connection in time".to_owned()),
        }
    }
    let socket = Held(Some(socket));
    let opening = Connection::open(socket, &address.host, Rc::new(PlatformTimer), Options::default());
    let (connection, driver) = opening.await.map_err(|error| error.to_string())?;
    spawn_local(driver.map(drop));
    Ok(connection)
}

/// A socket that is closed when it is dropped. Otherwise the platform would keep it, and the object, until it
/// is garbage-collected.
struct Held(Option<Socket>);

impl Held {
    fn socket(&mut self) -> io::Result<Pin<&mut Socket>> {
        self.0
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mut socket) = self.0.take() {
            spawn_local(async move {
                // The socket may have closed by itself.
                let _ = socket.close().await;
            });
        }
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(cx)
    }
}

/// The result of a probe.
pub(crate) struct Probed {
    pub(crate) outcome: Outcome,
    pub(crate) ms: u64,
    pub(crate) streams: Option<usize>,
}

/// Opens a separate connection and sends a request without credentials to APNs.
pub(crate) async fn probe(address: &Address, timeout: Duration) -> Probed {
    let started = clock::now();
    let failed = |error| Probed {
        outcome: Outcome::NotSent(error),
        ms: clock::millis_since(started),
        streams: None,
    };
    let Ok(connection) = connect(address).await else {
        return failed(TransportError::Unreachable);
    };
    let streams = Some(connection.counters().limit);
    let request = Request::probe();
    let Ok(template) = Template::without_credentials(&request.headers) else {
        return failed(TransportError::Unreachable);
    };
    let Ok(slot) = connection.slot().await else {
        return failed(TransportError::GoingAway);
    };
    let asked = clock::now();
    let outcome = slot.send(&request, &template, asked + timeout).await;
    Probed {
        outcome,
        ms: clock::millis_since(asked),
        streams,
    }
}

/// Sends the pushes of one notification over an object's connections.
pub(crate) struct SocketTransport {
    links: Links,
    template: RefCell<Option<(Timestamp, Rc<Template>)>>,
    headers: std::sync::Arc<Headers>,
    width: usize,
    /// The connections over which APNs has refused the credential.
    refused: RefCell<Vec<Connection>>,
}

impl SocketTransport {
    /// Creates a transport for pushes with these headers.
    pub(crate) fn new(links: Links, headers: std::sync::Arc<Headers>) -> Self {
        let width = usize::try_from(links.0.sockets.pool.streams).unwrap_or(1);
        Self {
            links,
            template: RefCell::default(),
            headers,
            width,
            refused: RefCell::default(),
        }
    }

    /// Returns the header fields under this provider token.
    fn template(&self, token: &ProviderToken) -> Option<Rc<Template>> {
        let mut template = self.template.borrow_mut();
        match &*template {
            Some((issued_at, template)) if *issued_at == token.issued_at() => Some(Rc::clone(template)),
            _ => {
                let made = Rc::new(Template::new(&self.headers, token.as_str()).ok()?);
                *template = Some((token.issued_at(), Rc::clone(&made)));
                Some(made)
            }
        }
    }
}

impl Transport for SocketTransport {
    const NAME: config::Transport = config::Transport::Socket;

    fn width(&self) -> usize {
        self.width
    }

    async fn send(
        &self,
        request: &Request,
        token: &ProviderToken,
        timeout: Duration,
        limit: &SendLimit,
    ) -> Outcome {
        let (connection, slot) = match select(pin!(self.links.slot()), limit.over()).await {
            Either::Left((Ok(slot), _)) if !limit.is_over() => slot,
            Either::Left((Err(error), _)) => return Outcome::NotSent(error),
            Either::Left((Ok(_), _)) | Either::Right(_) => {
                return Outcome::NotSent(TransportError::OutOfTime);
            }
        };
        let Some(template) = self.template(token) else {
            return Outcome::NotSent(TransportError::Unreachable);
        };
        let outcome = slot.send(request, &template, clock::now() + timeout).await;
        let verdict = judge(&outcome);
        if verdict.ends_connection() {
            connection.close();
        } else if verdict == Verdict::FixCredentials {
            self.refused.borrow_mut().push(connection);
        }
        outcome
    }

    fn use_another_connection(&self) {
        for connection in self.refused.take() {
            connection.close();
        }
    }

    fn count(&self, delta: &mut MetricsDelta) {
        delta.merge(self.links.take_counted());
    }
}

/// The platform's clock for a connection.
struct PlatformTimer;

impl Timer for PlatformTimer {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(Delay::from(duration))
    }
}

/// How long an object waits for another object's dial: the time limit of a dial.
const DIAL_WAIT: Duration = Duration::from_secs(15);

/// How often it asks meanwhile. A dial takes some round trips.
const DIAL_PAUSE: Duration = Duration::from_millis(100);

/// How long no dial is made after the gate did not answer.
const GATE_PAUSE: Duration = Duration::from_secs(1);

/// The time limit for opening a socket, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
