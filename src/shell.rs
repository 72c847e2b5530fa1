//! Ring 4: Cloudflare. It executes what the other rings decide, and decides nothing.
//!
//! The one place that names the platform's crate: its events, bindings, clock, sockets and objects. In scope: reading
//! requests, calling the core with the moment, doing what it returns, logging what passes.

mod audience;
mod audiences;
mod batch;
mod batches;
mod bindings;
mod calendar;
mod campaigns;
mod chunk;
mod clock;
mod connection;
mod consumer;
mod database;
mod directory;
mod doctor;
mod events;
mod fetch;
mod gate;
mod http;
mod lease;
mod log;
mod metrics;
mod objects;
mod pieces;
mod push;
mod registry;
mod run;
mod socket;
mod stub;
