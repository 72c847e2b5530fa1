//! Errors as RFC 9457 problem documents (`application/problem+json`).

use serde::{Deserialize, Serialize};

use crate::InvalidKind;

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The stable name of the problem: [`TYPE_PREFIX`] and a slug.
    #[serde(rename = "type")]
    pub kind: String,
    /// The problem's title, the same for all problems of this kind.
    pub title: String,
    /// The HTTP status of the answer.
    #[serde(default)]
    pub status: u16,
    /// What is wrong this time.
    #[serde(default)]
    pub detail: String,
    /// The pointer of the first entry of `errors`. Absent if that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The faults of the request, at most 100 of its lines. Absent if the problem is not about the request's content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemEntry>,
    /// How many faults are not listed. Absent if all are.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub more_errors: u64,
    /// The faults of all lines in sum, at most 50 kinds. Absent if no line has a fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_kinds: Vec<InvalidKind>,
}

impl Problem {
    /// Returns the last part of `type`, or `None` if it is not one of ours.
    #[must_use]
    pub fn slug(&self) -> Option<&str> {
        self.kind.strip_prefix(TYPE_PREFIX)
    }
}

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemEntry {
    /// The line of the body, from 1. Absent if the fault is not in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// RFC 6901 pointer to the field. Absent if the body or the line as a whole is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What is wrong with it.
    pub detail: String,
}

/// What precedes the slug in `type`: a URN, because the documents are read by programs and are not web pages.
pub const TYPE_PREFIX: &str = "urn:apns-edge:problem:";
