//! The outcome of one attempt to send a push: APNs' answer, or why there was none.
//!
//! A push that APNs certainly did not process may be retried freely. One whose fate is unknown may show twice if it is
//! retried. Source: RFC 9113 sections 6.8 and 8.7 for HTTP/2's guarantees.

use std::fmt;
use std::time::Duration;

use super::reply::Reply;

/// The end of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer came.
    Answered(Reply),
    /// APNs surely has not processed the push.
    NotSent(TransportError),
    /// The push was sent, or may have been, and no answer came.
    Lost(TransportError),
}

impl Outcome {
    /// The wait that an answer asked for.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered(reply) => reply.retry_after,
            Self::NotSent(_) | Self::Lost(_) => None,
        }
    }
}

impl Outcome {
    /// The outcome without what belongs to the one push that had it.
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

/// Why an attempt had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportError {
    /// No connection could be opened.
    Unreachable,
    /// The server refused the stream before it looked at it.
    StreamRefused,
    /// The server is closing the connection and has not taken the stream.
    GoingAway,
    /// The connection or the stream broke.
    ConnectionLost,
    /// The attempt's deadline passed.
    Deadline,
    /// The request's time was over before the push's turn came.
    OutOfTime,
    /// APNs refused the provider token, and there is no other one yet.
    TokenRefused,
}

impl TransportError {
    /// The word for it in answers, in place of APNs' reason.
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
