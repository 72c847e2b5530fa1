//! The address of a webhook: `https` and public.
//!
//! A caller that may send a batch chooses where the Worker sends requests. So an address must not lead into
//! an internal network, however it is spelled. It is parsed by the rules of the URL standard, and the parsed
//! form is checked and stored. In scope: the text of the address. Out of scope: what a name resolves to,
//! which is unknown before the request; and redirects, which the sender does not follow.
//!
//! Sources: WHATWG URL; the special-purpose address registries of IANA (RFC 6890).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// A valid address of a webhook, in the parser's spelling.
///
/// The part after the host may be a secret, so `Debug` shows only the origin.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Parses an address. In a `local` run it may also name a host on this machine, with `http` and any port.
    ///
    /// # Errors
    /// The rule that it breaks, in a text for the caller.
    pub fn parse(text: &str, local: bool) -> Result<Self, BadWebhookUrl> {
        sized(text)?;
        let url = Url::parse(text).map_err(|error| BadWebhookUrl::NotUrl(error.to_string()))?;
        // Escapes make it longer.
        sized(url.as_str())?;
        let host = url.host().ok_or(BadWebhookUrl::Scheme)?;
        let is_here = local && is_loopback(&host);
        match url.scheme() {
            "https" => {}
            "http" if is_here => {}
            _ => return Err(BadWebhookUrl::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadWebhookUrl::Credentials);
        }
        if url.fragment().is_some() {
            return Err(BadWebhookUrl::Fragment);
        }
        if !is_here {
            public(&host)?;
            if url
                .port()
                .is_some_and(|port| port != HTTPS && port < FIRST_USER_PORT)
            {
                return Err(BadWebhookUrl::Port);
            }
        }
        Ok(Self(url))
    }

    /// Returns the address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({}/…)", self.0.origin().ascii_serialization())
    }
}

fn sized(text: &str) -> Result<(), BadWebhookUrl> {
    match text.len() {
        len if len > MAX_LEN => Err(BadWebhookUrl::TooLong { len }),
        _ => Ok(()),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn public(host: &Host<&str>) -> Result<(), BadWebhookUrl> {
    match host {
        Host::Domain(name) => public_name(name),
        Host::Ipv4(address) if is_public_v4(*address) => Ok(()),
        Host::Ipv6(address) if is_public_v6(*address) => Ok(()),
        Host::Ipv4(_) | Host::Ipv6(_) => Err(BadWebhookUrl::NotPublic),
    }
}

/// Checks a host name. The parser has made it lower case and has decoded its escapes.
fn public_name(name: &str) -> Result<(), BadWebhookUrl> {
    // A name may end with the dot of the root.
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    if INNER_NAMES.contains(&last) {
        return Err(BadWebhookUrl::NotPublic);
    }
    if name.split('.').any(str::is_empty) || last.len() == name.len() {
        return Err(BadWebhookUrl::Name);
    }
    Ok(())
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !INNER_V4.iter().any(|(network, bits)| {
        let host_bits = u32::BITS - bits;
        address.to_bits() >> host_bits == network.to_bits() >> host_bits
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |(network, bits): &(Ipv6Addr, u32)| {
        let host_bits = u128::BITS - bits;
        address.to_bits() >> host_bits == network.to_bits() >> host_bits
    };
    within(&GLOBAL_V6) && !INNER_V6.iter().any(within)
}

/// Why an address is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWebhookUrl {
    /// It is not valid by the URL standard.
    #[error("is not a URL: {0}")]
    NotUrl(String),
    /// It is longer than the limit.
    #[error("is {len} bytes long; the limit is {MAX_LEN}")]
    TooLong {
        /// Its length, including escapes.
        len: usize,
    },
    /// Its scheme is not `https`.
    #[error("must begin with `https://`")]
    Scheme,
    /// It contains a user or a password.
    #[error("must have no user and no password: the signature says who sends")]
    Credentials,
    /// It has a fragment (`#` and more), which is never sent.
    #[error("must have no fragment, the part after `#`")]
    Fragment,
    /// The host is not a public name.
    #[error("must have a host with a dot in its name, such as `hooks.example.com`")]
    Name,
    /// The host is in an internal network.
    #[error("must have a public host, not one of an inner network or of this machine")]
    NotPublic,
    /// The port belongs to another protocol.
    #[error("must have port {HTTPS}, or one from {FIRST_USER_PORT}")]
    Port,
}

/// The most bytes of an address. Longer ones do not pass through every proxy.
pub const MAX_LEN: usize = 2048;

const HTTPS: u16 = 443;

/// Lower ports belong to other protocols (RFC 6335 section 6), some of which can be made to interpret HTTP as
/// commands.
const FIRST_USER_PORT: u16 = 1024;

/// The last labels of names that no public server has: RFC 6761, RFC 6762, and ICANN's reservation of 2024.
const INNER_NAMES: [&str; 3] = ["localhost", "local", "internal"];

/// The IPv4 networks without public servers, with their prefix lengths: IANA's special-purpose registry and
/// multicast.
const INNER_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// All IPv6 addresses that are assigned to public servers. IPv4 addresses that are mapped or translated into
/// IPv6 are outside.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The exceptions: protocol assignments and Teredo, two documentation networks, and 6to4, which contains an
/// IPv4 address.
const INNER_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

#[cfg(test)]
mod tests;
