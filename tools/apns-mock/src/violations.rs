//! The log of protocol rules that the client violated.
//!
//! A bad or gone device is normal and not a violation. A malformed header, a stream above the limit or a
//! token that is renewed too soon is one. The list is limited, the total is not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many violations are kept as text: enough to see what happened, and few enough if there are a million.
const KEPT: usize = 1000;

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    total: AtomicU64,
    kept: Mutex<Vec<String>>,
}

impl Violations {
    /// Logs a violation. The text is built only if there is room for it.
    pub(crate) fn log(&self, text: impl FnOnce() -> String) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(text());
        }
    }

    /// Returns the number of violations, and the first of them.
    pub(crate) fn snapshot(&self) -> (u64, Vec<String>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.total.load(Ordering::Relaxed), kept)
    }

    /// Removes all violations.
    pub(crate) fn reset(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.total.store(0, Ordering::Relaxed);
    }
}
