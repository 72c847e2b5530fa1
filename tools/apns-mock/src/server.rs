//! A running server and its functions, in process.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control;
use crate::counters::{AnswerCount, State};
use crate::devices::{MAX_TOKEN_BYTES, TokenBytes};
use crate::environment::Environment;
use crate::fault::{Fault, FaultKind, LastStream};
use crate::keys::KeySpec;
use crate::link::Link;
use crate::listener::PushPort;
use crate::options::{Latency, Options};
use crate::registration::{DeviceView, RANGE_TOKEN_BYTES, Registration};
use crate::screens::Summary;
use crate::simulation::{RecordedRequest, Simulation};
use crate::tls::Tls;

/// A running server. Dropping it does not stop it before the runtime ends; see [`Server::shutdown`].
#[derive(Clone)]
pub struct Server {
    production: SocketAddr,
    sandbox: SocketAddr,
    control: SocketAddr,
    tls: Option<Arc<Tls>>,
    simulation: Arc<Simulation>,
    tasks: TaskTracker,
}

impl Server {
    /// Binds the ports and serves them on the current runtime.
    pub async fn start(options: Options) -> Result<Self> {
        let bind = |address| async move {
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}"))
        };
        let production = bind(options.production).await?;
        let sandbox = bind(options.sandbox).await?;
        let control = bind(options.control).await?;
        let simulation = Arc::new(Simulation::new(&options));
        for key in &options.keys {
            simulation.authority.keys.add(key.clone())?;
        }
        let server = Self {
            production: production.local_addr()?,
            sandbox: sandbox.local_addr()?,
            control: control.local_addr()?,
            tls: if options.plaintext {
                None
            } else {
                Some(Arc::new(Tls::new()?))
            },
            simulation,
            tasks: TaskTracker::new(),
        };
        for (environment, listener) in [
            (Environment::Production, production),
            (Environment::Sandbox, sandbox),
        ] {
            let port = PushPort {
                simulation: Arc::clone(&server.simulation),
                environment,
                tls: server.tls.clone(),
                http1: options.http1,
            };
            server.tasks.spawn(port.run(listener, server.tasks.clone()));
        }
        server.tasks.spawn(control::run(server.clone(), control));
        Ok(server)
    }

    /// Returns the address of an environment.
    pub fn addr(&self, environment: Environment) -> SocketAddr {
        match environment {
            Environment::Production => self.production,
            Environment::Sandbox => self.sandbox,
        }
    }

    /// Returns the address of production.
    pub fn production_addr(&self) -> SocketAddr {
        self.production
    }

    /// Returns the address of the sandbox.
    pub fn sandbox_addr(&self) -> SocketAddr {
        self.sandbox
    }

    /// Returns the address of the control port.
    pub fn control_addr(&self) -> SocketAddr {
        self.control
    }

    /// Returns the certificate authority to trust, in PEM. `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.tls.as_deref().map(Tls::ca_pem)
    }

    /// Adds or replaces a signing key.
    pub fn add_key(&self, key: KeySpec) -> Result<()> {
        self.simulation.authority.keys.add(key)
    }

    /// Revokes a signing key. Returns `false` if it is unknown.
    pub fn remove_key(&self, key_id: &str) -> bool {
        self.simulation.authority.keys.remove(key_id)
    }

    /// Registers devices or changes their properties. Returns their number.
    pub fn register(&self, registration: &Registration) -> Result<u64> {
        let topic = registration.topic.as_deref();
        let since_ms = registration
            .since
            .unwrap_or_else(|| self.simulation.clock.now_ms());
        let devices = self.simulation.devices.of(registration.environment);
        let mut devices = devices.write().unwrap_or_else(PoisonError::into_inner);
        let made = registration
            .range
            .as_ref()
            .map_or(0, |range| usize::try_from(range.count).unwrap_or(usize::MAX));
        devices.reserve(registration.tokens.len().saturating_add(made), RANGE_TOKEN_BYTES);
        let mut count = 0;
        let mut add = |hex: &str| -> Result<()> {
            let Some(token) = TokenBytes::parse(hex) else {
                bail!(
                    "a device token is an even number of hex digits, {} at most: {hex:?}",
                    MAX_TOKEN_BYTES * 2
                );
            };
            if !devices.register(token.as_slice(), topic, registration.state, since_ms) {
                bail!("too many devices or topics");
            }
            count += 1;
            Ok(())
        };
        for token in &registration.tokens {
            add(token)?;
        }
        if let Some(range) = &registration.range {
            for number in range.first..range.first.saturating_add(range.count) {
                add(&range.token(number))?;
            }
        }
        Ok(count)
    }

    /// Returns what is known of a device, in each environment that knows it.
    pub fn device(&self, token: &str) -> Vec<DeviceView> {
        let Some(token) = TokenBytes::parse(token) else {
            return Vec::new();
        };
        let view = |environment| {
            let devices = self
                .simulation
                .devices
                .of(environment)
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let device = devices.find(token.as_slice())?;
            Some(DeviceView {
                environment,
                topic: device.topic.map(str::to_owned),
                state: device.standing,
                since: device.since_ms,
                screen: self.simulation.screens.of(environment).of(device.index),
            })
        };
        Environment::ALL.into_iter().filter_map(view).collect()
    }

    /// Returns what all devices show, in numbers.
    pub fn shown(&self) -> Summary {
        let [one, two] =
            Environment::ALL.map(|environment| self.simulation.screens.of(environment).summary());
        one.join(two)
    }

    /// Arms a fault, or applies it at once if `now` is set.
    pub fn fault(&self, fault: Fault) -> Result<()> {
        if fault.kind == FaultKind::RefuseConnections {
            self.simulation.refuse_connections_for(fault.delay());
            return Ok(());
        }
        if fault.kind == FaultKind::StreamLimit && fault.streams.is_none() {
            bail!("a stream limit needs a number of streams");
        }
        if !fault.now {
            self.simulation.faults.arm(fault);
            return Ok(());
        }
        if fault.kind == FaultKind::GoAway && fault.last != LastStream::Seen {
            bail!("without a request, the last stream can only be the last seen");
        }
        let act: &dyn Fn(&Link) = match fault.kind {
            FaultKind::GoAway => &|link| link.say_farewell(&fault, None),
            FaultKind::Close => &|link| link.cut.cancel(),
            FaultKind::StreamLimit => &|link| link.wire().set_limit(fault.streams.unwrap_or_default()),
            kind => bail!("{kind:?} cannot happen without a request"),
        };
        for link in self.simulation.links() {
            if fault.environment.is_none_or(|only| only == link.environment) {
                act(&link);
            }
        }
        Ok(())
    }

    /// Removes all armed faults.
    pub fn clear_faults(&self) {
        self.simulation.faults.clear();
    }

    /// Sets the offset of the server's clock from its time source, in milliseconds.
    pub fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.simulation.clock.set_offset_ms(offset_ms);
    }

    /// Replaces the latency.
    pub fn set_latency(&self, latency: Latency) {
        self.simulation.set_latency(latency);
    }

    /// Changes the stream limit of new connections and of those that have presented a valid token.
    pub fn set_max_concurrent_streams(&self, streams: u32) {
        self.simulation.set_streams(streams);
        for link in self.simulation.links() {
            if link.is_raised() {
                link.wire().set_limit(streams);
            }
        }
    }

    /// Returns the counters and the violations.
    pub fn state(&self) -> State {
        let counters = &self.simulation.counters;
        let ok = AnswerCount {
            status: 200,
            reason: String::new(),
            count: counters.answered_ok.get(),
        };
        let mut answers: Vec<_> = Some(ok).filter(|ok| ok.count > 0).into_iter().collect();
        answers.extend(counters.refusals());
        let (violations_total, violations) = self.simulation.violations.snapshot();
        let devices = Environment::ALL.map(|environment| {
            self.simulation
                .devices
                .of(environment)
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .len() as u64
        });
        let (h1, h2) = (counters.connections_h1.get(), counters.connections_h2.get());
        State {
            requests: counters.requests.get(),
            probes: counters.probes.get(),
            accepted: counters.accepted.get(),
            replaced: self.shown().replaced,
            body_bytes: counters.body_bytes.get(),
            connections: h1 + h2,
            connections_h1: h1,
            connections_h2: h2,
            connections_open: counters.connections_open.get(),
            connections_refused: counters.connections_refused.get(),
            handshakes_failed: counters.handshakes_failed.get(),
            in_flight: counters.in_flight.get(),
            peak_in_flight: counters.peak_in_flight.get(),
            peak_in_flight_on_one_connection: counters.peak_in_flight_on_one_connection.get(),
            streams_refused: counters.streams_refused.get(),
            pings: counters.pings.get(),
            provider_tokens: self.simulation.authority.token_count(),
            devices: devices.iter().sum(),
            answers,
            violations_total,
            violations,
        }
    }

    /// Returns the last requests, oldest first, if they are recorded.
    pub fn requests(&self, last: usize) -> Vec<RecordedRequest> {
        self.simulation.last_requests(last)
    }

    /// Returns the requests for a device, oldest first, if they are recorded.
    pub fn requests_to(&self, token: &str) -> Vec<RecordedRequest> {
        self.simulation.requests_to(token)
    }

    /// Resets the counters, the violations and the requests. With `screens`, also resets what devices show;
    /// with `tokens`, the provider tokens and their times.
    pub fn reset(&self, screens: bool, tokens: bool) {
        self.simulation.reset(screens);
        if tokens {
            self.simulation.authority.forget_tokens();
        }
    }

    /// Returns the token that is cancelled when the server stops.
    pub(crate) fn stop(&self) -> CancellationToken {
        self.simulation.stop.clone()
    }

    /// Runs a task. [`Server::shutdown`] waits for its end.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Closes the ports and all connections, and waits until they have ended.
    pub async fn shutdown(&self) {
        self.simulation.stop.cancel();
        self.tasks.close();
        // A task that still runs is stuck within a poll, so waiting longer would not help.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.tasks.wait()).await;
    }
}
