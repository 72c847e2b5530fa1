//! The connection against servers: the mock APNs server over TCP and TLS, and a scripted one.

#![expect(
    clippy::disallowed_methods,
    reason = "connections over sockets live in real time"
)]

#[cfg(test)]
mod answers;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hpack;
#[cfg(test)]
mod load;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod property;
#[cfg(test)]
mod support;
#[cfg(test)]
mod time;
