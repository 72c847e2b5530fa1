//! The log of everything in which the client broke a rule of the protocol.
//!
//! A bad or dead device is normal life and not in here; a malformed header, a stream too many or a token renewed too soon
//! is. The list is bounded, the total is not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many are kept word for word: enough to see what happened, small enough for a storm of a million.
const KEPT: usize = 1000;

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    total: AtomicU64,
    kept: Mutex<Vec<String>>,
}

impl Violations {
    /// Logs one; the text is made only if there is room for it.
    pub(crate) fn log(&self, text: impl FnOnce() -> String) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(text());
        }
    }

    /// How many there were, and the first of them.
    pub(crate) fn snapshot(&self) -> (u64, Vec<String>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.total.load(Ordering::Relaxed), kept)
    }

    /// Forgets all.
    pub(crate) fn reset(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.total.store(0, Ordering::Relaxed);
    }
}
