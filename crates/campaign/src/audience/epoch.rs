//! The epoch of a shard: which audience its devices belong to. A name can be reused for a new audience, but
//! each audience has its own time of creation.
//!
//! Every request to a shard carries that time, the epoch. A shard adopts the epoch of the first request that
//! adds something, and refuses any other. So a request that was in flight when its audience was deleted
//! cannot change the audience that has the name now, and leaves nothing behind. Examples are an import, a
//! scan, and a report of gone devices. The shard of a deleted audience keeps one row for a day, which refuses
//! late requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use apns::time::Timestamp;
use delivery::sql::{self, BadRow, Row, Statement};

/// A request to a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<C> {
    /// When the audience was created.
    pub epoch: Timestamp,
    /// The command.
    pub command: C,
}

/// The epoch that a shard has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// None: the shard stores nothing.
    Unknown,
    /// The shard belongs to the audience that was created at this time.
    Of(Timestamp),
    /// The audience was deleted.
    Deleted {
        /// When it was created.
        created_at: Timestamp,
        /// When it was deleted.
        deleted_at: Timestamp,
    },
}

/// How a request is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Execute it.
    Execute,
    /// The first request of its audience: delete what is stored, create the tables, and execute the request.
    Begin,
    /// Reply as a shard without devices does, and store nothing.
    Nothing,
    /// Refuse it: its audience does not exist any more.
    Refuse,
}

impl Epoch {
    /// Checks whether the table exists, so that reading does not create it.
    #[must_use]
    pub const fn exists() -> Statement {
        Statement::new("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'epoch'")
    }

    /// Reads the epoch. Call it only if [`Epoch::exists`] returned a row.
    #[must_use]
    pub const fn read() -> Statement {
        Statement::new("SELECT created_at, deleted_at FROM epoch")
    }

    /// Builds the epoch from the rows of [`Epoch::read`].
    ///
    /// # Errors
    /// The row is malformed.
    pub fn load(rows: &[Row]) -> Result<Self, BadRow> {
        if rows.is_empty() {
            return Ok(Self::Unknown);
        }
        let row = sql::only(rows)?;
        let created_at = row.moment(0)?;
        Ok(match row.maybe_moment(1)? {
            None => Self::Of(created_at),
            Some(deleted_at) => Self::Deleted {
                created_at,
                deleted_at,
            },
        })
    }

    /// Stores the epoch in an empty shard.
    #[must_use]
    pub fn write(self) -> Vec<Statement> {
        let (created_at, deleted_at) = match self {
            Self::Unknown => return Vec::new(),
            Self::Of(created_at) => (created_at, None),
            Self::Deleted {
                created_at,
                deleted_at,
            } => (created_at, Some(deleted_at)),
        };
        vec![
            Statement::new(
                "CREATE TABLE IF NOT EXISTS epoch (created_at INTEGER NOT NULL, deleted_at INTEGER)",
            ),
            Statement::new("INSERT INTO epoch (created_at, deleted_at) VALUES (?, ?)")
                .bind(created_at)
                .bind(deleted_at),
        ]
    }

    /// Decides about a request of the audience that was created at `epoch`. `brings` says whether it adds
    /// devices or a scan.
    #[must_use]
    pub fn admit(self, epoch: Timestamp, brings: bool) -> Admission {
        let is_new = match self {
            Self::Of(created_at) if created_at == epoch => return Admission::Execute,
            Self::Unknown => true,
            Self::Of(created_at) | Self::Deleted { created_at, .. } => created_at < epoch,
        };
        match (is_new, brings) {
            (true, true) => Admission::Begin,
            (true, false) => Admission::Nothing,
            (false, _) => Admission::Refuse,
        }
    }

    /// Returns the epoch that remains if the audience that was created at `epoch` is deleted now, or `None`
    /// if the shard belongs to another audience.
    #[must_use]
    pub fn delete(self, epoch: Timestamp, now: Timestamp) -> Option<Self> {
        let is_later = match self {
            Self::Unknown => false,
            Self::Of(created_at) | Self::Deleted { created_at, .. } => created_at > epoch,
        };
        (!is_later).then_some(Self::Deleted {
            created_at: epoch,
            deleted_at: now,
        })
    }

    /// Returns when the row of a deleted audience can be deleted.
    #[must_use]
    pub fn forget_at(self) -> Option<Timestamp> {
        match self {
            Self::Deleted { deleted_at, .. } => Some(deleted_at + KEPT),
            Self::Unknown | Self::Of(_) => None,
        }
    }
}

/// How long a shard remembers that its audience was deleted: longer than any request is in flight.
const KEPT: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;
    use delivery::sql::fixture::Database;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    const DELETED: Epoch = Epoch::Deleted {
        created_at: at(5),
        deleted_at: at(9),
    };

    #[test]
    fn a_shard_takes_requests_of_its_own_audience_alone() {
        use Admission::{Begin, Execute, Nothing, Refuse};
        for (known, epoch, bringing, asking) in [
            (Epoch::Unknown, 5, Begin, Nothing),
            (Epoch::Of(at(5)), 5, Execute, Execute),
            (Epoch::Of(at(5)), 4, Refuse, Refuse),
            // One that is left of an audience whose deletion broke off.
            (Epoch::Of(at(5)), 6, Begin, Nothing),
            (DELETED, 4, Refuse, Refuse),
            (DELETED, 5, Refuse, Refuse),
            (DELETED, 6, Begin, Nothing),
        ] {
            let admitted = (known.admit(at(epoch), true), known.admit(at(epoch), false));
            assert_eq!(admitted, (bringing, asking), "{known:?} {epoch}");
        }
    }

    #[test]
    fn a_late_deletion_does_not_touch_the_audience_that_has_the_name_now() {
        assert_eq!(Epoch::Of(at(6)).delete(at(5), at(9)), None);
        assert_eq!(Epoch::Of(at(5)).delete(at(5), at(9)), Some(DELETED));
        assert_eq!(Epoch::Unknown.delete(at(5), at(9)), Some(DELETED));
        assert_eq!(DELETED.forget_at(), Some(at(9 + 24 * 60 * 60 * 1000)));
        assert_eq!(
            (Epoch::Of(at(6)).forget_at(), Epoch::Unknown.forget_at()),
            (None, None)
        );
    }

    #[test]
    fn an_epoch_is_read_as_it_was_written() {
        for epoch in [Epoch::Of(at(5)), DELETED] {
            let database = Database::new();
            assert!(database.execute(&Epoch::exists()).is_empty());
            for statement in epoch.write() {
                database.execute(&statement);
            }
            assert!(!database.execute(&Epoch::exists()).is_empty());
            assert_eq!(Epoch::load(&database.execute(&Epoch::read())), Ok(epoch));
        }
    }

    #[test]
    fn a_request_format_unchanged() {
        // It travels between versions of the Worker.
        let request = Request {
            epoch: at(5),
            command: "zones",
        };
        let text = r#"{"epoch":5,"command":"zones"}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
    }
}
