//! The settings of transports.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{given, number, text};
use apns::fault::{FaultKind, Faults, Pointer};
use delivery::pool::PoolConfig;

/// A transport of pushes to APNs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// The platform's `fetch`, with six requests at a time.
    #[default]
    Fetch,
    /// HTTP/2 over the platform's sockets, which a pool of connection objects holds.
    Socket,
}

impl Transport {
    /// Returns its name in the configuration, in answers and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Socket => "socket",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not the name of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `fetch` or `socket`")]
pub struct UnknownTransport;

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        [Self::Fetch, Self::Socket]
            .into_iter()
            .find(|transport| transport.as_str() == text)
            .ok_or(UnknownTransport)
    }
}

/// The settings of the socket transport for the whole deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// The size of a credential's pool of connection objects.
    pub pool: PoolConfig,
    /// The most sockets of one object.
    pub per_object: u32,
    /// APNs' port: 443, or 2197 for networks that block it.
    pub port: u16,
    /// Whether a chunk is sent with `fetch` when no socket can be opened.
    pub fallback: bool,
}

impl Sockets {
    pub(super) fn load(setting: &impl Fn(&str) -> Option<String>, faults: &mut Faults) -> Self {
        let capacity = number(setting, MAX_CONNECTIONS, 4, 1..=32, faults);
        let per_object = number(setting, SOCKETS_PER_CONNECTION, 2, 1..=2, faults);
        let idle = number(setting, CONNECTION_IDLE_MS, 60_000, 1000..=600_000, faults);
        let per_object = u32::try_from(per_object).unwrap_or(1);
        let pool = PoolConfig {
            capacity: u32::try_from(capacity).unwrap_or(1),
            streams: per_object * STREAMS,
            idle: Duration::from_millis(idle),
        };
        let port = one_of(setting, APNS_PORT, &["443", "2197"], faults)
            .parse()
            .unwrap_or(443);
        let fallback = one_of(setting, SOCKET_FALLBACK, &["fetch", "none"], faults) == "fetch";
        Self {
            pool,
            per_object,
            port,
            fallback,
        }
    }
}

/// Reads the variable `TRANSPORT`.
pub(super) fn load(setting: &impl Fn(&str) -> Option<String>, faults: &mut Faults) -> Transport {
    one_of(setting, TRANSPORT, &["fetch", "socket"], faults)
        .parse()
        .unwrap_or_default()
}

/// Reads a variable that has a few allowed values. The first of them is the default.
fn one_of(
    setting: &impl Fn(&str) -> Option<String>,
    name: &str,
    values: &[&'static str],
    faults: &mut Faults,
) -> &'static str {
    let default = values.first().copied().unwrap_or_default();
    let Some(text) = given(setting, name) else {
        return default;
    };
    let word = text::unquoted(&text).to_ascii_lowercase();
    values
        .iter()
        .find(|value| **value == word)
        .copied()
        .unwrap_or_else(|| {
            let text = format!("must be one of: {}", values.join(", "));
            faults.add(&Pointer::Root.key(name), FaultKind::Invalid(text));
            default
        })
}

/// The variable with the deployment's transport. An app may have its own.
const TRANSPORT: &str = "TRANSPORT";
/// The variable with the most connection objects per credential.
const MAX_CONNECTIONS: &str = "MAX_CONNECTIONS";
/// The variable with the most sockets per connection object.
const SOCKETS_PER_CONNECTION: &str = "SOCKETS_PER_CONNECTION";
/// The variable with the time after which an idle connection closes, in milliseconds.
const CONNECTION_IDLE_MS: &str = "CONNECTION_IDLE_MS";
/// The variable with APNs' port for the socket transport.
const APNS_PORT: &str = "APNS_PORT";
/// The variable that says what happens when no socket can be opened.
const SOCKET_FALLBACK: &str = "SOCKET_FALLBACK";

/// The ports of APNs. The second is for networks that block the first.
pub(super) const PORTS: [u16; 2] = [443, 2197];

/// The streams per connection that APNs allows, as observed since 2021. If a server allows fewer, its limit
/// applies.
const STREAMS: u32 = 1000;
