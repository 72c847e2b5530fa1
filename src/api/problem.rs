//! Errors as RFC 9457 problem documents.
//!
//! The `type` of each is stable: programs may match on it. What the document says is for the caller; what only the
//! operator may see goes to the log, where it happens.

use serde::Serialize;

use super::Answer;
use crate::fault::Faults;

/// An error, as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    faults: Faults,
    headers: Vec<(&'static str, String)>,
}

/// The kinds of problem. Their slugs are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The path names nothing.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// There is no API key, or not a known one.
    Unauthenticated,
    /// The API key does not reach the app.
    Forbidden,
    /// The body is larger than its limit.
    BodyTooLarge,
    /// The body is not JSON.
    NotJson,
    /// A field of the request is at fault.
    InvalidRequest,
    /// The deployment's configuration is at fault.
    Misconfigured,
    /// All permits are taken and the queue for them is full.
    Busy,
    /// APNs accepts no provider token for now.
    ProviderTokenRefused,
    /// A part of the platform that we need did not answer.
    Unavailable,
}

impl Kind {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::BodyTooLarge => 413,
            Self::NotJson => 400,
            Self::InvalidRequest => 422,
            Self::Misconfigured => 500,
            Self::Busy | Self::ProviderTokenRefused | Self::Unavailable => 503,
        }
    }

    /// The last part of `type`.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::BodyTooLarge => "body-too-large",
            Self::NotJson => "not-json",
            Self::InvalidRequest => "invalid-request",
            Self::Misconfigured => "misconfigured",
            Self::Busy => "busy",
            Self::ProviderTokenRefused => "provider-token-refused",
            Self::Unavailable => "unavailable",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::NotFound => "There is nothing at this path",
            Self::MethodNotAllowed => "The path does not take this method",
            Self::Unauthenticated => "An API key is needed",
            Self::Forbidden => "The API key does not reach this app",
            Self::BodyTooLarge => "The body is too large",
            Self::NotJson => "The body is not JSON",
            Self::InvalidRequest => "The request has faults",
            Self::Misconfigured => "The deployment's configuration has faults",
            Self::Busy => "All permits are taken",
            Self::ProviderTokenRefused => "APNs accepts no provider token for now",
            Self::Unavailable => "A part of the service did not answer",
        }
    }
}

impl Problem {
    /// A problem of this kind; `detail` says what is wrong this time.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            faults: Faults::default(),
            headers: Vec::new(),
        }
    }

    /// A request with these faults.
    #[must_use]
    pub fn invalid(faults: Faults) -> Self {
        Self {
            detail: faults.to_string(),
            faults,
            ..Self::new(Kind::InvalidRequest, "")
        }
    }

    /// A deployment with these faults; each names its variable, none a value.
    #[must_use]
    pub fn misconfigured(faults: Faults) -> Self {
        Self {
            detail: faults.to_string(),
            faults,
            ..Self::new(Kind::Misconfigured, "")
        }
    }

    /// The same problem with a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same problem with `Retry-After`, in whole seconds, at least one.
    #[must_use]
    pub fn retry_after_ms(self, millis: u64) -> Self {
        self.with_header("retry-after", millis.div_ceil(1000).max(1).to_string())
    }

    /// Which problem it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The problem as an answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let faults = self.faults.listed();
        let errors: Vec<Entry<'_>> = faults
            .iter()
            .map(|fault| Entry {
                pointer: &fault.pointer,
                detail: fault.kind.to_string(),
            })
            .collect();
        let document = Document {
            r#type: format!("{TYPE_PREFIX}{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status(),
            detail: &self.detail,
            pointer: faults.first().map(|fault| fault.pointer.as_str()),
            errors,
            more_errors: self.faults.len() - faults.len(),
        };
        Answer {
            status: self.kind.status(),
            headers: self.headers.clone(),
            content_type: "application/problem+json",
            body: serde_json::to_string(&document).unwrap_or_default(),
        }
    }
}

#[derive(Serialize)]
struct Document<'p> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'p str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Entry<'p>>,
    #[serde(skip_serializing_if = "is_zero")]
    more_errors: usize,
}

#[derive(Serialize)]
struct Entry<'p> {
    pointer: &'p str,
    detail: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What stands before the slug in `type`: a URN, since the documents are read by programs and live nowhere.
pub const TYPE_PREFIX: &str = "urn:apns-edge:problem:";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{FaultKind, Pointer};

    #[test]
    fn a_problem_format_unchanged() {
        // Callers match on `type` and read `pointer`.
        let mut faults = Faults::default();
        faults.add(
            &Pointer::Root.key("devices"),
            FaultKind::TooLong {
                size: 501,
                limit: 500,
                unit: "devices",
            },
        );
        let answer = Problem::invalid(faults).answer();
        assert_eq!(
            (answer.status, answer.content_type),
            (422, "application/problem+json")
        );
        assert_eq!(
            answer.body,
            r#"{"type":"urn:apns-edge:problem:invalid-request","title":"The request has faults","status":422,"detail":"/devices: is 501 devices long; the limit is 500","pointer":"/devices","errors":[{"pointer":"/devices","detail":"is 501 devices long; the limit is 500"}]}"#
        );
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_zero() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let answer = Problem::new(Kind::Busy, "").retry_after_ms(millis).answer();
            assert_eq!(answer.headers, [("retry-after", seconds.to_owned())]);
        }
    }
}
