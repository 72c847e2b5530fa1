//! Which deliveries the webhook of a batch that has ended gets: one per group of gone devices, and one for the end.
//!
//! The chunks are read some at a time, since a batch may have a hundred thousand; how far that has come is in the batch's
//! row, stored together with the deliveries that it made. In scope: from which chunk on, and when it is over. Out of
//! scope: the deliveries themselves (`outbox`).

use serde::{Deserialize, Serialize};

use super::Batch;

/// How far the deliveries have been made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The first chunk whose gone devices are in no delivery yet.
    pub next: u32,
    /// Whether all deliveries exist.
    pub over: bool,
}

impl Announcement {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Batch {
    /// The first chunk that is not announced yet. Returns `None` if the batch has not ended or nothing is left.
    #[must_use]
    pub fn unannounced(&self) -> Option<u32> {
        let Announcement { next, over } = self.record.announcement;
        let is_due = self.record.state.has_ended() && self.record.terms.webhook.is_some();
        (is_due && !over).then_some(next)
    }

    /// Records that the chunks before `next` are announced, or all of them if it is `None`.
    pub fn announced(&mut self, next: Option<u32>) {
        match next {
            Some(next) => self.record.announcement.next = next,
            None => self.record.announcement.over = true,
        }
        self.is_record_unsaved = true;
    }
}
