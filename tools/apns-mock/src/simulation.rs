//! The state that all connections of a server share.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::auth::Authority;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::devices::{Devices, Standing};
use crate::environment::{Environment, PerEnvironment};
use crate::fault::Faults;
use crate::link::Link;
use crate::options::{DeviceRate, Latency, Options, Record, Unknown};
use crate::reply::{Ids, scramble};
use crate::screens::Screens;
use crate::violations::Violations;

/// A complete request body. Of one that is far too long, only the length.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) length: usize,
}

/// A request as it was received.
#[derive(Clone, Debug, Serialize)]
pub struct RecordedRequest {
    /// The environment of the listener.
    pub environment: Environment,
    /// `h2` or `h1`.
    pub protocol: &'static str,
    /// A number that identifies the connection.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names and values in the order of arrival, without pseudo-headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// The status of the true answer, without any fault.
    pub status: u16,
    /// Its reason.
    pub reason: String,
}

/// The shared state.
#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) clock: Clock,
    pub(crate) authority: Authority,
    pub(crate) devices: PerEnvironment<RwLock<Devices>>,
    pub(crate) screens: PerEnvironment<Screens>,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) violations: Violations,
    pub(crate) ids: Ids,
    pub(crate) record: Record,
    pub(crate) requests_kept: usize,
    pub(crate) unknown: Unknown,
    pub(crate) initial_streams: u32,
    pub(crate) throttle_on_error: bool,
    pub(crate) documented_environment_reason: bool,
    pub(crate) stop: CancellationToken,
    streams: AtomicU32,
    latency: RwLock<Latency>,
    latency_step: AtomicU64,
    requests: Mutex<VecDeque<RecordedRequest>>,
    watch_gone: bool,
    gone: PerEnvironment<Mutex<HashSet<u32>>>,
    device_rate: Option<DeviceRate>,
    rates: PerEnvironment<Mutex<HashMap<u32, (i64, u32)>>>,
    connection_burst: usize,
    recent_connections: Mutex<VecDeque<Instant>>,
    refusing_until: Mutex<Option<Instant>>,
    links: Mutex<Vec<Weak<Link>>>,
    next_link: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Simulation {
    pub(crate) fn new(options: &Options) -> Self {
        let clock = Clock::new(options.clock.clone());
        let seed = u64::try_from(clock.now_ms()).unwrap_or_default();
        Self {
            clock,
            authority: Authority::new(options.global_token_floor, options.any_base64),
            devices: PerEnvironment::default(),
            screens: PerEnvironment::default(),
            faults: Faults::default(),
            counters: Counters::default(),
            violations: Violations::default(),
            ids: Ids::new(seed << 20, options.upper_case_ids),
            record: options.record,
            requests_kept: options.requests_kept,
            unknown: options.unknown,
            initial_streams: options.initial_streams,
            throttle_on_error: options.throttle_on_error,
            documented_environment_reason: options.documented_environment_reason,
            stop: CancellationToken::new(),
            streams: AtomicU32::new(options.max_concurrent_streams),
            latency: RwLock::new(options.latency),
            latency_step: AtomicU64::new(0),
            requests: Mutex::default(),
            watch_gone: options.watch_gone,
            gone: PerEnvironment::default(),
            device_rate: options.device_rate,
            rates: PerEnvironment::default(),
            connection_burst: options.connection_burst,
            recent_connections: Mutex::default(),
            refusing_until: Mutex::default(),
            links: Mutex::default(),
            next_link: AtomicU64::new(1),
        }
    }

    /// Returns the stream limit of connections that have presented a valid token.
    pub(crate) fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }

    /// Changes that limit for new connections.
    pub(crate) fn set_streams(&self, streams: u32) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    /// Replaces the latency.
    pub(crate) fn set_latency(&self, latency: Latency) {
        *self.latency.write().unwrap_or_else(PoisonError::into_inner) = latency;
    }

    /// Returns the delay of the next answer.
    pub(crate) fn next_latency(&self) -> Duration {
        let latency = *self.latency.read().unwrap_or_else(PoisonError::into_inner);
        let spread = latency.max.saturating_sub(latency.min);
        if spread.is_zero() {
            return latency.min;
        }
        let step = latency
            .seed
            .wrapping_add(self.latency_step.fetch_add(1, Ordering::Relaxed));
        let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
        latency.min + Duration::from_nanos(scramble(step) % nanos.max(1))
    }

    /// Registers an unknown device that counts as registered, for any topic, if its screen is recorded.
    pub(crate) fn adopt(&self, environment: Environment, token: &[u8]) -> Option<u32> {
        if self.record == Record::None {
            return None;
        }
        let mut devices = self
            .devices
            .of(environment)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        devices.register(token, None, Standing::Registered, 0);
        devices.find(token).map(|device| device.index)
    }

    /// Logs a device that is pushed again after a 410, if that is configured.
    pub(crate) fn note_gone(&self, environment: Environment, device: u32) {
        if self.watch_gone && !lock(self.gone.of(environment)).insert(device) {
            self.violations
                .log(|| "a device was pushed again after it was answered 410".to_owned());
        }
    }

    /// Whether the device's rate allows one more push.
    pub(crate) fn admit_to_device(&self, environment: Environment, device: u32) -> bool {
        let Some(rate) = self.device_rate else { return true };
        let window_ms = i64::try_from(rate.window.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.clock.now_ms();
        let mut rates = lock(self.rates.of(environment));
        let (since_ms, pushes) = rates.entry(device).or_insert((now_ms, 0));
        if now_ms.saturating_sub(*since_ms) >= window_ms {
            (*since_ms, *pushes) = (now_ms, 0);
        }
        *pushes += 1;
        *pushes <= rate.max
    }

    /// Stores a request, and drops the oldest one above the limit.
    pub(crate) fn remember(&self, request: RecordedRequest) {
        let mut requests = lock(&self.requests);
        if requests.len() >= self.requests_kept {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    /// Returns the last requests, oldest first.
    pub(crate) fn last_requests(&self, count: usize) -> Vec<RecordedRequest> {
        let requests = lock(&self.requests);
        requests
            .iter()
            .skip(requests.len().saturating_sub(count))
            .cloned()
            .collect()
    }

    /// Returns the requests for a device, oldest first.
    pub(crate) fn requests_to(&self, token: &str) -> Vec<RecordedRequest> {
        let requests = lock(&self.requests);
        let is_to = |request: &&RecordedRequest| request.path.strip_prefix("/3/device/") == Some(token);
        requests.iter().filter(is_to).cloned().collect()
    }

    /// Resets counters, violations and requests. With `screens`, also what devices show.
    pub(crate) fn reset(&self, screens: bool) {
        self.counters.reset();
        self.violations.reset();
        lock(&self.requests).clear();
        if screens {
            for environment in Environment::ALL {
                self.screens.of(environment).clear();
                lock(self.gone.of(environment)).clear();
                lock(self.rates.of(environment)).clear();
            }
        }
    }

    /// Counts a new HTTP/2 connection. Logs a violation if there are too many.
    pub(crate) fn note_http2_connection(&self) {
        self.counters.connections_h2.add(1);
        let now = Instant::now();
        let mut recent = lock(&self.recent_connections);
        while recent
            .front()
            .is_some_and(|first| now.duration_since(*first) > Duration::from_secs(1))
        {
            recent.pop_front();
        }
        recent.push_back(now);
        let burst = recent.len();
        drop(recent);
        if burst > self.connection_burst {
            self.violations
                .log(|| format!("{burst} new HTTP/2 connections within a second"));
        }
    }

    /// Closes new connections at once for some time.
    pub(crate) fn refuse_connections_for(&self, time: Duration) {
        *lock(&self.refusing_until) = Some(Instant::now() + time);
    }

    /// Whether new connections are closed at once.
    pub(crate) fn refuses_connections(&self) -> bool {
        lock(&self.refusing_until).is_some_and(|until| Instant::now() < until)
    }

    /// Creates the link of a new connection. [`Simulation::links`] returns it until it is dropped.
    pub(crate) fn link(self: &Arc<Self>, environment: Environment, protocol: &'static str) -> Arc<Link> {
        let number = self.next_link.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(Link::new(Arc::clone(self), environment, protocol, number));
        let mut links = lock(&self.links);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        link
    }

    /// Returns the links of all open connections.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        lock(&self.links).iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_stay_in_their_bounds_and_follow_their_seed() {
        let draw = |seed| {
            let latency = Latency {
                min: Duration::from_millis(5),
                max: Duration::from_millis(9),
                seed,
            };
            let simulation = Simulation::new(&Options {
                latency,
                ..Options::default()
            });
            (0..100).map(|_| simulation.next_latency()).collect::<Vec<_>>()
        };
        let one = draw(1);
        assert!(one.iter().all(|delay| (5..9).contains(&delay.as_millis())));
        assert_eq!(one, draw(1));
        assert_ne!(one, draw(777));
        assert!(one.iter().max() > one.iter().min());
    }
}
