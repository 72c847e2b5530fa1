use super::*;
use crate::outbox::Outbox;

/// Returns a batch whose credential APNs has just refused, and the call that pauses the others.
fn refused_batch() -> (Batch, BackgroundTasks, u64) {
    let mut batch = sealed(terms(), 1, 1);
    let mut tasks = BackgroundTasks::new(Outbox::new("b"));
    tasks.handle(&mut batch, Event::Look, BEGIN);
    refuse(&mut batch);
    let (number, refusal) = pausing(&tasks.handle(&mut batch, Event::Look, BEGIN)).unwrap();
    assert_eq!(refusal.reason, "InvalidProviderToken");
    assert_eq!(refusal.unheard, None, "all of them");
    (batch, tasks, number)
}

fn refuse(batch: &mut Batch) {
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &refused([0]), true, BEGIN);
    assert_eq!(batch.record().state, State::Paused);
}

/// Returns the call among these effects that pauses other batches.
fn pausing(effects: &[Effect]) -> Option<(u64, Refusal)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Begin {
            number,
            call: Call::PauseOthers(refusal),
        } => Some((*number, refusal.clone())),
        _ => None,
    })
}

fn told(call: u64, unheard: &[&str]) -> Event {
    let unheard = unheard.iter().map(|id| (*id).to_owned()).collect();
    let outcome = Outcome::PausedOthers { unheard };
    Event::Ended { call, outcome }
}

#[test]
fn only_the_batches_that_have_not_heard_of_a_refusal_are_told_again() {
    let (mut batch, mut tasks, call) = refused_batch();
    assert_eq!(
        pausing(&tasks.handle(&mut batch, told(call, &["x", "y"]), BEGIN)),
        None
    );
    let later = BEGIN + secs(5);
    let (call, refusal) = pausing(&tasks.handle(&mut batch, Event::Look, later)).unwrap();
    assert_eq!(refusal.unheard, Some(vec!["x".to_owned(), "y".to_owned()]));
    // If the call fails as a whole, nothing new is known.
    let outcome = Outcome::Failed;
    tasks.handle(&mut batch, Event::Ended { call, outcome }, later);
    let later = later + secs(10);
    let (call, refusal) = pausing(&tasks.handle(&mut batch, Event::Look, later)).unwrap();
    assert_eq!(refusal.unheard, Some(vec!["x".to_owned(), "y".to_owned()]));
    tasks.handle(&mut batch, told(call, &["y"]), later);
    let later = later + secs(20);
    let (call, refusal) = pausing(&tasks.handle(&mut batch, Event::Look, later)).unwrap();
    assert_eq!(refusal.unheard, Some(vec!["y".to_owned()]));
    tasks.handle(&mut batch, told(call, &[]), later);
    for wait in [1, 60, 3600] {
        assert_eq!(
            pausing(&tasks.handle(&mut batch, Event::Look, later + secs(wait))),
            None
        );
    }
}

#[test]
fn the_other_batches_hear_of_a_refusal_although_a_crash_came_in_between() {
    let (mut batch, mut tasks, call) = refused_batch();
    let restarted = |batch: &Batch| {
        let batch = Batch::load(batch.record().clone(), sizes(1, 1), Vec::new());
        (batch, BackgroundTasks::new(Outbox::new("b")))
    };
    // At first all batches are notified.
    let (mut other, mut others) = restarted(&batch);
    let (_, refusal) = pausing(&others.handle(&mut other, Event::Look, BEGIN)).unwrap();
    assert_eq!(
        (refusal.reason.as_str(), refusal.unheard),
        ("InvalidProviderToken", None)
    );
    // Later only the batches that were not reached.
    tasks.handle(&mut batch, told(call, &["x"]), BEGIN);
    let (mut other, mut others) = restarted(&batch);
    let (call, refusal) = pausing(&others.handle(&mut other, Event::Look, BEGIN)).unwrap();
    assert_eq!(refusal.unheard, Some(vec!["x".to_owned()]));
    others.handle(&mut other, told(call, &[]), BEGIN);
    let (mut last, mut tasks) = restarted(&other);
    assert_eq!(pausing(&tasks.handle(&mut last, Event::Look, BEGIN)), None);
}

#[test]
fn a_refusal_is_forgotten_when_its_batch_is_resumed() {
    let (mut batch, mut tasks, call) = refused_batch();
    tasks.handle(&mut batch, told(call, &["x"]), BEGIN);
    batch.resume(BEGIN + secs(1));
    for wait in [1, 5, 60, 3600] {
        let now = BEGIN + secs(wait);
        assert_eq!(
            pausing(&tasks.handle(&mut batch, Event::Look, now)),
            None,
            "{wait}"
        );
    }
}

#[test]
fn a_call_that_ends_after_a_resume_says_nothing_of_the_next_refusal() {
    let (mut batch, mut tasks, call) = refused_batch();
    batch.resume(BEGIN);
    tasks.handle(&mut batch, Event::Look, BEGIN);
    refuse(&mut batch);
    assert_eq!(
        pausing(&tasks.handle(&mut batch, Event::Look, BEGIN)),
        None,
        "one at a time"
    );
    let (_, refusal) = pausing(&tasks.handle(&mut batch, told(call, &[]), BEGIN)).unwrap();
    assert_eq!(refusal.unheard, None);
}
