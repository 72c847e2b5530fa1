//! Webhooks: the bodies that a caller's endpoint receives about a batch, and their signatures.
//!
//! Source: Standard Webhooks 1.0 (<https://www.standardwebhooks.com>). In scope: bodies and signatures. Out
//! of scope: what is sent when (`outbox`), sending it (the Worker), and which URLs are allowed (`api`).

mod event;
mod signature;

pub use event::{Event, GoneDevice, MAX_GONE, batch_ended, devices_gone, gone_groups};
pub use signature::{BadWebhookSecret, WebhookSecret, headers, sign};
