//! apns-edge: Apple push notifications from Cloudflare Workers.

pub mod apns;
pub mod config;
pub mod delivery;
pub mod fault;
pub mod time;
pub mod wire;
