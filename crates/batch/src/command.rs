//! What runners, scans and the scheduler say to a batch's object, and what a queue message says.
//!
//! JSON text between versions of the Worker that may differ for the minutes of a deployment: a field that is added needs
//! a default.

use serde::{Deserialize, Serialize};

use super::{LeftOut, Record, Results, State};
use crate::places::Places;
use apns::time::Timestamp;

/// A queue message: this chunk can be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The batch's id.
    pub batch: String,
    /// The chunk's number.
    pub chunk: u32,
}

/// What a runner, a scan, the scheduler or another batch of the credential says to a batch.
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
    /// Begin: scans will fill the batch while it is sent. Answered with [`Stands`]; one that is there stays as it is.
    Open {
        /// What the batch is to know of itself.
        record: Box<Record>,
        /// What every push has: the first line of an order in lines.
        head: String,
        /// How many scans fill it; their numbers begin at 0.
        scans: u32,
        /// When the batch refuses to be opened, as whoever wants it has given up by then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A scan brings its next chunk, whose device lines stand behind the command; answered with [`Appended`].
    Append(Append),
    /// Start nothing more for now; answered with [`Stands`], as are the next two.
    Pause {
        /// Why, for those who look at the batch.
        detail: String,
    },
    /// Go on.
    Resume,
    /// Send nothing more, for good.
    Cancel,
    /// Say how many devices the run has left out so far; answered with [`LeftOut`].
    CountLeftOut,
}

/// The next step of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Which scan.
    pub scan: u32,
    /// Where the step begins: where the scan's last one ended; nothing at its start.
    pub from: String,
    /// Where it ends. A step with pushes ends elsewhere than it begins.
    pub to: String,
    /// How many pushes it brings: a line each, none if no device was found.
    pub pushes: u32,
    /// How many devices were left out on the way. A step that leaves out any ends elsewhere than it begins.
    #[serde(default, skip_serializing_if = "LeftOut::is_nothing")]
    pub left_out: LeftOut,
    /// Whether the scan is over.
    pub last: bool,
    /// Why the scan cannot go on, if so: nothing more of the campaign can be made, by any scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What a scan is told: to be taken for the truth, whatever it knew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// How far the scan has come: it goes on from here. Where its step began if that was not taken.
    pub cursor: String,
    /// Whether the scan is over.
    pub last: bool,
    /// How long it is to wait before its next step, in milliseconds.
    pub hold_ms: u64,
    /// Whether it is to end: nothing of it is taken any more.
    pub stop: bool,
}

/// How a batch stands, as the scheduler is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stands {
    /// In a word.
    pub state: State,
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
    /// Whether the pushes get a collapse id of the chunk.
    pub collapse_repeats: bool,
    /// When the runner is to send nothing more, if that may come before the claim ends.
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

    #[test]
    fn a_scans_format_unchanged() {
        // A shard that the last deployment started appends to a batch of this one.
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
        // A scheduler of the last deployment speaks to a batch of this one.
        let pause = Command::Pause {
            detail: "so".to_owned(),
        };
        for (command, text) in [
            (pause, r#"{"pause":{"detail":"so"}}"#),
            (Command::Resume, r#""resume""#),
            (Command::Cancel, r#""cancel""#),
        ] {
            assert_eq!(serde_json::to_string(&command).unwrap(), text);
            assert_eq!(serde_json::from_str::<Command>(text).unwrap(), command);
        }
        let stands = Stands {
            state: State::Cancelling,
        };
        assert_eq!(
            serde_json::to_string(&stands).unwrap(),
            r#"{"state":"cancelling"}"#
        );
    }
}
