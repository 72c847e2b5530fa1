//! `POST /v1/preview`: exactly what `POST /v1/push` with the same body would send.
//!
//! There are two differences: generated apns-ids differ with each request, and the provider token is left
//! out.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Map;

use super::Answer;
use super::problem::Problem;
use super::send_request::{OWN_PAYLOAD, Push, SendRequest, Unsent};
use crate::config::Config;
use apns::fault::{FaultKind, Faults, Pointer, Warning, WarningCode, WarningSummary};

/// Answers a preview.
///
/// # Errors
/// 422 for more than [`MAX_DEVICES`] devices, because the answer has a whole body per device.
pub fn answer(send_request: &SendRequest<'_>, config: &Config) -> Result<Answer, Problem> {
    if send_request.pushes.len() > MAX_DEVICES {
        let mut faults = Faults::default();
        let size = send_request.pushes.len();
        let too_long = FaultKind::TooLong {
            size,
            limit: MAX_DEVICES,
            unit: "devices",
        };
        faults.add(&Pointer::Root.key("devices"), too_long);
        return Err(Problem::invalid(faults));
    }
    let origin = config.origin(send_request.app.credential.environment);
    let pushes = send_request.pushes.iter().enumerate();
    let pushes = pushes.map(|(index, push)| Preview::of(index, push)).collect();
    let body = PreviewAnswer {
        app: &send_request.app.name,
        environment: send_request.app.credential.environment.as_str(),
        origin,
        warnings: &send_request.warnings,
        pushes,
    };
    Ok(Answer::json(serde_json::to_string(&body).unwrap_or_default()))
}

#[derive(Serialize)]
struct PreviewAnswer<'o> {
    app: &'o str,
    environment: &'static str,
    origin: String,
    #[serde(flatten)]
    warnings: &'o WarningSummary,
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
    /// The index of the device with the same content. Nothing is sent to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningEntry<'o>>,
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

#[derive(Serialize)]
struct WarningEntry<'o> {
    code: WarningCode,
    pointer: Cow<'o, str>,
    detail: &'o str,
}

impl<'o> WarningEntry<'o> {
    /// Creates a warning of the push at `index`. Its pointer starts at the root of the request, as all others
    /// of this answer do.
    fn of(index: usize, warning: &'o Warning) -> Self {
        let pointer = &warning.pointer;
        let pointer = if pointer.starts_with(OWN_PAYLOAD) {
            format!("/devices/{index}{pointer}").into()
        } else {
            pointer.into()
        };
        Self {
            code: warning.code,
            pointer,
            detail: &warning.detail,
        }
    }
}

impl<'o> Preview<'o> {
    fn of(index: usize, push: &'o Push) -> Self {
        let entry = |fault: &'o apns::fault::Fault| Entry {
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
            problem: match &push.request {
                Err(Unsent::Invalid(fault)) => Some(entry(fault)),
                Ok(_) | Err(Unsent::Duplicate { .. }) => None,
            },
            duplicate_of: match &push.request {
                Err(Unsent::Duplicate { of }) => Some(*of),
                Ok(_) | Err(Unsent::Invalid(_)) => None,
            },
            warnings: push
                .warnings
                .iter()
                .flat_map(|warnings| warnings.listed())
                .map(|warning| WarningEntry::of(index, warning))
                .collect(),
        }
    }
}

/// The most devices of a preview, for every transport. With bodies of the largest size the answer has some 2
/// MB.
pub const MAX_DEVICES: usize = 500;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{NOW, SEED, caller, config};

    #[test]
    fn a_preview_format_unchanged() {
        // What a caller checks before it sends; `push` sends these very headers and bytes.
        let config = config();
        let body = json!({
            "app": "news", "on_invalid": "skip",
            "notification": {
                "payload": {"aps": {"alert": "Grüße"}, "badge": 1.5}, "priority": 5, "expiration": 0,
                "collapse_id": "story-7",
            },
            "devices": [
                {"token": "<0011AABB> <22334455>", "ref": "Ann"},
                {"token": "ff00", "ref": "Bob", "payload": {"badge": null}},
                {"token": "x", "ref": "Eve"},
            ],
        })
        .to_string();
        let send_request =
            SendRequest::parse(body.as_bytes(), caller(&config, "editor"), &config, SEED, NOW).unwrap();
        let answer = answer(&send_request, &config).unwrap();
        assert_eq!((answer.status, answer.content_type), (200, "application/json"));
        let headers = |index: usize| {
            format!(
                r#"{{"apns-id":"abababab-abab-8bab-abab-abab0000000{index}","apns-push-type":"alert","apns-topic":"com.example.news","apns-priority":"5","apns-expiration":"0","apns-collapse-id":"story-7"}}"#
            )
        };
        let pushes = [
            format!(
                r#"{{"ref":"Ann","token_hint":"0011…4455","request":{{"method":"POST","path":"/3/device/0011aabb22334455","headers":{},"body":"{{\"aps\":{{\"alert\":\"Grüße\"}},\"badge\":1.5}}","size":39,"limit":4096}},"warnings":[{{"code":"misplaced_key","pointer":"/notification/payload/badge","detail":"does nothing here; did you mean `aps.badge`?"}}]}}"#,
                headers(0)
            ),
            format!(
                r#"{{"ref":"Bob","token_hint":"…","request":{{"method":"POST","path":"/3/device/ff00","headers":{},"body":"{{\"aps\":{{\"alert\":\"Grüße\"}}}}","size":27,"limit":4096}}}}"#,
                headers(1)
            ),
            r#"{"ref":"Eve","token_hint":"…","problem":{"pointer":"/devices/2/token","detail":"has a character at position 0 that is not a hex digit"}}"#.to_owned(),
        ];
        assert_eq!(
            answer.body,
            format!(
                r#"{{"app":"news","environment":"sandbox","origin":"https://api.sandbox.push.apple.com","warnings":[{{"code":"misplaced_key","pointer":"/notification/payload/badge","detail":"does nothing here; did you mean `aps.badge`?"}}],"pushes":[{}]}}"#,
                pushes.join(",")
            )
        );
    }
}
