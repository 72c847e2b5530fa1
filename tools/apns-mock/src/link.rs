//! A connection, as the rest of the server sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::auth::Session;
use crate::environment::Environment;
use crate::fault::Fault;
use crate::simulation::Simulation;
use crate::wire::Wire;

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) simulation: Arc<Simulation>,
    pub(crate) environment: Environment,
    pub(crate) protocol: &'static str,
    pub(crate) number: u64,
    /// Closes the connection without an answer.
    pub(crate) cut: CancellationToken,
    session: Mutex<Session>,
    /// The state of an HTTP/2 connection.
    wire: Mutex<Wire>,
    /// Whether the stream limit was raised after the first valid token.
    raised: AtomicBool,
}

impl Link {
    pub(crate) fn new(
        simulation: Arc<Simulation>,
        environment: Environment,
        protocol: &'static str,
        number: u64,
    ) -> Self {
        simulation.counters.connections_open.add(1);
        Self {
            environment,
            protocol,
            number,
            cut: simulation.stop.child_token(),
            session: Mutex::default(),
            wire: Mutex::new(Wire::new(simulation.initial_streams)),
            raised: AtomicBool::new(false),
            simulation,
        }
    }

    /// Returns the authentication state.
    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the streams and limits.
    pub(crate) fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises the stream limit, once.
    pub(crate) fn raise(&self, streams: u32) {
        if !self.raised.load(Ordering::Relaxed) && !self.raised.swap(true, Ordering::Relaxed) {
            self.wire().set_limit(streams);
        }
    }

    /// Binds the connection to the key of its first accepted push.
    pub(crate) fn bind(&self) {
        self.session().bind();
    }

    /// Whether the stream limit was raised.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Sends the GOAWAY of a fault. `stream` is the one to which the fault applied.
    pub(crate) fn say_farewell(&self, fault: &Fault, stream: Option<u32>) {
        let debug = fault
            .reason
            .as_ref()
            .map(|reason| format!(r#"{{"reason":{}}}"#, serde_json::Value::from(&**reason)));
        let debug = debug.unwrap_or_default();
        self.wire().say_farewell(
            fault.last,
            stream,
            fault.code.unwrap_or_default(),
            debug.as_bytes(),
            fault.delay_ms.map_or(LINGER, Duration::from_millis),
        );
    }
}

/// The default time for which a connection stays open after a GOAWAY. Apple's servers do not close it at once
/// either.
const LINGER: Duration = Duration::from_millis(500);

impl Drop for Link {
    fn drop(&mut self) {
        let open = self.wire().open_streams() as u64;
        self.simulation.counters.in_flight.sub(open);
        self.simulation.counters.connections_open.sub(1);
    }
}
