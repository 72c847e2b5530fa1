//! One round of notifying a credential's batches that APNs refuses the credential.

use std::collections::VecDeque;

/// The batches of one round. Several are notified concurrently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalRound {
    waiting: VecDeque<String>,
    unheard: Vec<String>,
}

impl RefusalRound {
    /// Creates a round for all of these batches except the one that found the refusal.
    #[must_use]
    pub fn new(batches: Vec<String>, from: &str) -> Self {
        let mut waiting = VecDeque::from(batches);
        waiting.retain(|batch| batch != from);
        Self {
            waiting,
            unheard: Vec::new(),
        }
    }

    /// Returns the next batch to notify. Returns `None` if none is left or the round must stop.
    pub fn next(&mut self, goes_on: bool) -> Option<String> {
        if goes_on { self.waiting.pop_front() } else { None }
    }

    /// Records whether a batch was notified. A failure does not stop the round.
    pub fn notified(&mut self, batch: String, has_heard: bool) {
        if !has_heard {
            self.unheard.push(batch);
        }
    }

    /// Returns the batches that need another round: those that failed and those that were not reached.
    #[must_use]
    pub fn unheard(mut self) -> Vec<String> {
        self.unheard.extend(self.waiting);
        self.unheard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round() -> RefusalRound {
        let batches = ["a", "b", "own", "c", "d"].map(str::to_owned);
        RefusalRound::new(batches.to_vec(), "own")
    }

    #[test]
    fn a_batch_that_fails_keeps_no_other_from_hearing() {
        let (mut round, mut asked) = (round(), Vec::new());
        while let Some(batch) = round.next(true) {
            asked.push(batch.clone());
            let has_heard = batch != "a" && batch != "c";
            round.notified(batch, has_heard);
        }
        assert_eq!(asked, ["a", "b", "c", "d"]);
        assert_eq!(round.unheard(), ["a", "c"]);
    }

    #[test]
    fn batches_whose_turn_did_not_come_have_not_heard() {
        let mut round = round();
        let first = round.next(true).unwrap();
        round.notified(first, true);
        let second = round.next(true).unwrap();
        round.notified(second, false);
        assert_eq!(round.next(false), None);
        assert_eq!(round.unheard(), ["b", "c", "d"]);
    }

    #[test]
    fn a_round_in_which_all_have_heard_leaves_nobody() {
        let mut round = round();
        while let Some(batch) = round.next(true) {
            round.notified(batch, true);
        }
        assert_eq!(round.unheard(), [""; 0]);
    }
}
