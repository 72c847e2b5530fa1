mod dial;
mod refusals;
mod shares;
mod tokens;

use super::*;
use crate::limiter::{DEFAULT_CEILING, START};
use apns::provider_token::{BUCKET, CLOCK_SKEW};

/// The private key of RFC 6979, appendix A.2.5, as PKCS#8. It is public and used only in tests.
pub(super) const RFC_6979_KEY: &str = include_str!("../../../apns/tests/rfc_6979.p8");

/// The beginning of a bucket.
const START_OF_BUCKET: Timestamp = Timestamp::from_secs(1_795_420_800);

/// A moment at which the bucket's token is the current one.
const NOW: Timestamp = Timestamp::from_secs(1_795_420_800 + 300);

#[test]
fn a_lease_is_a_token_and_permits() {
    let mut scene = Scene::new();
    let lease = scene.lease(NOW);
    assert_eq!(lease.permits, 10);
    assert_eq!(lease.provider_token.issued_at(), START_OF_BUCKET);
    assert_eq!(lease.expires_at, NOW + Duration::from_mins(1));
    assert!(!lease.proven);
}

#[test]
fn a_waiter_is_answered_once_permits_come_back() {
    let mut scene = Scene::new();
    let holder = scene.fill(NOW);
    let ticket = scene.wait(NOW);
    assert_eq!(scene.answers(NOW), []);
    scene.settle(&holder, NOW);
    let answers = scene.answers(NOW);
    assert!(
        matches!(&answers[..], [(answered, Reply::Granted(lease))] if *answered == ticket && lease.permits == 10)
    );
}

#[test]
fn a_waiter_is_answered_when_a_dead_holders_lease_expires() {
    let mut scene = Scene::new();
    let holder = scene.fill(NOW);
    assert_eq!(scene.gate.wake(NOW), None, "nobody waits");
    let late = holder.expires_at - Duration::from_secs(1);
    scene.wait(late);
    assert_eq!(scene.gate.wake(late), Some(holder.expires_at));
    scene.gate.alarm(holder.expires_at);
    assert!(matches!(
        &scene.answers(holder.expires_at)[..],
        [(_, Reply::Granted(_))]
    ));
}

#[test]
fn a_waiter_whose_wait_is_over_is_told_when_to_come_back() {
    let mut scene = Scene::new();
    scene.fill(NOW);
    let given_up = scene.wait(NOW);
    assert!(matches!(scene.gate.give_up(given_up, NOW), Reply::Full { .. }));
    let forgotten = scene.wait(NOW);
    let answers = scene.answers(NOW + Duration::from_secs(10));
    assert!(matches!(&answers[..], [(ticket, Reply::Full { .. })] if *ticket == forgotten));
}

#[test]
fn waiters_are_told_when_tokens_are_stopped() {
    let mut scene = Scene::new();
    let holder = scene.fill(NOW);
    scene.wait(NOW);
    assert!(matches!(
        scene.refused(expired(&holder), NOW),
        Reply::Stopped { .. }
    ));
    scene.settle(&holder, NOW);
    assert!(matches!(&scene.answers(NOW)[..], [(_, Reply::Stopped { .. })]));
}

#[test]
fn a_corrupt_state_starts_afresh_and_is_reported_without_its_text() {
    let mut scene = Scene::new();
    scene.lease(NOW);
    let state = scene.gate.store();
    for broken in [&state[..state.len() / 2], "", "null", "{}", "\u{0}secret"] {
        let loaded = Gate::load(Some(broken), NOW);
        assert_eq!(loaded.machine.limiter, Limiter::new(NOW));
        assert_eq!(loaded.machine.tokens, Tokens::after_a_loss());
        let fault = loaded.fault.unwrap();
        assert!(fault.contains("line") && !fault.contains("secret"), "{fault}");
    }
    assert_eq!(Gate::load(None, NOW).fault, None);
}

#[test]
fn an_inspection_tells_how_the_gate_stands_and_no_secret() {
    let mut scene = Scene::new();
    let lease = scene.lease(NOW);
    scene.settle(&lease, NOW);
    scene.lease(NOW);
    let reply = scene.step(Command::Inspect, NOW);
    let text = serde_json::to_string(&reply).unwrap();
    assert!(!text.contains(lease.provider_token.as_str()));
    assert_eq!(
        text,
        r#"{"inspected":{"issued_at":1795420800000,"proven":true,"stopped_until":null,"limit":2000,"in_use":10,"leases":1,"waiting":0,"connections":{"open":0,"idle":0,"unavailable":0}}}"#
    );
}

/// During a deployment, senders and gates of different versions exchange these texts.

#[test]
fn command_and_reply_format_unchanged() {
    let mut scene = Scene::new();
    let lease = scene.lease(NOW);
    let commands = [
        Command::Inspect,
        Command::Lease {
            want: 500,
            ttl_ms: 60_000,
            wait_ms: 0,
            refused: Some(too_many(&lease)),
            pooled: false,
            share: None,
        },
        Command::Settle {
            lease: lease.id,
            report: Report {
                answered: 3,
                accepted: 2,
                throttled: 1,
                lost: 0,
            },
            proven: Some(START_OF_BUCKET),
            unavailable_for_ms: None,
            refused: None,
        },
    ];
    let texts = commands
        .clone()
        .map(|command| serde_json::to_string(&command).unwrap());
    assert_eq!(
        texts,
        [
            r#""inspect""#,
            r#"{"lease":{"want":500,"ttl_ms":60000,"wait_ms":0,"refused":{"too_many_updates":{"issued_at":1795420800000}},"pooled":false}}"#,
            r#"{"settle":{"lease":1795421100000,"report":{"answered":3,"accepted":2,"throttled":1,"lost":0},"proven":1795420800000,"unavailable_for_ms":null}}"#,
        ]
    );
    for (command, text) in commands.into_iter().zip(texts) {
        assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
    }
    let token = lease.provider_token.as_str().to_owned();
    let reply = Reply::Granted(lease);
    let text = serde_json::to_string(&reply).unwrap();
    assert_eq!(
        text.replace(&token, "TOKEN"),
        r#"{"granted":{"id":1795421100000,"permits":10,"provider_token":{"text":"TOKEN","issued_at":1795420800000},"valid_until":1795422720000,"proven":false,"accepted":0,"expires_at":1795421160000}}"#
    );
    assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply);
}

/// If this changes, every gate loses its token and its leases at the next deployment, and APNs may see a new
/// token too early.

#[test]
fn state_format_unchanged() {
    let mut scene = Scene::new();
    let lease = scene.lease(NOW);
    scene.settle(&lease, NOW);
    let newest = scene.lease(NOW + BUCKET);
    lease_of(scene.refused(too_many(&newest), NOW + BUCKET));
    let state = scene
        .gate
        .store()
        .replace(lease.provider_token.as_str(), "BEFORE")
        .replace(newest.provider_token.as_str(), "NEWEST");
    assert_eq!(
        state,
        r#"{"tokens":{"key":"930c320433c65f7b","newest":{"token":{"text":"NEWEST","issued_at":1795422600000},"introduced":1795422900000,"proven":false,"accepted":0,"refused":"too_many_updates"},"previous":{"token":{"text":"BEFORE","issued_at":1795420800000},"introduced":1795421100000,"proven":true,"accepted":10,"refused":null},"pause":null,"lost":false},"limiter":{"limit":2000,"credit":0,"decreased_at":null,"held_ms":3500,"next_lease":1795421100003,"leases":[{"id":1795421100001,"permits":10,"granted_at":1795422900000,"expires_at":1795422960000},{"id":1795421100002,"permits":10,"granted_at":1795422900000,"expires_at":1795422960000}]},"pool":{"slots":[],"loads":{},"dialed_at":0,"dialing_slot":null},"dial":{"failures":0,"not_before":0,"in_progress_until":0}}"#
    );
    assert_eq!(Gate::load(Some(&state), NOW).fault, None);
    assert_eq!(Gate::load(Some(&scene.gate.store()), NOW).machine, scene.gate);
}

#[test]
fn a_lease_does_not_print_its_token() {
    let lease = Scene::new().lease(NOW);
    assert!(!format!("{lease:?}").contains(lease.provider_token.as_str()));
}

const LEASE: Command = Command::Lease {
    want: 10,
    ttl_ms: 60_000,
    wait_ms: 0,
    refused: None,
    pooled: false,
    share: None,
};

struct Scene<'k> {
    credential: Credential,
    key: Result<&'k str, &'k str>,
    gate: Gate,
}

impl Scene<'_> {
    fn new() -> Self {
        Self {
            credential: "TEAM123456/KEY1234567/production".parse().unwrap(),
            key: Ok(RFC_6979_KEY),
            gate: Gate::load(None, NOW).machine,
        }
    }

    fn apply(&mut self, command: Command, now: Timestamp) -> Step<Reply> {
        let context = context(&self.credential, self.key);
        self.gate.apply(command, &context, now)
    }

    fn answers(&mut self, now: Timestamp) -> Vec<(Ticket, Reply)> {
        let context = context(&self.credential, self.key);
        self.gate.take_answers(&context, now)
    }

    fn step(&mut self, command: Command, now: Timestamp) -> Reply {
        match self.apply(command, now) {
            Step::Answer(reply) => reply,
            waits @ Step::Wait { .. } => panic!("{waits:?}"),
        }
    }

    fn lease(&mut self, now: Timestamp) -> Lease {
        lease_of(self.step(LEASE, now))
    }

    fn refused(&mut self, refusal: Refusal, now: Timestamp) -> Reply {
        let command = Command::Lease {
            want: 10,
            ttl_ms: 60_000,
            wait_ms: 0,
            refused: Some(refusal),
            pooled: false,
            share: None,
        };
        self.step(command, now)
    }

    fn fill(&mut self, now: Timestamp) -> Lease {
        let command = Command::Lease {
            want: START,
            ttl_ms: 60_000,
            wait_ms: 0,
            refused: None,
            pooled: false,
            share: None,
        };
        lease_of(self.step(command, now))
    }

    fn wait(&mut self, now: Timestamp) -> Ticket {
        let command = Command::Lease {
            want: 10,
            ttl_ms: 60_000,
            wait_ms: 10_000,
            refused: None,
            pooled: false,
            share: None,
        };
        match self.apply(command, now) {
            Step::Wait { ticket, until } => {
                assert_eq!(until, now + Duration::from_secs(10));
                ticket
            }
            Step::Answer(reply) => panic!("{reply:?}"),
        }
    }

    fn settle(&mut self, lease: &Lease, now: Timestamp) {
        let command = Command::Settle {
            lease: lease.id,
            report: Report {
                answered: 10,
                accepted: 10,
                ..Report::default()
            },
            proven: Some(lease.provider_token.issued_at()),
            unavailable_for_ms: None,
            refused: None,
        };
        assert_eq!(self.step(command, now), Reply::Settled);
    }
}

const fn context<'c>(credential: &'c Credential, key: Result<&'c str, &'c str>) -> Context<'c> {
    Context {
        credential,
        key,
        ceiling: DEFAULT_CEILING,
        pool_config: crate::pool::PoolConfig::DEFAULT,
    }
}

fn lease_of(reply: Reply) -> Lease {
    match reply {
        Reply::Granted(lease) => lease,
        other => panic!("not granted: {other:?}"),
    }
}

const fn too_many(lease: &Lease) -> Refusal {
    Refusal::TooManyUpdates {
        issued_at: lease.provider_token.issued_at(),
    }
}

const fn expired(lease: &Lease) -> Refusal {
    Refusal::Expired {
        issued_at: lease.provider_token.issued_at(),
    }
}
