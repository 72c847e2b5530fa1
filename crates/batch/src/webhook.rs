//! Webhooks: what a caller's endpoint is told about a batch, and how it knows that we say so.
//!
//! Source: Standard Webhooks 1.0 (<https://www.standardwebhooks.com>). In scope: bodies and signatures. Out of scope: when
//! what is sent (`outbox`), sending it (`shell`), and which addresses may be told (`api`).

mod event;
mod signature;

pub use event::{Event, GoneDevice, MAX_GONE, batch_ended, devices_gone, gone_groups};
pub use signature::{BadWebhookSecret, WebhookSecret, headers, sign};
