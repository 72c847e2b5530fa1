//! The commands that runners, scans and the scheduler send to a batch's object, and the queue messages.
//!
//! Both are JSON text. During a deployment they pass between two versions of the Worker, so a new field needs
//! a default.

use serde::{Deserialize, Serialize};

use super::{LeftOut, Record, Results, State};
use crate::bit_set::BitSet;
use apns::time::Timestamp;

/// A queue message: this chunk can be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The batch's id.
    pub batch: String,
    /// The chunk's number.
    pub chunk: u32,
}

/// A command to a batch from a runner, a scan, the scheduler, or another batch of the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Claims a chunk. Answered with an [`Assignment`], or with nothing if there is nothing to send.
    Claim {
        /// The chunk.
        chunk: u32,
    },
    /// Reports results of pushes. Answered with a [`super::Settled`].
    Settle {
        /// The chunk.
        chunk: u32,
        /// The claim's id.
        claim: Timestamp,
        /// All results since the claim began.
        results: Results,
        /// Whether the runner has finished with the chunk.
        over: bool,
    },
    /// Returns a claim because the runner could not begin. Nothing was sent.
    Release {
        /// The chunk.
        chunk: u32,
        /// The claim's id.
        claim: Timestamp,
        /// When to try again, in milliseconds.
        after_ms: u64,
    },
    /// Reports that the chunk cannot be sent with the deployment's current settings. Nothing was sent, and
    /// the batch pauses.
    Halt {
        /// The chunk.
        chunk: u32,
        /// The claim's id.
        claim: Timestamp,
        /// What to check.
        detail: String,
    },
    /// Another batch has found that APNs refuses the credential.
    CredentialRefused {
        /// APNs' reason.
        reason: String,
    },
    /// Opens a batch that scans fill while it is sent. Answered with [`BatchStatus`]. An existing batch is not
    /// changed.
    Open {
        /// The batch's record.
        record: Box<Record>,
        /// What all pushes share: the first line of an NDJSON request.
        head: String,
        /// The number of scans that fill it. Scans are numbered from 0.
        scans: u32,
        /// After this moment the batch refuses to be opened, because the scheduler has given up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Appends a scan's next chunk, whose device lines follow the command. Answered with [`Appended`].
    Append(Append),
    /// A control of the campaign whose run the batch is. Answered with [`BatchStatus`].
    Control {
        /// The control.
        control: BatchControl,
        /// When the scheduler requested it.
        issued_at: Timestamp,
    },
    /// Returns how many devices the run has left out so far, as [`LeftOut`].
    CountLeftOut,
}

/// What a campaign's scheduler wants of a run's batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchControl {
    /// Stop sending until it is resumed.
    Pause,
    /// Send.
    #[default]
    Resume,
    /// Stop sending for good.
    Cancel,
}

/// The next step of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The scan's number.
    pub scan: u32,
    /// Where the step begins: where the scan's last step ended. Empty at the start of the scan.
    pub from: String,
    /// Where the step ends. A step with pushes does not end where it begins.
    pub to: String,
    /// The number of pushes, one line each; 0 if no device was found.
    pub pushes: u32,
    /// The number of devices left out in this step. A step that leaves out devices does not end where it
    /// begins.
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
    /// Whether this is the scan's last step.
    pub last: bool,
    /// Why no scan can continue: the campaign cannot be read any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The answer to a scan's step. It overrides what the scan knew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// The scan's position, from which it continues. If the step was not accepted, this is where it began.
    pub cursor: String,
    /// Whether the scan is over.
    pub last: bool,
    /// How long the scan waits before its next step, in milliseconds.
    pub hold_ms: u64,
    /// Whether the scan must stop. The batch accepts no more of its steps.
    pub stop: bool,
}

/// A batch's state, as answered to the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchStatus {
    /// The state.
    pub state: State,
}

/// What a runner sends: one line of JSON, followed by the notification's line and the chunk's device lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The batch's id.
    pub batch: String,
    /// The chunk's number.
    pub chunk: u32,
    /// The claim's id and the moment at which it expires.
    pub claim: Timestamp,
    /// The app to send as.
    pub app: String,
    /// When the batch was created. A relative expiration counts from here.
    pub created_at: Timestamp,
    /// The position of the chunk's first push in the upload.
    pub first: u32,
    /// The indices of the pushes to send.
    pub indices: BitSet,
    /// The batch's weight for permits relative to other batches.
    pub weight: u32,
    /// Whether the pushes get the chunk's collapse id.
    pub collapse_repeats: bool,
    /// When the runner stops sending, if this may be before the claim expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_until: Option<Timestamp>,
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
        // A runner of the previous deployment reports to a batch of this one.
        let command = Command::Settle {
            chunk: 7,
            claim: Timestamp::from_millis(9),
            results: Results::default(),
            over: true,
        };
        let text = r#"{"settle":{"chunk":7,"claim":9,"results":{"groups":[]},"over":true}}"#;
        assert_eq!(serde_json::to_string(&command).unwrap(), text);
        assert_eq!(serde_json::from_str::<Command>(text).unwrap(), command);
    }

    #[test]
    fn a_scans_format_unchanged() {
        // A shard of the previous deployment appends to a batch of this one.
        let append = Command::Append(Append {
            scan: 3,
            from: String::new(),
            to: "0.500".to_owned(),
            pushes: 499,
            left_out: LeftOut {
                invalid: 1,
                ..LeftOut::default()
            },
            last: false,
            fault: None,
        });
        let text = r#"{"append":{"scan":3,"from":"","to":"0.500","pushes":499,"left_out":{"invalid":1},"last":false}}"#;
        assert_eq!(serde_json::to_string(&append).unwrap(), text);
        assert_eq!(serde_json::from_str::<Command>(text).unwrap(), append);
        let appended = Appended {
            cursor: "0.500".to_owned(),
            last: false,
            hold_ms: 250,
            stop: false,
        };
        let text = r#"{"cursor":"0.500","last":false,"hold_ms":250,"stop":false}"#;
        assert_eq!(serde_json::to_string(&appended).unwrap(), text);
        assert_eq!(serde_json::from_str::<Appended>(text).unwrap(), appended);
    }

    #[test]
    fn the_schedulers_words_format_unchanged() {
        // A scheduler of the previous deployment sends this to a batch of this one.
        for (control, word) in [
            (BatchControl::Pause, "pause"),
            (BatchControl::Resume, "resume"),
            (BatchControl::Cancel, "cancel"),
        ] {
            let issued_at = Timestamp::from_millis(7);
            let command = Command::Control { control, issued_at };
            let text = format!(r#"{{"control":{{"control":"{word}","issued_at":7}}}}"#);
            assert_eq!(serde_json::to_string(&command).unwrap(), text);
            assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
        }
        let status = BatchStatus {
            state: State::Cancelling,
        };
        assert_eq!(
            serde_json::to_string(&status).unwrap(),
            r#"{"state":"cancelling"}"#
        );
    }
}
