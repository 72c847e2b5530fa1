//! Batches that scans fill while they are sent. The shards of an audience scan their devices concurrently,
//! one scan per shard.
//!
//! The batch stores each scan's cursor and accepts a step only if it begins there (compare and set). A step
//! that is repeated because its answer was lost changes nothing, and a scan that lost its position gets it
//! from the answer. A chunk and its scan's row are written in one step of the object, so a chunk is stored
//! exactly once or not at all. When every scan has ended, the batch is sealed like one whose upload has
//! ended.
//!
//! The size limit: a run has up to [`MAX_PUSHES`], five times an upload. Its device lines are some 100 bytes
//! each, 5 GB of the 10 GB that an object stores. Memory holds 24 bytes per chunk, 2.4 MB of 128 MB. Lines
//! with their own payloads are longer, so nothing is accepted past [`MAX_STORED`] either. Devices beyond a
//! limit are left out, the scans end, and the record says so ([`CutOff::Full`]).
//!
//! A scan that is stopped before its end counts the devices that it has not reached, and reports the count
//! with its last step. The report of the run's end waits for that, but no longer than [`COUNT_TIME`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::chunk::Chunk;
use super::{
    Append, Appended, AudienceRef, Batch, CutOff, LeftOut, Notice, Record, RunRef, Size, State, at, count,
};
use crate::bit_set;
use apns::time::Timestamp;

/// The progress of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanProgress {
    /// Where its last step ended.
    pub cursor: String,
    /// Whether it has ended.
    pub last: bool,
    /// The number of devices that it has left out so far.
    pub left_out: LeftOut,
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The answer to the scan.
    pub appended: Appended,
    /// The number and size of the appended chunk. Its lines must be written together with the scan's row.
    pub chunk: Option<(u32, Size)>,
}

/// The scans, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Scans {
    scans: Vec<ScanProgress>,
    unsaved: BTreeSet<u32>,
    /// When each scan is expected to report, by its number. An object that lost its memory expects all now.
    expected: BTreeMap<u32, Timestamp>,
}

impl Append {
    /// Whether the step changes anything. A scan asks for its position with an empty step. No step leads back
    /// to the start.
    fn does_anything(&self) -> bool {
        let leads_back = self.to.is_empty() && !self.from.is_empty();
        let moves = self.from != self.to || self.last;
        !leads_back && moves
    }

    /// Whether `lines` are the step's device lines, and no more than a chunk may have.
    #[must_use]
    pub fn has_lines(&self, lines: &str) -> bool {
        let pushes = at(self.pushes);
        let moves = self.pushes == 0 || self.from != self.to;
        moves && pushes <= bit_set::CAPACITY && lines.lines().count() == pushes
    }
}

impl Batch {
    /// Opens a batch that `scans` scans fill. It is sent from now on.
    #[must_use]
    pub fn open(record: Record, scans: u32, now: Timestamp) -> Self {
        let run = record.run.map(|run| RunRef {
            opened_at: now,
            ..run
        });
        let record = Record {
            state: State::Staging,
            sealed_at: None,
            run,
            ..record
        };
        let at_start = vec![ScanProgress::default(); at(scans)];
        let mut batch = Self::load(record, Vec::new(), Vec::new()).with_scans(at_start);
        batch.scans.unsaved = (0..scans).collect();
        batch.turn(State::Running, now);
        batch.tick(now);
        batch
    }

    /// Sets its stored scans.
    #[must_use]
    pub fn with_scans(mut self, scans: Vec<ScanProgress>) -> Self {
        self.scans.scans = scans;
        self
    }

    /// Accepts a scan's step if it begins where the last one ended. `stored` is the number of bytes that the
    /// object stores.
    pub fn append(&mut self, append: &Append, stored: u64, now: Timestamp) -> Taken {
        self.tick(now);
        let mut chunk = None;
        if self.is_next(append) {
            if let Some(fault) = &append.fault {
                // No scan can render any more devices of the campaign.
                self.record.cut_off_detail = Some(fault.chars().take(MAX_FAULT).collect());
                self.cut_off(CutOff::Unreadable, now);
                self.tick(now);
            } else if self.fits(append, stored) {
                chunk = self.take(append);
                self.tick(now);
            } else {
                self.cut_off(CutOff::Full, now);
                self.tick(now);
            }
        } else if self.is_count(append) {
            self.take(append);
            self.tick(now);
        }
        let appended = self.appended(append, now);
        self.scans
            .heard(append.scan, now + Duration::from_millis(appended.hold_ms));
        Taken { appended, chunk }
    }

    /// Returns the audience and the scans that were silent for too long and may have stopped. Their shards must
    /// be woken. The scans then count as heard.
    pub fn take_silent_scans(&mut self, now: Timestamp) -> Option<(AudienceRef, Vec<u32>)> {
        let run = self.record.run.as_ref().filter(|_| self.awaits_scans(now))?;
        let silent = self.scans.take_silent(now);
        (!silent.is_empty()).then(|| (run.audience.clone(), silent))
    }

    /// Returns when the first scan counts as silent.
    pub(super) fn silent_at(&self, now: Timestamp) -> Option<Timestamp> {
        let may_be_woken = self.awaits_scans(now) && self.record.run.is_some();
        self.scans.silent_at(now).filter(|_| may_be_woken)
    }

    /// Whether scans that have not ended must still report: they append devices, or count the ones that they
    /// have not reached.
    pub(super) fn awaits_scans(&self, now: Timestamp) -> bool {
        let is_in_time = |ended_at| now < ended_at + COUNT_TIME;
        self.scans.open().next().is_some() && self.record.ended_at.is_none_or(is_in_time)
    }

    /// Stops the scans. Waiting scans are woken at once, so that they count the devices that they have not
    /// reached.
    pub(super) fn stop_scans(&mut self) {
        let open: Vec<u32> = self.scans.open().collect();
        for number in open {
            self.scans.heard(number, Timestamp::default());
        }
    }

    /// Returns the rows of scans that have changed since the last call.
    pub fn take_unsaved_scans(&mut self) -> Vec<(u32, ScanProgress)> {
        let unsaved = std::mem::take(&mut self.scans.unsaved);
        let row = |number: u32| Some((number, self.scans.of(number)?.clone()));
        unsaved.into_iter().filter_map(row).collect()
    }

    /// Returns the number of devices that its scans have left out so far.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        let mut sum = LeftOut::default();
        for scan in &self.scans.scans {
            sum.add(&scan.left_out);
        }
        sum
    }

    /// Returns the number of its chunks.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.chunks.len()).unwrap_or(u32::MAX)
    }

    /// Whether scans may still append to it.
    pub(super) const fn is_open(&self) -> bool {
        self.record.sealed_at.is_none() && !self.record.state.has_ended()
    }

    /// Seals the batch if its last scan has ended.
    pub(super) fn close_if_scanned(&mut self, now: Timestamp) {
        if self.is_open() && self.scans.scans.iter().all(|scan| scan.last) {
            self.close(now);
        }
    }

    /// Stops the scans that have not ended.
    pub(super) fn cut_off(&mut self, why: CutOff, now: Timestamp) {
        if self.is_open() && self.scans.scans.iter().any(|scan| !scan.last) {
            self.record.cut_off = Some(why);
            self.close(now);
        }
    }

    fn close(&mut self, now: Timestamp) {
        self.record.sealed_at = Some(now);
        self.stop_scans();
        self.is_record_unsaved = true;
        // The registry does not know the final number of pushes yet.
        self.notices.push(Notice::StateChanged);
    }

    /// Whether the batch accepts this step: it is the scan's next one, and the batch is not full.
    fn is_next(&self, append: &Append) -> bool {
        let scan = self.scans.of(append.scan);
        let takes = matches!(self.record.state, State::Running | State::Paused) && self.is_open();
        // Steps of a scan that does not wait when it should are not accepted.
        takes
            && append.does_anything()
            && scan.is_some_and(|scan| !scan.last && scan.cursor == append.from)
            && (self.plan.fresh() < MAX_FRESH || append.pushes == 0)
    }

    /// Whether this is the last step of a stopped scan, which counts the devices that it has not reached.
    fn is_count(&self, append: &Append) -> bool {
        let is_stopped = !self.is_open() || self.record.state == State::Cancelling;
        let scan = self.scans.of(append.scan);
        is_stopped
            && append.last
            && append.pushes == 0
            && append.fault.is_none()
            && scan.is_some_and(|scan| !scan.last && scan.cursor == append.from)
    }

    fn fits(&self, append: &Append, stored: u64) -> bool {
        let pushes = self.pushes() + u64::from(append.pushes);
        append.pushes == 0 || (pushes <= MAX_PUSHES && stored < MAX_STORED)
    }

    fn take(&mut self, append: &Append) -> Option<(u32, Size)> {
        let first = u32::try_from(self.pushes()).unwrap_or(u32::MAX);
        if let Some(scan) = self.scans.of_mut(append.scan) {
            scan.cursor.clone_from(&append.to);
            scan.last = append.last;
            scan.left_out.add(&append.left_out);
            self.scans.unsaved.insert(append.scan);
        }
        if append.pushes == 0 {
            return None;
        }
        let pushes = at(append.pushes);
        let (number, size) = (self.chunks(), Size { first, pushes });
        self.chunks.push(Chunk::fresh(size));
        self.plan.add(number);
        Some((number, size))
    }

    fn appended(&self, append: &Append, now: Timestamp) -> Appended {
        let scan = self.scans.of(append.scan).cloned().unwrap_or_default();
        let is_over = scan.last || !self.is_open() || self.record.state == State::Cancelling;
        let hold = if is_over { Duration::ZERO } else { self.hold(now) };
        Appended {
            stop: is_over && !scan.last || self.scans.of(append.scan).is_none(),
            cursor: scan.cursor,
            last: scan.last,
            hold_ms: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Returns how long a scan waits.
    fn hold(&self, now: Timestamp) -> Duration {
        let terms = &self.record.terms;
        if self.record.state == State::Paused {
            return PAUSED_HOLD;
        }
        let closed = terms.opens_at(now).map(|at| at.since(now)).unwrap_or_default();
        if closed > Duration::ZERO {
            return closed.min(LONGEST_HOLD);
        }
        if self.plan.fresh() < FULL {
            return Duration::ZERO;
        }
        // Until there is room for many chunks: a scan that waits and then finds no room has asked in vain.
        let chunks = count(self.chunks.len()).max(1);
        let room = self.pushes().saturating_mul(ROOM) / chunks;
        let (rate, longest) = match terms.rate {
            Some(rate) => (u64::from(rate), LONGEST_HOLD),
            // The measured rate is soon out of date, and the batch must not run dry while scans wait.
            None => (self.rate(now), UNSURE_HOLD),
        };
        let millis = room.saturating_mul(1000) / rate.max(1);
        Duration::from_millis(millis).clamp(SHORTEST_HOLD, longest)
    }
}

impl Scans {
    fn of(&self, number: u32) -> Option<&ScanProgress> {
        self.scans.get(at(number))
    }

    fn of_mut(&mut self, number: u32) -> Option<&mut ScanProgress> {
        self.scans.get_mut(at(number))
    }

    /// Returns the numbers of the scans that have not ended.
    fn open(&self) -> impl Iterator<Item = u32> {
        let numbered = (0..).zip(&self.scans);
        numbered.filter(|(_, scan)| !scan.last).map(|(number, _)| number)
    }

    fn heard(&mut self, number: u32, expected_at: Timestamp) {
        self.expected.insert(number, expected_at);
    }

    fn take_silent(&mut self, now: Timestamp) -> Vec<u32> {
        let open: Vec<u32> = self.open().collect();
        let mut silent = Vec::new();
        for number in open {
            let expected_at = self.expected.entry(number).or_insert(now);
            if *expected_at + SILENCE <= now {
                *expected_at = now;
                silent.push(number);
            }
        }
        silent
    }

    fn silent_at(&self, now: Timestamp) -> Option<Timestamp> {
        let expected = |number| self.expected.get(&number).copied().unwrap_or(now);
        self.open().map(|number| expected(number) + SILENCE).min()
    }
}

/// The maximum number of pushes of a batch that scans fill; the module header has the calculation.
pub const MAX_PUSHES: u64 = 50_000_000;

/// No chunk is appended to an object that stores this many bytes. A tenth of its 10 GB is left for the
/// chunks' progress, half a kilobyte each, and for what the platform itself stores.
const MAX_STORED: u64 = 9_000_000_000;

/// From this number of untouched chunks on, scans wait.
///
/// It is a million pushes in chunks of 500, some 25 seconds' work at 40,000 per second. More would only
/// become outdated: devices leave the audience in the meantime.
const FULL: usize = 2000;

/// Scans wait until this many of those are sent. The rest lasts until their next steps arrive.
const ROOM: u64 = 500;

/// From this number of untouched chunks on, no chunk is accepted. Scans that were told to wait append at most
/// one chunk each.
const MAX_FRESH: usize = 2 * FULL;

/// A scan that should have reported and was silent for this long may have stopped, so its shard is woken. A
/// turn of a shard with many scans takes some minutes.
const SILENCE: Duration = Duration::from_mins(5);

/// How long after its end a run waits for its scans to count the devices that they have not reached: some
/// hundred pages of a shard. A scan that never began counts none.
pub(super) const COUNT_TIME: Duration = Duration::from_mins(10);

/// The maximum length of a stored fault, in characters.
const MAX_FAULT: usize = 500;

/// How long scans wait while the batch is paused.
const PAUSED_HOLD: Duration = Duration::from_secs(30);

/// The longest wait if nothing earlier can need the scans.
const LONGEST_HOLD: Duration = Duration::from_mins(5);

/// The longest wait if the sending rate is an estimate: less than the time to send [`FULL`] chunks.
const UNSURE_HOLD: Duration = Duration::from_secs(10);

/// A shorter wait is not worth an alarm.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);
