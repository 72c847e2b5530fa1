//! Webhooks: what a caller's endpoint is told about a batch.
//!
//! Source: Standard Webhooks 1.0 (<https://www.standardwebhooks.com>). In scope: what is sent, how it is signed, when it
//! is tried again. Out of scope: sending it (`shell`), and which addresses may be told (`api`).

mod signature;

pub use signature::{BadWebhookSecret, WebhookSecret, sign};
