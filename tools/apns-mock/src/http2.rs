//! HTTP/2 connections: several requests are read and decided, then all answers are written at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};

use crate::environment::Environment;
use crate::exchange::{Outcome, Plan, exchange};
use crate::link::Link;
use crate::simulation::{Body, Simulation};
use crate::wire::Admission;
use crate::wire::frame::{HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE};
use crate::wire::tap::Tap;

/// How many bytes of a body are kept. Of a longer one only the length matters.
pub(crate) const KEPT_BODY: usize = 16 * 1024;

/// How many reset streams are remembered, so that late frames on them are not errors.
const REMEMBERED_RESETS: usize = 10_000;

/// `h2` closes connections with too many small DATA frames. Notifications are small, and 1000 may be in
/// flight.
const DATA_FRAME_BUDGET: usize = 16 * 1024 * 1024;

/// Serves a connection until it ends.
pub(crate) async fn serve<T>(io: T, environment: Environment, simulation: Arc<Simulation>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    simulation.note_http2_connection();
    let link = simulation.link(environment, "h2");
    let mut builder = Builder::new();
    builder
        .header_table_size(HEADER_TABLE_SIZE)
        .initial_window_size(INITIAL_WINDOW_SIZE)
        .max_frame_size(MAX_FRAME_SIZE)
        .max_header_list_size(MAX_HEADER_LIST_SIZE)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .max_pending_accept_reset_streams(REMEMBERED_RESETS)
        .max_local_error_reset_streams(None)
        .data_frame_budget(DATA_FRAME_BUDGET);
    let work = async {
        let tap = Tap::new(io, Arc::clone(&link));
        let Ok(connection) = builder.handshake(tap).await else {
            return;
        };
        let mut server = Server {
            connection,
            link: Arc::clone(&link),
            simulation,
            batch: Vec::new(),
            late: FuturesUnordered::new(),
            held: Vec::new(),
            linger: None,
        };
        poll_fn(|cx| server.poll(cx)).await;
    };
    tokio::select! {
        biased;
        () = link.cut.cancelled() => {}
        () = work => {}
    }
}

/// A stream that is kept open without an answer, or without the end of its body. Dropping it would reset the
/// stream.
#[expect(dead_code, reason = "held for its drop alone")]
enum Held {
    Unanswered(SendResponse<Bytes>),
    Unfinished(SendStream<Bytes>),
}

type Late = Pin<Box<dyn Future<Output = Option<Held>> + Send>>;

struct Server<T> {
    connection: Connection<Tap<T>, Bytes>,
    link: Arc<Link>,
    simulation: Arc<Simulation>,
    batch: Vec<(Request<RecvStream>, SendResponse<Bytes>)>,
    /// Requests whose body is incomplete or whose answer is delayed.
    late: FuturesUnordered<Late>,
    held: Vec<Held>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Server<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Each call also writes what is ready, so all requests are read before any is answered.
            loop {
                match self.connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok(accepted))) => self.batch.push(accepted),
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
            // Delayed requests are older, so they go first.
            let mut is_idle = self.batch.is_empty();
            while let Poll::Ready(Some(held)) = self.late.poll_next_unpin(cx) {
                self.held.extend(held);
                is_idle = false;
            }
            if is_idle {
                ready!(self.poll_linger(cx));
                continue;
            }
            let mut batch = std::mem::take(&mut self.batch);
            for (request, respond) in batch.drain(..) {
                self.begin(cx, request, respond);
                if self.link.cut.is_cancelled() {
                    return Poll::Ready(());
                }
            }
            self.batch = batch;
        }
    }

    /// After a GOAWAY, once everything is answered: waits a little, then closes. Ready when the connection
    /// must be polled again.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.linger.is_none() {
            let linger = {
                let wire = self.link.wire();
                if !wire.is_drained() {
                    return Poll::Pending;
                }
                wire.linger()
            };
            self.linger = Some(Box::pin(sleep(linger)));
        }
        if let Some(linger) = &mut self.linger {
            ready!(linger.as_mut().poll(cx));
            linger
                .as_mut()
                .reset(tokio::time::Instant::now() + Duration::from_secs(3600));
            self.connection.abrupt_shutdown(Reason::NO_ERROR);
        }
        Poll::Ready(())
    }

    /// Handles a request, at once if it is complete and its answer is not delayed.
    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        let stream = respond.stream_id().as_u32();
        let admission = self.link.wire().admit(stream);
        match admission {
            Admission::Serve => {}
            Admission::Refuse => {
                self.simulation.counters.streams_refused.add(1);
                respond.send_reset(Reason::REFUSED_STREAM);
                return;
            }
            Admission::Ignore => {
                self.held.push(Held::Unanswered(respond));
                return;
            }
        }
        let (parts, incoming) = request.into_parts();
        let mut gather = Gather {
            incoming,
            first: Bytes::new(),
            rest: BytesMut::new(),
            length: 0,
        };
        match gather.poll(cx) {
            Poll::Ready(Some(body)) => {
                let plan = exchange(&self.simulation, &self.link, Some(stream), &parts, &body);
                if plan.delay.is_zero() {
                    self.held.extend(perform(&self.link, plan.outcome, respond));
                } else {
                    let link = Arc::clone(&self.link);
                    self.late.push(Box::pin(perform_late(link, plan, respond)));
                }
            }
            Poll::Ready(None) => {}
            Poll::Pending => {
                let (simulation, link) = (Arc::clone(&self.simulation), Arc::clone(&self.link));
                self.late
                    .push(Box::pin(finish_late(simulation, link, parts, gather, respond)));
            }
        }
    }
}

/// A body that is being received.
struct Gather {
    incoming: RecvStream,
    first: Bytes,
    rest: BytesMut,
    length: usize,
}

impl Gather {
    /// Returns the body, or `None` if the client gave up.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Body>> {
        while !self.incoming.is_end_stream() {
            match ready!(self.incoming.poll_data(cx)) {
                Some(Ok(chunk)) => self.take(chunk),
                Some(Err(_)) => return Poll::Ready(None),
                None => break,
            }
        }
        let bytes = if self.rest.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.rest).freeze()
        };
        Poll::Ready(Some(Body {
            bytes,
            length: self.length,
        }))
    }

    fn take(&mut self, chunk: Bytes) {
        let _ = self.incoming.flow_control().release_capacity(chunk.len());
        self.length += chunk.len();
        if self.length > KEPT_BODY {
            return;
        }
        if self.first.is_empty() {
            self.first = chunk;
            return;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
        }
        self.rest.extend_from_slice(&chunk);
    }
}

async fn finish_late(
    simulation: Arc<Simulation>,
    link: Arc<Link>,
    parts: Parts,
    mut gather: Gather,
    respond: SendResponse<Bytes>,
) -> Option<Held> {
    let stream = respond.stream_id().as_u32();
    let body = poll_fn(|cx| gather.poll(cx)).await?;
    if link.wire().has_dropped(stream) {
        return Some(Held::Unanswered(respond));
    }
    let plan = exchange(&simulation, &link, Some(stream), &parts, &body);
    perform_late(link, plan, respond).await
}

async fn perform_late(link: Arc<Link>, plan: Plan, respond: SendResponse<Bytes>) -> Option<Held> {
    if !plan.delay.is_zero() {
        sleep(plan.delay).await;
    }
    perform(&link, plan.outcome, respond)
}

/// Executes an outcome. Errors mean that the client has disconnected, so they are ignored.
fn perform(link: &Link, outcome: Outcome, mut respond: SendResponse<Bytes>) -> Option<Held> {
    if link.wire().has_dropped(respond.stream_id().as_u32()) {
        return Some(Held::Unanswered(respond));
    }
    match outcome {
        Outcome::Answer(reply) => {
            let (response, body) = reply.into_parts();
            if let Ok(mut stream) = respond.send_response(response, body.is_empty())
                && !body.is_empty()
            {
                let _ = stream.send_data(body, true);
            }
            None
        }
        Outcome::HeadersOnly(reply) => {
            let (response, _) = reply.into_parts();
            respond.send_response(response, false).ok().map(Held::Unfinished)
        }
        Outcome::Reset(code) => {
            respond.send_reset(Reason::from(code));
            None
        }
        Outcome::Silence => Some(Held::Unanswered(respond)),
        Outcome::Close => {
            link.cut.cancel();
            None
        }
    }
}
