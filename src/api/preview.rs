//! `POST /v1/preview`: exactly what `POST /v1/push` with the same body would send.
//!
//! The only differences: an apns-id that we would choose is chosen anew for each request, and the provider token is
//! left out.

use serde::Serialize;
use serde_json::Map;

use super::Answer;
use super::order::{Order, Push};
use crate::config::Config;

/// The answer to a preview.
#[must_use]
pub fn answer(order: &Order<'_>, config: &Config) -> Answer {
    let origin = config.origin(order.app.credential.environment);
    let pushes = order.pushes.iter().map(Preview::of).collect();
    let body = PreviewAnswer {
        app: &order.app.name,
        environment: order.app.credential.environment.as_str(),
        origin,
        pushes,
    };
    Answer::json(serde_json::to_string(&body).unwrap_or_default())
}

#[derive(Serialize)]
struct PreviewAnswer<'o> {
    app: &'o str,
    environment: &'static str,
    origin: String,
    pushes: Vec<Preview<'o>>,
}

#[derive(Serialize)]
struct Preview<'o> {
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'o str>,
    token_hint: &'o str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestPreview<'o>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Entry<'o>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Entry<'o>>,
}

#[derive(Serialize)]
struct RequestPreview<'o> {
    method: &'static str,
    path: String,
    headers: Map<String, serde_json::Value>,
    /// The body as text, byte for byte.
    body: &'o str,
    size: usize,
    limit: usize,
}

#[derive(Serialize)]
struct Entry<'o> {
    pointer: &'o str,
    detail: String,
}

impl<'o> Preview<'o> {
    fn of(push: &'o Push) -> Self {
        let entry = |fault: &'o crate::fault::Fault| Entry {
            pointer: &fault.pointer,
            detail: fault.kind.to_string(),
        };
        Self {
            reference: push.reference.as_deref(),
            token_hint: &push.token_hint,
            request: push.request.as_ref().ok().map(|request| RequestPreview {
                method: "POST",
                path: request.path(),
                headers: request
                    .header_list()
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.into()))
                    .collect(),
                body: std::str::from_utf8(&request.body).unwrap_or_default(),
                size: request.body.len(),
                limit: request.headers.push_type.rules().max_payload,
            }),
            problem: push.request.as_ref().err().map(entry),
            warnings: push.warnings.listed().iter().map(entry).collect(),
        }
    }
}
