//! Whether a connection is in use, and why it ended.

use std::fmt;

use serde_json::Value;

use apns::Reason;

/// Whether a connection is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It accepts pushes.
    Open,
    /// It accepts no more pushes; those in flight may finish.
    Draining(CloseReason),
    /// It has ended.
    Closed(CloseReason),
}

/// Why a connection is no longer in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The server sent GOAWAY.
    GoAway {
        /// The HTTP/2 error code; 0 means no error.
        code: u32,
        /// Apple's reason, if the debug data has one.
        reason: Option<Reason>,
    },
    /// Its stream ids ran out.
    StreamIds,
    /// The server did not answer a PING.
    Silent,
    /// The byte stream broke or ended, or the server violated the protocol. Holds the details.
    Broken(String),
    /// We closed it.
    Done,
}

impl CloseReason {
    /// Reads the reason from a GOAWAY.
    pub(crate) fn go_away(code: u32, debug: &[u8]) -> Self {
        let reason = match serde_json::from_slice(debug) {
            Ok(Value::Object(debug)) => debug.get("reason").and_then(Value::as_str).map(Reason::new),
            _ => None,
        };
        Self::GoAway { code, reason }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoAway { code, reason: None } => write!(f, "the server is closing it (code {code})"),
            Self::GoAway {
                code,
                reason: Some(reason),
            } => {
                write!(f, "the server is closing it: {reason} (code {code})")
            }
            Self::StreamIds => f.write_str("its stream ids ran out"),
            Self::Silent => f.write_str("the server does not answer"),
            Self::Broken(what) => write!(f, "it broke: {what}"),
            Self::Done => f.write_str("it was closed"),
        }
    }
}

/// The connection accepts no more pushes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection takes no more pushes: {end}")]
pub struct Closed {
    /// The reason.
    pub end: CloseReason,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_away_has_apples_reason_or_none() {
        let reason = |debug: &[u8]| match CloseReason::go_away(0, debug) {
            CloseReason::GoAway { reason, .. } => reason,
            _ => unreachable!(),
        };
        assert_eq!(reason(br#"{"reason":"Shutdown"}"#), Some(Reason::SHUTDOWN));
        assert_eq!(reason(br#"{"reason":"Shut"#), None);
        assert_eq!(reason(br#"{"reason":7}"#), None);
        assert_eq!(reason(b""), None);
    }
}
