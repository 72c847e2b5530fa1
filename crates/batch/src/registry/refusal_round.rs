//! Which batches of a credential are told that APNs refuses it, and which of them have not heard.

use std::collections::VecDeque;

/// One round of telling batches, several of them side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalRound {
    waiting: VecDeque<String>,
    unheard: Vec<String>,
}

impl RefusalRound {
    /// A round that tells all of these batches but the one that found the refusal.
    #[must_use]
    pub fn new(batches: Vec<String>, from: &str) -> Self {
        let mut waiting = VecDeque::from(batches);
        waiting.retain(|batch| batch != from);
        Self {
            waiting,
            unheard: Vec::new(),
        }
    }

    /// The batch that is told next. Returns `None` when none is left, or if the round is not to go on.
    pub fn next(&mut self, goes_on: bool) -> Option<String> {
        if goes_on { self.waiting.pop_front() } else { None }
    }

    /// Takes in whether a batch has heard. One that has not keeps no other from hearing.
    pub fn told(&mut self, batch: String, has_heard: bool) {
        if !has_heard {
            self.unheard.push(batch);
        }
    }

    /// The batches that are to be told in another round: those that failed, and those whose turn did not come.
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
            round.told(batch, has_heard);
        }
        assert_eq!(asked, ["a", "b", "c", "d"]);
        assert_eq!(round.unheard(), ["a", "c"]);
    }

    #[test]
    fn batches_whose_turn_did_not_come_have_not_heard() {
        let mut round = round();
        let first = round.next(true).unwrap();
        round.told(first, true);
        let second = round.next(true).unwrap();
        round.told(second, false);
        assert_eq!(round.next(false), None);
        assert_eq!(round.unheard(), ["b", "c", "d"]);
    }

    #[test]
    fn a_round_in_which_all_have_heard_leaves_nobody() {
        let mut round = round();
        while let Some(batch) = round.next(true) {
            round.told(batch, true);
        }
        assert_eq!(round.unheard(), [""; 0]);
    }
}
