//! HTTP/1.1 connections, with one request after the other. Apple does not support HTTP/1.1, but the `fetch`
//! of local platforms may support nothing else.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::environment::Environment;
use crate::exchange::{Outcome, exchange};
use crate::http2::KEPT_BODY;
use crate::link::Link;
use crate::simulation::{Body, Simulation};

/// Serves a connection until it ends.
pub(crate) async fn serve<T>(io: T, environment: Environment, simulation: Arc<Simulation>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    simulation.counters.connections_h1.add(1);
    let link = simulation.link(environment, "h1");
    let service = service_fn(|request| answer(Arc::clone(&link), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), service);
    tokio::select! {
        biased;
        () = link.cut.cancelled() => {}
        _ = connection => {}
    }
}

/// Answers a request. An error closes the connection without an answer.
async fn answer(link: Arc<Link>, request: Request<Incoming>) -> io::Result<Response<AnswerBody>> {
    let _in_flight = InFlight::new(Arc::clone(&link));
    let (parts, mut incoming) = request.into_parts();
    let (mut bytes, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = incoming.frame().await {
        if let Ok(chunk) = frame.map_err(io::Error::other)?.into_data() {
            length += chunk.len();
            if length <= KEPT_BODY {
                bytes.extend_from_slice(&chunk);
            }
        }
    }
    let body = Body {
        bytes: bytes.freeze(),
        length,
    };
    let plan = exchange(&link.simulation, &link, None, &parts, &body);
    if !plan.delay.is_zero() {
        sleep(plan.delay).await;
    }
    match plan.outcome {
        Outcome::Answer(reply) => {
            let (response, body) = reply.into_parts();
            Ok(response.map(|()| AnswerBody::Whole(body)))
        }
        Outcome::HeadersOnly(reply) => Ok(reply.into_parts().0.map(|()| AnswerBody::Endless)),
        Outcome::Silence => std::future::pending().await,
        Outcome::Reset(_) | Outcome::Close => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// Counts a request as in flight until it is dropped.
struct InFlight(Arc<Link>);

impl InFlight {
    fn new(link: Arc<Link>) -> Self {
        link.simulation.counters.opened(1);
        link.simulation
            .counters
            .peak_in_flight_on_one_connection
            .raise_to(1);
        Self(link)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.simulation.counters.in_flight.sub(1);
    }
}

/// A complete body, or one that never ends.
enum AnswerBody {
    Whole(Bytes),
    Endless,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Endless => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Endless => SizeHint::default(),
        }
    }
}
