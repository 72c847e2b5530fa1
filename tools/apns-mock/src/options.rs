//! The options of a server. The defaults behave like Apple's servers.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::TimeSource;
use crate::keys::KeySpec;

/// The streams per connection after a valid provider token: the number observed at Apple since 2020.
pub const DEFAULT_STREAMS: u32 = 1000;

/// The streams per connection before that: one, as Apple documents for token authentication.
pub const INITIAL_STREAMS: u32 = 1;

/// The most new HTTP/2 connections per second that count as normal. Apple publishes no number, and says only
/// that rapid connecting may be treated as an attack.
pub const DEFAULT_CONNECTION_BURST: usize = 20;

/// How many of the last requests are kept when recording.
pub const DEFAULT_REQUESTS_KEPT: usize = 1000;

/// What is recorded about notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// Nothing: the fastest.
    None,
    /// Per device, the numbers of shown and of replaced notifications, without contents. No requests.
    Count,
    /// As `Count`, and the contents of the last notification per device. Also the last requests.
    Last,
    /// Everything.
    All,
}

/// How device tokens are treated that were never registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// As a registered device for any topic.
    Registered,
    /// As `BadDeviceToken`.
    Bad,
}

/// The latency of answers: uniformly distributed between two bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The shortest latency.
    pub min: Duration,
    /// The longest latency. Equal to `min` for a fixed one.
    pub max: Duration,
    /// The seed of the sequence of delays.
    pub seed: u64,
}

impl Latency {
    /// Creates a fixed latency.
    pub fn fixed(delay: Duration) -> Self {
        Self {
            min: delay,
            max: delay,
            seed: 0,
        }
    }
}

/// How often a device may be pushed before the answer is `TooManyRequests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRate {
    /// The most pushes in a window.
    pub max: u32,
    /// The length of the window.
    pub window: Duration,
}

/// The options of a server.
#[derive(Clone)]
pub struct Options {
    /// The address of production. Port 0 means any free port.
    pub production: SocketAddr,
    /// The address of the sandbox.
    pub sandbox: SocketAddr,
    /// The address of the control port.
    pub control: SocketAddr,
    /// Also serves HTTP/1.1 on the push ports, which Apple does not.
    pub http1: bool,
    /// Disables TLS: HTTP/2 with prior knowledge over TCP.
    pub plaintext: bool,
    /// The streams per connection before a valid provider token.
    pub initial_streams: u32,
    /// The streams per connection afterwards.
    pub max_concurrent_streams: u32,
    /// The latency of answers.
    pub latency: Latency,
    /// What is recorded.
    pub record: Record,
    /// How many requests are kept when recording.
    pub requests_kept: usize,
    /// How unknown device tokens are treated.
    pub unknown: Unknown,
    /// Refuses a new provider token for the same (team, key) within 20 minutes on any connection, and not
    /// only on the same one. Apple does not document the scope. This is the strict reading.
    pub global_token_floor: bool,
    /// Accepts provider tokens in any form of base64, and not only in base64url without padding.
    pub any_base64: bool,
    /// The rate limit per device.
    pub device_rate: Option<DeviceRate>,
    /// Reduces the stream limit to 1 after an error and restores it after a success, as Apple's servers did
    /// in 2016.
    pub throttle_on_error: bool,
    /// Generates `apns-id`s in upper case, as observed at Apple's servers.
    pub upper_case_ids: bool,
    /// Answers `BadEnvironmentKeyIdInToken` as documented, and not `BadEnvironmentKeyInToken` as observed.
    pub documented_environment_reason: bool,
    /// Logs a violation when a device is pushed again after a 410.
    pub watch_gone: bool,
    /// The most new HTTP/2 connections per second without a violation.
    pub connection_burst: usize,
    /// The time source. The system's clock if absent.
    pub clock: Option<TimeSource>,
    /// The initial keys.
    pub keys: Vec<KeySpec>,
}

impl Default for Options {
    fn default() -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            production: anywhere,
            sandbox: anywhere,
            control: anywhere,
            http1: false,
            plaintext: false,
            initial_streams: INITIAL_STREAMS,
            max_concurrent_streams: DEFAULT_STREAMS,
            latency: Latency::default(),
            record: Record::All,
            requests_kept: DEFAULT_REQUESTS_KEPT,
            unknown: Unknown::Bad,
            global_token_floor: true,
            any_base64: false,
            device_rate: None,
            throttle_on_error: false,
            upper_case_ids: true,
            documented_environment_reason: false,
            watch_gone: false,
            connection_burst: DEFAULT_CONNECTION_BURST,
            clock: None,
            keys: Vec::new(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("production", &self.production)
            .field("sandbox", &self.sandbox)
            .field("http1", &self.http1)
            .field("plaintext", &self.plaintext)
            .field("record", &self.record)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}
