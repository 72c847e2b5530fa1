//! Detects that a batch's device tokens do not fit the app's environment or topic.
//!
//! A few refusals about token or topic are the faults of those devices. Many of them mean that the app is
//! configured wrong, and APNs would refuse every further push too. In scope: how many are too many, for
//! pausing the batch, for its status and for its audience. Out of scope: which refusals are about token or
//! topic (`verdict`).

use super::results::FinalResult;
use super::{Batch, INITIAL_PUSHES, Pause, PausedBy};
use apns::Reason;
use apns::time::Timestamp;
use delivery::verdict::{Verdict, doubts_setup};

/// The number of a batch's refusals about token or topic, and of its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct BadTokenDetector<'b> {
    answers: u64,
    refused: u64,
    /// The most frequent reason, with its count.
    most: Option<(&'b str, u64)>,
}

/// Why a batch was probably sent with the wrong environment or topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// APNs' most frequent reason about token or topic.
    pub reason: String,
    /// The number of pushes that were refused for it.
    pub count: u64,
}

impl<'b> BadTokenDetector<'b> {
    fn of(endings: &'b [FinalResult], counts: &[u64]) -> Self {
        let mut detector = Self::default();
        let mut by_reason: Vec<(&str, u64)> = Vec::new();
        for (result, count) in endings.iter().zip(counts).filter(|(result, _)| is_answer(result)) {
            detector.answers += count;
            let reason = result.reason.as_deref();
            if !doubts_setup(result.verdict, reason) {
                continue;
            }
            detector.refused += count;
            let reason = reason.unwrap_or_default();
            match by_reason.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, known)) => *known += count,
                None => by_reason.push((reason, *count)),
            }
        }
        detector.most = by_reason.into_iter().max_by_key(|(_, count)| *count);
        detector
    }

    /// Whether such refusals are more than `percent` of the answers. At least `least` answers are assumed.
    const fn exceed(&self, percent: u32, least: u64) -> bool {
        let answers = if self.answers < least { least } else { self.answers };
        self.refused.saturating_mul(100) > answers.saturating_mul(percent as u64)
    }
}

impl Batch {
    /// Pauses the batch if it has pushes left and too many were refused because of token or topic.
    pub(super) fn check_tokens(&mut self, now: Timestamp) {
        if self.record.ignores_bad_tokens || !self.is_left() {
            return;
        }
        let detector = self.bad_token_detector();
        // Refusals may come first by chance, so their share is computed from the number of first pushes,
        // answered or not.
        let first = if self.is_open() {
            INITIAL_PUSHES
        } else {
            INITIAL_PUSHES.min(self.sendable())
        };
        if detector.refused < FEWEST || !detector.exceed(self.record.terms.bad_token_percent, first) {
            return;
        }
        let Some((reason, count)) = detector.most else {
            return;
        };
        let detail = detail(reason, count, detector.answers);
        let by = PausedBy::BadDeviceTokens;
        self.pause(Pause { by, detail }, now);
    }

    /// Returns why the ended batch was probably sent with the wrong environment or topic. Returns `None` if
    /// there are too few such refusals.
    pub(super) fn suspect(&self) -> Option<Suspect> {
        let detector = self.bad_token_detector();
        let exceed = detector.exceed(self.record.terms.bad_token_percent, 0);
        let is_suspect = self.record.state.has_ended() && detector.refused >= FEWEST && exceed;
        let (reason, count) = detector.most.filter(|_| is_suspect)?;
        Some(Suspect {
            reason: reason.to_owned(),
            count,
        })
    }

    /// Whether the audience receives the devices whose tokens were refused with 400.
    ///
    /// If more than `BAD_TOKEN_PAUSE_PERCENT` of a run's answers are such refusals, the app is probably
    /// configured wrong and the devices are fine. This also holds for small runs, and after a caller has
    /// resumed the batch.
    #[must_use]
    pub fn believes_refusals(&self) -> bool {
        !self
            .bad_token_detector()
            .exceed(self.record.terms.bad_token_percent, 0)
    }

    fn bad_token_detector(&self) -> BadTokenDetector<'_> {
        BadTokenDetector::of(&self.record.final_results, &self.counts)
    }

    /// Whether some push has no final result, or more pushes may be appended.
    fn is_left(&self) -> bool {
        self.is_open() || self.breaker.ended() < self.sendable()
    }
}

/// Whether APNs has answered the push.
const fn is_answer(result: &FinalResult) -> bool {
    result.gave_up.is_none()
        && matches!(
            result.verdict,
            Verdict::Accepted | Verdict::DropDevice | Verdict::CheckToken | Verdict::FixRequest
        )
}

/// Returns the explanation for a person.
fn detail(reason: &str, count: u64, answers: u64) -> String {
    let likely = if Reason::BAD_DEVICE_TOKEN.as_str() == reason {
        "The device tokens are likely of the other environment: check the app's `environment`."
    } else if TOPIC.iter().any(|known| known.as_str() == reason) {
        "The device tokens are likely of another app or push type: check the app's `topic` and the notification's \
         `push_type`."
    } else {
        "Check the app's `environment` and `topic`."
    };
    format!(
        "APNs refused {count} of {answers} pushes with {reason}. {likely} Resuming sends the rest without this check"
    )
}

/// APNs' reasons for a wrong topic.
const TOPIC: [Reason; 4] = [
    Reason::BAD_TOPIC,
    Reason::DEVICE_TOKEN_NOT_FOR_TOPIC,
    Reason::MISSING_TOPIC,
    Reason::TOPIC_DISALLOWED,
];

/// The minimum number of refusals that count: in a small batch a few devices are a large share.
const FEWEST: u64 = 5;
