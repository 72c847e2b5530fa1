use proptest::prelude::*;

use super::*;
use crate::outbox::{Answered, Body, Outbox, TIMEOUT};
use crate::webhook::Event as Announced;

fn with_webhook() -> Terms {
    Terms {
        webhook: Some("https://example.com/hook".to_owned()),
        ..terms()
    }
}

pub(super) fn run(terms: Terms) -> Record {
    Record {
        run: Some(RunRef {
            campaign: "c".to_owned(),
            at: BEGIN,
            audience: audience(),
            opened_at: BEGIN,
        }),
        ..record(terms)
    }
}

pub(super) fn tasks() -> BackgroundTasks {
    BackgroundTasks::new(Outbox::new("b"))
}

#[test]
fn shards_whose_scans_are_silent_are_woken_by_the_batch() {
    let mut batch = Batch::open(run(terms()), 2, BEGIN);
    let mut tasks = tasks();
    tasks.handle(&mut batch, Event::Look, BEGIN);
    let silent_at = BEGIN + secs(300);
    let effects = tasks.handle(&mut batch, Event::Look, BEGIN + secs(299));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Arm(at) if *at <= silent_at))
    );
    let woken = calls(&tasks.handle(&mut batch, Event::Look, silent_at));
    let wakes = woken
        .iter()
        .map(|(_, call)| call)
        .find(|call| matches!(call, Call::WakeScans { .. }));
    let expected = Call::WakeScans {
        audience: audience(),
        shards: vec![0, 1],
    };
    assert_eq!(wakes, Some(&expected));
}

/// Returns an ended run of one push with a webhook, and the calls that its end began.
fn ended() -> (Batch, BackgroundTasks, Vec<(u64, Call)>) {
    let mut batch = Batch::seal(run(with_webhook()), sizes(1, 1), BEGIN);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted([0]), true, BEGIN);
    let mut tasks = tasks();
    let calls = calls(&tasks.handle(&mut batch, Event::Look, BEGIN));
    (batch, tasks, calls)
}

pub(super) fn calls(effects: &[Effect]) -> Vec<(u64, Call)> {
    let calls = effects.iter().filter_map(|effect| match effect {
        Effect::Begin { number, call } => Some((*number, call.clone())),
        _ => None,
    });
    calls.collect()
}

pub(super) fn alarm(effects: &[Effect]) -> Timestamp {
    let Some(Effect::Arm(at)) = effects.first() else {
        panic!("the alarm comes first: {effects:?}")
    };
    *at
}

pub(super) fn end(call: u64, outcome: Outcome) -> Event {
    Event::Ended { call, outcome }
}

fn found(chunks: &[u32]) -> Outcome {
    Outcome::FoundGone {
        gone: chunks.iter().map(|chunk| (*chunk, MOST_GONE)).collect(),
        next: None,
        status: "{}".to_owned(),
    }
}

/// As many devices as fill a delivery.
const MOST_GONE: usize = crate::webhook::MAX_GONE;

fn number_of(calls: &[(u64, Call)], wanted: impl Fn(&Call) -> bool) -> u64 {
    calls.iter().find(|(_, call)| wanted(call)).unwrap().0
}

#[test]
fn the_alarm_is_set_before_anything_is_stored_or_begun_and_comes_though_all_calls_are_forgotten() {
    let mut batch = Batch::seal(run(with_webhook()), sizes(3, 500), BEGIN);
    let effects = tasks().handle(&mut batch, Event::Look, BEGIN);
    assert!(alarm(&effects) <= BEGIN + secs(60));
    assert_eq!(effects[1], Effect::Write);
    assert!(calls(&effects).contains(&(1, Call::Queue(vec![0]))));
    let (mut batch, mut tasks, begun) = ended();
    assert_eq!(
        begun.len(),
        3,
        "the registry, the scheduler, the deliveries: {begun:?}"
    );
    let effects = tasks.handle(&mut batch, Event::Look, BEGIN);
    assert_eq!(calls(&effects), []);
    assert!(alarm(&effects) <= BEGIN + secs(60));
    let lost = BEGIN + secs(60);
    let again = calls(&tasks.handle(&mut batch, Event::Look, lost));
    let kinds = |calls: Vec<(u64, Call)>| calls.into_iter().map(|(_, call)| call).collect::<Vec<_>>();
    assert_eq!(kinds(again), kinds(begun));
}

#[test]
fn a_call_that_hangs_holds_up_no_other() {
    let mut batch = Batch::seal(run(with_webhook()), sizes(2, 500), BEGIN);
    let mut tasks = tasks();
    let begun = calls(&tasks.handle(&mut batch, Event::Look, BEGIN));
    let queue = number_of(&begun, |call| matches!(call, Call::Queue(_)));
    number_of(&begun, |call| *call == Call::Register);
    let taken = end(queue, Outcome::Queued { refused: Vec::new() });
    tasks.handle(&mut batch, taken, BEGIN);
    for chunk in 0..2 {
        let work = batch.claim(chunk, BEGIN).unwrap();
        batch.settle(chunk, work.until, &accepted(0..500), true, BEGIN);
    }
    // The registry has not answered yet.
    let begun = calls(&tasks.handle(&mut batch, Event::Look, BEGIN));
    let reports = begun.iter().filter(|(_, call)| matches!(call, Call::Report(_)));
    assert_eq!(reports.count(), 1, "{begun:?}");
}

#[test]
fn a_run_is_reported_and_its_batch_queued_while_its_endpoint_hangs() {
    let (mut batch, mut tasks, begun) = ended();
    let announcement = number_of(&begun, |call| matches!(call, Call::FindGone(_)));
    let report = number_of(&begun, |call| matches!(call, Call::Report(Report::Ended(_))));
    let many: Vec<u32> = (0..100).collect();
    let effects = tasks.handle(&mut batch, end(announcement, found(&many)), BEGIN);
    let under_way = calls(&effects);
    assert!(under_way.iter().all(|(_, call)| matches!(call, Call::Deliver(_))));
    assert_eq!(under_way.len(), 4, "not all hundred at once");
    let gone = calls(&tasks.handle(&mut batch, end(report, Outcome::Done), BEGIN));
    assert!(
        matches!(gone[..], [(_, Call::Report(Report::Gone { .. }))]),
        "{gone:?}"
    );
    let told = end(gone[0].0, Outcome::Reported(None));
    tasks.handle(&mut batch, told, BEGIN + secs(1));
    assert!(!batch.has_pending_reports());
}

#[test]
fn a_batch_is_kept_past_its_retention_until_its_deliveries_are_made_or_given_up() {
    let terms = Terms {
        keep_ms: 3_600_000,
        ..with_webhook()
    };
    let mut batch = Batch::seal(record(terms), sizes(1, 1), BEGIN);
    let work = batch.claim(0, BEGIN).unwrap();
    batch.settle(0, work.until, &accepted([0]), true, BEGIN);
    let (mut tasks, mut now, mut last_attempt) = (tasks(), BEGIN, BEGIN);
    let mut under_way = Vec::new();
    for _ in 0..200 {
        let effects = match under_way.pop() {
            None => {
                let effects = tasks.handle(&mut batch, Event::Look, now);
                now = if calls(&effects).is_empty() {
                    alarm(&effects)
                } else {
                    now
                };
                effects
            }
            Some((_, Call::Remove)) => {
                let attempts = tasks
                    .outbox()
                    .deliveries()
                    .map(|delivery| delivery.attempts.len());
                assert_eq!(attempts.collect::<Vec<_>>(), [10]);
                assert!(
                    last_attempt.since(BEGIN) > Duration::from_hours(40),
                    "{last_attempt}"
                );
                return;
            }
            Some((number, Call::FindGone(_))) => tasks.handle(&mut batch, end(number, found(&[])), now),
            Some((number, Call::Deliver(delivery))) => {
                last_attempt = now;
                let outcome = Outcome::Delivered {
                    id: delivery.id,
                    result: Err("it is down over a weekend".to_owned()),
                };
                tasks.handle(&mut batch, end(number, outcome), now)
            }
            Some((number, _)) => tasks.handle(&mut batch, end(number, Outcome::Done), now),
        };
        under_way.extend(calls(&effects));
    }
    panic!("it is never removed");
}

#[test]
fn a_batch_that_is_deleted_while_deliveries_wait_stays_until_they_are_made_or_it_is_deleted_again() {
    let is_removed = |begun: &[(u64, Call)]| begun.iter().any(|(_, call)| *call == Call::Remove);
    let (mut batch, mut tasks, begun) = ended();
    assert!(tasks.delete_later(&mut batch));
    assert!(batch.take_unsaved().1, "an object that forgets knows it");
    // The second request to delete it deletes it at once, with its waiting deliveries.
    assert!(!tasks.delete_later(&mut batch));
    let mut waiting = begun;
    let mut now = BEGIN;
    for _ in 0..50 {
        assert!(!is_removed(&waiting) || tasks.outbox().wake().is_none());
        if is_removed(&waiting) {
            // Long before its retention is over.
            assert!(now < BEGIN + secs(600), "{now}");
            assert!(!tasks.delete_later(&mut batch), "nothing waits");
            return;
        }
        let effects = match waiting.pop() {
            None => {
                now = now + secs(1);
                tasks.handle(&mut batch, Event::Look, now)
            }
            Some((number, Call::FindGone(_))) => tasks.handle(&mut batch, end(number, found(&[])), now),
            Some((number, Call::Deliver(delivery))) => {
                let answered = Answered {
                    code: 200,
                    retry_after: None,
                };
                let outcome = Outcome::Delivered {
                    id: delivery.id,
                    result: Ok(answered),
                };
                tasks.handle(&mut batch, end(number, outcome), now)
            }
            Some((number, Call::Report(Report::Gone { .. }))) => {
                tasks.handle(&mut batch, end(number, Outcome::Reported(None)), now)
            }
            Some((number, _)) => tasks.handle(&mut batch, end(number, Outcome::Done), now),
        };
        waiting.extend(calls(&effects));
    }
    panic!("it is never removed");
}

#[test]
fn what_fails_is_tried_again_later_each_time_and_not_at_once() {
    let (mut batch, mut tasks, begun) = ended();
    let (mut now, mut waits) = (BEGIN, Vec::new());
    let mut register = number_of(&begun, |call| *call == Call::Register);
    for (number, _) in &begun[1..] {
        tasks.handle(&mut batch, end(*number, found(&[])), now);
    }
    for _ in 0..10 {
        let effects = tasks.handle(&mut batch, end(register, Outcome::Failed), now);
        assert!(calls(&effects).iter().all(|(_, call)| *call != Call::Register));
        let failed_at = now;
        register = loop {
            now = alarm(&tasks.handle(&mut batch, Event::Look, now)).max(now);
            let begun = calls(&tasks.handle(&mut batch, Event::Look, now));
            if let Some((number, _)) = begun.iter().find(|(_, call)| *call == Call::Register) {
                break *number;
            }
        };
        waits.push(now.since(failed_at).as_secs());
    }
    assert!(waits[0] >= 5 && waits[9] <= 301 && waits.is_sorted(), "{waits:?}");
}

#[test]
fn no_alarm_comes_in_vain_for_a_batch_whose_time_is_over_and_whose_deliveries_cannot_be_made_yet() {
    let (mut batch, mut tasks, begun) = ended();
    for (number, _) in begun {
        tasks.handle(&mut batch, end(number, Outcome::Failed), BEGIN);
    }
    let outdated = batch.outdated_at().unwrap();
    let again = calls(&tasks.handle(&mut batch, Event::Look, outdated));
    let announcement = number_of(&again, |call| matches!(call, Call::FindGone(_)));
    let mut effects = Vec::new();
    for (number, _) in again
        .iter()
        .filter(|(number, _)| *number != announcement)
        .chain(&again)
    {
        effects = tasks.handle(&mut batch, end(*number, Outcome::Failed), outdated);
    }
    assert!(alarm(&effects) >= outdated + secs(5), "{effects:?}");
}

#[test]
fn an_end_that_comes_after_its_call_was_given_up_changes_nothing() {
    let (mut batch, mut tasks, begun) = ended();
    let report = number_of(&begun, |call| matches!(call, Call::Report(_)));
    let late = BEGIN + secs(61);
    tasks.handle(&mut batch, Event::Look, late);
    tasks.handle(&mut batch, end(report, Outcome::Reported(None)), late);
    assert!(batch.has_pending_reports());
}

#[test]
fn deliveries_of_gone_devices_come_in_groups_and_the_end_comes_once() {
    let (mut batch, mut tasks, begun) = ended();
    let first = number_of(&begun, |call| matches!(call, Call::FindGone(0)));
    let page = Outcome::FoundGone {
        gone: vec![(0, 200), (3, 300), (4, 1)],
        next: Some(9),
        status: "{}".to_owned(),
    };
    let begun = calls(&tasks.handle(&mut batch, end(first, page), BEGIN));
    assert!(batch.take_unsaved().1, "an object that forgets goes on there");
    let second = number_of(&begun, |call| *call == Call::FindGone(9));
    tasks.handle(&mut batch, end(second, found(&[])), BEGIN);
    assert_eq!(batch.unannounced(), None);
    let mut told: Vec<_> = tasks
        .outbox()
        .deliveries()
        .map(|told| (told.event, told.body.clone()))
        .collect();
    told.reverse();
    let gone = |chunks: &[u32]| {
        (
            Announced::DevicesGone,
            Body::Gone {
                chunks: chunks.to_vec(),
            },
        )
    };
    assert_eq!(told[..2], [gone(&[0, 3]), gone(&[4])]);
    assert_eq!((told.len(), told[2].0), (3, Announced::BatchEnded));
}

#[test]
fn no_object_gives_a_call_up_while_it_may_still_end() {
    let (mut batch, mut tasks, begun) = ended();
    assert!(TIMEOUT < CALL_TIMEOUT);
    let effects = tasks.handle(&mut batch, Event::Look, BEGIN + CALL_TIMEOUT + secs(5));
    assert_eq!((calls(&effects), begun.len()), (vec![], 3));
}

/// The fate of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Succeeds,
    Fails,
    /// It is executed, but the answer is lost.
    AnswerLost,
    /// It is never executed, and fails in time.
    Hangs,
    /// It is never heard of again.
    NeverEnds,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Succeeds),
        Just(Fate::Fails),
        Just(Fate::AnswerLost),
        Just(Fate::Hangs),
        Just(Fate::NeverEnds),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn everything_that_was_accepted_ends_wherever_the_object_stops(
        chunks in 1..12_usize,
        fates in prop::collection::vec(fate(), 0..60),
        stops in prop::collection::vec(0..12_usize, 0..40),
        is_run: bool,
    ) {
        let mut host = host::Host::new(chunks, is_run, fates, stops);
        host.live();
        host.assert_all_has_ended();
    }
}

mod host {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use delivery::sql::fixture::Database;

    /// An object, its storage, and everything that it calls.
    pub(super) struct Host {
        now: Timestamp,
        memory: Option<(Batch, BackgroundTasks)>,
        /// What is stored.
        record: String,
        progress: BTreeMap<u32, String>,
        database: Database,
        alarm: Option<Alarm>,
        sizes: Vec<Size>,
        /// Future events: ends of calls, messages, and runners that have sent their chunks.
        coming: Vec<(Timestamp, Coming)>,
        fates: Vec<Fate>,
        /// The numbers of effects after which the object stops, one after the other.
        stops: Vec<usize>,
        effects: usize,
        /// What the other objects know.
        registered: String,
        run_ended: bool,
        reported: BTreeSet<u32>,
        taken: BTreeSet<String>,
        is_removed: bool,
        attempts: usize,
    }

    #[derive(Clone, Copy)]
    struct Alarm {
        at: Timestamp,
        is_guard: bool,
    }

    enum Coming {
        End(Event),
        Message(u32),
        Sent(u32, Timestamp),
    }

    const PUSHES: usize = 4;

    impl Host {
        pub(super) fn new(chunks: usize, is_run: bool, mut fates: Vec<Fate>, mut stops: Vec<usize>) -> Self {
            let terms = Terms {
                keep_ms: 3_600_000,
                ..with_webhook()
            };
            let record = if is_run { run(terms) } else { record(terms) };
            let sizes = sizes(chunks, PUSHES);
            let database = Database::new();
            database.execute(&Outbox::schema());
            fates.reverse();
            stops.reverse();
            let mut batch = Batch::seal(record, sizes.clone(), BEGIN);
            // The upload has set an alarm before its first row.
            let alarm = Alarm {
                at: BEGIN + secs(60),
                is_guard: false,
            };
            let stored = serde_json::to_string(batch.record()).unwrap();
            batch.take_unsaved();
            Self {
                now: BEGIN,
                memory: Some((batch, tasks())),
                record: stored,
                progress: BTreeMap::new(),
                database,
                alarm: Some(alarm),
                sizes,
                coming: Vec::new(),
                fates,
                stops,
                effects: 0,
                registered: String::new(),
                run_ended: !is_run,
                reported: BTreeSet::new(),
                taken: BTreeSet::new(),
                is_removed: false,
                attempts: 0,
            }
        }

        /// Lets time pass until there are no more events.
        pub(super) fn live(&mut self) {
            self.step(Event::Look);
            for _ in 0..5_000 {
                let first = (0..self.coming.len()).min_by_key(|index| self.coming[*index].0);
                let soonest = first.map(|index| self.coming[index].0);
                match self.alarm {
                    Some(alarm) if soonest.is_none_or(|at| alarm.at <= at) => {
                        self.now = self.now.max(alarm.at);
                        self.alarm_comes();
                    }
                    _ => {
                        let Some(index) = first else { return };
                        let (at, coming) = self.coming.swap_remove(index);
                        self.now = self.now.max(at);
                        self.comes(coming);
                    }
                }
            }
            panic!("it never rests: {}", self.record);
        }

        fn alarm_comes(&mut self) {
            self.alarm = Some(Alarm {
                at: self.now + secs(60),
                is_guard: true,
            });
            if self.is_removed {
                self.alarm = None;
                return;
            }
            if self.stops_here() {
                return;
            }
            self.step(Event::Look);
        }

        fn comes(&mut self, coming: Coming) {
            match coming {
                Coming::End(event) => self.step(event),
                Coming::Message(chunk) => {
                    self.load();
                    let now = self.now;
                    let claimed = self
                        .memory
                        .as_mut()
                        .and_then(|(batch, _)| batch.claim(chunk, now));
                    self.save();
                    if let Some(work) = claimed {
                        self.coming.push((now + secs(1), Coming::Sent(chunk, work.until)));
                    }
                    self.step(Event::Look);
                }
                Coming::Sent(chunk, claim) => {
                    // Runners die too.
                    if self.fates.pop() == Some(Fate::NeverEnds) {
                        return;
                    }
                    self.load();
                    let now = self.now;
                    if let Some((batch, _)) = &mut self.memory {
                        let gone = results_of(Verdict::DropDevice, 410, "Unregistered", 2..PUSHES);
                        batch.settle(chunk, claim, &both(accepted(0..2), gone), true, now);
                    }
                    self.save();
                    self.step(Event::Look);
                }
            }
        }

        fn load(&mut self) {
            if self.memory.is_some() || self.is_removed {
                return;
            }
            let record: Record = serde_json::from_str(&self.record).unwrap();
            let rows = self.progress.iter();
            let rows = rows.map(|(number, text)| (*number, serde_json::from_str(text).unwrap()));
            let outbox = Outbox::load(&record.id, &self.database.execute(&Outbox::select()));
            let batch = Batch::load(record, self.sizes.clone(), rows);
            self.memory = Some((batch, BackgroundTasks::new(outbox.machine)));
        }

        fn save(&mut self) {
            let Some((batch, tasks)) = &mut self.memory else {
                return;
            };
            let (chunks, is_record_unsaved) = batch.take_unsaved();
            for number in &chunks {
                let text = serde_json::to_string(batch.progress(*number).unwrap()).unwrap();
                self.progress.insert(*number, text);
            }
            batch.saved(&chunks);
            if is_record_unsaved {
                self.record = serde_json::to_string(batch.record()).unwrap();
            }
            for statement in tasks.outbox_mut().take_changes() {
                self.database.execute(&statement);
            }
        }

        /// Executes the object's handling of an event.
        fn step(&mut self, event: Event) {
            self.load();
            let now = self.now;
            let Some((batch, tasks)) = &mut self.memory else {
                return;
            };
            for effect in tasks.handle(batch, event, now) {
                if self.memory.is_none() {
                    return;
                }
                match effect {
                    Effect::Arm(at) => self.arm(at),
                    Effect::Write => self.save(),
                    Effect::LogEnd => {}
                    Effect::Begin { number, call } => self.begin(number, call),
                }
                if self.stops_here() {
                    return;
                }
            }
            assert!(
                self.is_removed || self.alarm.is_some_and(|alarm| alarm.at > now),
                "it would sleep for ever"
            );
        }

        fn arm(&mut self, at: Timestamp) {
            let is_early_enough = |alarm: Alarm| alarm.at <= at && !alarm.is_guard;
            if !self.alarm.is_some_and(is_early_enough) {
                self.alarm = Some(Alarm { at, is_guard: false });
            }
        }

        /// Stops the object now and then. Only the storage, the alarm, and what others do remain.
        fn stops_here(&mut self) -> bool {
            self.effects += 1;
            let stops = self.stops.last().is_some_and(|after| self.effects > *after);
            if stops {
                self.effects = 0;
                self.stops.pop();
                self.memory = None;
                self.coming
                    .retain(|(_, coming)| !matches!(coming, Coming::End(_)));
            }
            stops
        }

        fn begin(&mut self, number: u64, call: Call) {
            let fate = self.fates.pop().unwrap_or(Fate::Succeeds);
            let in_doubt = match &call {
                Call::Queue(chunks) => Outcome::Queued {
                    refused: chunks.clone(),
                },
                Call::Deliver(delivery) => Outcome::Delivered {
                    id: delivery.id.clone(),
                    result: Err("it took too long".to_owned()),
                },
                _ => Outcome::Failed,
            };
            let outcome = match fate {
                Fate::Succeeds => self.happens(call),
                Fate::AnswerLost => {
                    self.happens(call);
                    in_doubt
                }
                Fate::Fails | Fate::Hangs | Fate::NeverEnds => in_doubt,
            };
            let took = match fate {
                Fate::Succeeds | Fate::Fails => Duration::from_millis(30),
                Fate::AnswerLost | Fate::Hangs => CALL_TIMEOUT,
                Fate::NeverEnds => return,
            };
            let event = end(number, outcome);
            self.coming.push((self.now + took, Coming::End(event)));
        }

        fn happens(&mut self, call: Call) -> Outcome {
            match call {
                Call::Queue(chunks) => {
                    for chunk in chunks {
                        self.coming.push((self.now + secs(2), Coming::Message(chunk)));
                    }
                    Outcome::Queued { refused: Vec::new() }
                }
                Call::Register => {
                    let (batch, _) = self.memory.as_ref().unwrap();
                    self.registered = batch.record().state.as_str().to_owned();
                    Outcome::Done
                }
                Call::WakeScans { .. } => Outcome::Done,
                Call::PauseOthers(_) => Outcome::PausedOthers { unheard: Vec::new() },
                Call::Report(Report::Ended(_)) => {
                    self.run_ended = true;
                    Outcome::Done
                }
                Call::Report(Report::Gone { from, .. }) => {
                    assert!(self.run_ended);
                    let page: Vec<u32> = self
                        .progress
                        .range(from..)
                        .map(|(number, _)| *number)
                        .take(2)
                        .collect();
                    self.reported.extend(&page);
                    Outcome::Reported(next(&page))
                }
                Call::FindGone(from) => {
                    let page: Vec<u32> = self
                        .progress
                        .range(from..)
                        .map(|(number, _)| *number)
                        .take(2)
                        .collect();
                    Outcome::FoundGone {
                        gone: page.iter().map(|chunk| (*chunk, MOST_GONE / 2)).collect(),
                        next: next(&page),
                        status: "{}".to_owned(),
                    }
                }
                Call::Deliver(delivery) => {
                    self.attempts += 1;
                    self.taken.insert(delivery.id.clone());
                    Outcome::Delivered {
                        id: delivery.id,
                        result: Ok(Answered {
                            code: 200,
                            retry_after: None,
                        }),
                    }
                }
                Call::Remove => {
                    let (batch, tasks) = self.memory.take().unwrap();
                    assert!(!batch.has_pending_reports() && batch.unannounced().is_none());
                    assert_eq!(tasks.outbox().wake(), None, "a delivery waits");
                    self.is_removed = true;
                    self.alarm = None;
                    Outcome::Done
                }
            }
        }

        pub(super) fn assert_all_has_ended(&self) {
            assert!(self.is_removed && self.alarm.is_none());
            let record: Record = serde_json::from_str(&self.record).unwrap();
            assert_eq!(record.state, State::Done);
            for text in self.progress.values() {
                let progress: Progress = serde_json::from_str(text).unwrap();
                assert_eq!(progress.ended().len(), PUSHES);
            }
            assert_eq!(self.progress.len(), self.sizes.len());
            assert_eq!(self.registered, "done");
            assert!(self.run_ended);
            if record.run.is_some() {
                assert_eq!(self.reported.len(), self.sizes.len(), "of each chunk");
            }
            // Here two chunks fill a delivery, and another delivery reports the end.
            let deliveries = self.database.execute(&Outbox::select());
            let outbox = Outbox::load(&record.id, &deliveries).machine;
            assert_eq!(outbox.deliveries().count(), self.sizes.len().div_ceil(2) + 1);
            for delivery in outbox.deliveries() {
                let is_taken = self.taken.contains(&delivery.id);
                assert!(is_taken || delivery.attempts.len() == 10, "{delivery:?}");
            }
        }
    }

    fn next(page: &[u32]) -> Option<u32> {
        page.get(1).map(|last| last + 1)
    }
}
