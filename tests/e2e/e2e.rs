//! End-to-end tests: the built Worker in workerd, under `wrangler dev` and offline, against apns-mock over
//! TLS.
//!
//! Nothing between the caller's request and the server's records is replaced. There is one difference from
//! production: workerd's `fetch` uses HTTP/1.1. `cargo xtask e2e` builds the Worker and runs these tests.
//!
//! A test has its own [`test_env::TestEnv`] if it changes what other tests would notice: the latency, the
//! clock, the keys, or the Worker's process. The other tests share one environment per transport ([`shared`])
//! and use their own devices. At the end of each test the environment is checked: the server has logged no
//! violation, and the log has no secret ([`test_env::TestEnv::check`]).

#[cfg(test)]
mod batches;
#[cfg(test)]
mod bodies;
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
mod hanging;
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
mod storage;
#[cfg(test)]
mod teams;
#[cfg(test)]
mod test_env;
#[cfg(test)]
mod warnings;
