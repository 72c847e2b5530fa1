//! Stages that tests share, and rules that hold by each transport.

use std::ops::Deref;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::panicking;

use apns_mock::{DEFAULT_STREAMS, Latency, Options};

use crate::stage::{ATTEMPT_TIMEOUT_MS, Stage};
use crate::worker::Runner;

/// A shared stage in the hands of one test; checked when the test has passed.
pub(crate) struct Shared {
    stage: &'static Stage,
    turn: Turn,
}

/// Who else may use the stage meanwhile.
enum Turn {
    /// Whoever keeps to devices of its own: an answer by `fetch` has its connection to itself.
    Any,
    /// Whoever leaves the connection whole, which all pushes share.
    WithOthers { _turn: RwLockReadGuard<'static, ()> },
    /// Nobody.
    Alone { _turn: RwLockWriteGuard<'static, ()> },
}

/// A stage and the right to break its connections.
#[derive(Default)]
struct Slot {
    stage: OnceLock<Stage>,
    turns: RwLock<()>,
}

impl Shared {
    /// A Worker that sends by `fetch`.
    pub(crate) fn by_fetch() -> Self {
        static SLOT: OnceLock<Stage> = OnceLock::new();
        Self {
            stage: SLOT.get_or_init(|| start(&[("TRANSPORT", "fetch")])),
            turn: Turn::Any,
        }
    }

    /// A Worker that sends over sockets, for tests after which the connection is as it was.
    pub(crate) fn by_socket() -> Self {
        let slot = sockets();
        let turn = slot.turns.read().unwrap_or_else(PoisonError::into_inner);
        let turn = Turn::WithOthers { _turn: turn };
        let stage = slot.stage.get_or_init(|| start(&[("TRANSPORT", "socket")]));
        Self { stage, turn }
    }

    /// The same for a test that breaks connections.
    pub(crate) fn by_socket_alone() -> Self {
        let slot = sockets();
        let turn = slot.turns.write().unwrap_or_else(PoisonError::into_inner);
        let turn = Turn::Alone { _turn: turn };
        let stage = slot.stage.get_or_init(|| start(&[("TRANSPORT", "socket")]));
        Self { stage, turn }
    }

    /// Another one, with a single connection and for a test at a time: few pushes fail on it, so that the permits for many
    /// stay.
    pub(crate) fn by_wide_socket() -> Self {
        static WIDE: OnceLock<Slot> = OnceLock::new();
        let slot = WIDE.get_or_init(Slot::default);
        let turn = slot.turns.write().unwrap_or_else(PoisonError::into_inner);
        let turn = Turn::Alone { _turn: turn };
        let stage = slot.stage.get_or_init(|| start(&WIDE_SETTINGS));
        Self { stage, turn }
    }
}

fn sockets() -> &'static Slot {
    static SLOT: OnceLock<Slot> = OnceLock::new();
    SLOT.get_or_init(Slot::default)
}

/// One connection in all, so that whatever happens to it happens to every push.
const WIDE_SETTINGS: [(&str, &str); 3] = [
    ("TRANSPORT", "socket"),
    ("MAX_CONNECTIONS", "1"),
    ("SOCKETS_PER_CONNECTION", "1"),
];

fn start(settings: &[(&str, &str)]) -> Stage {
    let timeout = [("ATTEMPT_TIMEOUT_MS", ATTEMPT_TIMEOUT_MS)];
    Stage::start(Runner::Dev, Options::default(), &[settings, &timeout].concat())
}

impl Deref for Shared {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        self.stage
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if matches!(self.turn, Turn::Alone { .. }) {
            self.stage.apns.clear_faults();
            self.stage.apns.set_latency(Latency::default());
            self.stage.apns.set_max_concurrent_streams(DEFAULT_STREAMS);
        }
        if !panicking() {
            self.stage.check();
        }
    }
}

/// Makes two tests of each rule, a function of a stage: by `fetch` and over a socket.
macro_rules! over_both_transports {
    (
        $($rule:ident),+ $(,)?
        $(; breaking connections: $($breaking:ident),+ $(,)?)?
    ) => {
        mod by_fetch {
            use crate::shared::Shared;
            $(
                #[test]
                #[ignore = "needs the built Worker: run `cargo xtask test`"]
                fn $rule() {
                    super::$rule(&Shared::by_fetch());
                }
            )+
            $($(
                #[test]
                #[ignore = "needs the built Worker: run `cargo xtask test`"]
                fn $breaking() {
                    super::$breaking(&Shared::by_fetch());
                }
            )+)?
        }
        mod over_a_socket {
            use crate::shared::Shared;
            $(
                #[test]
                #[ignore = "needs the built Worker: run `cargo xtask test`"]
                fn $rule() {
                    super::$rule(&Shared::by_socket());
                }
            )+
            $($(
                #[test]
                #[ignore = "needs the built Worker: run `cargo xtask test`"]
                fn $breaking() {
                    super::$breaking(&Shared::by_socket_alone());
                }
            )+)?
        }
    };
}
pub(crate) use over_both_transports;

/// Makes two tests of each rule, a function of the name of a transport, for rules that need a stage of their own.
macro_rules! over_each_transport {
    ($($rule:ident),+ $(,)?) => {
        mod by_fetch {
            $(
                #[test]
                #[ignore = "needs the built Worker: run `cargo xtask test`"]
                fn $rule() {
                    super::$rule("fetch");
                }
            )+
        }
        mod over_a_socket {
            $(
                #[test]
                #[ignore = "needs the built Worker: run `cargo xtask test`"]
                fn $rule() {
                    super::$rule("socket");
                }
            )+
        }
    };
}
pub(crate) use over_each_transport;
