//! The loop of a shard, which advances all of its scans whatever fails.
//!
//! A synchronous machine. The alarm is the first event. [`ShardLoop::handle`] answers each event with the
//! next effect, the Worker executes the effect, and its result is the next event. A turn ends when there is no
//! effect left.
//!
//! **No scan is lost.** A turn sets the next alarm before anything else. So another turn follows whatever
//! ends this one: a reset, a crash, an error. The batch stores the position of each scan, so a turn may end
//! after any effect.
//!
//! **No scan starves.** A turn begins with the scan after the last one of the previous turn. Each scan that
//! it visits makes at least one step, however long the batch takes to answer. That position, and until when a
//! scan rests, are in memory only. If both are lost, all scans are visited.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::step::Step;
use super::{AudienceScan, Cursor};
use apns::time::Timestamp;
use batch::Appended;
use delivery::sql::Statement;

/// The loop. Its state may be lost at any time.
#[derive(Debug, Default)]
pub struct ShardLoop {
    /// The batch of the scan that was visited last.
    last: String,
    /// Until when scans rest, by batch.
    rests: BTreeMap<String, Rest>,
    turn: Option<Turn>,
    notices: Vec<Notice>,
}

/// An event.
#[derive(Debug)]
pub enum Event {
    /// The alarm: a turn begins.
    Alarm,
    /// [`Effect::Arm`], [`Effect::Disarm`] or [`Effect::Write`] succeeded.
    Done,
    /// The scans that [`Effect::Load`] read.
    Loaded(Vec<AudienceScan>),
    /// The step of [`Effect::MakeStep`] or [`Effect::CountRemainder`], or its error.
    Made(Result<Step, String>),
    /// The batch's answer to [`Effect::HandOver`], `None` if the batch does not exist any more, or the error.
    Answered(Result<Option<Appended>, String>),
    /// The effect failed.
    Failed(String),
}

/// An effect for the Worker to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Set the alarm, replacing an earlier one.
    Arm(Timestamp),
    /// Clear the alarm.
    Disarm,
    /// Read all scans.
    Load,
    /// Make the next step of this scan and record its devices, without awaiting in between.
    MakeStep(Box<AudienceScan>),
    /// Count the next devices that this scan has not reached ([`AudienceScan::count_remainder`]), after its
    /// batch stopped it.
    CountRemainder(Box<AudienceScan>),
    /// Hand this step of the scan to its batch.
    HandOver(Box<AudienceScan>, Box<Step>),
    /// Execute these statements, without awaiting in between.
    Write(Vec<Statement>),
    /// End the turn with this error. No alarm could be set, and the platform repeats an alarm that fails.
    Fail(String),
}

/// An entry for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The progress of a scan in a turn.
    Scanned {
        /// Its batch.
        batch: String,
        /// The shard's number.
        shard: u32,
        /// The number of pushes that it handed over.
        pushes: u64,
        /// The number of devices that were left out.
        invalid: u64,
        /// The faults of some of those devices.
        problems: Vec<String>,
    },
    /// A scan failed and will be retried.
    Failed {
        /// Its batch.
        batch: String,
        /// Why.
        problem: String,
    },
    /// The turn failed, and the next one retries.
    TurnFailed {
        /// Why.
        problem: String,
    },
}

/// A scan that is not visited for a while.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    until: Timestamp,
    failures: u32,
}

#[derive(Debug)]
struct Turn {
    began_at: Timestamp,
    /// The time per visit.
    share: Duration,
    waiting: VecDeque<AudienceScan>,
    stage: Stage,
}

/// What the turn waits for.
#[derive(Debug)]
enum Stage {
    /// The next alarm, which is being set.
    Arming,
    /// The scans, which are being read.
    Loading,
    /// An effect of the scan that is visited.
    Visiting(Box<ScanStep>),
    /// The deletion of a scan that is over.
    Deleting(String),
    /// The scans, which are read again to compute the next alarm.
    Closing,
    /// The next alarm, which is being set. The turn is then over.
    Ending,
}

/// The visit of a scan.
#[derive(Debug)]
struct ScanStep {
    scan: AudienceScan,
    /// When the batch first answered.
    began_at: Option<Timestamp>,
    steps: u32,
    pushes: u64,
    invalid: u64,
    problems: Vec<String>,
    /// The step that is being handed over.
    step: Step,
}

impl ShardLoop {
    /// Handles an event. Returns the next effect, or `None` when the turn is over.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Option<Effect> {
        if matches!(event, Event::Alarm) {
            self.turn = Some(Turn {
                began_at: now,
                share: TURN,
                waiting: VecDeque::new(),
                stage: Stage::Arming,
            });
            return Some(Effect::Arm(now + GUARD));
        }
        let stage = &mut self.turn.as_mut()?.stage;
        match (std::mem::replace(stage, Stage::Ending), event) {
            // The turn continues without an alarm: its end sets one, or the platform repeats this one.
            (Stage::Arming, Event::Done | Event::Failed(_)) => self.go_to(Stage::Loading, Effect::Load),
            (Stage::Loading, Event::Loaded(scans)) => {
                self.line_up(scans, now);
                self.next_visit(now)
            }
            (Stage::Visiting(current), Event::Answered(answer)) => self.answered(*current, answer, now),
            (Stage::Visiting(current), Event::Made(made)) => match made {
                Ok(step) => self.hand_over(*current, step),
                Err(problem) => self.failed(*current, problem, now),
            },
            (Stage::Deleting(_), Event::Done) => self.next_visit(now),
            (Stage::Deleting(batch), Event::Failed(problem)) => {
                self.rest_after_failure(&batch, problem, now);
                self.next_visit(now)
            }
            (Stage::Closing, Event::Loaded(scans)) => self.close(&scans, now),
            (Stage::Ending, event) => {
                self.turn = None;
                match event {
                    Event::Failed(problem) => Some(Effect::Fail(problem)),
                    _ => None,
                }
            }
            (_, Event::Failed(problem)) => {
                self.notices.push(Notice::TurnFailed { problem });
                self.go_to(Stage::Ending, Effect::Arm(now + PAUSE))
            }
            // Unreachable: the Worker answers each effect with its own event.
            (_, _) => self.go_to(Stage::Ending, Effect::Arm(now + PAUSE)),
        }
    }

    /// Ends the rest of a batch's scan, because the batch has news for it.
    pub fn wake(&mut self, batch: &str) {
        self.rests.remove(batch);
    }

    /// Returns the log entries since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn go_to(&mut self, stage: Stage, effect: Effect) -> Option<Effect> {
        self.turn.as_mut()?.stage = stage;
        Some(effect)
    }

    /// Queues the scans that do not rest, beginning after the one that was visited last.
    fn line_up(&mut self, mut scans: Vec<AudienceScan>, now: Timestamp) {
        self.forget_others(&scans);
        let rests = &self.rests;
        scans.retain(|scan| rests.get(&scan.batch).is_none_or(|rest| rest.until <= now));
        scans.sort_by(|a, b| a.batch.cmp(&b.batch));
        let behind = scans.partition_point(|scan| scan.batch <= self.last);
        scans.rotate_left(behind);
        if let Some(turn) = &mut self.turn {
            turn.share = TURN / u32::try_from(scans.len().max(1)).unwrap_or(u32::MAX);
            turn.waiting = scans.into();
        }
    }

    fn forget_others(&mut self, scans: &[AudienceScan]) {
        self.rests
            .retain(|batch, _| scans.iter().any(|scan| scan.batch == *batch));
    }

    fn next_visit(&mut self, now: Timestamp) -> Option<Effect> {
        let turn = self.turn.as_mut()?;
        let is_over = now >= turn.began_at + LONGEST_TURN;
        let Some(scan) = turn.waiting.pop_front().filter(|_| !is_over) else {
            return self.go_to(Stage::Closing, Effect::Load);
        };
        self.last.clone_from(&scan.batch);
        let here = Step {
            to: scan.cursor,
            ..Step::default()
        };
        let current = ScanStep {
            scan,
            began_at: None,
            steps: 0,
            pushes: 0,
            invalid: 0,
            problems: Vec::new(),
            step: Step::default(),
        };
        // An empty step changes nothing, and its answer is the scan's position. The batch is asked before
        // anything else can fail, so that a scan whose batch is over ends in any case.
        self.hand_over(current, here)
    }

    fn hand_over(&mut self, mut current: ScanStep, step: Step) -> Option<Effect> {
        current.scan.remainder = step.remainder.or(current.scan.remainder);
        let effect = Effect::HandOver(Box::new(current.scan.clone()), Box::new(step.clone()));
        current.step = Step {
            lines: String::new(),
            ..step
        };
        self.go_to(Stage::Visiting(Box::new(current)), effect)
    }

    fn answered(
        &mut self,
        mut current: ScanStep,
        answer: Result<Option<Appended>, String>,
        now: Timestamp,
    ) -> Option<Effect> {
        let told = match answer {
            Ok(Some(told)) => told,
            Ok(None) => {
                let delete = vec![AudienceScan::delete(&current.scan.batch)];
                return self.over(&current, delete);
            }
            Err(problem) => return self.failed(current, problem, now),
        };
        let Ok(cursor) = told.cursor.parse::<Cursor>() else {
            return self.failed(current, "the batch has another cursor".to_owned(), now);
        };
        // Ends the scan even if the batch is of a version that does not accept a count.
        let is_counted = current.step.last && current.step.remainder.is_some();
        current.count_step(cursor);
        current.scan.move_to(cursor);
        if told.last || (told.stop && is_counted) {
            let delete = if told.stop {
                current.scan.stop()
            } else {
                vec![AudienceScan::delete(&current.scan.batch)]
            };
            return self.over(&current, delete);
        }
        let began_at = *current.began_at.get_or_insert(now);
        let hold = Duration::from_millis(told.hold_ms);
        let share = self.turn.as_ref()?.share;
        if !hold.is_zero() || (current.steps > 0 && now >= began_at + share) {
            let rest = Rest {
                until: now + hold,
                failures: 0,
            };
            self.rests.insert(current.scan.batch.clone(), rest);
            self.report(&current);
            return self.next_visit(now);
        }
        current.steps = current.steps.saturating_add(1);
        let scan = Box::new(current.scan.clone());
        let effect = if told.stop {
            Effect::CountRemainder(scan)
        } else {
            Effect::MakeStep(scan)
        };
        self.go_to(Stage::Visiting(Box::new(current)), effect)
    }

    /// Deletes a scan that is over.
    fn over(&mut self, current: &ScanStep, delete: Vec<Statement>) -> Option<Effect> {
        self.report(current);
        let stage = Stage::Deleting(current.scan.batch.clone());
        self.go_to(stage, Effect::Write(delete))
    }

    fn failed(&mut self, current: ScanStep, problem: String, now: Timestamp) -> Option<Effect> {
        self.report(&current);
        if current.steps > 1 {
            // The scan made progress before it failed, so its delay starts anew.
            self.rests.remove(&current.scan.batch);
        }
        self.rest_after_failure(&current.scan.batch, problem, now);
        self.next_visit(now)
    }

    fn rest_after_failure(&mut self, batch: &str, problem: String, now: Timestamp) {
        let rest = self.rests.entry(batch.to_owned()).or_default();
        let pause = PAUSE.saturating_mul(1 << rest.failures.min(MAX_DOUBLINGS));
        rest.failures = rest.failures.saturating_add(1);
        rest.until = now + pause.min(LONGEST_PAUSE);
        let batch = batch.to_owned();
        self.notices.push(Notice::Failed { batch, problem });
    }

    fn report(&mut self, current: &ScanStep) {
        if let Some(problem) = current.step.fault.clone() {
            let batch = current.scan.batch.clone();
            self.notices.push(Notice::Failed { batch, problem });
        }
        if current.pushes + current.invalid > 0 {
            self.notices.push(Notice::Scanned {
                batch: current.scan.batch.clone(),
                shard: current.scan.number,
                pushes: current.pushes,
                invalid: current.invalid,
                problems: current.problems.clone(),
            });
        }
    }

    /// Sets the alarm for the remaining scans. A scan that began meanwhile does not rest, and is visited at
    /// once.
    fn close(&mut self, scans: &[AudienceScan], now: Timestamp) -> Option<Effect> {
        self.forget_others(scans);
        let rest_of = |scan: &AudienceScan| self.rests.get(&scan.batch).map(|rest| rest.until);
        let again = scans.iter().map(|scan| rest_of(scan).unwrap_or(now).max(now));
        let effect = again.min().map_or(Effect::Disarm, Effect::Arm);
        self.go_to(Stage::Ending, effect)
    }
}

impl ScanStep {
    /// Counts the step that was handed over, if the batch accepted it.
    fn count_step(&mut self, cursor: Cursor) {
        let step = std::mem::take(&mut self.step);
        if cursor == step.to {
            self.pushes += u64::from(step.pushes);
            self.invalid += step.left_out.unsendable();
            let left = MAX_PROBLEMS.saturating_sub(self.problems.len());
            self.problems.extend(step.problems.into_iter().take(left));
        }
        self.step.fault = step.fault;
    }
}

/// The time of all visits of a turn together, if each makes more than one step.
pub(super) const TURN: Duration = Duration::from_secs(20);

/// No visit begins later than this in a turn. An alarm handler may run for 15 minutes, including the last
/// visit.
pub(super) const LONGEST_TURN: Duration = Duration::from_mins(5);

/// When the next turn begins if this one ends unexpectedly.
pub(super) const GUARD: Duration = Duration::from_mins(1);

/// The delay before the first retry. It doubles with each failure.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// The longest delay before a retry.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The longest delay is reached at 2^4.
const MAX_DOUBLINGS: u32 = 4;

/// The most left-out devices per turn that are logged: enough to see why.
const MAX_PROBLEMS: usize = 5;
