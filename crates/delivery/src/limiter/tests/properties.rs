//! Properties that hold for any sequence of requests.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn permits_out_never_exceed_the_limit_and_all_come_back(
        steps in prop::collection::vec(step(), 1..200),
        limit in 1_u32..40,
    ) {
        let mut limiter = limiter_of(limit);
        let mut now = NOW;
        let mut out: BTreeMap<LeaseId, Permits> = BTreeMap::new();
        let mut waiting: Vec<(Ticket, LeaseRequest)> = Vec::new();
        for step in steps {
            match step {
                Step::LeaseRequest(request) => match limiter.request(request, now) {
                    LeaseDecision::Granted(permits) => {
                        out.retain(|_, permits| permits.expires_at > now);
                        for (_, other) in &waiting {
                            prop_assert!(comes_before(&request, other, &out), "{:?} overtook {:?}", request, other);
                        }
                        grant(&mut out, permits, &limiter, now)?;
                    }
                    LeaseDecision::Wait { ticket, until } => {
                        prop_assert!(until <= now + MAX_WAIT);
                        waiting.push((ticket, request));
                    }
                    LeaseDecision::Full { retry_after } => {
                        prop_assert!((MIN_RETRY..=MAX_RETRY).contains(&retry_after));
                    }
                },
                Step::Settle(index, report) => {
                    if let Some(lease) = out.keys().nth(index).copied() {
                        out.remove(&lease);
                        limiter.settle(lease, &report, now);
                    }
                }
                Step::Leave(index) => {
                    if index < waiting.len() {
                        let (ticket, _) = waiting.remove(index);
                        limiter.give_up(ticket, now);
                    }
                }
                Step::Pass(time) => now = now + time,
                Step::Evict => {
                    let text = serde_json::to_string(&limiter).unwrap();
                    limiter = serde_json::from_str(&text).unwrap();
                    waiting.clear();
                }
            }
            out.retain(|_, permits| permits.expires_at > now);
            loop {
                while let Some((ticket, permits)) = limiter.admit(now) {
                    let index = waiting.iter().position(|(waiter, _)| *waiter == ticket).unwrap();
                    let (_, request) = waiting.remove(index);
                    prop_assert_eq!(permits.share, request.share);
                    for (earlier, (_, other)) in waiting.iter().enumerate() {
                        let before = comes_before(&request, other, &out);
                        let after = comes_before(other, &request, &out);
                        prop_assert!(before || (!after && index <= earlier), "{:?} overtook {:?}", request, other);
                    }
                    grant(&mut out, permits, &limiter, now)?;
                }
                let Some((ticket, retry_after)) = limiter.lapse(now) else { break };
                prop_assert!((MIN_RETRY..=MAX_RETRY).contains(&retry_after));
                waiting.retain(|(other, _)| *other != ticket);
            }
            prop_assert_eq!(limiter.in_use(now), sum(&out, |_| true));
            prop_assert_eq!(limiter.waiting(), waiting.len());
            let orders_wait = waiting.iter().any(|(_, request)| request.share.is_none());
            let room = if orders_wait { limiter.limit() } else { open_to_batches(&out, &limiter) };
            let used = if orders_wait { sum(&out, |_| true) } else { sum(&out, |share| share.is_some()) };
            let fair = (room / MIN_GRANT_SHARE).max(1);
            prop_assert!(waiting.is_empty() || used + fair > room, "waits for nothing");
        }

        let deadline = now + MAX_WAIT;
        while let Some(event) = limiter.next_event(now) {
            now = now.max(event);
            while limiter.admit(now).is_some() || limiter.lapse(now).is_some() {}
        }
        prop_assert!(now <= deadline, "someone waited too long");
        prop_assert_eq!(limiter.in_use(now + MAX_TTL), 0);
    }
}

/// Whether `one` is admitted before `other` although it came later. An immediate request precedes a batch. A
/// batch with fewer permits for its weight precedes one with more.
fn comes_before(one: &LeaseRequest, other: &LeaseRequest, out: &BTreeMap<LeaseId, Permits>) -> bool {
    match (one.share, other.share) {
        (None, Some(_)) => true,
        (_, None) => false,
        (Some(one), Some(other)) => {
            let permits = |batch| sum(out, |share| share.is_some_and(|share| share.batch == batch));
            permits(one.batch) * other.weight < permits(other.batch) * one.weight
        }
    }
}

fn grant(
    out: &mut BTreeMap<LeaseId, Permits>,
    permits: Permits,
    limiter: &Limiter,
    now: Timestamp,
) -> Result<(), TestCaseError> {
    prop_assert!(permits.count >= 1);
    prop_assert!(permits.expires_at > now && permits.expires_at <= now + MAX_TTL);
    let room = open_to_batches(out, limiter);
    prop_assert!(out.insert(permits.lease, permits).is_none());
    let all = sum(out, |_| true);
    prop_assert!(all <= limiter.limit(), "{} out of {}", all, limiter.limit());
    if permits.share.is_some() {
        let batches = sum(out, |share| share.is_some());
        prop_assert!(batches <= room, "batches took {} of {}", batches, room);
    }
    Ok(())
}

/// The limit less the reserve, or less what immediate requests hold beyond it.
fn open_to_batches(out: &BTreeMap<LeaseId, Permits>, limiter: &Limiter) -> u32 {
    let limit = limiter.limit();
    let reserve = match limit {
        1 => 0,
        2..RESERVE => 1,
        _ => limit / RESERVE,
    };
    limit.saturating_sub(sum(out, |share| share.is_none()).max(reserve))
}

fn sum(out: &BTreeMap<LeaseId, Permits>, which: impl Fn(Option<FairShare>) -> bool) -> u32 {
    let permits = out.values().filter(|permits| which(permits.share));
    permits.map(|permits| permits.count).sum()
}

#[derive(Clone, Debug)]
enum Step {
    LeaseRequest(LeaseRequest),
    Settle(usize, Report),
    Leave(usize),
    Pass(Duration),
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    let share =
        prop::option::of((0_u64..4, 1_u32..5).prop_map(|(batch, weight)| FairShare { batch, weight }));
    let request =
        (0_u32..60, 0_u64..400, 0_u64..60, share).prop_map(|(want, ttl, wait, share)| LeaseRequest {
            want,
            ttl: Duration::from_secs(ttl),
            wait: Duration::from_secs(wait),
            pooled: false,
            share,
        });
    let report = (0_u32..100, 0_u32..10, 0_u32..10).prop_map(|(accepted, throttled, lost)| Report {
        answered: accepted + throttled,
        accepted,
        throttled,
        lost,
    });
    prop_oneof![
        8 => request.prop_map(Step::LeaseRequest),
        4 => (0_usize..8, report).prop_map(|(index, report)| Step::Settle(index, report)),
        1 => (0_usize..8).prop_map(Step::Leave),
        2 => (0_u64..20_000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => Just(Step::Evict),
    ]
}
