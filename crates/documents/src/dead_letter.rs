//! `GET /v1/dead-letters`: messages that no consumer could process.

use serde::{Deserialize, Serialize};

/// The answer to `GET /v1/dead-letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// The letters, newest first.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the next page begins. `null` if there is none.
    pub cursor: Option<String>,
}

/// A message that could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The message's id.
    pub id: String,
    /// The queue that it was in.
    pub queue: String,
    /// When it was recorded.
    pub received_at: String,
    /// Why it could not be processed.
    pub problem: String,
    /// The size of its body in bytes.
    pub bytes: u64,
    /// The beginning of its body.
    pub body: String,
}
