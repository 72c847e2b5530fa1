//! What becomes of a device when APNs says that it is gone.
//!
//! A token that was unregistered is removed, unless the app has registered it again since. A token that APNs calls bad
//! may be one of the wrong environment or topic, sent with the wrong credentials by mistake: it is only marked as suspect,
//! and removed when APNs says so again on another day. The same is said twice where an answer was lost, so that a second
//! time on the same day is none. Source: Apple, "Handling notification responses from APNs"; the rules of a batch
//! (`verdict`) say which answers come here at all.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::device;
use crate::apns::Reason;
use crate::delivery::sql::{Row, Statement};
use crate::time::Timestamp;

/// A device that APNs refused.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its token.
    pub token: String,
    /// APNs' word for why.
    pub reason: String,
    /// Since when the token is not valid, if APNs said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl fmt::Debug for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gone({}, {})", device::hint(&self.token), self.reason)
    }
}

/// Removes and marks devices: three statements.
pub(super) fn statements(devices: &[Gone], now: Timestamp) -> Vec<Statement> {
    let (mut unregistered, mut bad) = (Vec::new(), Vec::new());
    for gone in devices {
        let reason = Reason::new(&gone.reason);
        if reason == Reason::UNREGISTERED || reason == Reason::EXPIRED_TOKEN {
            // Without a time, nobody knows whether it was registered again.
            unregistered.extend(gone.since.map(|since| json!([gone.token, since])));
        } else if reason == Reason::BAD_DEVICE_TOKEN || reason == Reason::DEVICE_TOKEN_NOT_FOR_TOPIC {
            bad.push(json!(gone.token));
        }
    }
    let (unregistered, bad) = (json!(unregistered).to_string(), json!(bad).to_string());
    let today = now.as_secs() / DAY;
    vec![
        Statement::new(REMOVE_UNREGISTERED).bind(unregistered),
        Statement::new(REMOVE_SUSPECT).bind(bad.as_str()).bind(today),
        Statement::new(MARK_SUSPECT).bind(bad).bind(today),
    ]
}

/// How many were removed and how many marked, from the rows of [`statements`].
pub(super) fn counts(rows: &[Vec<Row>]) -> (u64, u64) {
    let mut counts = [0; 3];
    for (count, rows) in counts.iter_mut().zip(rows) {
        *count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    }
    let [unregistered, suspect, marked] = counts;
    (unregistered.saturating_add(suspect), marked)
}

const REMOVE_UNREGISTERED: &str = "DELETE FROM devices WHERE id IN \
     (SELECT known.id FROM json_each(?) AS gone CROSS JOIN devices AS known ON known.token = gone.value ->> 0 \
     WHERE gone.value ->> 1 > coalesce(known.registered_at, known.added_at)) RETURNING id";

const REMOVE_SUSPECT: &str =
    "DELETE FROM devices WHERE token IN (SELECT value FROM json_each(?)) AND suspect <> ? RETURNING id";

const MARK_SUSPECT: &str = "UPDATE devices SET suspect = ?2 \
     WHERE token IN (SELECT value FROM json_each(?1)) AND suspect IS NULL RETURNING id";

/// Seconds of a day. A day of UTC is as good as any other.
const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::audience::tests::{
        NOW, ask, at, database, device, full, members, registered, tokens, upsert,
    };
    use crate::delivery::audience::{Command, Device, Reply};
    use crate::delivery::sql::fixture::Database;

    fn gone(token: &str, reason: &str, since: Option<u64>) -> Gone {
        Gone {
            token: token.to_owned(),
            reason: reason.to_owned(),
            since: since.map(at),
        }
    }

    fn tell_gone(database: &Database, devices: &[Gone], now: Timestamp) -> (u64, u64) {
        let devices = devices.to_vec();
        match ask(database, &Command::Gone { devices }, now) {
            Reply::Gone { removed, suspected } => (removed, suspected),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unregistered_device_is_removed_unless_it_was_registered_since() {
        for reason in ["Unregistered", "ExpiredToken"] {
            for (since, removed) in [(Some(99), 0), (Some(100), 0), (Some(101), 1), (None, 0)] {
                let database = database();
                upsert(&database, &[registered("aa", 100), registered("bb", 100)], NOW);
                assert_eq!(
                    tell_gone(&database, &[gone("aa", reason, since)], NOW),
                    (removed, 0)
                );
                assert_eq!(members(&database).len() as u64, 2 - removed);
            }
        }
        // Without a time of registration, it is registered since it came.
        let database = database();
        upsert(&database, &[device("aa")], at(100));
        assert_eq!(
            tell_gone(&database, &[gone("aa", "Unregistered", Some(100))], NOW),
            (0, 0)
        );
        assert_eq!(
            tell_gone(&database, &[gone("aa", "Unregistered", Some(101))], NOW),
            (1, 0)
        );
    }

    #[test]
    fn a_bad_token_is_suspect_and_is_removed_on_another_day() {
        for reason in ["BadDeviceToken", "DeviceTokenNotForTopic"] {
            let database = database();
            upsert(&database, &[device("aa"), device("bb")], NOW);
            let bad = [gone("aa", reason, None), gone("aa", reason, None)];
            let last_of_day = at(10 * DAY + DAY - 1);
            assert_eq!(tell_gone(&database, &bad, at(10 * DAY)), (0, 1));
            assert_eq!(tell_gone(&database, &bad, last_of_day), (0, 0));
            let counted = ask(&database, &Command::Count { segment: None }, NOW);
            assert_eq!(
                counted,
                Reply::Counted {
                    devices: 2,
                    of: 2,
                    suspects: 1
                }
            );
            assert_eq!(tell_gone(&database, &bad, at(11 * DAY)), (1, 0));
            assert_eq!(tokens(&database), "bb");
        }
    }

    #[test]
    fn a_later_registration_clears_the_mark_and_nothing_else_does() {
        for (device, clears) in [
            (registered("aa", 101), true),
            (registered("aa", 100), false),
            (registered("aa", 99), false),
            (device("aa"), false),
            (
                Device {
                    registered_at: None,
                    ..full("aa")
                },
                false,
            ),
        ] {
            let database = database();
            upsert(&database, &[registered("aa", 100)], NOW);
            let bad = [gone("aa", "BadDeviceToken", None)];
            tell_gone(&database, &bad, NOW);
            upsert(&database, &[device], NOW);
            let expected = if clears { (0, 1) } else { (1, 0) };
            assert_eq!(
                tell_gone(&database, &bad, NOW + std::time::Duration::from_secs(DAY)),
                expected
            );
        }
    }

    #[test]
    fn any_other_reason_and_any_other_token_changes_nothing() {
        let database = database();
        upsert(&database, &[device("aa")], at(1));
        let others = [
            gone("aa", "PayloadTooLarge", Some(9)),
            gone("aa", "unregistered", Some(9)),
            gone("zz", "Unregistered", Some(9)),
            gone("zz", "BadDeviceToken", None),
            gone("' OR 1=1 --", "BadDeviceToken", None),
        ];
        assert_eq!(tell_gone(&database, &others, NOW), (0, 0));
        assert_eq!(tokens(&database), "aa");
    }
}
