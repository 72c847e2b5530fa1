//! How campaigns are started.

use std::time::Duration;

use super::duration;
use apns::fault::Faults;

/// What holds for the campaigns of the whole deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaigns {
    /// How late a run may start; one that is due for longer is missed.
    pub grace: Duration,
}

impl Campaigns {
    pub(super) fn load(setting: &impl Fn(&str) -> Option<String>, faults: &mut Faults) -> Self {
        let grace = duration(
            setting,
            CAMPAIGN_GRACE,
            DEFAULT_GRACE,
            MIN_GRACE..=MAX_GRACE,
            "must be a duration from 1 minute to 24 hours, such as `1h` or `90m`",
            faults,
        );
        Self { grace }
    }
}

/// The variable for how late a run may start: a duration.
const CAMPAIGN_GRACE: &str = "CAMPAIGN_GRACE";

/// Outages of the platform are shorter, and what was for nine in the morning still makes sense at ten.
const DEFAULT_GRACE: Duration = Duration::from_hours(1);

/// The cron trigger comes once a minute: with less, any run could be missed.
const MIN_GRACE: Duration = Duration::from_mins(1);

/// After a day the next run of most campaigns is due.
const MAX_GRACE: Duration = Duration::from_hours(24);
