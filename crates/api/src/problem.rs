//! Errors as RFC 9457 problem documents.
//!
//! The `type` of each is stable, so that programs can match on it. The document is for the caller. What only
//! the operator may see is logged where it happens.

mod line_faults;

pub(crate) use line_faults::shortened;
pub use line_faults::{LineFault, LineFaults};

use super::{Answer, convert};
use apns::fault::{Fault, Faults};
use documents::problem::ProblemEntry;

pub use documents::problem::TYPE_PREFIX;

/// An error, as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    faults: Faults,
    /// Boxed, because few problems have line faults and each problem is returned through many calls.
    lines: Box<LineFaults>,
    headers: Vec<(&'static str, String)>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $name:ident = $status:literal, $slug:literal, $title:literal;)+) => {
        /// The kinds of problem. Their slugs are part of the contract. docs/reference/problems.md describes each
        /// to callers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])+ $name,)+
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)+
                }
            }

            /// The last part of `type`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)+
                }
            }

            const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)+
                }
            }
        }
    };
}

kinds! {
    /// The path is unknown.
    NotFound = 404, "not-found", "Unknown path";
    /// The path does not accept this method.
    MethodNotAllowed = 405, "method-not-allowed", "Method not allowed";
    /// There is no API key, or an unknown one.
    Unauthenticated = 401, "unauthenticated", "Missing or unknown API key";
    /// The API key has no access to the app.
    Forbidden = 403, "forbidden", "No access to this app";
    /// The body is larger than its limit.
    BodyTooLarge = 413, "body-too-large", "Body too large";
    /// The content coding of the body is unknown.
    UnsupportedCoding = 415, "unsupported-coding", "Unsupported content coding";
    /// The body is not JSON.
    NotJson = 400, "not-json", "The body is not JSON";
    /// Fields of the request have faults.
    InvalidRequest = 422, "invalid-request", "Invalid request";
    /// The settings of the deployment have faults.
    Misconfigured = 500, "misconfigured", "Invalid settings of the deployment";
    /// A caller has too many requests of this kind in progress.
    TooManyRequests = 429, "too-many-requests", "Too many requests of this kind at once";
    /// All permits are taken and the queue for them is full, or there is no memory for the body.
    Busy = 503, "busy", "Too much in progress";
    /// APNs accepts no provider token for now.
    ProviderTokenRefused = 503, "provider-token-refused", "APNs rejects the provider token for now";
    /// A part of the platform did not answer.
    Unavailable = 503, "unavailable", "A part of the service did not answer";
    /// No batch with this id exists, or the caller has no access to it.
    BatchNotFound = 404, "batch-not-found", "Unknown batch";
    /// The batch is done or cancelled, and nothing can change it.
    BatchEnded = 409, "batch-ended", "The batch has ended";
    /// The batch has not ended.
    BatchRunning = 409, "batch-running", "The batch has not ended";
    /// The idempotency key belongs to a request with another body.
    IdempotencyConflict = 409, "idempotency-conflict", "The idempotency key was used with another body";
    /// The first request with the idempotency key is still being read.
    UploadInProgress = 409, "upload-in-progress", "The first request with this idempotency key is still being read";
    /// No campaign with this id exists, or the caller has no access to it.
    CampaignNotFound = 404, "campaign-not-found", "Unknown campaign";
    /// The state of the campaign does not allow this.
    CampaignState = 409, "campaign-state", "The state of the campaign does not allow this";
    /// No audience with this name exists, or the caller has no access to it.
    AudienceNotFound = 404, "audience-not-found", "Unknown audience";
    /// A different audience has this name, or it is being deleted.
    AudienceConflict = 409, "audience-conflict", "A different audience has this name";
    /// A campaign that has not ended uses the audience.
    AudienceInUse = 409, "audience-in-use", "A campaign uses this audience";
}

impl Problem {
    /// Creates a problem of this kind. `detail` says what is wrong in this case.
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

    /// Creates the problem of a request with these faults.
    #[must_use]
    pub fn invalid(faults: Faults) -> Self {
        Self {
            detail: faults.to_string(),
            faults,
            ..Self::new(Kind::InvalidRequest, "")
        }
    }

    /// Creates the problem of a request with `faults` of the request as a whole, and faults of `lines` or of
    /// devices in a document.
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

    /// Creates the problem of a deployment with these faults. Each names its variable and never a value.
    #[must_use]
    pub fn misconfigured(faults: Faults) -> Self {
        Self {
            detail: faults.to_string(),
            faults,
            ..Self::new(Kind::Misconfigured, "")
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds `Retry-After` in whole seconds, at least one.
    #[must_use]
    pub fn retry_after_ms(self, millis: u64) -> Self {
        self.with_header("retry-after", millis.div_ceil(1000).max(1).to_string())
    }

    /// Returns the first fault of the body, if it has one.
    #[must_use]
    pub fn first_fault(&self) -> Option<&Fault> {
        self.faults.listed().first()
    }

    /// Returns what is wrong in this case.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the kind of problem.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the problem as an answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let of_request = self.faults.listed().iter().map(|fault| (None, fault));
        let of_lines = self.lines.listed.iter();
        let of_lines = of_lines.map(|LineFault { line, fault }| (Some((*line).into()), fault));
        let errors: Vec<ProblemEntry> = of_request
            .chain(of_lines)
            .map(|(line, fault)| ProblemEntry {
                line,
                pointer: (!fault.pointer.is_empty()).then(|| fault.pointer.clone()),
                detail: fault.kind.to_string(),
            })
            .collect();
        let document = documents::Problem {
            kind: format!("{TYPE_PREFIX}{}", self.kind.slug()),
            title: self.kind.title().to_owned(),
            status: self.kind.status(),
            detail: self.detail.clone(),
            pointer: errors.first().and_then(|error| error.pointer.clone()),
            more_errors: convert::number(self.faults.len() + self.lines.len() - errors.len()),
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

#[cfg(test)]
mod tests;
