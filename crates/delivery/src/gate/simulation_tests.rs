//! Senders, gates and APNs together, through hours of virtual time, with different clocks.
//!
//! APNs is modelled by Apple's three rules for provider tokens and knows nothing of buckets. Clocks are wrong
//! by up to a minute and a half, an evicted gate returns elsewhere with another clock, and a push takes up to
//! half a minute to arrive.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::tests::RFC_6979_KEY;
use super::*;
use crate::limiter::DEFAULT_CEILING;
use apns::provider_token::Bucket;

#[test]
fn a_hundred_isolates_of_three_deployments_never_break_apples_rules_in_ten_hours() {
    for seed in 1..=2 {
        let mut simulation = Simulation::new(3, 100, seed);
        while simulation.now < SIMULATION_START + Duration::from_hours(10) {
            let isolate = simulation.rng.below(100);
            simulation.push_from(isolate);
            let deployment = simulation.rng.below(3);
            match simulation.rng.below(200) {
                0 => simulation.restart(deployment, Storage::Kept),
                1 => simulation.restart(deployment, Storage::Lost),
                _ => {}
            }
            let pause = simulation.rng.below(6_000) as u64;
            simulation.pass(Duration::from_millis(pause));
        }
        simulation.pass(LONGEST_WAY);
        assert_eq!(simulation.apns.refused, [], "seed {seed}");
        assert!((19..=21).contains(&simulation.apns.seen.len()), "seed {seed}");
    }
}

#[test]
fn a_gate_that_is_idle_for_any_time_never_breaks_apples_rules() {
    for seed in 1..=6 {
        let mut simulation = Simulation::new(1, 10, seed);
        while simulation.now < SIMULATION_START + Duration::from_hours(24) {
            for _ in 0..simulation.rng.below(5) {
                let isolate = simulation.rng.below(10);
                simulation.push_from(isolate);
                let pause = simulation.rng.below(30_000) as u64;
                simulation.pass(Duration::from_millis(pause));
            }
            if simulation.rng.below(3) == 0 {
                simulation.restart(0, Storage::Kept);
            }
            let idle = simulation.rng.below(90 * 60_000) as u64;
            simulation.pass(Duration::from_millis(idle));
        }
        assert_eq!(simulation.apns.refused, [], "seed {seed}");
        assert!(simulation.apns.seen.len() > 10, "seed {seed}");
    }
}

/// The one case that no rule prevents: two gates without a shared memory, both idle, on either side of a
/// bucket's end. APNs may then refuse the newer token.
#[test]
fn gates_that_share_no_memory_find_back_to_one_token_after_a_refusal() {
    let mut simulation = Simulation::new(2, 2, 1);
    simulation.deployments[0].slow_by = CLOCKS_DIFFER;
    simulation.deployments[1].slow_by = CLOCKS_DIFFER;
    let end = Bucket::at(simulation.now).ends_at();
    simulation.pass((end - LONGEST_WAY).since(simulation.now));
    simulation.push_from(0);
    simulation.pass(LONGEST_WAY);
    simulation.push_from(1);
    simulation.pass(LONGEST_WAY);
    assert_eq!(simulation.apns.refused, [Refused::TooManyUpdates]);
    simulation.push_from(1);
    simulation.push_from(0);
    simulation.pass(LONGEST_WAY);
    assert_eq!(simulation.apns.seen.len(), 1, "the second gate fell back");

    while simulation.now < SIMULATION_START + Duration::from_hours(10) {
        let isolate = simulation.rng.below(2);
        simulation.push_from(isolate);
        simulation.pass(LONGEST_WAY);
    }
    assert_eq!(simulation.apns.refused, [Refused::TooManyUpdates], "only once");
    assert!((19..=21).contains(&simulation.apns.seen.len()));
}

#[test]
fn the_model_refuses_what_apple_refuses() {
    let minute = |minute: u64| SIMULATION_START + Duration::from_mins(minute);
    let token = |issued: u64| {
        let claims = format!(r#"{{"iss":"TEAM123456","iat":{}}}"#, minute(issued).as_secs());
        format!("header.{}.signature", base64url(&claims))
    };
    let mut apns = Apns::default();
    assert_eq!(apns.take(&token(0), minute(0)), Ok(()));
    assert_eq!(apns.take(&token(1), minute(19)), Err(Refused::TooManyUpdates));
    assert_eq!(apns.take(&token(0), minute(20)), Ok(()), "not a new one");
    assert_eq!(apns.take(&token(1), minute(20)), Ok(()));
    assert_eq!(apns.take(&token(0), minute(60)), Ok(()));
    assert_eq!(apns.take(&token(0), minute(61)), Err(Refused::Expired));
    assert_eq!(apns.take(&token(90), minute(89)), Err(Refused::Future));
    assert_eq!(apns.seen.len(), 2);
}

/// APNs' memory of one credential.
#[derive(Default)]
struct Apns {
    seen: Vec<(String, Timestamp)>,
    refused: Vec<Refused>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Expired,
    Future,
    TooManyUpdates,
}

impl Apns {
    fn take(&mut self, token: &str, now: Timestamp) -> Result<(), Refused> {
        let taken = self.judge(token, now);
        self.refused.extend(taken.err());
        taken
    }

    fn judge(&mut self, token: &str, now: Timestamp) -> Result<(), Refused> {
        let issued_at = issued_at(token);
        if issued_at > now {
            return Err(Refused::Future);
        }
        if now.since(issued_at) > Duration::from_hours(1) {
            return Err(Refused::Expired);
        }
        if self.seen.iter().any(|(seen, _)| seen == token) {
            return Ok(());
        }
        if self
            .seen
            .iter()
            .any(|(_, first)| now.since(*first) < Duration::from_mins(20))
        {
            return Err(Refused::TooManyUpdates);
        }
        self.seen.push((token.to_owned(), now));
        Ok(())
    }
}

struct Simulation {
    now: Timestamp,
    rng: Rng,
    apns: Apns,
    credential: Credential,
    deployments: Vec<Deployment>,
    isolates: Vec<Isolate>,
    on_the_way: BinaryHeap<Reverse<(Timestamp, usize, String, LeaseId)>>,
}

struct Deployment {
    gate: Gate,
    slow_by: Duration,
}

struct Isolate {
    deployment: usize,
    slow_by: Duration,
    lease: Option<Lease>,
    refusal: Option<Refusal>,
}

#[derive(Clone, Copy)]
enum Storage {
    Kept,
    Lost,
}

impl Simulation {
    fn new(deployments: usize, isolates: usize, seed: u64) -> Self {
        let mut rng = Rng(seed);
        Self {
            now: SIMULATION_START,
            apns: Apns::default(),
            credential: "TEAM123456/KEY1234567/production".parse().unwrap(),
            deployments: Vec::from_iter((0..deployments).map(|_| Deployment {
                gate: Gate::load(None, SIMULATION_START).machine,
                slow_by: rng.clock(),
            })),
            isolates: Vec::from_iter((0..isolates).map(|index| Isolate {
                deployment: index % deployments,
                slow_by: rng.clock(),
                lease: None,
                refusal: None,
            })),
            on_the_way: BinaryHeap::new(),
            rng,
        }
    }

    /// Sends a push from an isolate. It uses its own token while that is valid, else it asks its gate first.
    fn push_from(&mut self, index: usize) {
        let isolate = &self.isolates[index];
        let local = shown(self.now, isolate.slow_by);
        let keeps = isolate.refusal.is_none()
            && isolate
                .lease
                .as_ref()
                .is_some_and(|lease| local < lease.valid_until);
        if !keeps || self.rng.below(10) == 0 {
            self.visit_gate(index);
        }
        let arrival = self.now + Duration::from_millis(self.rng.below(30_001) as u64);
        if let Some(lease) = &self.isolates[index].lease {
            let text = lease.provider_token.as_str().to_owned();
            self.on_the_way.push(Reverse((arrival, index, text, lease.id)));
        }
    }

    fn visit_gate(&mut self, index: usize) {
        let isolate = &mut self.isolates[index];
        let command = Command::Lease {
            want: 6,
            ttl_ms: 60_000,
            wait_ms: 0,
            refused: isolate.refusal.take(),
            pooled: false,
            share: None,
        };
        let reply = request(
            &mut self.deployments[isolate.deployment],
            &self.credential,
            command,
            self.now,
        );
        match reply {
            Reply::Granted(lease) => isolate.lease = Some(lease),
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass. Messages on their way arrive.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((arrival, ..))) = self.on_the_way.peek()
            && *arrival <= end
        {
            let Some(Reverse((arrival, index, token, lease))) = self.on_the_way.pop() else {
                break;
            };
            self.now = arrival;
            let taken = self.apns.take(&token, arrival);
            let issued_at = issued_at(&token);
            let isolate = &mut self.isolates[index];
            if let Err(refused) = taken {
                isolate.refusal = Some(match refused {
                    Refused::TooManyUpdates => Refusal::TooManyUpdates { issued_at },
                    Refused::Expired | Refused::Future => Refusal::Expired { issued_at },
                });
            }
            let command = Command::Settle {
                lease,
                report: Report {
                    answered: 1,
                    accepted: 1,
                    ..Report::default()
                },
                proven: taken.ok().map(|()| issued_at),
                unavailable_for_ms: None,
                refused: None,
            };
            let deployment = &mut self.deployments[isolate.deployment];
            request(deployment, &self.credential, command, self.now);
        }
        self.now = end;
    }

    /// Evicts a gate, which returns with another clock.
    fn restart(&mut self, index: usize, storage: Storage) {
        let deployment = &mut self.deployments[index];
        deployment.slow_by = self.rng.clock();
        let mut stored = deployment.gate.store();
        if matches!(storage, Storage::Lost) {
            stored.truncate(stored.len() / 2);
        }
        deployment.gate = Gate::load(Some(&stored), shown(self.now, deployment.slow_by)).machine;
    }
}

fn request(deployment: &mut Deployment, credential: &Credential, command: Command, now: Timestamp) -> Reply {
    let context = Context {
        credential,
        key: Ok(RFC_6979_KEY),
        ceiling: DEFAULT_CEILING,
        pool_config: crate::pool::PoolConfig::DEFAULT,
    };
    let now = shown(now, deployment.slow_by);
    match deployment.gate.apply(command, &context, now) {
        Step::Answer(reply) => reply,
        waits @ Step::Wait { .. } => panic!("{waits:?}"),
    }
}

/// Returns what a clock shows at `now`. It is up to [`CLOCKS_DIFFER`] fast, less what it is slow by.
fn shown(now: Timestamp, slow_by: Duration) -> Timestamp {
    now + CLOCKS_DIFFER - slow_by
}

/// SplitMix64: the same numbers in each run.
struct Rng(u64);

impl Rng {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    /// How slow a clock is, where [`CLOCKS_DIFFER`] is right.
    fn clock(&mut self) -> Duration {
        Duration::from_millis(self.below(180_001) as u64)
    }
}

/// The `iat` of a token, read by hand.
fn issued_at(token: &str) -> Timestamp {
    let claims = token.split('.').nth(1).unwrap();
    let sextets = claims
        .chars()
        .map(|character| BASE64URL.find(character).unwrap() as u32);
    let claims: serde_json::Value = serde_json::from_slice(&regroup(sextets, 6, 8)).unwrap();
    Timestamp::from_secs(claims["iat"].as_u64().unwrap())
}

fn base64url(text: &str) -> String {
    let padding = [0].into_iter().filter(|_| !text.len().is_multiple_of(3));
    let octets = text.bytes().chain(padding).map(u32::from);
    regroup(octets, 8, 6)
        .into_iter()
        .take((text.len() * 8).div_ceil(6))
        .map(|sextet| char::from(BASE64URL.as_bytes()[usize::from(sextet)]))
        .collect()
}

/// Regroups bits from one group size into another. An incomplete last group is dropped.
fn regroup(groups: impl Iterator<Item = u32>, from: u32, to: u32) -> Vec<u8> {
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut regrouped = Vec::new();
    for group in groups {
        bits = (bits << from) | group;
        held += from;
        while held >= to {
            held -= to;
            regrouped.push(u8::try_from(bits >> held).unwrap());
            bits &= (1 << held) - 1;
        }
    }
    regrouped
}

const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Five minutes into a bucket, where all clocks agree on it.
const SIMULATION_START: Timestamp = Timestamp::from_secs(1_795_420_800 + 300);

const CLOCKS_DIFFER: Duration = Duration::from_secs(90);

const LONGEST_WAY: Duration = Duration::from_secs(30);
