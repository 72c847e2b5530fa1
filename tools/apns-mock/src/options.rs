//! What a server is started with; everything has a default that behaves like Apple's servers.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::TimeSource;
use crate::keys::KeySpec;

/// How many streams a connection gets once a valid provider token was seen: the figure observed at Apple since 2020.
pub const DEFAULT_STREAMS: u32 = 1000;

/// How many streams a connection gets before that: one, as Apple documents for token authentication.
pub const INITIAL_STREAMS: u32 = 1;

/// New HTTP/2 connections in one second that are still seen as normal. Apple publishes no number and says only that
/// rapid connecting may be taken for an attack.
pub const DEFAULT_CONNECTION_BURST: usize = 20;

/// How many of the last requests are kept when recording.
pub const DEFAULT_REQUESTS_KEPT: usize = 1000;

/// What is remembered of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// Nothing: the fastest.
    None,
    /// Per device, how many notifications it shows and how many were replaced, no contents. No requests.
    Count,
    /// As `Count`, and the contents of the last notification of each device; also the last requests.
    Last,
    /// Everything.
    All,
}

/// What a device token is that was never registered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// A good device for any topic.
    Registered,
    /// `BadDeviceToken`.
    Bad,
}

/// How long an answer takes: uniformly between two bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The shortest.
    pub min: Duration,
    /// The longest; equal to `min` for a fixed latency.
    pub max: Duration,
    /// Seed of the sequence of delays.
    pub seed: u64,
}

impl Latency {
    /// The same for each request.
    pub fn fixed(delay: Duration) -> Self {
        Self {
            min: delay,
            max: delay,
            seed: 0,
        }
    }
}

/// How often one device may be pushed before it is answered `TooManyRequests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRate {
    /// Pushes in a window.
    pub max: u32,
    /// The window's length.
    pub window: Duration,
}

/// How a server behaves.
#[derive(Clone)]
pub struct Options {
    /// Where production listens; port 0 for any free port.
    pub production: SocketAddr,
    /// Where the sandbox listens.
    pub sandbox: SocketAddr,
    /// Where the control port listens.
    pub control: SocketAddr,
    /// Also serve HTTP/1.1 on the push ports. Apple does not.
    pub http1: bool,
    /// No TLS: HTTP/2 with prior knowledge over bare TCP.
    pub plaintext: bool,
    /// Streams per connection before a valid provider token was seen.
    pub initial_streams: u32,
    /// Streams per connection afterwards.
    pub max_concurrent_streams: u32,
    /// How long answers take.
    pub latency: Latency,
    /// What is remembered.
    pub record: Record,
    /// How many requests are remembered when recording.
    pub requests_kept: usize,
    /// What unregistered device tokens are.
    pub unknown: Unknown,
    /// Refuse a new provider token for the same (team, key) within 20 minutes on any connection, not only on the same
    /// one. The scope at Apple is not documented; this is the strict reading.
    pub global_token_floor: bool,
    /// Take provider tokens in any form of base64, not only in base64url without padding.
    pub any_base64: bool,
    /// Limit of pushes per device.
    pub device_rate: Option<DeviceRate>,
    /// Drop the stream limit to 1 after an error answer and restore it after a success, as servers of 2016 did.
    pub throttle_on_error: bool,
    /// Make `apns-id`s in upper case, as Apple's servers are seen to.
    pub upper_case_ids: bool,
    /// Say `BadEnvironmentKeyIdInToken` as documented, not `BadEnvironmentKeyInToken` as observed.
    pub documented_environment_reason: bool,
    /// Log a violation when a device is pushed again after it was answered 410.
    pub watch_gone: bool,
    /// New HTTP/2 connections in a second before it is a violation.
    pub connection_burst: usize,
    /// Where the time comes from; the system's clock if absent.
    pub clock: Option<TimeSource>,
    /// Keys known from the start.
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
