//! Errors as RFC 9457 problem documents.
//!
//! The `type` of each is stable: programs may match on it. What the document says is for the caller; what only the
//! operator may see goes to the log, where it happens.

mod line_faults;

use serde::Serialize;

pub(crate) use line_faults::shortened;
pub use line_faults::{InvalidKind, LineFault, LineFaults};

use super::Answer;
use apns::fault::{Fault, Faults};

/// An error, as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    faults: Faults,
    /// In a box, since few problems have any and each is passed up many calls.
    lines: Box<LineFaults>,
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
    /// The body is in a coding that is not known.
    UnsupportedCoding,
    /// The body is not JSON.
    NotJson,
    /// A field of the request is at fault.
    InvalidRequest,
    /// The deployment's configuration is at fault.
    Misconfigured,
    /// A caller has as many requests of this kind under way as it may.
    TooManyRequests,
    /// All permits are taken and the queue for them is full, or there is no memory for the body.
    Busy,
    /// APNs accepts no provider token for now.
    ProviderTokenRefused,
    /// A part of the platform that we need did not answer.
    Unavailable,
    /// There is no batch of that id that the caller reaches.
    BatchNotFound,
    /// The batch is done or cancelled, and nothing can change it.
    BatchEnded,
    /// The batch still sends.
    BatchRunning,
    /// The idempotency key belongs to a request with another body.
    IdempotencyConflict,
    /// The first request with the idempotency key is still being read.
    UploadInProgress,
    /// There is no campaign of that id that the caller reaches.
    CampaignNotFound,
    /// The campaign does not do that in the state that it is in.
    CampaignState,
    /// There is no audience of that name that the caller reaches.
    AudienceNotFound,
    /// There is an audience of that name that is another.
    AudienceConflict,
    /// A campaign that has not ended is for the audience.
    AudienceInUse,
}

impl Kind {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound | Self::BatchNotFound | Self::CampaignNotFound | Self::AudienceNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::BodyTooLarge => 413,
            Self::UnsupportedCoding => 415,
            Self::NotJson => 400,
            Self::InvalidRequest => 422,
            Self::Misconfigured => 500,
            Self::TooManyRequests => 429,
            Self::Busy | Self::ProviderTokenRefused | Self::Unavailable => 503,
            Self::BatchEnded | Self::BatchRunning | Self::IdempotencyConflict | Self::UploadInProgress => 409,
            Self::CampaignState | Self::AudienceConflict | Self::AudienceInUse => 409,
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
            Self::UnsupportedCoding => "unsupported-coding",
            Self::NotJson => "not-json",
            Self::InvalidRequest => "invalid-request",
            Self::Misconfigured => "misconfigured",
            Self::TooManyRequests => "too-many-requests",
            Self::Busy => "busy",
            Self::ProviderTokenRefused => "provider-token-refused",
            Self::Unavailable => "unavailable",
            Self::BatchNotFound => "batch-not-found",
            Self::BatchEnded => "batch-ended",
            Self::BatchRunning => "batch-running",
            Self::IdempotencyConflict => "idempotency-conflict",
            Self::UploadInProgress => "upload-in-progress",
            Self::CampaignNotFound => "campaign-not-found",
            Self::CampaignState => "campaign-state",
            Self::AudienceNotFound => "audience-not-found",
            Self::AudienceConflict => "audience-conflict",
            Self::AudienceInUse => "audience-in-use",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::NotFound => "There is nothing at this path",
            Self::MethodNotAllowed => "The path does not take this method",
            Self::Unauthenticated => "An API key is needed",
            Self::Forbidden => "The API key does not reach this app",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedCoding => "The body is in a coding that is not known",
            Self::NotJson => "The body is not JSON",
            Self::InvalidRequest => "The request has faults",
            Self::Misconfigured => "The deployment's configuration has faults",
            Self::TooManyRequests => "There are too many such requests at once",
            Self::Busy => "Too much is being sent",
            Self::ProviderTokenRefused => "APNs accepts no provider token for now",
            Self::Unavailable => "A part of the service did not answer",
            Self::BatchNotFound => "There is no such batch",
            Self::BatchEnded => "The batch has ended",
            Self::BatchRunning => "The batch has not ended",
            Self::IdempotencyConflict => "The idempotency key belongs to another body",
            Self::UploadInProgress => "The first request with this idempotency key is still being read",
            Self::CampaignNotFound => "There is no such campaign",
            Self::CampaignState => "The campaign is in another state",
            Self::AudienceNotFound => "There is no such audience",
            Self::AudienceConflict => "There is another audience of this name",
            Self::AudienceInUse => "A campaign is for this audience",
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
            lines: Box::default(),
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

    /// A request in lines, or a document of devices, with these faults: `faults` of the request as a whole, and `lines`.
    #[must_use]
    pub fn invalid_lines(faults: Faults, lines: LineFaults) -> Self {
        let mut details: Vec<String> = faults.listed().iter().map(ToString::to_string).collect();
        let (kinds, told) = lines.summary();
        let more = faults.len() - details.len() + lines.len().saturating_sub(told);
        details.extend(kinds);
        if more > 0 {
            details.push(format!("and {more} more"));
        }
        Self {
            detail: details.join("; "),
            faults,
            lines: Box::new(lines),
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

    /// The first fault of the body, if it has one.
    #[must_use]
    pub fn first_fault(&self) -> Option<&Fault> {
        self.faults.listed().first()
    }

    /// What is wrong this time.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Which problem it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The problem as an answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let of_request = self.faults.listed().iter().map(|fault| (None, fault));
        let of_lines = self.lines.listed.iter();
        let of_lines = of_lines.map(|LineFault { line, fault }| (Some(*line), fault));
        let errors: Vec<Entry<'_>> = of_request
            .chain(of_lines)
            .map(|(line, fault)| Entry {
                line,
                pointer: Some(fault.pointer.as_str()).filter(|pointer| !pointer.is_empty()),
                detail: fault.kind.to_string(),
            })
            .collect();
        let document = Document {
            r#type: format!("{TYPE_PREFIX}{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status(),
            detail: &self.detail,
            pointer: errors.first().and_then(|error| error.pointer),
            more_errors: self.faults.len() + self.lines.len() - errors.len(),
            invalid_kinds: self.lines.kinds(),
            errors,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalid_kinds: Vec<InvalidKind>,
}

#[derive(Serialize)]
struct Entry<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    /// None if the body as a whole, or the line, is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'p str>,
    detail: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What stands before the slug in `type`: a URN, since the documents are read by programs and live nowhere.
pub const TYPE_PREFIX: &str = "urn:apns-edge:problem:";

#[cfg(test)]
mod tests;
