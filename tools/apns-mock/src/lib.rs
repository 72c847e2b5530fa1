//! An APNs server that checks every rule, for tests, the demo and the benchmark.
//!
//! It replaces `api.push.apple.com` and `api.sandbox.push.apple.com`. It verifies provider tokens, checks
//! headers, topics, payloads and devices in a fixed order, and answers as Apple does. It records what each
//! device would show, injects faults, and logs every rule that the client violates. It shares no code with
//! the sender, because no test could find a mistake that both make.
//!
//! In scope: the `/3/device` endpoint. Out of scope: client certificates and Web Push. A further endpoint
//! (broadcasts, channel management) is one more module beside `device` and one more arm in `exchange`.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use apns_mock::{Environment, Options, Registration, Server};
//!
//! let server = Server::start(Options::default()).await?;
//! server.register(&Registration::device(Environment::Production, "com.example.app", "00ff"))?;
//! println!("push to https://{}", server.production_addr());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod auth;
mod clock;
mod control;
mod counters;
mod device;
mod devices;
mod environment;
mod exchange;
mod fault;
mod head;
mod http1;
mod http2;
mod jwt;
mod keys;
mod link;
mod listener;
mod options;
mod reason;
mod registration;
mod replay;
mod reply;
mod screens;
mod server;
mod simulation;
mod tls;
mod topic;
mod violations;
mod wire;

pub use auth::{TOKEN_FLOOR_MS, TOKEN_LIFETIME_MS};
pub use clock::TimeSource;
pub use counters::{AnswerCount, State};
pub use devices::Standing;
pub use environment::Environment;
pub use fault::{Fault, FaultBody, FaultKind, LastStream};
pub use keys::KeySpec;
pub use options::{
    DEFAULT_CONNECTION_BURST, DEFAULT_REQUESTS_KEPT, DEFAULT_STREAMS, DeviceRate, INITIAL_STREAMS, Latency,
    Options, Record, Unknown,
};
pub use registration::{DeviceRange, DeviceView, Registration};
pub use screens::{Screen, Shown, Summary};
pub use server::Server;
pub use simulation::RecordedRequest;
