//! What runners say to a batch's object, and what a queue message says.
//!
//! JSON text between versions of the Worker that may differ for the minutes of a deployment: a field that is added needs
//! a default.

use serde::{Deserialize, Serialize};

use super::Results;
use crate::delivery::places::Places;
use crate::time::Timestamp;

/// A queue message: this chunk can be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The batch's id.
    pub batch: String,
    /// The chunk's number.
    pub chunk: u32,
}

/// What a runner, or another batch of the credential, says to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Give me the chunk: answered with an [`Assignment`], or with nothing.
    Claim {
        /// The chunk.
        chunk: u32,
    },
    /// Pushes have ended; answered with a [`super::Settled`].
    Settle {
        /// The chunk.
        chunk: u32,
        /// The claim's name.
        claim: Timestamp,
        /// How they ended; everything since the claim began.
        results: Results,
        /// Whether the runner is done with the chunk.
        over: bool,
    },
    /// The runner could not begin; nothing was sent.
    Release {
        /// The chunk.
        chunk: u32,
        /// The claim's name.
        claim: Timestamp,
        /// When to try again, in milliseconds.
        after_ms: u64,
    },
    /// The chunk cannot be sent as the deployment is now; nothing was sent, and the batch pauses.
    Halt {
        /// The chunk.
        chunk: u32,
        /// The claim's name.
        claim: Timestamp,
        /// What to look into.
        detail: String,
    },
    /// APNs refuses the batch's credential, as another batch has found.
    CredentialRefused {
        /// APNs' reason.
        reason: String,
    },
}

/// What a runner is to send: a line of JSON, and behind it the notification's line and the chunk's device lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The batch's id.
    pub batch: String,
    /// The chunk's number.
    pub chunk: u32,
    /// The claim's name, and when it ends by itself.
    pub claim: Timestamp,
    /// The app to send as.
    pub app: String,
    /// When the batch was made: what a relative expiration counts from.
    pub created_at: Timestamp,
    /// The position of the chunk's first push in the upload.
    pub first: u32,
    /// The places in the chunk to send.
    pub places: Places,
    /// The batch's share of the permits beside other batches.
    pub weight: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_messages_format_unchanged() {
        // Messages wait in the queue while a new version is deployed.
        let message = Message {
            batch: "00112233445566778899aabbccddeeff".to_owned(),
            chunk: 7,
        };
        let text = r#"{"batch":"00112233445566778899aabbccddeeff","chunk":7}"#;
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert_eq!(serde_json::from_str::<Message>(text).unwrap(), message);
    }

    #[test]
    fn a_commands_format_unchanged() {
        // A runner that the last deployment started tells a batch of this one.
        let command = Command::Settle {
            chunk: 7,
            claim: Timestamp::from_millis(9),
            results: Results::default(),
            over: true,
        };
        let text = r#"{"settle":{"chunk":7,"claim":9,"results":{"found":[]},"over":true}}"#;
        assert_eq!(serde_json::to_string(&command).unwrap(), text);
        assert_eq!(serde_json::from_str::<Command>(text).unwrap(), command);
    }
}
