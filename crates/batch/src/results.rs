//! The results of a chunk's pushes, as its runner reports them and as the batch stores them.
//!
//! Pushes with the same result are reported as one group: most chunks have one result and a set of indices. A
//! report may be repeated, or made in parts and then as a whole, without any change. A runner therefore
//! repeats everything with each report, and no single report matters. What only one push has (APNs'
//! timestamp, its unique id) is reported separately.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bit_set::BitSet;
use apns::time::Timestamp;
use apns::{Outcome, TransportError};
use delivery::receipt::{Receipt, Status};
use delivery::verdict::{self, Verdict};

/// The results of pushes of one chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// The pushes that ended, grouped by result.
    pub groups: Vec<ResultGroup>,
    /// Details of single pushes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

/// Pushes with the same result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultGroup {
    /// The result.
    pub result: FinalResult,
    /// The wait that APNs, or whatever else stopped them, asked for, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Whether they were not tried at all, because the runner's time was over or it had to stop.
    #[serde(default, skip_serializing_if = "is_false")]
    pub untried: bool,
    /// The indices of the pushes.
    pub indices: BitSet,
}

/// The final result of a push, shared by all pushes with an equal receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalResult {
    /// The meaning of the outcome.
    pub verdict: Verdict,
    /// APNs' HTTP status; 0 if APNs did not answer.
    pub code: u16,
    /// APNs' reason, or ours if APNs gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of attempts.
    pub attempts: u8,
    /// Why it was given up although a retry was possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gave_up: Option<GaveUp>,
}

/// Why a batch gave up a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GaveUp {
    /// The notification expired before the next attempt.
    Expired,
    /// The batch's time for retries was over.
    OutOfRetries,
}

impl GaveUp {
    /// Returns the word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::OutOfRetries => "out_of_retries",
        }
    }
}

/// Details of a single push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The index of the push in the chunk.
    pub index: usize,
    /// Since when its device is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// `apns-unique-id`, which only the sandbox sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_id: Option<String>,
}

impl Results {
    /// Adds the result of a push. The receipt's `push` is the index in the chunk.
    pub fn add(&mut self, receipt: &Receipt) {
        let mut result = FinalResult::of(receipt);
        let is_final = result.is_final(false);
        let untried = receipt.outcome == Outcome::NotSent(TransportError::OutOfTime);
        let asked = receipt.outcome.retry_after();
        // A push that was never sent has the wait of what stopped it.
        let wait = if receipt.attempts == 0 {
            receipt.retry_after
        } else {
            asked
        };
        let retry_after_ms = wait.filter(|_| !is_final && !untried).map(millis);
        if untried {
            result.reason = None;
        }
        self.detail(receipt);
        let same = |group: &&mut ResultGroup| {
            (&group.result, group.retry_after_ms, group.untried) == (&result, retry_after_ms, untried)
        };
        if let Some(group) = self.groups.iter_mut().find(same) {
            group.indices.insert(receipt.push);
            return;
        }
        let indices = std::iter::once(receipt.push).collect();
        self.groups.push(ResultGroup {
            result,
            retry_after_ms,
            untried,
            indices,
        });
    }

    /// Returns the number of pushes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.indices.len()).sum()
    }

    /// Whether it has no pushes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn detail(&mut self, receipt: &Receipt) {
        let Outcome::Answered(reply) = &receipt.outcome else {
            return;
        };
        let (since, unique_id) = (reply.since, reply.apns_unique_id.clone());
        if since.is_some() || unique_id.is_some() {
            let index = receipt.push;
            self.details.push(Detail {
                index,
                since,
                unique_id,
            });
        }
    }
}

impl FinalResult {
    fn of(receipt: &Receipt) -> Self {
        let code = match &receipt.outcome {
            Outcome::Answered(reply) => reply.status,
            Outcome::NotSent(_) | Outcome::Lost(_) => 0,
        };
        Self {
            verdict: receipt.verdict,
            code,
            reason: receipt.reason().map(str::to_owned),
            attempts: receipt.attempts,
            gave_up: None,
        }
    }

    /// Returns the result of a push that is left out because an earlier one has the same device and content.
    #[must_use]
    pub const fn duplicate() -> Self {
        Self {
            verdict: Verdict::Duplicate,
            code: 0,
            reason: None,
            attempts: 0,
            gave_up: None,
        }
    }

    /// Whether the push is not sent again. `repeatable` says whether a push that is sent twice takes effect
    /// once.
    #[must_use]
    pub const fn is_final(&self, repeatable: bool) -> bool {
        match self.verdict {
            _ if self.gave_up.is_some() => true,
            Verdict::Accepted
            | Verdict::DropDevice
            | Verdict::CheckToken
            | Verdict::FixRequest
            | Verdict::Duplicate => true,
            Verdict::Unknown => !repeatable,
            Verdict::FixCredentials | Verdict::Retry(_) => false,
        }
    }

    /// Whether APNs may have accepted the push although it did not say so.
    #[must_use]
    pub const fn may_have_been_taken(&self) -> bool {
        self.code != 0 && !verdict::is_untaken(self.code, self.verdict)
    }

    /// Whether APNs has certainly not accepted the push: it was not sent, or it was refused. A push to a
    /// device that is gone counts as accepted.
    #[must_use]
    pub const fn is_not_accepted(&self) -> bool {
        match self.verdict {
            Verdict::CheckToken | Verdict::FixRequest | Verdict::FixCredentials | Verdict::Retry(_) => true,
            Verdict::Accepted | Verdict::DropDevice | Verdict::Unknown | Verdict::Duplicate => false,
        }
    }

    /// Returns the status of a push with this result.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.verdict {
            _ if self.gave_up.is_some() => Status::Failed,
            Verdict::Accepted => Status::Accepted,
            Verdict::DropDevice | Verdict::CheckToken | Verdict::FixRequest => Status::Rejected,
            Verdict::Retry(_) => Status::Retrying,
            Verdict::FixCredentials | Verdict::Unknown => Status::Failed,
            Verdict::Duplicate => Status::Duplicate,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Returns the result code for result number `index`. A chunk's row has one such character per push.
#[must_use]
pub fn result_code(index: usize) -> char {
    let code = u32::try_from(index).ok().and_then(|index| {
        // The codes are the printable ASCII characters that JSON does not escape, then characters beyond
        // ASCII. A push takes one byte as long as a batch has at most ninety results.
        let code = FIRST_CODE.checked_add(index)?;
        Some(match code {
            ..BACKSLASH => code,
            BACKSLASH..=LAST_BEFORE => code + 1,
            _ => code - LAST_ASCII + BEYOND_ASCII,
        })
    });
    code.and_then(char::from_u32).unwrap_or(NO_RESULT)
}

/// Returns the result number of a code. Returns `None` for [`NO_RESULT`].
#[must_use]
pub fn result_index(code: char) -> Option<usize> {
    let code = u32::from(code);
    let index = match code {
        FIRST_CODE..=LAST_ASCII if code < BACKSLASH => code - FIRST_CODE,
        FIRST_CODE..=LAST_ASCII if code > BACKSLASH => code - 1 - FIRST_CODE,
        BEYOND_ASCII.. => code - BEYOND_ASCII + LAST_ASCII - FIRST_CODE,
        _ => return None,
    };
    usize::try_from(index).ok()
}

/// `#`: the first character after the quotation mark, which JSON would escape.
const FIRST_CODE: u32 = 0x23;

/// The only other printable ASCII character that JSON escapes.
const BACKSLASH: u32 = 0x5c;

/// `~`.
const LAST_ASCII: u32 = 0x7e;

/// The character before [`LAST_ASCII`].
const LAST_BEFORE: u32 = LAST_ASCII - 1;

/// The first code beyond ASCII: two bytes each.
const BEYOND_ASCII: u32 = 0x100;

/// The code of a push without a final result.
pub const NO_RESULT: char = ' ';

/// The number of results that a batch distinguishes. Reasons are APNs' words, and a broken server must not
/// fill the memory.
pub const MAX_FINAL_RESULTS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use apns::Reply;
    use delivery::verdict::judge;

    fn receipt(push: usize, outcome: Outcome, attempts: u8) -> Receipt {
        let verdict = judge(&outcome);
        Receipt {
            push,
            outcome,
            verdict,
            retry_after: None,
            attempts,
            latency: Duration::ZERO,
            one_attempt: false,
        }
    }

    fn answered(status: u16, body: &str) -> Outcome {
        let header = |name: &str| (name == "apns-id").then_some("id");
        Outcome::Answered(Reply::read(status, header, body.as_bytes(), Timestamp::default()))
    }

    #[test]
    fn every_result_has_a_code_of_its_own_that_json_does_not_escape() {
        for number in 0..MAX_FINAL_RESULTS {
            let written = result_code(number);
            assert_ne!(written, NO_RESULT);
            assert_eq!(result_index(written), Some(number), "{written}");
            assert_eq!(serde_json::to_string(&written).unwrap(), format!("\"{written}\""));
        }
        assert_eq!(result_index(NO_RESULT), None);
        assert_eq!(result_code(0), '#');
    }

    #[test]
    fn pushes_with_equal_results_are_grouped() {
        let mut results = Results::default();
        for push in 0..499 {
            results.add(&receipt(push, answered(200, ""), 1));
        }
        let gone = answered(410, r#"{"reason":"Unregistered","timestamp":1795420800000}"#);
        results.add(&receipt(499, gone, 1));
        assert_eq!((results.len(), results.groups.len()), (500, 2));
        assert_eq!(
            serde_json::to_string(&results).unwrap(),
            r#"{"groups":[{"result":{"verdict":"accepted","code":200,"attempts":1},"indices":[[0,498]]},{"result":{"verdict":"drop_device","code":410,"reason":"Unregistered","attempts":1},"indices":[[499,499]]}],"details":[{"index":499,"since":1795420800000}]}"#
        );
    }

    #[test]
    fn results_format_unchanged() {
        // A runner of the previous deployment reports to a batch of this one.
        let text = r#"{"groups":[{"result":{"verdict":{"retry":{"provider_token":"expired"}},"code":403,"reason":"ExpiredProviderToken","attempts":1},"retry_after_ms":5,"untried":true,"indices":[[3,4]]}]}"#;
        let results: Results = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&results).unwrap(), text);
    }

    #[test]
    fn what_was_not_tried_is_told_so() {
        let mut results = Results::default();
        let stopped = Receipt {
            retry_after: Some(Duration::from_secs(1)),
            ..receipt(3, Outcome::NotSent(TransportError::OutOfTime), 0)
        };
        results.add(&stopped);
        let group = &results.groups[0];
        assert!(group.untried && group.retry_after_ms.is_none());
        let refused = Receipt {
            retry_after: Some(Duration::from_secs(9)),
            ..receipt(4, Outcome::NotSent(TransportError::TokenRefused), 0)
        };
        results.add(&refused);
        assert_eq!(results.groups[1].retry_after_ms, Some(9000));
    }

    #[test]
    fn a_lost_answer_is_final_unless_the_push_may_be_repeated() {
        let mut results = Results::default();
        results.add(&receipt(0, Outcome::Lost(TransportError::Deadline), 1));
        let result = &results.groups[0].result;
        assert!(result.is_final(false) && !result.is_final(true));
        assert_eq!(result.status(), Status::Failed);
    }
}
