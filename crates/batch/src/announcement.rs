//! The webhook deliveries of a batch that has ended: one per group of gone devices, and one for the end.
//!
//! A batch may have a hundred thousand chunks, so they are read a few at a time. The position is in the
//! batch's row, stored together with the deliveries created up to it. In scope: the next chunk to read, and
//! whether all deliveries exist. Out of scope: the deliveries (`outbox`).

use serde::{Deserialize, Serialize};

use super::Batch;

/// Up to which chunk deliveries have been created.
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
    /// Returns the first chunk whose gone devices are in no delivery yet. Returns `None` if the batch has not
    /// ended or all deliveries exist.
    #[must_use]
    pub fn unannounced(&self) -> Option<u32> {
        let Announcement { next, over } = self.record.announcement;
        let is_due = self.record.state.has_ended() && self.record.terms.webhook.is_some();
        (is_due && !over).then_some(next)
    }

    /// Records that deliveries exist for the chunks before `next`, or for all chunks if it is `None`.
    pub fn announced(&mut self, next: Option<u32>) {
        match next {
            Some(next) => self.record.announcement.next = next,
            None => self.record.announcement.over = true,
        }
        self.is_record_unsaved = true;
    }
}
