//! End-to-end tests: the built Worker in workerd, under `wrangler dev` and offline, against apns-mock over TLS.
//!
//! Nothing between the caller's request and the server's records is replaced, but that workerd's `fetch` speaks HTTP/1.1
//! where production's speaks HTTP/2. `cargo xtask test` builds the Worker and runs them; a plain `cargo test` leaves
//! them out, as it has neither the Worker nor wrangler.
//!
//! A test makes its own [`stage::Stage`] where it changes what all would see - the latency, the clock, the keys, the
//! Worker's life; the others share one for each transport ([`shared`]) and keep to devices of their own. On every stage
//! holds at the end of each test: the server saw no rule broken, and the log holds no secret ([`stage::Stage::check`]).

#[cfg(test)]
mod batches;
#[cfg(test)]
mod caller;
#[cfg(test)]
mod campaigns;
#[cfg(test)]
mod coding;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod eviction;
#[cfg(test)]
mod fallback;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod log;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod metrics;
mod network;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod permits;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod preview;
#[cfg(test)]
mod problems;
#[cfg(test)]
mod provider_tokens;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod teams;
#[cfg(test)]
mod warnings;
#[cfg(test)]
mod worker;
