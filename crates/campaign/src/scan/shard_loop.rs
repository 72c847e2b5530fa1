//! The loop of a shard: takes all of its scans on, whatever fails.
//!
//! A synchronous machine. The alarm is the first event; [`ShardLoop::handle`] answers each event with the next effect, which the
//! shell executes, and what came of it is the next event. A turn ends when there is no effect left.
//!
//! **No scan is lost.** A turn arms the next alarm before anything else, so that whatever ends it - a reset, a crash, an error -
//! another follows. What a scan has reached is the batch's to know, so that a turn may end after any effect.
//!
//! **No scan starves.** A turn begins with the scan behind the one that the last turn visited last, and each scan that it visits
//! makes at least one step, however long the batch takes to answer. In memory alone are that place, and until when a scan
//! rests; an object that forgot both visits all of its scans.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::step::Step;
use super::{AudienceScan, Cursor};
use apns::time::Timestamp;
use batch::Appended;
use delivery::sql::Statement;

/// The loop. What it holds may be lost at any time.
#[derive(Debug, Default)]
pub struct ShardLoop {
    /// The batch of the scan that was visited last.
    last: String,
    /// Until when scans rest, by batch.
    rests: BTreeMap<String, Rest>,
    turn: Option<Turn>,
    notices: Vec<Notice>,
}

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// The alarm has come: a turn begins.
    Alarm,
    /// [`Effect::Arm`], [`Effect::Disarm`] or [`Effect::Write`] is done.
    Done,
    /// The scans that [`Effect::Load`] has read.
    Loaded(Vec<AudienceScan>),
    /// The step that [`Effect::MakeStep`] or [`Effect::CountRemainder`] has made, or why not.
    Made(Result<Step, String>),
    /// The batch's answer to [`Effect::HandOver`], nothing if it is not there any more, or why there is none.
    Answered(Result<Option<Appended>, String>),
    /// The effect has failed.
    Failed(String),
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Set the alarm, whatever it was set to.
    Arm(Timestamp),
    /// There is nothing left to wake for.
    Disarm,
    /// Read all scans.
    Load,
    /// Make the next step of this scan, and write down whom it is for, with no wait in between.
    MakeStep(Box<AudienceScan>),
    /// Count the next devices that this scan has not come to ([`AudienceScan::count_remainder`]): its batch has stopped it.
    CountRemainder(Box<AudienceScan>),
    /// Hand this step of the scan to its batch.
    HandOver(Box<AudienceScan>, Box<Step>),
    /// Execute these, with no wait in between.
    Write(Vec<Statement>),
    /// End the turn with this error: no alarm could be set, and the platform gives one again that has failed.
    Fail(String),
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// How far a scan has come in a turn.
    Scanned {
        /// Its batch.
        batch: String,
        /// The shard's number.
        shard: u32,
        /// How many pushes it has handed over.
        pushes: u64,
        /// How many devices were left out.
        invalid: u64,
        /// What is wrong with some of those.
        problems: Vec<String>,
    },
    /// A scan has failed, and is tried again.
    Failed {
        /// Its batch.
        batch: String,
        /// Why.
        problem: String,
    },
    /// The turn has failed, and the next tries again.
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
    /// The time that each visit may take.
    share: Duration,
    waiting: VecDeque<AudienceScan>,
    stage: Stage,
}

/// What the turn waits for.
#[derive(Debug)]
enum Stage {
    /// The next alarm is being armed.
    Arming,
    /// The scans are being read.
    Loading,
    /// A scan is visited.
    Visiting(Box<ScanStep>),
    /// A scan that is over is being deleted.
    Deleting(String),
    /// The scans are read again, for the next alarm.
    Closing,
    /// The next alarm is being armed, and the turn is over.
    Ending,
}

/// The step of a scan that is being made.
#[derive(Debug)]
struct ScanStep {
    scan: AudienceScan,
    /// When the batch first answered.
    began_at: Option<Timestamp>,
    steps: u32,
    pushes: u64,
    invalid: u64,
    problems: Vec<String>,
    /// The step that is handed over.
    step: Step,
}

impl ShardLoop {
    /// Takes an event, and says what is to be done next; nothing when the turn is over.
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
            // The turn goes on without the alarm: its end sets one, or the platform gives this one again.
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
            // The shell answers each effect with its own event.
            (_, _) => self.go_to(Stage::Ending, Effect::Arm(now + PAUSE)),
        }
    }

    /// The scan of this batch rests no more: the batch has something to say to it.
    pub fn wake(&mut self, batch: &str) {
        self.rests.remove(batch);
    }

    /// What is to be logged since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn go_to(&mut self, stage: Stage, effect: Effect) -> Option<Effect> {
        self.turn.as_mut()?.stage = stage;
        Some(effect)
    }

    /// Lines up the scans that do not rest, from the one behind the last that was visited.
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
        // Where the scan is, the batch knows: a step of nothing changes nothing, and is answered with that. The batch is
        // asked before anything else can fail, so that a scan ends that has nothing to scan for any more.
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
        // A batch that takes no count does not wait for one.
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

    /// Nothing is left of a scan.
    fn over(&mut self, current: &ScanStep, delete: Vec<Statement>) -> Option<Effect> {
        self.report(current);
        let stage = Stage::Deleting(current.scan.batch.clone());
        self.go_to(stage, Effect::Write(delete))
    }

    fn failed(&mut self, current: ScanStep, problem: String, now: Timestamp) -> Option<Effect> {
        self.report(&current);
        if current.steps > 1 {
            // It had gone on before it failed.
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

    /// Arms the alarm for what is left. A scan that began meanwhile has no rest, and is visited at once.
    fn close(&mut self, scans: &[AudienceScan], now: Timestamp) -> Option<Effect> {
        self.forget_others(scans);
        let rest_of = |scan: &AudienceScan| self.rests.get(&scan.batch).map(|rest| rest.until);
        let again = scans.iter().map(|scan| rest_of(scan).unwrap_or(now).max(now));
        let effect = again.min().map_or(Effect::Disarm, Effect::Arm);
        self.go_to(Stage::Ending, effect)
    }
}

impl ScanStep {
    /// Counts the step that was handed over, if the batch has taken it.
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

/// How long the visits of a turn take together, if each makes more than one step.
pub(super) const TURN: Duration = Duration::from_secs(20);

/// No visit begins later in a turn: an alarm may take 15 minutes, the last visit included.
pub(super) const LONGEST_TURN: Duration = Duration::from_mins(5);

/// When the next turn begins if this one ends without a word.
pub(super) const GUARD: Duration = Duration::from_mins(1);

/// When what failed is tried again; each time later.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// The longest time until what failed is tried again.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Past 2^4 the longest time is reached.
const MAX_DOUBLINGS: u32 = 4;

/// Devices of a turn that are left out and are logged: enough to see why.
const MAX_PROBLEMS: usize = 5;
