//! The Worker: the only package that uses Cloudflare's platform. It executes what the crates decide.
//!
//! In scope: the platform's events, bindings, clock, sockets and Durable Objects. The Worker reads requests,
//! calls the crates with the current time, executes what they return, and logs. Out of scope: every decision
//! that can be tested without the platform. The package is empty on other targets than wasm32.

#![cfg(target_arch = "wasm32")]

mod events;
mod objects;
mod platform;
mod routes;
mod sending;
mod stubs;
