//! The server's clock in milliseconds since the epoch, which tests can replace or shift.
//!
//! It determines token ages, the 20-minute interval and the timestamps of devices that are gone. Delays
//! (latency, stalls) take real time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the time: milliseconds since the epoch.
pub type TimeSource = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A time source with an offset that can change while the server runs.
pub(crate) struct Clock {
    source: Option<TimeSource>,
    offset_ms: AtomicI64,
}

impl Clock {
    pub(crate) fn new(source: Option<TimeSource>) -> Self {
        Self {
            source,
            offset_ms: AtomicI64::new(0),
        }
    }

    /// Returns the current time in milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        let base = self.source.as_ref().map_or_else(system_now_ms, |source| source());
        base.saturating_add(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Replaces the offset.
    pub(crate) fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("offset_ms", &self.offset_ms)
            .finish_non_exhaustive()
    }
}

fn system_now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_millis()).ok())
        .unwrap_or_default()
}
