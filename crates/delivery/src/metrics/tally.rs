//! Counts the pushes of one fan-out. It is cheap, because it is called for each push.

use super::sample::{PUSH_BOUNDS_MS, Sample};
use super::{Metric, MetricsDelta};
use crate::fanout::Launch;
use crate::receipt::{NO_REASON, NOT_APNS, Receipt};
use apns::time::Timestamp;
use apns::{Outcome, PushType, Reason};

/// The counters of one fan-out, with one push type and one transport.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Verdict, reason and count: a handful of entries, with the most frequent mostly first.
    ended: Vec<(&'static str, &'static str, u64)>,
    answers: Sample,
    resends: u64,
    /// One more than the highest index that was launched.
    launched: usize,
}

impl Tally {
    /// Counts an attempt. A fan-out launches pushes in their order, so a lower index was launched before.
    pub const fn launched(&mut self, launch: &Launch) {
        if launch.push < self.launched {
            self.resends = self.resends.saturating_add(1);
        } else {
            self.launched = launch.push + 1;
        }
    }

    /// Counts the end of an attempt. Its time counts only if an answer arrived: a deadline does not show how
    /// fast APNs is.
    pub fn ended(&mut self, launch: &Launch, outcome: &Outcome, now: Timestamp) {
        if matches!(outcome, Outcome::Answered(_)) {
            self.answers.observe(now.since(launch.at()), PUSH_BOUNDS_MS);
        }
    }

    /// Counts a push with its receipt.
    pub fn settled(&mut self, receipt: &Receipt) {
        let (verdict, reason) = (receipt.verdict.as_str(), reason(receipt));
        let mut known = self.ended.iter_mut();
        match known.find(|(first, second, _)| (*first, *second) == (verdict, reason)) {
            Some((_, _, count)) => *count = count.saturating_add(1),
            None => self.ended.push((verdict, reason, 1)),
        }
    }

    /// Moves what was counted into a delta.
    pub fn take_into(&mut self, delta: &mut MetricsDelta, app: &str, push_type: PushType, transport: &str) {
        let Self {
            ended,
            answers,
            resends,
            launched: _,
        } = std::mem::take(self);
        for (verdict, reason, count) in ended {
            let labels = [app, push_type.as_str(), verdict, reason];
            delta.add(Metric::Pushes, &labels, Sample::times(count));
        }
        if answers.count() > 0 {
            delta.add(Metric::Push, &[transport], answers);
        }
        if resends > 0 {
            delta.add(Metric::Resends, &[transport], Sample::times(resends));
        }
    }
}

/// Returns the label for the reason: Apple's word if Apple documents it, else ours.
fn reason(receipt: &Receipt) -> &'static str {
    match &receipt.outcome {
        Outcome::NotSent(error) | Outcome::Lost(error) => error.as_str(),
        Outcome::Answered(reply) => match &reply.reason {
            Some(reason) => Reason::KNOWN
                .iter()
                .find(|known| *known == reason)
                .map_or(OTHER, Reason::as_str),
            None if reply.status == 200 => NONE,
            None if reply.is_from_apns() => NO_REASON,
            None => NOT_APNS,
        },
    }
}

/// The label of a push without a reason.
const NONE: &str = "none";

/// The label of all undocumented reasons: a server must not be able to create labels.
const OTHER: &str = "other";
