//! When to try again what has failed on the way, and when to give up.

use std::time::Duration;

use crate::failure::Failure;

/// What is left of the attempts at one thing.
#[derive(Debug)]
pub(crate) struct Patience {
    attempts: u32,
    failed: u32,
}

impl Patience {
    /// As many attempts in a row.
    pub(crate) const fn new(attempts: u32) -> Self {
        Self { attempts, failed: 0 }
    }

    /// Something came of it: the count begins anew.
    pub(crate) const fn renew(&mut self) {
        self.failed = 0;
    }

    /// An attempt failed: how long to wait before the next.
    ///
    /// # Errors
    /// The failure, if it will not pass or the attempts are used up.
    pub(crate) fn wait(&mut self, failure: Failure) -> Result<Duration, Failure> {
        self.failed = self.failed.saturating_add(1);
        if !failure.is_passing() || self.failed >= self.attempts {
            return Err(failure);
        }
        let own = FIRST_WAIT
            .saturating_mul(2_u32.saturating_pow(self.failed - 1))
            .min(LONGEST_WAIT);
        let asked = failure.problem().and_then(crate::problem::Problem::retry_after);
        Ok(asked.map_or(own, |asked| asked.min(LONGEST_ASKED)))
    }
}

/// The wait after the first failure: a connection that broke is usually there again at once.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait of our own choice.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// The longest wait that the server may ask for: someone may sit before the command.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    fn broken() -> Failure {
        Failure::Unreachable {
            url: String::new(),
            reason: String::new(),
        }
    }

    fn busy(seconds: &str) -> Failure {
        Failure::Unavailable(Box::new(Problem::read(503, Some(seconds), String::new())))
    }

    #[test]
    fn waits_double_up_to_a_bound_and_end_with_the_attempts() {
        let mut patience = Patience::new(9);
        let waits: Vec<u128> = (0..8)
            .map(|_| patience.wait(broken()).unwrap().as_millis())
            .collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        assert!(patience.wait(broken()).is_err());
    }

    #[test]
    fn the_server_says_how_long_within_reason() {
        let mut patience = Patience::new(9);
        assert_eq!(patience.wait(busy("0")).unwrap(), Duration::ZERO);
        assert_eq!(patience.wait(busy("40")).unwrap(), Duration::from_secs(40));
        assert_eq!(patience.wait(busy("86400")).unwrap(), LONGEST_ASKED);
    }

    #[test]
    fn what_stays_is_not_tried_again() {
        let refused = Failure::Refused(Box::new(Problem::read(422, None, String::new())));
        assert!(Patience::new(9).wait(refused).is_err());
    }

    #[test]
    fn success_renews_the_attempts() {
        let mut patience = Patience::new(2);
        assert!(patience.wait(broken()).is_ok());
        patience.renew();
        assert!(patience.wait(broken()).is_ok());
        assert!(patience.wait(broken()).is_err());
    }
}
