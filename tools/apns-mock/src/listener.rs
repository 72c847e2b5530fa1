//! The push ports: accepts connections, wraps them in TLS if configured, and chooses the client's protocol.

use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::task::TaskTracker;

use crate::environment::Environment;
use crate::replay::Replay;
use crate::simulation::Simulation;
use crate::tls::{HTTP_1_1, Tls};
use crate::{http1, http2};

/// One push port.
#[derive(Clone)]
pub(crate) struct PushPort {
    pub(crate) simulation: Arc<Simulation>,
    pub(crate) environment: Environment,
    /// `None` for plain TCP.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) http1: bool,
}

impl PushPort {
    /// Accepts connections until the server stops.
    pub(crate) async fn run(self, listener: TcpListener, tasks: TaskTracker) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.simulation.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            // The client has already disconnected, or there are no descriptors left. Either way, accept
            // again.
            let Ok((tcp, _)) = accepted else {
                tokio::task::yield_now().await;
                continue;
            };
            if self.simulation.refuses_connections() {
                self.simulation.counters.connections_refused.add(1);
                let _ = tcp.set_zero_linger();
                continue;
            }
            let port = self.clone();
            tasks.spawn(async move {
                let stop = port.simulation.stop.clone();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = port.serve(tcp) => {}
                }
            });
        }
    }

    async fn serve(self, tcp: TcpStream) {
        let _ = tcp.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            return self.sniff(tcp).await;
        };
        let failed = || self.simulation.counters.handshakes_failed.add(1);
        let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), tcp).await else {
            return failed();
        };
        let config = tls.config_for(start.client_hello().alpn(), self.http1);
        let Ok(stream) = start.into_stream(config).await else {
            return failed();
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(HTTP_1_1) => http1::serve(stream, self.environment, self.simulation).await,
            Some(_) => http2::serve(Replay::new(stream), self.environment, self.simulation).await,
            None => self.sniff(stream).await,
        }
    }

    /// Detects the protocol from the first bytes if HTTP/1.1 is enabled. Otherwise every client is answered
    /// with HTTP/2 frames, as at Apple.
    async fn sniff<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, io: T) {
        let mut io = Replay::new(io);
        if !self.http1 {
            return http2::serve(io, self.environment, self.simulation).await;
        }
        match io.is_http2().await {
            Ok(true) => http2::serve(io, self.environment, self.simulation).await,
            Ok(false) => http1::serve(io, self.environment, self.simulation).await,
            Err(_) => {}
        }
    }
}
