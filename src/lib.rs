//! The Worker: Cloudflare, and nothing else. It executes what the crates decide.
//!
//! The one package that names the platform's crate. In scope: the platform's events, bindings, clock, sockets and Durable
//! Objects; reading requests, calling the crates with the moment, doing what they return, and logging. Out of scope: every
//! decision that can be tested without the platform. Off wasm32 the package is empty.

#![cfg(target_arch = "wasm32")]

mod events;
mod objects;
mod platform;
mod routes;
mod sending;
mod stubs;
