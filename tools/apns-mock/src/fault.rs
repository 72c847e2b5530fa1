//! Faults on demand: what goes wrong, for which requests and how often.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::environment::Environment;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An answer other than the true one: `status`, `reason`, `timestamp`, `headers`, `body`. Nothing is delivered.
    #[default]
    Answer,
    /// A GOAWAY, see `last`, `reason` and `code`; the connection closes `delay_ms` (500) after the last answer.
    GoAway,
    /// RST_STREAM with `code`. Nothing is delivered, unless `delivered`.
    Reset,
    /// The true answer, `delay_ms` late.
    Stall,
    /// No answer, ever. Nothing is delivered, unless `delivered`.
    Silence,
    /// The headers of the true answer and no end of the body.
    HeadersOnly,
    /// The TCP connection closes. Nothing is delivered, unless `delivered`: "sent, but the answer was lost".
    Close,
    /// New connections are closed at once for `delay_ms`, from now on; takes no filter.
    RefuseConnections,
    /// The connection's stream limit becomes `streams`; the true answer follows.
    StreamLimit,
}

/// Which body an [`FaultKind::Answer`] has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultBody {
    /// Apple's JSON with the reason, or nothing with status 200.
    #[default]
    Reason,
    /// JSON that breaks off.
    BrokenJson,
    /// A page of HTML, without `apns-id`, as from a proxy on the way.
    Html,
    /// Nothing.
    Empty,
}

/// The last stream id in a GOAWAY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastStream {
    /// The highest the server has seen: all requests so far are answered, later streams are refused.
    #[default]
    Seen,
    /// The stream of the request that met the fault: streams above it are dropped without an answer.
    This,
    /// The one before it: it and the streams above are dropped without an answer.
    Before,
}

/// A fault to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// How many requests meet it; absent for all.
    pub count: Option<u64>,
    /// Only each N-th of the requests that match.
    pub every: Option<u64>,
    /// The first N requests that match are spared.
    pub after: Option<u64>,
    /// Only requests to this device token, in hex.
    pub token: Option<String>,
    /// Only requests whose path starts so.
    pub path: Option<String>,
    /// Only requests in this environment.
    pub environment: Option<Environment>,
    /// At once and on every open connection, without a request: GOAWAY, close and stream limit alone.
    pub now: bool,
    /// The answer's status; 503 if absent.
    pub status: Option<u16>,
    /// The answer's reason, or the one in the GOAWAY's debug data. Absent in a GOAWAY: no debug data.
    pub reason: Option<String>,
    /// The answer's timestamp, in milliseconds.
    pub timestamp: Option<i64>,
    /// More headers of the answer, such as `retry-after`.
    pub headers: Vec<(String, String)>,
    /// The answer's body.
    pub body: FaultBody,
    /// The HTTP/2 error code of a reset or GOAWAY: 8 (CANCEL) and 0 (NO_ERROR) if absent.
    pub code: Option<u32>,
    /// The last stream id of a GOAWAY.
    pub last: LastStream,
    /// Milliseconds: see the kinds.
    pub delay_ms: Option<u64>,
    /// The new stream limit.
    pub streams: Option<u32>,
    /// The device shows the notification although its answer is lost.
    pub delivered: bool,
}

impl Fault {
    /// A fault of this kind for every request.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// A forced answer.
    pub fn answer(status: u16, reason: &str) -> Self {
        Self {
            status: Some(status),
            reason: Some(reason.to_owned()),
            ..Self::new(FaultKind::Answer)
        }
    }

    /// The same fault for so many requests.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// The same fault for one device token.
    #[must_use]
    pub fn for_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The delay the kind speaks of.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or_default())
    }
}

/// A fault and the requests it has met so far.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    matched: u64,
    met: u64,
}

/// The faults to come; the first that applies to a request is the one it meets.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Spares requests the lock while there is no fault.
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

    /// Removes all.
    pub(crate) fn clear(&self) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.clear();
        self.any.store(false, Ordering::Release);
    }

    /// The fault that a request meets, if any.
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
