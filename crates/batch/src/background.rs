//! What a batch does without being asked: it queues chunks, notifies the registry and the credential's other batches,
//! reports a run's end, delivers webhooks, and is deleted in the end.
//!
//! A synchronous machine: [`BackgroundTasks::handle`] takes an [`Event`] and returns the [`Effect`]s that the object
//! executes in this order: set the alarm, store, begin calls. Each kind of call has a lane of its own, so that one that
//! hangs holds up no other. The alarm is always set before anything that can fail, and so early that an object that loses
//! everything but its rows does again what was under way. In scope: what is done when, and what a failure leads to. Out of
//! scope: how a call is made (`shell`).

use std::time::Duration;

use super::lane::Lane;
use super::{AudienceRef, Batch, Notice, Refusal, Report, State};
use crate::outbox::{Answered, Body, Delivery, Outbox};
use crate::webhook::{self, Event as Announced};
use apns::time::Timestamp;

/// The work of a batch that is in memory.
#[derive(Debug)]
pub struct BackgroundTasks {
    outbox: Outbox,
    /// The number of the newest call.
    calls: u64,
    queue: Lane,
    registry: Lane,
    others: Lane,
    scans: Lane,
    report: Lane,
    announcement: Lane,
    removal: Lane,
    /// Whether the registry may not know the batch's state.
    is_unregistered: bool,
    /// Whether the call under way tells the credential's other batches of the refusal that the record has.
    is_told: bool,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Something may be due: the batch was loaded or changed, or the alarm came.
    Look,
    /// A call has ended.
    Ended {
        /// Which.
        call: u64,
        /// How.
        outcome: Outcome,
    },
}

/// What the object is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Set the alarm to this moment, unless it comes earlier anyway.
    Arm(Timestamp),
    /// Store what has changed of the batch and its deliveries.
    Write,
    /// Log that the batch has ended.
    LogEnd,
    /// Begin a call; its end is an [`Event::Ended`].
    Begin {
        /// Its number.
        number: u64,
        /// What it is.
        call: Call,
    },
}

/// Something that takes time and may fail, hang, or happen although its answer is lost.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Send messages for these chunks to the queue.
    Queue(Vec<u32>),
    /// Record the batch's state in the registry.
    Register,
    /// Pause the credential's other batches.
    PauseOthers(Refusal),
    /// Wake the shards whose scans have not been heard of.
    WakeScans {
        /// The audience.
        audience: AudienceRef,
        /// The shards' numbers.
        shards: Vec<u32>,
    },
    /// Report a run's end.
    Report(Report),
    /// Read which chunks from this one on have gone devices.
    FindGone(u32),
    /// Attempt a delivery.
    Deliver(Delivery),
    /// Delete the batch, in the registry as well.
    Remove,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed, or nobody knows whether it is done.
    Failed,
    /// The credential's other batches were told that APNs refuses it.
    PausedOthers {
        /// Those that have not heard.
        unheard: Vec<String>,
    },
    /// The queue has not taken these chunks.
    Queued {
        /// Those that it refused, or of which nobody knows.
        refused: Vec<u32>,
    },
    /// The audience knows of the chunks before this one, of all if there is none here.
    Reported(Option<u32>),
    /// What [`Call::FindGone`] has read.
    FoundGone {
        /// The chunks with gone devices, and how many each has.
        gone: Vec<(u32, usize)>,
        /// The chunk to go on with.
        next: Option<u32>,
        /// The batch's status document.
        status: String,
    },
    /// An attempt to deliver ended: with an answer, or why there was none.
    Delivered {
        /// The delivery's id.
        id: String,
        /// How.
        result: Result<Answered, String>,
    },
}

impl BackgroundTasks {
    /// The work of a batch that was just loaded or made, with its deliveries. The registry may not know it.
    #[must_use]
    pub const fn new(outbox: Outbox) -> Self {
        Self {
            outbox,
            calls: 0,
            queue: Lane::NEW,
            registry: Lane::NEW,
            others: Lane::NEW,
            scans: Lane::NEW,
            report: Lane::NEW,
            announcement: Lane::NEW,
            removal: Lane::NEW,
            is_unregistered: true,
            is_told: false,
        }
    }

    /// The deliveries.
    #[must_use]
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The deliveries, whose changes are to be stored.
    pub const fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Decides what becomes of a batch that its caller deletes. Returns whether it stays until its webhook has got what waits. Returns
    /// `false` if it is to be deleted at once: nothing waits, or it is deleted for the second time.
    pub fn delete_later(&self, batch: &mut Batch) -> bool {
        let waits = batch.unannounced().is_some() || self.outbox.wake().is_some();
        let stays = waits && !batch.record().is_deleting;
        if stays {
            batch.mark_deleting();
        }
        stays
    }

    /// Takes in an event and returns what is to be done now. The alarm is always among it.
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

    /// The end of a call that was begun and was not given up meanwhile.
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
            self.registry.went(has_failed, now);
        } else if self.others.ends(call) {
            let is_told = std::mem::take(&mut self.is_told);
            let mut is_heard = false;
            if let Outcome::PausedOthers { unheard } = outcome {
                is_heard = unheard.is_empty();
                // After a resume there is no refusal, or one of which nobody has heard.
                if is_told {
                    batch.told_of_refusal(unheard);
                }
            }
            self.others.went(!is_heard, now);
        } else if self.scans.ends(call) {
            self.scans.went(has_failed, now);
        } else if self.report.ends(call) {
            match outcome {
                Outcome::Done => batch.told_end(),
                Outcome::Reported(next) => batch.told_gone(next),
                _ => batch.not_told(now),
            }
        } else if self.announcement.ends(call) {
            if let Outcome::FoundGone { gone, next, status } = outcome {
                self.add_deliveries(batch, &gone, next, &status, now);
                self.announcement.went(false, now);
            } else {
                self.announcement.went(true, now);
            }
        } else if self.removal.ends(call) {
            // One that was removed handles nothing any more.
            self.removal.went(true, now);
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

    /// Takes in what has changed. Returns whether the batch has just ended.
    fn notice(&mut self, batch: &mut Batch) -> bool {
        let mut has_ended = false;
        for notice in batch.take_notices() {
            match notice {
                Notice::StateChanged => {
                    self.is_unregistered = true;
                    self.is_told &= batch.record().state != State::Running;
                    has_ended = batch.record().state.has_ended();
                }
                Notice::CredentialRefused => self.is_told = false,
            }
        }
        has_ended
    }

    /// Notifies others: the registry, the credential's other batches, the campaign and its audience.
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
            self.is_told = true;
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

    /// Makes the deliveries of a batch that has ended.
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

    /// Removes a batch whose time is over, when nobody waits for anything of it any more.
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

    /// When the batch is to be removed. Returns `None` if it has not ended, or something of it is still to be reported or
    /// delivered.
    fn removable_at(&self, batch: &Batch) -> Option<Timestamp> {
        let is_needed = batch.owes_reports() || batch.unannounced().is_some() || self.outbox.wake().is_some();
        batch.outdated_at().filter(|_| !is_needed)
    }

    /// When an event is to come at the latest.
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
        let mut moments: Vec<Timestamp> = lanes.iter().filter_map(|lane| lane.lost_at()).collect();
        if !self.queue.is_busy() && batch.record().ended_at.is_none() {
            moments.extend(batch.wake(now));
        }
        if self.is_unregistered {
            moments.extend(self.registry.again_at());
        }
        if batch.record().refusal.is_some() {
            moments.extend(self.others.again_at());
        }
        if batch.unannounced().is_some() {
            moments.extend(self.announcement.again_at());
        }
        if batch.record().ended_at.is_some()
            && let Some(silent_at) = batch.silent_at(now)
        {
            moments.extend(self.scans.again_at().map(|at| at.max(silent_at)));
        }
        if let Some(report_at) = batch.report_at() {
            moments.extend(self.report.again_at().map(|at| at.max(report_at)));
        }
        moments.extend(self.outbox.wake());
        moments.extend(self.outbox.next_attempt(now));
        let removal = self.removable_at(batch).zip(self.removal.again_at());
        moments.extend(removal.map(|(one, other)| one.max(other)));
        let next = moments.into_iter().min();
        // Of what is due now nothing was left undone, so that an alarm at once would be in vain.
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

/// How soon after an event the alarm comes at the soonest.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);

/// How long a batch sleeps that waits for nothing. None does: one that has not ended waits for the end of its life, and one
/// that has for its deletion.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// The longest time that a call may take: the object gives it up then, and nobody knows whether it was done.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(45);
