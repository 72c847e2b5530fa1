//! The meaning of an attempt's outcome, in one table.
//!
//! [`judge`] maps APNs' words ([`Outcome`]) to our decision ([`Verdict`]). An unknown reason is judged by its
//! status class. Sources: Apple, "Handling notification responses from APNs"; RFC 9113 for what is unknown
//! after a broken connection; Cloudflare's list of 52x codes for answers of its proxy.

use std::fmt;

use serde::{Deserialize, Serialize};

use apns::{Outcome, Reason, Reply};

/// Our decision about a push after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// APNs accepted it.
    Accepted,
    /// APNs answered 410: the device token is no longer valid for this app. Drop the device if it was
    /// registered before the answer's `since`.
    DropDevice,
    /// APNs refuses this device token with this topic. The app's environment or topic may be wrong, or only
    /// this token.
    CheckToken,
    /// The request is wrong. APNs would refuse it again if it is sent unchanged.
    FixRequest,
    /// The key or the team is wrong. APNs would refuse every other push too.
    FixCredentials,
    /// It was not delivered and may be sent again.
    Retry(RetryCause),
    /// It may have been delivered. If it is sent again it may be shown twice.
    Unknown,
    /// It was left out: an earlier push has the same device and content.
    Duplicate,
}

/// The cause of a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryCause {
    /// The device got too many pushes in a row.
    Device,
    /// APNs has a failure.
    Server,
    /// The connection failed; a new one is enough.
    Connection,
    /// The network between us and APNs failed.
    Network,
    /// The provider token was refused; another one is needed first.
    ProviderToken(TokenRefusal),
}

/// Why APNs refused a correctly made provider token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenRefusal {
    /// It is older than an hour by Apple's clock.
    Expired,
    /// It was used less than 20 minutes after another one.
    TooManyUpdates,
}

impl Verdict {
    /// Returns the word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::DropDevice => "drop_device",
            Self::CheckToken => "check_token",
            Self::FixRequest => "fix_request",
            Self::FixCredentials => "fix_credentials",
            Self::Retry(_) => "retry",
            Self::Unknown => "unknown",
            Self::Duplicate => "duplicate",
        }
    }
}

impl Verdict {
    /// Whether the answer's connection must not be used any more. The server is going away, or the connection
    /// remembers an earlier token and refuses this one.
    #[must_use]
    pub const fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::Retry(RetryCause::Connection | RetryCause::ProviderToken(_))
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Decides about the outcome of one attempt.
#[must_use]
pub fn judge(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Answered(reply) => judge_reply(reply),
        Outcome::NotSent(_) => Verdict::Retry(RetryCause::Network),
        Outcome::Lost(_) => Verdict::Unknown,
    }
}

/// Whether APNs accepted the provider token and looked at the push itself.
#[must_use]
pub const fn proves_token(outcome: &Outcome, verdict: Verdict) -> bool {
    let Outcome::Answered(reply) = outcome else {
        return false;
    };
    reply.is_from_apns()
        && matches!(
            verdict,
            Verdict::Accepted
                | Verdict::DropDevice
                | Verdict::CheckToken
                | Verdict::FixRequest
                | Verdict::Retry(RetryCause::Device | RetryCause::Server)
        )
}

/// Whether APNs cannot have accepted the push: it was never sent, or its stream or provider token was
/// refused.
///
/// A push with one attempt is sent again only after such an outcome.
#[must_use]
pub const fn cannot_have_been_taken(outcome: &Outcome, verdict: Verdict) -> bool {
    match outcome {
        Outcome::NotSent(_) => true,
        Outcome::Answered(reply) => is_untaken(reply.status, verdict),
        Outcome::Lost(_) => false,
    }
}

/// Decides the same from an answer's status.
pub const fn is_untaken(status: u16, verdict: Verdict) -> bool {
    match verdict {
        // A proxy could not reach APNs, or APNs refused the provider token.
        Verdict::Retry(RetryCause::Network | RetryCause::ProviderToken(_)) | Verdict::FixCredentials => true,
        Verdict::Retry(RetryCause::Device | RetryCause::Server | RetryCause::Connection) => {
            status == FORBIDDEN
        }
        Verdict::Accepted
        | Verdict::DropDevice
        | Verdict::CheckToken
        | Verdict::FixRequest
        | Verdict::Unknown
        | Verdict::Duplicate => false,
    }
}

/// APNs' status for a provider token or key that it does not accept.
const FORBIDDEN: u16 = 403;

fn judge_reply(reply: &Reply) -> Verdict {
    if !reply.is_from_apns() {
        return judge_proxy(reply.status);
    }
    let row = reply
        .reason
        .as_ref()
        .and_then(|reason| TABLE.iter().find(|(known, _)| known == reason));
    match row {
        Some((_, Verdict::DropDevice | Verdict::CheckToken)) => judge_token_refusal(reply.status),
        Some((_, verdict)) => *verdict,
        None => judge_status(reply.status),
    }
}

/// Judges a refusal of the device token. Only 410 means that the device is gone, whatever the reason.
const fn judge_token_refusal(status: u16) -> Verdict {
    match status {
        400..=409 | 411..=428 | 430..=499 => Verdict::CheckToken,
        _ => judge_status(status),
    }
}

/// Whether a refusal with this verdict and reason is about the device token or the topic.
///
/// One such refusal says nothing about other devices. Many of them mean that the app's environment or topic
/// is wrong.
#[must_use]
pub fn doubts_setup(verdict: Verdict, reason: Option<&str>) -> bool {
    let is_topic = |reason| [Reason::BAD_TOPIC, Reason::MISSING_TOPIC].contains(&Reason::new(reason));
    match verdict {
        Verdict::CheckToken => true,
        Verdict::FixRequest => reason.is_some_and(is_topic),
        Verdict::Accepted
        | Verdict::DropDevice
        | Verdict::FixCredentials
        | Verdict::Retry(_)
        | Verdict::Unknown
        | Verdict::Duplicate => false,
    }
}

/// Judges by APNs' status alone, for reasons that are not in the table.
const fn judge_status(status: u16) -> Verdict {
    match status {
        200 => Verdict::Accepted,
        403 => Verdict::FixCredentials,
        410 => Verdict::DropDevice,
        429 => Verdict::Retry(RetryCause::Device),
        500..=599 => Verdict::Retry(RetryCause::Server),
        _ => Verdict::FixRequest,
    }
}

/// Judges a status that comes from a proxy between us and APNs.
const fn judge_proxy(status: u16) -> Verdict {
    match status {
        // Cloudflare could not connect or could not complete the TLS handshake: the request was never sent.
        521 | 522 | 523 | 525 | 526 | 530 | 429 => Verdict::Retry(RetryCause::Network),
        _ => Verdict::Unknown,
    }
}

/// Every reason that Apple documents for `/3/device`, in alphabetical order.
pub const TABLE: &[(Reason, Verdict)] = &[
    (Reason::BAD_CERTIFICATE, Verdict::FixCredentials),
    (Reason::BAD_CERTIFICATE_ENVIRONMENT, Verdict::FixCredentials),
    (Reason::BAD_COLLAPSE_ID, Verdict::FixRequest),
    (Reason::BAD_DEVICE_TOKEN, Verdict::CheckToken),
    (Reason::BAD_ENVIRONMENT_KEY_ID_IN_TOKEN, Verdict::FixCredentials),
    (Reason::BAD_ENVIRONMENT_KEY_IN_TOKEN, Verdict::FixCredentials),
    (Reason::BAD_EXPIRATION_DATE, Verdict::FixRequest),
    (Reason::BAD_MESSAGE_ID, Verdict::FixRequest),
    (Reason::BAD_PATH, Verdict::FixRequest),
    (Reason::BAD_PRIORITY, Verdict::FixRequest),
    (Reason::BAD_TOPIC, Verdict::FixRequest),
    (Reason::DEVICE_TOKEN_NOT_FOR_TOPIC, Verdict::CheckToken),
    (Reason::DUPLICATE_HEADERS, Verdict::FixRequest),
    (
        Reason::EXPIRED_PROVIDER_TOKEN,
        Verdict::Retry(RetryCause::ProviderToken(TokenRefusal::Expired)),
    ),
    (Reason::EXPIRED_TOKEN, Verdict::DropDevice),
    (Reason::FORBIDDEN, Verdict::FixCredentials),
    (Reason::IDLE_TIMEOUT, Verdict::Retry(RetryCause::Connection)),
    (Reason::INTERNAL_SERVER_ERROR, Verdict::Retry(RetryCause::Server)),
    (Reason::INVALID_PROVIDER_TOKEN, Verdict::FixCredentials),
    (Reason::INVALID_PUSH_TYPE, Verdict::FixRequest),
    (Reason::METHOD_NOT_ALLOWED, Verdict::FixRequest),
    (Reason::MISSING_DEVICE_TOKEN, Verdict::FixRequest),
    (Reason::MISSING_PROVIDER_TOKEN, Verdict::FixCredentials),
    (Reason::MISSING_TOPIC, Verdict::FixRequest),
    (Reason::PAYLOAD_EMPTY, Verdict::FixRequest),
    (Reason::PAYLOAD_TOO_LARGE, Verdict::FixRequest),
    (Reason::SERVICE_UNAVAILABLE, Verdict::Retry(RetryCause::Server)),
    (Reason::SHUTDOWN, Verdict::Retry(RetryCause::Connection)),
    (
        Reason::TOO_MANY_PROVIDER_TOKEN_UPDATES,
        Verdict::Retry(RetryCause::ProviderToken(TokenRefusal::TooManyUpdates)),
    ),
    (Reason::TOO_MANY_REQUESTS, Verdict::Retry(RetryCause::Device)),
    (Reason::TOPIC_DISALLOWED, Verdict::CheckToken),
    (Reason::UNREGISTERED, Verdict::DropDevice),
    (
        Reason::UNRELATED_KEY_ID_IN_TOKEN,
        Verdict::Retry(RetryCause::Connection),
    ),
];

#[cfg(test)]
mod tests;
