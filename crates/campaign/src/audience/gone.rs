//! Decides what happens to a device whose push APNs refused.
//!
//! * Gone (410): the device is removed if APNs' timestamp is later than its registration. If the app has
//!   registered the device later, the device is marked as suspect.
//! * Refused with 400: the device is marked as suspect, because the app's configuration may be wrong.
//! * A suspect device is removed when APNs refuses it again on another day. Days are those of APNs' answers,
//!   so a report that arrives twice, or late, counts once.
//!
//! Source: Apple, "Handling notification responses from APNs". `batch::bad_tokens` decides which refusals are
//! reported.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::device;
use apns::time::Timestamp;
use delivery::sql::{Row, Statement};

/// A device that APNs refused.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its token.
    pub token: String,
    /// Since when the token is invalid, if APNs said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl fmt::Debug for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gone({})", device::hint(&self.token))
    }
}

/// Removes and marks devices, in three statements. APNs refused them at `answered_at` or later.
pub(super) fn statements(gone: &[Gone], suspects: &[Gone], answered_at: Timestamp) -> Vec<Statement> {
    let gone = gone
        .iter()
        .map(|device| json!([device.token, device.since, true]));
    let suspects = suspects.iter().map(|device| json!([device.token, null, false]));
    let refused: Vec<serde_json::Value> = gone.chain(suspects).collect();
    let refused = json!(refused).to_string();
    vec![
        Statement::new(REMOVE_GONE)
            .bind(refused.as_str())
            .bind(answered_at),
        Statement::new(REMOVE_SUSPECT)
            .bind(refused.as_str())
            .bind(answered_at)
            .bind(answered_at.as_millis() / DAY_MS)
            .bind(BETWEEN_DAYS_MS),
        Statement::new(MARK_SUSPECT).bind(refused).bind(answered_at),
    ]
}

/// Returns the numbers of removed and of marked devices, from the rows of [`statements`].
pub(super) fn counts(rows: &[Vec<Row>]) -> (u64, u64) {
    let mut counts = [0; 3];
    for (count, rows) in counts.iter_mut().zip(rows) {
        *count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    }
    let [gone, suspect, marked] = counts;
    (gone.saturating_add(suspect), marked)
}

/// Removes a device without a registration time if it was added before APNs' answer, even if its token became
/// invalid earlier.
///
/// A registration time is compared with APNs' timestamp or, if there is none, with the time of the answer.
const REMOVE_GONE: &str = "DELETE FROM devices WHERE id IN \
     (SELECT known.id FROM json_each(?1) AS refused CROSS JOIN devices AS known ON known.token = refused.value ->> 0 \
     WHERE refused.value ->> 2 AND CASE WHEN known.registered_at IS NULL \
     THEN max(coalesce(refused.value ->> 1, 0), ?2) > known.added_at \
     ELSE coalesce(refused.value ->> 1, ?2) > known.registered_at END) RETURNING id";

/// Leaves a gone device without a registration time that [`REMOVE_GONE`] did not remove: it was added after
/// the answer.
const REMOVE_SUSPECT: &str = "DELETE FROM devices WHERE id IN \
     (SELECT known.id FROM json_each(?1) AS refused CROSS JOIN devices AS known ON known.token = refused.value ->> 0 \
     WHERE (known.registered_at IS NOT NULL OR NOT refused.value ->> 2) \
     AND known.suspect / 86400000 <> ?3 AND abs(known.suspect - ?2) >= ?4) RETURNING id";

const MARK_SUSPECT: &str = "UPDATE devices SET suspect = ?2 WHERE suspect IS NULL AND id IN \
     (SELECT known.id FROM json_each(?1) AS refused CROSS JOIN devices AS known ON known.token = refused.value ->> 0 \
     WHERE known.registered_at IS NOT NULL OR NOT refused.value ->> 2) RETURNING id";

/// A day of UTC. Any other day would do as well. [`REMOVE_SUSPECT`] repeats this number.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Two answers within this time count as one day, even if midnight is between them.
const BETWEEN_DAYS_MS: u64 = DAY_MS / 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audience::tests::{NOW, ask, at, database, device, full, members, registered, tokens, upsert};
    use crate::audience::{Command, Device, Reply};
    use delivery::sql::fixture::Database;

    /// Moments in seconds that are on different days.
    const TODAY: u64 = 10 * 86_400;
    const TOMORROW: u64 = TODAY + 86_400;

    fn gone(token: &str, since: Option<u64>) -> Gone {
        Gone {
            token: token.to_owned(),
            since: since.map(at),
        }
    }

    fn report(database: &Database, gone: &[Gone], suspects: &[Gone], answered_at: u64) -> (u64, u64) {
        let command = Command::Gone {
            devices: gone.to_vec(),
            suspects: suspects.to_vec(),
            answered_at: at(answered_at),
        };
        // It is reported long after.
        match ask(database, &command, NOW + Duration::from_millis(DAY_MS * 900)) {
            Reply::Gone { removed, suspected } => (removed, suspected),
            other => panic!("{other:?}"),
        }
    }

    fn report_gone(database: &Database, devices: &[Gone], answered_at: u64) -> (u64, u64) {
        report(database, devices, &[], answered_at)
    }

    fn report_bad(database: &Database, token: &str, answered_at: u64) -> (u64, u64) {
        report(database, &[], &[gone(token, None)], answered_at)
    }

    #[test]
    fn a_gone_device_is_removed_if_apns_names_a_time_after_its_registration() {
        for (since, expected) in [(99, (0, 1)), (100, (0, 1)), (101, (1, 0))] {
            let database = database();
            upsert(&database, &[registered("aa", 100), registered("bb", 100)], at(50));
            assert_eq!(report_gone(&database, &[gone("aa", Some(since))], 200), expected);
            assert_eq!(members(&database).len() as u64, 2 - expected.0);
        }
    }

    #[test]
    fn a_device_that_was_gone_before_it_was_imported_is_removed_by_the_next_answer() {
        for since in [Some(1), None, Some(5000)] {
            let database = database();
            upsert(&database, &[device("aa")], at(100));
            // The run began before the device came back.
            assert_eq!(report_gone(&database, &[gone("aa", Some(50))], 90), (0, 0));
            assert_eq!(
                report_gone(&database, &[gone("aa", since)], 101),
                (1, 0),
                "{since:?}"
            );
        }
    }

    #[test]
    fn a_gone_device_with_a_later_registration_is_marked_and_removed_on_another_day() {
        for (since, registered_at) in [
            (Some(50), TODAY - 1),
            (Some(50), 9 * TOMORROW),
            (None, TOMORROW * 9),
        ] {
            let database = database();
            upsert(&database, &[registered("aa", registered_at)], at(60));
            let refused = [gone("aa", since)];
            assert_eq!(report_gone(&database, &refused, TODAY), (0, 1));
            assert_eq!(report_gone(&database, &refused, TODAY), (0, 0), "reported twice");
            assert_eq!(report_gone(&database, &refused, TOMORROW), (1, 0));
        }
    }

    #[test]
    fn a_410_without_a_time_removes_a_device_that_was_registered_before_the_answer() {
        let database = database();
        upsert(&database, &[registered("aa", 100)], at(50));
        assert_eq!(report_gone(&database, &[gone("aa", None)], 101), (1, 0));
    }

    #[test]
    fn a_refused_token_is_suspect_and_is_removed_on_another_day() {
        let database = database();
        upsert(&database, &[device("aa"), device("bb")], NOW);
        let twice = [gone("aa", None), gone("aa", None)];
        assert_eq!(report(&database, &[], &twice, TODAY), (0, 1));
        assert_eq!(report(&database, &[], &twice, TODAY + 86_399), (0, 0));
        let counted = ask(
            &database,
            &Command::Count {
                segment: None,
                after: 0,
            },
            NOW,
        );
        assert_eq!(
            counted,
            Reply::Counted {
                devices: 2,
                of: 2,
                suspects: 1,
                next: None,
            }
        );
        assert_eq!(report(&database, &[], &twice, TOMORROW), (1, 0));
        assert_eq!(tokens(&database), "bb");
    }

    #[test]
    fn another_day_is_one_of_apns_answers_and_not_of_the_report() {
        let database = database();
        upsert(&database, &[device("aa"), device("bb")], NOW);
        // One answer, reported on three days: an answer to the report was lost, or a shard failed.
        for _ in 0..3 {
            report_bad(&database, "aa", TODAY + 86_398);
        }
        assert_eq!(tokens(&database), "aa bb");
        // The next run follows within minutes, after midnight.
        assert_eq!(report_bad(&database, "aa", TOMORROW + 5), (0, 0));
        // A report of an earlier day that comes late is one of another day all the same.
        assert_eq!(report_bad(&database, "aa", TODAY - 86_400), (1, 0));
        assert_eq!(tokens(&database), "bb");
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
            report_bad(&database, "aa", TODAY);
            upsert(&database, &[device], NOW);
            let expected = if clears { (0, 1) } else { (1, 0) };
            assert_eq!(report_bad(&database, "aa", TOMORROW), expected);
        }
    }

    #[test]
    fn any_other_token_changes_nothing() {
        let database = database();
        upsert(&database, &[device("aa")], at(1));
        let others = [gone("zz", Some(9)), gone("' OR 1=1 --", None)];
        assert_eq!(report(&database, &others, &others, TODAY), (0, 0));
        assert_eq!(tokens(&database), "aa");
    }
}
