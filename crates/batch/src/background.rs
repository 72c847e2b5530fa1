//! A batch's background tasks: it queues chunks, notifies the registry and the credential's other batches,
//! reports a run's end, delivers webhooks, and is finally deleted.
//!
//! A synchronous machine: [`BackgroundTasks::handle`] takes an [`Event`] and returns [`Effect`]s. The object
//! executes them in this order: set the alarm, store, begin calls. Each kind of call has its own slot, so a
//! call that hangs does not delay other kinds. The alarm is always set before anything that can fail. It is
//! set early enough that an object that loses its memory repeats what was in progress. In scope: what is done
//! when, and what a failure leads to. Out of scope: how a call is made (`src/objects/batch/background.rs`).

use std::time::Duration;

use super::call_slot::CallSlot;
use super::{AudienceRef, Batch, Notice, Refusal, Report, State};
use crate::outbox::{Answered, Body, Delivery, Outbox};
use crate::webhook::{self, Event as Announced};
use apns::time::Timestamp;

/// The background tasks of a batch in memory.
#[derive(Debug)]
pub struct BackgroundTasks {
    outbox: Outbox,
    /// The number of the newest call.
    calls: u64,
    queue: CallSlot,
    registry: CallSlot,
    others: CallSlot,
    scans: CallSlot,
    report: CallSlot,
    announcement: CallSlot,
    removal: CallSlot,
    /// Whether the registry may have an old state of the batch.
    is_unregistered: bool,
    /// Whether the call in progress notifies the credential's other batches of the record's current refusal.
    is_reporting_refusal: bool,
}

/// Something that happened to the batch or to one of its calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Something may be due: the batch was loaded or changed, or the alarm fired.
    Look,
    /// A call has ended.
    Ended {
        /// The call's number.
        call: u64,
        /// Its result.
        outcome: Outcome,
    },
}

/// What the object does.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Set the alarm to this moment, unless an earlier one is set.
    Arm(Timestamp),
    /// Store the changes of the batch and its deliveries.
    Write,
    /// Log that the batch has ended.
    LogEnd,
    /// Begin a call. Its end is reported as [`Event::Ended`].
    Begin {
        /// Its number.
        number: u64,
        /// The call.
        call: Call,
    },
}

/// An operation that takes time, and may fail, hang, or succeed although its answer is lost.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Send messages for these chunks to the queue.
    Queue(Vec<u32>),
    /// Record the batch's state in the registry.
    Register,
    /// Pause the credential's other batches.
    PauseOthers(Refusal),
    /// Wake the shards whose scans are silent.
    WakeScans {
        /// The audience.
        audience: AudienceRef,
        /// The shards' numbers.
        shards: Vec<u32>,
    },
    /// Report a run's end.
    Report(Report),
    /// Find the chunks with gone devices, from this chunk on.
    FindGone(u32),
    /// Attempt a delivery.
    Deliver(Delivery),
    /// Delete the batch, also from the registry.
    Remove,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// It failed, or its result is unknown.
    Failed,
    /// The credential's other batches were notified that APNs refuses the credential.
    PausedOthers {
        /// The batches that could not be notified.
        unheard: Vec<String>,
    },
    /// The chunks were queued, except these.
    Queued {
        /// Chunks that the queue refused, or whose result is unknown.
        refused: Vec<u32>,
    },
    /// The audience has the report of the chunks before this one; of all chunks if this is `None`.
    Reported(Option<u32>),
    /// The result of [`Call::FindGone`].
    FoundGone {
        /// The chunks with gone devices, each with the number of these devices.
        gone: Vec<(u32, usize)>,
        /// The chunk to continue with; `None` if all were read.
        next: Option<u32>,
        /// The batch's status document.
        status: String,
    },
    /// A delivery attempt ended.
    Delivered {
        /// The delivery's id.
        id: String,
        /// The endpoint's answer, or why there was none.
        result: Result<Answered, String>,
    },
}

impl BackgroundTasks {
    /// Creates the tasks of a batch that was just loaded or created, with its deliveries. They assume that
    /// the registry does not know the batch.
    #[must_use]
    pub const fn new(outbox: Outbox) -> Self {
        Self {
            outbox,
            calls: 0,
            queue: CallSlot::NEW,
            registry: CallSlot::NEW,
            others: CallSlot::NEW,
            scans: CallSlot::NEW,
            report: CallSlot::NEW,
            announcement: CallSlot::NEW,
            removal: CallSlot::NEW,
            is_unregistered: true,
            is_reporting_refusal: false,
        }
    }

    /// Returns the deliveries.
    #[must_use]
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Returns the deliveries. Their changes must be stored.
    pub const fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Handles a caller's request to delete the batch.
    ///
    /// Returns `true` if the batch stays until its webhook deliveries have ended. Returns `false` if it is
    /// deleted at once: no delivery is left, or this is the second request.
    pub fn delete_later(&self, batch: &mut Batch) -> bool {
        let waits = batch.unannounced().is_some() || self.outbox.wake().is_some();
        let stays = waits && !batch.record().is_deleting;
        if stays {
            batch.mark_deleting();
        }
        stays
    }

    /// Handles an event and returns what to do now. The result always contains the alarm.
    pub fn handle(&mut self, batch: &mut Batch, event: Event, now: Timestamp) -> Vec<Effect> {
        match event {
            Event::Look => {}
            Event::Ended {
                outcome: Outcome::Delivered { id, result },
                ..
            } => {
                let result = result.as_ref().map(|answered| *answered).map_err(String::as_str);
                self.outbox.attempted(&id, result, now);
            }
            Event::Ended { call, outcome } => self.ended(batch, call, outcome, now),
        }
        let mut calls = self.queue(batch, now);
        let has_ended = self.notice(batch);
        calls.extend(self.notify(batch, now));
        calls.extend(self.announce(batch, now));
        calls.extend(self.deliver(now));
        calls.extend(self.remove(batch, now));
        let mut effects = vec![Effect::Arm(self.wake(batch, now)), Effect::Write];
        effects.extend(has_ended.then_some(Effect::LogEnd));
        effects.extend(calls);
        effects
    }

    /// Handles the end of a call, unless the call was given up.
    fn ended(&mut self, batch: &mut Batch, call: u64, outcome: Outcome, now: Timestamp) {
        let has_failed = outcome == Outcome::Failed;
        if self.queue.ends(call) {
            if let Outcome::Queued { refused } = outcome
                && !refused.is_empty()
            {
                batch.not_queued(&refused, now);
            }
        } else if self.registry.ends(call) {
            self.is_unregistered |= has_failed;
            self.registry.finished(has_failed, now);
        } else if self.others.ends(call) {
            let is_reporting_refusal = std::mem::take(&mut self.is_reporting_refusal);
            let mut is_heard = false;
            if let Outcome::PausedOthers { unheard } = outcome {
                is_heard = unheard.is_empty();
                // After a resume there is no refusal, or a new one that no batch was notified of.
                if is_reporting_refusal {
                    batch.refusal_reported(unheard);
                }
            }
            self.others.finished(!is_heard, now);
        } else if self.scans.ends(call) {
            self.scans.finished(has_failed, now);
        } else if self.report.ends(call) {
            match outcome {
                Outcome::Done => batch.end_reported(),
                Outcome::Reported(next) => batch.gone_reported(next),
                _ => batch.report_failed(now),
            }
        } else if self.announcement.ends(call) {
            if let Outcome::FoundGone { gone, next, status } = outcome {
                self.add_deliveries(batch, &gone, next, &status, now);
                self.announcement.finished(false, now);
            } else {
                self.announcement.finished(true, now);
            }
        } else if self.removal.ends(call) {
            // A deleted batch handles no more events.
            self.removal.finished(true, now);
        }
    }

    fn queue(&mut self, batch: &mut Batch, now: Timestamp) -> Vec<Effect> {
        if let Some(chunks) = self.queue.give_up_lost(now) {
            batch.not_queued(&chunks, now);
        }
        if self.queue.is_busy() {
            batch.tick(now);
            return Vec::new();
        }
        let chunks = batch.plan(now);
        if chunks.is_empty() {
            return Vec::new();
        }
        let number = self.number();
        self.queue.begin_with(number, chunks.clone(), now);
        vec![begin(number, Call::Queue(chunks))]
    }

    /// Handles the batch's notices. Returns whether the batch has just ended.
    fn notice(&mut self, batch: &mut Batch) -> bool {
        let mut has_ended = false;
        for notice in batch.take_notices() {
            match notice {
                Notice::StateChanged => {
                    self.is_unregistered = true;
                    self.is_reporting_refusal &= batch.record().state != State::Running;
                    has_ended = batch.record().state.has_ended();
                }
                Notice::CredentialRefused => self.is_reporting_refusal = false,
            }
        }
        has_ended
    }

    /// Notifies the registry, the credential's other batches, the campaign and its audience.
    fn notify(&mut self, batch: &mut Batch, now: Timestamp) -> Vec<Effect> {
        let mut calls = Vec::new();
        self.is_unregistered |= self.registry.give_up_lost(now).is_some();
        if self.is_unregistered && self.registry.is_free(now) {
            self.is_unregistered = false;
            let number = self.number();
            self.registry.begin(number, now);
            calls.push(begin(number, Call::Register));
        }
        self.others.give_up_lost(now);
        if let Some(refusal) = batch.record().refusal.clone()
            && self.others.is_free(now)
        {
            let number = self.number();
            self.others.begin(number, now);
            self.is_reporting_refusal = true;
            calls.push(begin(number, Call::PauseOthers(refusal)));
        }
        self.scans.give_up_lost(now);
        if self.scans.is_free(now)
            && let Some((audience, shards)) = batch.take_silent_scans(now)
        {
            let number = self.number();
            self.scans.begin(number, now);
            calls.push(begin(number, Call::WakeScans { audience, shards }));
        }
        self.report.give_up_lost(now);
        if self.report.is_free(now)
            && let Some(report) = batch.report(now)
        {
            let number = self.number();
            self.report.begin(number, now);
            calls.push(begin(number, Call::Report(report)));
        }
        calls
    }

    /// Creates the deliveries of a batch that has ended.
    fn announce(&mut self, batch: &Batch, now: Timestamp) -> Option<Effect> {
        self.announcement.give_up_lost(now);
        let from = batch.unannounced()?;
        if !self.announcement.is_free(now) {
            return None;
        }
        let number = self.number();
        self.announcement.begin(number, now);
        Some(begin(number, Call::FindGone(from)))
    }

    fn add_deliveries(
        &mut self,
        batch: &mut Batch,
        gone: &[(u32, usize)],
        next: Option<u32>,
        status: &str,
        now: Timestamp,
    ) {
        for chunks in webhook::gone_groups(gone.iter().copied()) {
            self.outbox
                .add(Announced::DevicesGone, Body::Gone { chunks }, now);
        }
        if next.is_none() {
            let body = Body::Text(webhook::batch_ended(status, now));
            self.outbox.add(Announced::BatchEnded, body, now);
        }
        batch.announced(next);
    }

    fn deliver(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut calls = Vec::new();
        while let Some(delivery) = self.outbox.due(now).cloned() {
            let number = self.number();
            calls.push(begin(number, Call::Deliver(delivery)));
        }
        calls
    }

    /// Deletes a batch whose retention time is over, once all its reports and deliveries have ended.
    fn remove(&mut self, batch: &Batch, now: Timestamp) -> Option<Effect> {
        self.removal.give_up_lost(now);
        let is_over = self.removable_at(batch).is_some_and(|at| at <= now);
        if !is_over || !self.removal.is_free(now) {
            return None;
        }
        let number = self.number();
        self.removal.begin(number, now);
        Some(begin(number, Call::Remove))
    }

    /// Returns when to delete the batch. Returns `None` if it has not ended, or if a report or delivery is
    /// left.
    fn removable_at(&self, batch: &Batch) -> Option<Timestamp> {
        let is_needed =
            batch.has_pending_reports() || batch.unannounced().is_some() || self.outbox.wake().is_some();
        batch.outdated_at().filter(|_| !is_needed)
    }

    /// Returns the latest moment for the next event.
    fn wake(&self, batch: &Batch, now: Timestamp) -> Timestamp {
        let lanes = [
            &self.queue,
            &self.registry,
            &self.others,
            &self.scans,
            &self.report,
            &self.announcement,
            &self.removal,
        ];
        let mut moments: Vec<Timestamp> = lanes.iter().filter_map(|call_slot| call_slot.lost_at()).collect();
        if !self.queue.is_busy() && batch.record().ended_at.is_none() {
            moments.extend(batch.wake(now));
        }
        if self.is_unregistered {
            moments.extend(self.registry.retry_at());
        }
        if batch.record().refusal.is_some() {
            moments.extend(self.others.retry_at());
        }
        if batch.unannounced().is_some() {
            moments.extend(self.announcement.retry_at());
        }
        if batch.record().ended_at.is_some()
            && let Some(silent_at) = batch.silent_at(now)
        {
            moments.extend(self.scans.retry_at().map(|at| at.max(silent_at)));
        }
        if let Some(report_at) = batch.report_at() {
            moments.extend(self.report.retry_at().map(|at| at.max(report_at)));
        }
        moments.extend(self.outbox.wake());
        moments.extend(self.outbox.next_attempt(now));
        let removal = self.removable_at(batch).zip(self.removal.retry_at());
        moments.extend(removal.map(|(one, other)| one.max(other)));
        let next = moments.into_iter().min();
        // Everything that was due is done, so an immediate alarm would find nothing.
        next.unwrap_or(now + LONGEST_SLEEP).max(now + SHORTEST_SLEEP)
    }

    const fn number(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }
}

const fn begin(number: u64, call: Call) -> Effect {
    Effect::Begin { number, call }
}

/// The minimum time from an event to the alarm.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);

/// The time until the alarm of a batch without any due moment. No batch is in this state: a running one has
/// the end of its life, and an ended one its deletion.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// The time limit of a call. The object then gives it up, and its result is unknown.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(45);
