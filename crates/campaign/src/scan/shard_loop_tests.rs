//! The loop of a shard, which may stop after any effect.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::shard_loop::{GUARD, LONGEST_TURN, TURN};
use super::tests::{begun, database, device, scan_of};
use super::*;
use crate::audience::Device;
use batch::Appended;
use delivery::sql::fixture::Database;

const BEGIN: Timestamp = Timestamp::from_secs(1_795_420_800);

/// A batch, as far as a scan uses it.
#[derive(Default)]
struct Batch {
    recorded: Cursor,
    is_over: bool,
    /// The number of steps after which it stops the scan.
    stops_after: Option<u32>,
    not_reached: u64,
    faults: Vec<String>,
    taken: Vec<String>,
    steps: u32,
}

/// A shard with its object, its batches and its clock.
struct Shard {
    database: Database,
    scans: ShardLoop,
    batches: BTreeMap<String, Batch>,
    alarm: Option<Timestamp>,
    now: Timestamp,
    /// The time until a batch answers.
    round_trip: Duration,
    /// The most devices per step.
    limit: u32,
    /// The mishap of each effect. There are none after the last.
    script: std::vec::IntoIter<Mishap>,
    visited: Vec<String>,
}

/// A mishap with an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    Nothing,
    /// The object stops before the effect.
    StopBefore,
    /// The object stops after the effect, so its result is lost.
    StopAfter,
    /// The effect fails, and is not executed.
    Fail,
    /// A batch asks its scans to wait.
    Hold,
}

impl Shard {
    fn new(devices: usize, batches: usize) -> Self {
        let all: Vec<Device> = (0..devices)
            .map(|number| device(&format!("{number:04}"), "", "in"))
            .collect();
        let database = database(&all);
        let mut shard = Self {
            database,
            scans: ShardLoop::default(),
            batches: BTreeMap::new(),
            alarm: Some(BEGIN),
            now: BEGIN,
            round_trip: Duration::from_millis(50),
            limit: 3,
            script: Vec::new().into_iter(),
            visited: Vec::new(),
        };
        for number in 0..batches {
            let batch = format!("b{number:04}");
            begun(&shard.database, scan_of(&batch));
            shard.batches.insert(batch, Batch::default());
        }
        shard
    }

    /// Whether all batches know that their scans have ended, and no scan is left.
    fn is_done(&self) -> bool {
        self.batches.values().all(|batch| batch.is_over)
            && self.database.execute(&AudienceScan::all()).is_empty()
    }

    /// Fires the alarm, and runs the turn until it is over or the object stops.
    fn turn(&mut self) {
        let at = self.alarm.take().expect("an alarm is set");
        self.now = self.now.max(at);
        let mut has_armed = false;
        let mut event = Event::Alarm;
        while let Some(effect) = self.scans.handle(event, self.now) {
            let mishap = self.script.next().unwrap_or(Mishap::Nothing);
            if mishap == Mishap::StopBefore {
                return self.stop(has_armed);
            }
            let arms = matches!(effect, Effect::Arm(_) | Effect::Disarm);
            event = self.perform(effect, mishap);
            has_armed |= arms && mishap != Mishap::Fail;
            if mishap == Mishap::StopAfter {
                return self.stop(has_armed);
            }
        }
    }

    /// Stops the object. The platform repeats the alarm of an unfinished turn, if no other was set.
    fn stop(&mut self, has_armed: bool) {
        self.scans = ShardLoop::default();
        if !has_armed {
            self.alarm = Some(self.now);
        }
    }

    fn perform(&mut self, effect: Effect, mishap: Mishap) -> Event {
        let fails = mishap == Mishap::Fail;
        let failed = || "so".to_owned();
        match effect {
            Effect::HandOver(scan, step) => {
                self.now = self.now + self.round_trip;
                if fails {
                    return Event::Answered(Err(failed()));
                }
                Event::Answered(Ok(self.append(&scan, &step, mishap)))
            }
            Effect::MakeStep(_) | Effect::CountRemainder(_) if fails => Event::Made(Err(failed())),
            Effect::CountRemainder(scan) => {
                Event::Made(scan.count_remainder(|statement| Ok(self.database.execute(&statement))))
            }
            Effect::MakeStep(scan) => {
                self.visited.push(scan.batch.clone());
                Event::Made(self.step(&scan))
            }
            Effect::Arm(_) | Effect::Disarm | Effect::Load | Effect::Write(_) if fails => {
                Event::Failed(failed())
            }
            Effect::Fail(_) => {
                self.alarm = Some(self.now);
                Event::Done
            }
            Effect::Arm(at) => {
                self.alarm = Some(at);
                Event::Done
            }
            Effect::Disarm => {
                self.alarm = None;
                Event::Done
            }
            Effect::Load => {
                let rows = self.database.execute(&AudienceScan::all());
                Event::Loaded(rows.iter().map(|row| AudienceScan::load(row).unwrap()).collect())
            }
            Effect::Write(statements) => {
                for statement in &statements {
                    self.database.execute(statement);
                }
                Event::Done
            }
        }
    }

    fn step(&self, scan: &AudienceScan) -> Result<Step, String> {
        let rows = |statement| Ok(self.database.execute(&statement));
        scan.step(self.limit, rows, |members| Rendered {
            lines: members
                .iter()
                .map(|member| format!("{}\n", member.device.token))
                .collect(),
            pushes: u32::try_from(members.len()).unwrap(),
            indices: (0..members.len()).collect(),
            taken: members.len(),
            ..Rendered::default()
        })
    }

    fn append(&mut self, scan: &AudienceScan, step: &Step, mishap: Mishap) -> Option<Appended> {
        let batch = self.batches.get_mut(&scan.batch)?;
        let moves = step.to != scan.cursor || step.last;
        let stop = batch.stops_after.is_some_and(|steps| batch.steps >= steps);
        if stop && step.last && scan.cursor == batch.recorded && !batch.is_over {
            batch.is_over = true;
            batch.not_reached += step.left_out.not_reached;
        } else if !stop && mishap != Mishap::Hold && scan.cursor == batch.recorded && moves && !batch.is_over
        {
            batch.recorded = step.to;
            batch.is_over = step.last;
            batch.steps += 1;
            batch.taken.extend(step.lines.lines().map(str::to_owned));
            batch.faults.extend(step.fault.clone());
        }
        Some(Appended {
            cursor: batch.recorded.to_string(),
            last: batch.is_over,
            hold_ms: if mishap == Mishap::Hold { 10_000 } else { 0 },
            stop: stop && !batch.is_over,
        })
    }
}

fn mishaps() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        6 => Just(Mishap::Nothing),
        1 => Just(Mishap::StopBefore),
        1 => Just(Mishap::StopAfter),
        1 => Just(Mishap::Fail),
        1 => Just(Mishap::Hold),
    ]
}

proptest! {
    #[test]
    fn every_scan_ends_with_each_device_once_wherever_the_loop_is_stopped(
        devices in 0..14_usize, batches in 1..5_usize, script in prop::collection::vec(mishaps(), 0..80),
    ) {
        let mut shard = Shard::new(devices, batches);
        shard.script = script.into_iter();
        let mut turns = 0;
        while !shard.is_done() {
            prop_assert!(shard.alarm.is_some(), "nothing wakes the shard any more");
            prop_assert!(turns < 500, "it comes to no end");
            shard.turn();
            turns += 1;
        }
        let expected: Vec<String> = (0..devices).map(|number| format!("{number:04}")).collect();
        for batch in shard.batches.values() {
            prop_assert_eq!(&batch.taken, &expected);
        }
        // Nothing is left to wake for, but perhaps an alarm of a turn that ended without a word.
        while shard.alarm.is_some() {
            shard.turn();
            turns += 1;
            prop_assert!(turns < 500, "it is woken for nothing");
        }
    }
}

proptest! {
    #[test]
    fn a_scan_that_is_stopped_counts_each_device_that_it_has_not_come_to_once(
        devices in 0..30_usize, stops_after in 0..8_u32, script in prop::collection::vec(mishaps(), 0..80),
    ) {
        let mut shard = Shard::new(devices, 2);
        shard.batches.get_mut("b0000").unwrap().stops_after = Some(stops_after);
        shard.script = script.into_iter();
        for turns in 0.. {
            if shard.is_done() {
                break;
            }
            prop_assert!(turns < 500, "it comes to no end");
            shard.turn();
        }
        let stopped = &shard.batches["b0000"];
        let taken = u64::try_from(stopped.taken.len()).unwrap();
        prop_assert_eq!(taken + stopped.not_reached, u64::try_from(devices).unwrap());
        prop_assert_eq!(shard.batches["b0001"].taken.len(), devices);
    }
}

#[test]
fn a_scan_that_rests_is_visited_at_once_when_its_batch_wakes_it() {
    let mut shard = Shard::new(6, 1);
    shard.script = vec![Mishap::Nothing, Mishap::Nothing, Mishap::Hold].into_iter();
    shard.turn();
    assert!(shard.alarm.unwrap() > shard.now, "it rests");
    shard.alarm = Some(shard.now);
    shard.turn();
    assert!(shard.visited.is_empty());
    shard.scans.wake("b0000");
    shard.alarm = Some(shard.now);
    shard.turn();
    assert!(shard.is_done());
}

#[test]
fn a_batch_that_takes_no_count_gets_it_once() {
    let mut shard = Shard::new(6, 1);
    shard.turn();
    let database = &shard.database;
    let mut scan = begun(database, scan_of("other"));
    scan.move_to(Cursor(3));
    let mut scans = ShardLoop::default();
    scans.handle(Event::Alarm, BEGIN);
    scans.handle(Event::Done, BEGIN);
    scans.handle(Event::Loaded(vec![scan]), BEGIN);
    let told = || Appended {
        cursor: Cursor(3).to_string(),
        last: false,
        hold_ms: 0,
        stop: true,
    };
    let Some(Effect::CountRemainder(scan)) = scans.handle(Event::Answered(Ok(Some(told()))), BEGIN) else {
        panic!("it counts")
    };
    let step = scan.count_remainder(|statement| Ok(database.execute(&statement)));
    scans.handle(Event::Made(step), BEGIN);
    let effect = scans.handle(Event::Answered(Ok(Some(told()))), BEGIN);
    assert!(matches!(effect, Some(Effect::Write(_))), "{effect:?}");
}

#[test]
fn each_of_many_scans_makes_a_step_in_each_turn_however_long_the_batch_takes_to_answer() {
    for (scans, round_trip) in [
        (500, Duration::from_millis(50)),
        (150, Duration::from_millis(500)),
    ] {
        let mut shard = Shard::new(30, scans);
        shard.round_trip = round_trip;
        shard.turn();
        let steps: Vec<u32> = shard.batches.values().map(|batch| batch.steps).collect();
        assert!(steps.iter().all(|steps| *steps >= 1), "{steps:?}");
    }
}

#[test]
fn a_turn_that_is_too_long_goes_on_where_it_ended() {
    let mut shard = Shard::new(30, 20);
    shard.round_trip = Duration::from_mins(1);
    shard.turn();
    let first = shard.visited.clone();
    let took = shard.now.since(BEGIN);
    assert!(!first.is_empty() && first.len() < 20, "{first:?}");
    assert!(took <= LONGEST_TURN + 3 * shard.round_trip, "{took:?}");
    while shard.visited.len() < 20 {
        shard.turn();
    }
    let mut visited: Vec<String> = shard.visited[..20].to_vec();
    visited.sort();
    assert_eq!(visited, shard.batches.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn scans_share_the_time_of_a_turn() {
    let mut shard = Shard::new(30_000, 2);
    shard.turn();
    let steps: Vec<u32> = shard.batches.values().map(|batch| batch.steps).collect();
    assert!(steps.iter().all(|steps| (190..=201).contains(steps)), "{steps:?}");
    assert!(shard.now.since(BEGIN) <= TURN + 4 * shard.round_trip);
}

#[test]
fn a_turn_arms_the_next_alarm_before_it_does_anything_else() {
    let mut scans = ShardLoop::default();
    assert_eq!(
        scans.handle(Event::Alarm, BEGIN),
        Some(Effect::Arm(BEGIN + GUARD))
    );
    // And goes on if that fails.
    let next = scans.handle(Event::Failed("so".to_owned()), BEGIN);
    assert_eq!(next, Some(Effect::Load));
}

#[test]
fn a_scan_that_fails_keeps_no_other_from_going_on_and_is_tried_later_each_time() {
    let mut shard = Shard::new(6, 2);
    shard.batches.remove("b0000");
    let mut waits = Vec::new();
    let broken = |shard: &mut Shard| {
        let mut event = Event::Alarm;
        shard.now = shard.alarm.take().unwrap();
        while let Some(effect) = shard.scans.handle(event, shard.now) {
            let is_broken = matches!(&effect, Effect::HandOver(scan, _) if scan.batch == "b0000");
            event = shard.perform(effect, if is_broken { Mishap::Fail } else { Mishap::Nothing });
        }
    };
    for _ in 0..6 {
        broken(&mut shard);
        waits.push(shard.alarm.unwrap().since(shard.now).as_secs().div_ceil(5) * 5);
    }
    assert!(shard.batches["b0001"].is_over);
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    let failures = shard.scans.take_notices();
    assert!(
        failures
            .iter()
            .any(|notice| matches!(notice, Notice::Failed { batch, .. } if batch == "b0000"))
    );
}

#[test]
fn a_scan_that_can_not_go_on_tells_its_batch_why() {
    let mut shard = Shard::new(6, 1);
    let mut event = Event::Alarm;
    while let Some(effect) = shard.scans.handle(event, shard.now) {
        event = match effect {
            Effect::MakeStep(scan) => Event::Made(Ok(Step::fault(scan.cursor, "unreadable".to_owned()))),
            effect => shard.perform(effect, Mishap::Nothing),
        };
    }
    let batch = &shard.batches["b0000"];
    assert_eq!(
        (batch.is_over, batch.faults.as_slice()),
        (true, &["unreadable".to_owned()][..])
    );
    let logged = shard.scans.take_notices();
    assert!(logged.contains(&Notice::Failed {
        batch: "b0000".to_owned(),
        problem: "unreadable".to_owned()
    }));
}

#[test]
fn a_chunk_that_a_stopped_scan_could_not_hand_over_counts_for_no_cap() {
    for (stop, last, left) in [(true, false, 1), (false, true, 2)] {
        let devices: Vec<Device> = (0..9)
            .map(|number| device(&format!("{number}"), "", "in"))
            .collect();
        let database = database(&devices);
        let mut scan = begun(&database, scan_of("b"));
        database.execute(&scan.record(&[1, 2, 3]));
        scan.move_to(Cursor(3));
        database.execute(&scan.record(&[4, 5, 6]));
        let mut scans = ShardLoop::default();
        scans.handle(Event::Alarm, BEGIN);
        scans.handle(Event::Done, BEGIN);
        scans.handle(Event::Loaded(vec![scan]), BEGIN);
        let told = Appended {
            cursor: Cursor(3).to_string(),
            last,
            hold_ms: 0,
            stop,
        };
        let mut effect = scans.handle(Event::Answered(Ok(Some(told.clone()))), BEGIN);
        if let Some(Effect::CountRemainder(scan)) = &effect {
            let step = scan.count_remainder(|statement| Ok(database.execute(&statement)));
            scans.handle(Event::Made(step), BEGIN);
            effect = scans.handle(Event::Answered(Ok(Some(told))), BEGIN);
        }
        let Some(Effect::Write(statements)) = effect else {
            panic!("{effect:?}")
        };
        for statement in &statements {
            database.execute(statement);
        }
        let rows = database.execute(&Statement::new("SELECT start FROM send_log"));
        assert_eq!(rows.len(), left);
        assert_eq!(rows[0].text(0), Ok(""));
        assert!(database.execute(&AudienceScan::all()).is_empty());
    }
}
