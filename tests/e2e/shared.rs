//! Environments that tests share, and rules that are tested with both transports.

use std::ops::Deref;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::panicking;

use apns_mock::{DEFAULT_STREAMS, Latency, Options};
use testbed::Runner;

use crate::batches::webhooks::SECRET;
use crate::test_env::{ATTEMPT_TIMEOUT_MS, TestEnv};

/// A shared environment in use by a test. Checked when the test has passed.
pub(crate) struct Shared {
    env: &'static TestEnv,
    turn: Turn,
}

/// Which other tests may use the environment at the same time.
enum Turn {
    /// Any test with its own devices, because each answer by `fetch` has its own connection.
    Any,
    /// Tests that do not break the connection, which all pushes share.
    WithOthers { _turn: RwLockReadGuard<'static, ()> },
    /// No other test.
    Exclusive { _turn: RwLockWriteGuard<'static, ()> },
}

/// An environment, and the lock for breaking its connections.
#[derive(Default)]
struct Slot {
    env: OnceLock<TestEnv>,
    turns: RwLock<()>,
}

impl Shared {
    /// Returns a Worker that sends with `fetch` and has a secret for webhooks.
    pub(crate) fn by_fetch() -> Self {
        static SLOT: OnceLock<TestEnv> = OnceLock::new();
        Self {
            env: SLOT.get_or_init(|| {
                let env = start(&[("TRANSPORT", "fetch"), ("WEBHOOK_SECRET", SECRET)]);
                env.add_secret(SECRET);
                env
            }),
            turn: Turn::Any,
        }
    }

    /// Returns a Worker that sends over sockets, for tests that do not break the connection.
    pub(crate) fn by_socket() -> Self {
        let slot = sockets();
        let turn = slot.turns.read().unwrap_or_else(PoisonError::into_inner);
        let turn = Turn::WithOthers { _turn: turn };
        let env = slot.env.get_or_init(|| start(&[("TRANSPORT", "socket")]));
        Self { env, turn }
    }

    /// Returns the same Worker for a test that breaks connections.
    pub(crate) fn by_socket_exclusive() -> Self {
        let slot = sockets();
        let turn = slot.turns.write().unwrap_or_else(PoisonError::into_inner);
        let turn = Turn::Exclusive { _turn: turn };
        let env = slot.env.get_or_init(|| start(&[("TRANSPORT", "socket")]));
        Self { env, turn }
    }

    /// Returns another Worker with a single connection, for one test at a time. Few pushes fail on it, so the
    /// limit of permits stays high.
    pub(crate) fn by_wide_socket() -> Self {
        static WIDE: OnceLock<Slot> = OnceLock::new();
        let slot = WIDE.get_or_init(Slot::default);
        let turn = slot.turns.write().unwrap_or_else(PoisonError::into_inner);
        let turn = Turn::Exclusive { _turn: turn };
        let env = slot.env.get_or_init(|| start(&WIDE_SETTINGS));
        Self { env, turn }
    }
}

fn sockets() -> &'static Slot {
    static SLOT: OnceLock<Slot> = OnceLock::new();
    SLOT.get_or_init(Slot::default)
}

/// One connection in total, so that a fault of it affects every push.
const WIDE_SETTINGS: [(&str, &str); 3] = [
    ("TRANSPORT", "socket"),
    ("MAX_CONNECTIONS", "1"),
    ("SOCKETS_PER_CONNECTION", "1"),
];

fn start(settings: &[(&str, &str)]) -> TestEnv {
    let timeout = [("ATTEMPT_TIMEOUT_MS", ATTEMPT_TIMEOUT_MS)];
    TestEnv::start(Runner::Dev, Options::default(), &[settings, &timeout].concat())
}

impl Deref for Shared {
    type Target = TestEnv;

    fn deref(&self) -> &TestEnv {
        self.env
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if matches!(self.turn, Turn::Exclusive { .. }) {
            self.env.apns.clear_faults();
            self.env.apns.set_latency(Latency::default());
            self.env.apns.set_max_concurrent_streams(DEFAULT_STREAMS);
        }
        if !panicking() {
            self.env.check();
        }
    }
}

/// Generates two tests per rule, with `fetch` and over a socket. A rule is a function of an environment.
macro_rules! over_both_transports {
    (
        $($rule:ident),+ $(,)?
        $(; breaking connections: $($breaking:ident),+ $(,)?)?
    ) => {
        mod by_fetch {
            use crate::shared::Shared;
            $(
                #[test]
                fn $rule() {
                    super::$rule(&Shared::by_fetch());
                }
            )+
            $($(
                #[test]
                fn $breaking() {
                    super::$breaking(&Shared::by_fetch());
                }
            )+)?
        }
        mod over_a_socket {
            use crate::shared::Shared;
            $(
                #[test]
                fn $rule() {
                    super::$rule(&Shared::by_socket());
                }
            )+
            $($(
                #[test]
                fn $breaking() {
                    super::$breaking(&Shared::by_socket_exclusive());
                }
            )+)?
        }
    };
}
pub(crate) use over_both_transports;

/// Generates two tests per rule, for rules that need their own environment. A rule is a function of the name
/// of a transport.
macro_rules! over_each_transport {
    ($($rule:ident),+ $(,)?) => {
        mod by_fetch {
            $(
                #[test]
                fn $rule() {
                    super::$rule("fetch");
                }
            )+
        }
        mod over_a_socket {
            $(
                #[test]
                fn $rule() {
                    super::$rule("socket");
                }
            )+
        }
    };
}
pub(crate) use over_each_transport;
