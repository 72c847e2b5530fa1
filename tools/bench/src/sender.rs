//! The compared senders: their names, and how they are started.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

use crate::exchange::Answers;
use crate::order::Orders;

mod peer;
pub(crate) mod process;
pub(crate) mod worker;

pub(crate) use peer::Peer;
pub(crate) use worker::{Transport, Worker};

/// A sender and its setup, which is the same in all runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sender {
    /// The Worker with `fetch`, one invocation at a time.
    Fetch,
    /// The Worker over one HTTP/2 connection.
    Socket1,
    /// The Worker over at most four HTTP/2 connections.
    Socket4,
    /// The crate a2.
    A2,
    /// `@parse/node-apn` from npm.
    NodeApn,
    /// apns2 from npm.
    Apns2,
    /// aioapns from PyPI.
    Aioapns,
}

impl Sender {
    /// All senders, in the order of the table.
    pub(crate) const ALL: [Self; 7] = [
        Self::Fetch,
        Self::Socket1,
        Self::Socket4,
        Self::A2,
        Self::NodeApn,
        Self::Apns2,
        Self::Aioapns,
    ];

    /// Returns its name in the table, the chart and the JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "apns-edge fetch",
            Self::Socket1 => "apns-edge socket 1",
            Self::Socket4 => "apns-edge socket 4",
            Self::A2 => "a2",
            Self::NodeApn => "node-apn",
            Self::Apns2 => "apns2",
            Self::Aioapns => "aioapns",
        }
    }

    /// Returns the Worker's transport, or `None` for other senders.
    pub(crate) const fn transport(self) -> Option<Transport> {
        match self {
            Self::Fetch => Some(Transport::Fetch),
            Self::Socket1 => Some(Transport::Socket { connections: 1 }),
            Self::Socket4 => Some(Transport::Socket { connections: 4 }),
            Self::A2 | Self::NodeApn | Self::Apns2 | Self::Aioapns => None,
        }
    }

    /// Returns the most connections that it may have, if that is part of its name.
    pub(crate) const fn connections(self) -> Option<u64> {
        match self {
            Self::Socket1 => Some(1),
            Self::Socket4 => Some(4),
            Self::Fetch | Self::A2 | Self::NodeApn | Self::Apns2 | Self::Aioapns => None,
        }
    }

    /// Whether it can only send to Apple's host and port.
    pub(crate) const fn host_is_fixed(self) -> bool {
        match self {
            Self::A2 | Self::Apns2 | Self::Aioapns => true,
            Self::Fetch | Self::Socket1 | Self::Socket4 | Self::NodeApn => false,
        }
    }

    /// Returns the number of devices per request: the most that the Worker's transport accepts in one
    /// request. For the peers it is the highest of these limits.
    pub(crate) const fn devices_an_order(self) -> u64 {
        match self {
            Self::Fetch => 500,
            _ => 10_000,
        }
    }

    /// Returns how many pushes a peer has in flight.
    ///
    /// It is fully used, and pushes do not spend their time in a queue: the window is the streams of one
    /// connection, where the library can fill them. apns2 has 32 connections with one push each, whatever the
    /// server allows. aioapns fails when more is sent than HTTP/2's initial window of 65,535 bytes.
    pub(crate) const fn window(self) -> u16 {
        match self {
            Self::Apns2 => 64,
            Self::Aioapns => 256,
            _ => 1000,
        }
    }

    /// Returns how many requests it has at once: one per invocation of the Worker, and one per connection.
    /// Peers get the next request before the last is finished, so that they are never idle.
    pub(crate) const fn orders_at_once(self) -> usize {
        match self {
            Self::Fetch | Self::Socket1 => 1,
            Self::Socket4 => 4,
            _ => 2,
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sender {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let Some(sender) = Self::ALL.into_iter().find(|sender| sender.name() == name) else {
            let names = Self::ALL.map(|sender| format!("`{sender}`")).join(", ");
            bail!("the senders are {names}");
        };
        Ok(sender)
    }
}

/// A sender without figures, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// The sender.
    pub(crate) sender: Sender,
    /// The reason, in one line.
    pub(crate) reason: String,
}

impl LeftOut {
    /// Creates the entry from an error.
    pub(crate) fn because(sender: Sender, error: &anyhow::Error) -> Self {
        let reason = format!("{error:#}");
        let reason: Vec<_> = reason.split_whitespace().collect();
        Self {
            sender,
            reason: reason.join(" "),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.sender, self.reason)
    }
}

impl FromStr for LeftOut {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((sender, reason)) = text.split_once('=') else {
            bail!("no reason");
        };
        Ok(Self {
            sender: sender.parse()?,
            reason: reason.to_owned(),
        })
    }
}

/// A running sender.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Running {
    /// A program that reads requests and writes results.
    Peer(Peer),
    /// The Worker, which answers HTTP requests.
    Worker(Worker),
}

impl Running {
    /// Returns the root of its process tree.
    pub(crate) fn process(&self) -> Result<u32> {
        match self {
            Self::Peer(peer) => peer.process(),
            Self::Worker(worker) => Ok(worker.process()),
        }
    }

    /// Sends the requests, at most this many at once, and collects the results.
    pub(crate) async fn send(&mut self, orders: Orders, at_once: usize) -> Result<Answers> {
        match self {
            Self::Peer(peer) => peer.send(orders, at_once).await,
            Self::Worker(worker) => worker.send(orders, at_once).await,
        }
    }

    /// Stops it, and returns when it has ended.
    pub(crate) async fn stop(self) -> Result<()> {
        match self {
            Self::Peer(peer) => peer.stop().await,
            // Dropping it ends it.
            Self::Worker(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LeftOut, Sender};

    #[test]
    fn the_names_in_the_json_are_unchanged() {
        let names = Sender::ALL.map(Sender::name);
        let published = [
            "apns-edge fetch",
            "apns-edge socket 1",
            "apns-edge socket 4",
            "a2",
            "node-apn",
            "apns2",
            "aioapns",
        ];
        assert_eq!(names, published);
    }

    #[test]
    fn a_reason_survives_the_command_line() {
        let left_out = LeftOut::because(Sender::Fetch, &anyhow::anyhow!("a = b\n  c"));
        assert_eq!(left_out.reason, "a = b c");
        assert_eq!(left_out.to_string().parse::<LeftOut>().unwrap(), left_out);
    }
}
