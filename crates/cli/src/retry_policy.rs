//! The retry policy: when a failed request is repeated, and when it is given up.

use std::time::Duration;

use crate::failure::Failure;

/// The remaining attempts.
#[derive(Debug)]
pub(crate) struct RetryPolicy {
    attempts: u32,
    failed: u32,
}

impl RetryPolicy {
    /// Allows this number of consecutive attempts.
    pub(crate) const fn new(attempts: u32) -> Self {
        Self { attempts, failed: 0 }
    }

    /// Resets the count after progress.
    pub(crate) const fn renew(&mut self) {
        self.failed = 0;
    }

    /// Returns how long to wait before the next attempt.
    ///
    /// # Errors
    /// The failure, if it is permanent or the attempts are used up.
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

/// The delay after the first failure. A broken connection can usually be opened again at once.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest delay, unless the server asks for more.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// The longest delay that the server may ask for, because a person may be waiting.
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
        let mut policy = RetryPolicy::new(9);
        let waits: Vec<u128> = (0..8)
            .map(|_| policy.wait(broken()).unwrap().as_millis())
            .collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        assert!(policy.wait(broken()).is_err());
    }

    #[test]
    fn the_server_says_how_long_within_reason() {
        let mut policy = RetryPolicy::new(9);
        assert_eq!(policy.wait(busy("0")).unwrap(), Duration::ZERO);
        assert_eq!(policy.wait(busy("40")).unwrap(), Duration::from_secs(40));
        assert_eq!(policy.wait(busy("86400")).unwrap(), LONGEST_ASKED);
    }

    #[test]
    fn what_stays_is_not_tried_again() {
        let refused = Failure::Refused(Box::new(Problem::read(422, None, String::new())));
        assert!(RetryPolicy::new(9).wait(refused).is_err());
    }

    #[test]
    fn success_renews_the_attempts() {
        let mut policy = RetryPolicy::new(2);
        assert!(policy.wait(broken()).is_ok());
        policy.renew();
        assert!(policy.wait(broken()).is_ok());
        assert!(policy.wait(broken()).is_err());
    }
}
