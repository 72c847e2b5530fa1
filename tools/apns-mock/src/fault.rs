//! Injected faults: what fails, for which requests, and how often.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::environment::Environment;

/// A kind of fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers with the fault's `status`, `reason`, `timestamp`, `headers` and `body`. Nothing is delivered.
    #[default]
    Answer,
    /// Sends a GOAWAY with `last`, `reason` and `code`. The connection closes `delay_ms` (500) after the last
    /// answer.
    GoAway,
    /// Resets the stream with `code`. Nothing is delivered, unless `delivered` is set.
    Reset,
    /// Delays the true answer by `delay_ms`.
    Stall,
    /// Never answers. Nothing is delivered, unless `delivered` is set.
    Silence,
    /// Sends the headers of the true answer, and a body that never ends.
    HeadersOnly,
    /// Closes the TCP connection. Nothing is delivered, unless `delivered` is set: "sent, but the answer was
    /// lost".
    Close,
    /// Closes new connections at once, for the next `delay_ms`. Has no filter.
    RefuseConnections,
    /// Changes the connection's stream limit to `streams`, and sends the true answer.
    StreamLimit,
}

/// The body of an [`FaultKind::Answer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultBody {
    /// Apple's JSON with the reason, or nothing if the status is 200.
    #[default]
    Reason,
    /// Incomplete JSON.
    BrokenJson,
    /// An HTML page, without `apns-id`, as a proxy may send it.
    Html,
    /// Nothing.
    Empty,
}

/// The last stream id of a GOAWAY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastStream {
    /// The highest stream id that was seen: all requests so far are answered, and later streams are refused.
    #[default]
    Seen,
    /// The stream id of the request to which the fault applies. Streams above it are dropped without an
    /// answer.
    This,
    /// The stream id before it. The stream itself and those above it are dropped without an answer.
    Before,
}

/// A fault to inject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// The kind.
    pub kind: FaultKind,
    /// The number of requests to which it applies. Absent for all.
    pub count: Option<u64>,
    /// Applies only to every N-th matching request.
    pub every: Option<u64>,
    /// Skips the first N matching requests.
    pub after: Option<u64>,
    /// Only requests to this device token, in hex.
    pub token: Option<String>,
    /// Only requests whose path has this prefix.
    pub path: Option<String>,
    /// Only requests in this environment.
    pub environment: Option<Environment>,
    /// Applies at once to every open connection, without a request. Only for GOAWAY, close and stream limit.
    pub now: bool,
    /// The answer's status. 503 if absent.
    pub status: Option<u16>,
    /// The answer's reason, or the reason in a GOAWAY's debug data. If absent, a GOAWAY has no debug data.
    pub reason: Option<String>,
    /// The answer's timestamp, in milliseconds.
    pub timestamp: Option<i64>,
    /// Further headers of the answer, such as `retry-after`.
    pub headers: Vec<(String, String)>,
    /// The answer's body.
    pub body: FaultBody,
    /// The HTTP/2 error code of a reset or a GOAWAY. If absent: 8 (CANCEL) or 0 (NO_ERROR).
    pub code: Option<u32>,
    /// The last stream id of a GOAWAY.
    pub last: LastStream,
    /// Milliseconds, with the meaning that the kind defines.
    pub delay_ms: Option<u64>,
    /// The new stream limit.
    pub streams: Option<u32>,
    /// Whether the device shows the notification although its answer is lost.
    pub delivered: bool,
}

impl Fault {
    /// Creates a fault of this kind for every request.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// Creates a fault that answers with this status and reason.
    pub fn answer(status: u16, reason: &str) -> Self {
        Self {
            status: Some(status),
            reason: Some(reason.to_owned()),
            ..Self::new(FaultKind::Answer)
        }
    }

    /// Limits the fault to this number of requests.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Limits the fault to one device token.
    #[must_use]
    pub fn for_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Returns the delay, with the kind's default.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or_default())
    }
}

/// A fault, and the number of requests to which it has applied.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    matched: u64,
    met: u64,
}

/// The armed faults. The first one that matches a request applies to it.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Avoids the lock while there is no fault.
    any: AtomicBool,
    armed: Mutex<Vec<Armed>>,
}

impl Faults {
    /// Adds a fault.
    pub(crate) fn arm(&self, fault: Fault) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.push(Armed {
            fault,
            matched: 0,
            met: 0,
        });
        self.any.store(true, Ordering::Release);
    }

    /// Removes all faults.
    pub(crate) fn clear(&self) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.clear();
        self.any.store(false, Ordering::Release);
    }

    /// Returns the fault that applies to a request, if any.
    pub(crate) fn meet(&self, environment: Environment, path: &str) -> Option<Fault> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let found = armed.iter_mut().find_map(|armed| armed.meets(environment, path));
        armed.retain(|armed| armed.fault.count.is_none_or(|count| armed.met < count));
        self.any.store(!armed.is_empty(), Ordering::Release);
        found
    }
}

impl Armed {
    fn meets(&mut self, environment: Environment, path: &str) -> Option<Fault> {
        let fault = &self.fault;
        let matches = fault.environment.is_none_or(|only| only == environment)
            && fault
                .path
                .as_ref()
                .is_none_or(|start| path.starts_with(start.as_str()))
            && fault.token.as_ref().is_none_or(|token| {
                path.rsplit('/')
                    .next()
                    .is_some_and(|end| end.eq_ignore_ascii_case(token))
            });
        if !matches {
            return None;
        }
        self.matched += 1;
        let past = self
            .matched
            .checked_sub(fault.after.unwrap_or_default())
            .filter(|past| *past > 0)?;
        if past % fault.every.unwrap_or(1).max(1) != 0 {
            return None;
        }
        self.met += 1;
        Some(fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meetings(fault: Fault, requests: usize) -> Vec<usize> {
        let faults = Faults::default();
        faults.arm(fault);
        (1..=requests)
            .filter(|_| faults.meet(Environment::Production, "/3/device/AB").is_some())
            .collect()
    }

    #[test]
    fn count_every_and_after_pick_the_requests() {
        let any = Fault::default;
        assert_eq!(meetings(any(), 3), [1, 2, 3]);
        assert_eq!(meetings(any().times(2), 5), [1, 2]);
        assert_eq!(
            meetings(
                Fault {
                    every: Some(3),
                    ..any()
                },
                7
            ),
            [3, 6]
        );
        assert_eq!(
            meetings(
                Fault {
                    after: Some(2),
                    count: Some(1),
                    ..any()
                },
                7
            ),
            [3]
        );
        assert_eq!(
            meetings(
                Fault {
                    after: Some(1),
                    every: Some(2),
                    count: Some(2),
                    ..any()
                },
                9
            ),
            [3, 5]
        );
    }

    #[test]
    fn a_fault_meets_only_what_it_names() {
        assert_eq!(meetings(Fault::default().for_token("ab"), 1), [1]);
        assert!(meetings(Fault::default().for_token("cd"), 1).is_empty());
        let sandbox = Fault {
            environment: Some(Environment::Sandbox),
            ..Fault::default()
        };
        assert!(meetings(sandbox, 1).is_empty());
        assert!(
            meetings(
                Fault {
                    path: Some("/4/".to_owned()),
                    ..Fault::default()
                },
                1
            )
            .is_empty()
        );
    }

    #[test]
    fn the_second_fault_waits_until_the_first_is_used_up() {
        let faults = Faults::default();
        faults.arm(Fault::answer(500, "A").times(1));
        faults.arm(Fault::answer(503, "B").times(1));
        let reason = || {
            faults
                .meet(Environment::Sandbox, "/")
                .and_then(|fault| fault.reason)
        };
        assert_eq!(
            (reason().as_deref(), reason().as_deref(), reason()),
            (Some("A"), Some("B"), None)
        );
    }
}
