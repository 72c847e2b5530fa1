//! The outcome of one attempt to send a push: APNs' answer, or why there was none.
//!
//! A push that APNs certainly did not process may be retried freely. A push with an unknown result may be
//! shown twice if it is retried. Source: RFC 9113 sections 6.8 and 8.7 for HTTP/2's guarantees.

use std::fmt;
use std::time::Duration;

use super::reply::Reply;

/// The result of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// APNs answered.
    Answered(Reply),
    /// APNs certainly did not process the push.
    NotSent(TransportError),
    /// The push was sent, or may have been, and no answer arrived.
    Lost(TransportError),
}

impl Outcome {
    /// Returns the wait that the answer asked for.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered(reply) => reply.retry_after,
            Self::NotSent(_) | Self::Lost(_) => None,
        }
    }
}

impl Outcome {
    /// Returns the outcome without the parts that identify the push.
    #[must_use]
    pub fn without_ids(&self) -> Self {
        match self {
            Self::Answered(reply) => Self::Answered(Reply {
                apns_id: None,
                apns_unique_id: None,
                since: None,
                ..reply.clone()
            }),
            Self::NotSent(_) | Self::Lost(_) => self.clone(),
        }
    }
}

/// Why an attempt got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportError {
    /// No connection could be opened.
    Unreachable,
    /// The server refused the stream before it processed it.
    StreamRefused,
    /// The server is closing the connection and did not accept the stream.
    GoingAway,
    /// The connection or the stream broke.
    ConnectionLost,
    /// The attempt's deadline passed.
    Deadline,
    /// The request's time ran out before the push was sent.
    OutOfTime,
    /// APNs refused the provider token, and no newer one is available yet.
    TokenRefused,
}

impl TransportError {
    /// Returns the word for it in answers, used in place of APNs' reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "Unreachable",
            Self::StreamRefused => "StreamRefused",
            Self::GoingAway => "GoingAway",
            Self::ConnectionLost => "ConnectionLost",
            Self::Deadline => "DeadlinePassed",
            Self::OutOfTime => "OutOfTime",
            Self::TokenRefused => "ProviderTokenRefused",
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
