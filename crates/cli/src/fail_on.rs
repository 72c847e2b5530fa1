//! Which results of pushes make a command exit with code 1.
//!
//! A large send always includes devices that are gone, so these are no failure of the command. Results that
//! need a person are: faults of the notification or the credentials, pushes with an unknown result, and
//! pushes that were given up.

use clap::ValueEnum;

/// Results that make a command exit with code 1, in addition to those that need a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Any push that was not accepted
    Any,
    /// Devices that are gone (410)
    Gone,
    /// Device tokens that APNs refused (400)
    CheckToken,
    /// Nothing at all: results never fail the command
    Never,
}

/// The result of a push.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending<'e> {
    /// The server's name of the status.
    pub(crate) status: &'e str,
    /// The server's name of the verdict, if there is one.
    pub(crate) verdict: Option<&'e str>,
    /// Whether it was given up after some attempts.
    pub(crate) gave_up: bool,
}

/// Whether a push with this result makes the command fail. `chosen` are the options of the user.
pub(crate) fn fails(ending: Ending<'_>, chosen: &[FailOn]) -> bool {
    if ending.status == "accepted" || chosen.contains(&FailOn::Never) {
        return false;
    }
    let is_listed = match ending.verdict {
        Some("drop_device") => chosen.contains(&FailOn::Gone),
        Some("check_token") => chosen.contains(&FailOn::CheckToken),
        // A repeated push was sent once, under another index. A cancelled push is what the caller wanted.
        Some("duplicate") => false,
        _ if matches!(ending.status, "duplicate" | "cancelled") => false,
        // An unknown word may mean a failure.
        _ => true,
    };
    is_listed || ending.gave_up || chosen.contains(&FailOn::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails_with(status: &str, verdict: Option<&str>, gave_up: bool, chosen: &[FailOn]) -> bool {
        let ending = Ending {
            status,
            verdict,
            gave_up,
        };
        fails(ending, chosen)
    }

    #[test]
    fn only_what_needs_a_person_fails_by_itself() {
        let by_itself = |status: &str, verdict: &str| fails_with(status, Some(verdict), false, &[]);
        for (status, verdict) in [
            ("accepted", "accepted"),
            ("rejected", "drop_device"),
            ("rejected", "check_token"),
            ("duplicate", "duplicate"),
            ("cancelled", "cancelled"),
        ] {
            assert!(!by_itself(status, verdict), "{verdict}");
        }
        for (status, verdict) in [
            ("rejected", "fix_request"),
            ("failed", "fix_credentials"),
            ("failed", "unknown"),
            ("retrying", "retry"),
            ("rejected", "a_new_word"),
        ] {
            assert!(by_itself(status, verdict), "{verdict}");
        }
        assert!(fails_with("failed", Some("retry"), true, &[]));
        assert!(fails_with("failed", None, false, &[]));
    }

    #[test]
    fn more_fails_if_it_is_named_and_nothing_if_nothing_may() {
        let gone = |chosen: &[FailOn]| fails_with("rejected", Some("drop_device"), false, chosen);
        assert!(gone(&[FailOn::Gone]) && gone(&[FailOn::Any]) && !gone(&[FailOn::CheckToken]));
        let bad = |chosen: &[FailOn]| fails_with("rejected", Some("check_token"), false, chosen);
        assert!(bad(&[FailOn::CheckToken]) && bad(&[FailOn::Gone, FailOn::Any]) && !bad(&[FailOn::Gone]));
        assert!(!fails_with("failed", Some("unknown"), true, &[FailOn::Never]));
        assert!(!fails_with("accepted", Some("accepted"), false, &[FailOn::Any]));
    }
}
