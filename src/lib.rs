//! apns-edge: Apple push notifications from Cloudflare Workers.
//!
//! Rings, each of which knows those above it alone:
//!
//! * [`time`] and [`fault`]: a moment, and what is wrong with an input.
//! * [`apns`]: Apple's protocol as values.
//! * [`delivery`]: our policy as decisions: what is sent when, and what an answer means.
//! * [`wire`]: HTTP/2 to APNs over any byte stream.
//! * [`config`]: what the deployment says.
//! * [`api`]: our HTTP contract.
//! * `shell`: Cloudflare; on wasm32 alone.
//!
//! All but `wire` and `shell` are synchronous: they contain no network, no timer, no random source, and get no moment
//! from the operating system.

pub mod api;
pub mod apns;
pub mod config;
pub mod delivery;
pub mod fault;
#[cfg(target_arch = "wasm32")]
mod shell;
pub mod time;
pub mod wire;
