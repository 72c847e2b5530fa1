//! The HTTP contract, as a function of the request, the configuration and the moment.
//!
//! In scope: the endpoints, their requests and their answers. Out of scope: sending (`delivery` decides, the
//! Worker executes), and the platform's request and response types.

pub mod audience;
pub mod auth;
pub mod batch;
pub mod byte_budget;
pub mod call_limit;
pub mod campaign;
pub mod coding;
pub mod config;
mod convert;
pub mod doctor;
#[cfg(test)]
mod fixture;
pub mod format;
pub mod health;
pub mod listing;
pub mod media;
pub mod metrics;
mod ndjson;
pub mod preview;
pub mod problem;
pub mod push;
pub mod route;
pub mod send_request;
pub mod upload;
pub mod webhook_url;

pub use problem::Problem;
pub use route::Route;
pub use send_request::SendRequest;
pub use upload::Upload;
pub use webhook_url::WebhookUrl;

/// An answer for the platform to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers other than `content-type`.
    pub headers: Vec<(&'static str, String)>,
    /// `content-type`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Creates a JSON answer with status 200.
    #[must_use]
    pub const fn json(body: String) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            content_type: "application/json",
            body,
        }
    }
}
