//! The settings of campaigns.

use std::time::Duration;

use super::duration;
use apns::fault::Faults;

/// The settings of campaigns for the whole deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaigns {
    /// How late a run may start. A later one is missed.
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

/// The variable with the longest delay of a run: a duration.
const CAMPAIGN_GRACE: &str = "CAMPAIGN_GRACE";

/// Longer than outages of the platform, and a notification for nine o'clock still makes sense at ten.
const DEFAULT_GRACE: Duration = Duration::from_hours(1);

/// The cron trigger fires once a minute. With a shorter grace, any run could be missed.
const MIN_GRACE: Duration = Duration::from_mins(1);

/// After a day the next run of most campaigns is due.
const MAX_GRACE: Duration = Duration::from_hours(24);
