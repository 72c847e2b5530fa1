//! A batch that is opened first and filled while it is sent: the shards of an audience go through their devices side by
//! side, each in a scan of its own.
//!
//! The batch keeps how far each scan has come, and takes a step only if it begins there (compare and set): one that comes
//! again, as its answer was lost, changes nothing, and a scan that forgot where it was is told. A chunk and its scan's row
//! are written in one step of the object, so that a chunk is there once or not at all. When every scan has said that it
//! is over, the batch is sealed, as one whose upload has ended.
//!
//! How large it may become: a run has up to [`MAX_PUSHES`], five times an upload. Its device lines are some 100 bytes
//! each, 5 GB of the 10 GB that an object stores; memory holds 24 bytes a chunk, 2.4 MB of 128 MB. Lines with payloads of
//! their own are longer: past [`MAX_STORED`] nothing is taken either. What does not fit is left out, the scans end, and the
//! record says so ([`CutOff::Full`]).
//!
//! A scan that is stopped before its end counts the devices that it has not come to, and reports them with its last step. The
//! report of the run's end waits for that, but not longer than [`COUNT_TIME`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::chunk::Chunk;
use super::{
    Append, Appended, AudienceRef, Batch, CutOff, LeftOut, Notice, Origin, Record, Size, State, at, count,
};
use crate::places;
use apns::time::Timestamp;

/// How far a scan has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanProgress {
    /// Where its last step ended.
    pub cursor: String,
    /// Whether it is over.
    pub last: bool,
    /// How many devices it has left out so far.
    pub left_out: LeftOut,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What the scan is told.
    pub appended: Appended,
    /// The number and the size of the chunk that was appended: its lines are to be written with the scan's row.
    pub chunk: Option<(u32, Size)>,
}

/// The scans, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Scans {
    scans: Vec<ScanProgress>,
    unsaved: BTreeSet<u32>,
    /// When each scan is expected to be heard of, by its number; an object that forgot it expects all now.
    expected: BTreeMap<u32, Timestamp>,
}

impl Append {
    /// Whether there is anything to take. A scan asks with a step of nothing how far it is; none leads back to the start.
    fn does_anything(&self) -> bool {
        let leads_back = self.to.is_empty() && !self.from.is_empty();
        let moves = self.from != self.to || self.last;
        !leads_back && moves
    }

    /// Whether these are its device lines, and as many as a chunk may have.
    #[must_use]
    pub fn has_lines(&self, lines: &str) -> bool {
        let pushes = at(self.pushes);
        let moves = self.pushes == 0 || self.from != self.to;
        moves && pushes <= places::CAPACITY && lines.lines().count() == pushes
    }
}

impl Batch {
    /// A batch that so many scans are to fill; it is sent from now on.
    #[must_use]
    pub fn open(record: Record, scans: u32, now: Timestamp) -> Self {
        let origin = record.origin.map(|origin| Origin {
            opened_at: now,
            ..origin
        });
        let record = Record {
            state: State::Staging,
            sealed_at: None,
            origin,
            ..record
        };
        let at_start = vec![ScanProgress::default(); at(scans)];
        let mut batch = Self::load(record, Vec::new(), Vec::new()).with_scans(at_start);
        batch.scans.unsaved = (0..scans).collect();
        batch.turn(State::Running, now);
        batch.tick(now);
        batch
    }

    /// The same with its scans, as they were stored.
    #[must_use]
    pub fn with_scans(mut self, scans: Vec<ScanProgress>) -> Self {
        self.scans.scans = scans;
        self
    }

    /// Takes a step of a scan, if it begins where the last one ended. `stored` is how many bytes the object stores.
    pub fn append(&mut self, append: &Append, stored: u64, now: Timestamp) -> Taken {
        self.tick(now);
        let mut chunk = None;
        if self.is_next(append) {
            if let Some(fault) = &append.fault {
                // No scan can make anything more of the campaign.
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

    /// The scans that have not been heard of for so long that they may stand still, and where they are: their shards are to be
    /// woken. They count as heard of then.
    pub fn take_silent_scans(&mut self, now: Timestamp) -> Option<(AudienceRef, Vec<u32>)> {
        let origin = self.record.origin.as_ref().filter(|_| self.awaits_scans(now))?;
        let silent = self.scans.take_silent(now);
        (!silent.is_empty()).then(|| (origin.audience.clone(), silent))
    }

    /// When the first of the scans counts as silent.
    pub(super) fn silent_at(&self, now: Timestamp) -> Option<Timestamp> {
        let may_be_woken = self.awaits_scans(now) && self.record.origin.is_some();
        self.scans.silent_at(now).filter(|_| may_be_woken)
    }

    /// Whether scans are to be heard of that are not over: they bring devices, or count those that they have not come to.
    pub(super) fn awaits_scans(&self, now: Timestamp) -> bool {
        let is_in_time = |ended_at| now < ended_at + COUNT_TIME;
        self.scans.open().next().is_some() && self.record.ended_at.is_none_or(is_in_time)
    }

    /// The scans are stopped: those that wait are woken at once, to count what they have not come to.
    pub(super) fn stop_scans(&mut self) {
        let open: Vec<u32> = self.scans.open().collect();
        for number in open {
            self.scans.heard(number, Timestamp::default());
        }
    }

    /// The rows of scans that have changed since the last call.
    pub fn take_unsaved_scans(&mut self) -> Vec<(u32, ScanProgress)> {
        let unsaved = std::mem::take(&mut self.scans.unsaved);
        let row = |number: u32| Some((number, self.scans.of(number)?.clone()));
        unsaved.into_iter().filter_map(row).collect()
    }

    /// How many devices its scans have left out so far.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        let mut sum = LeftOut::default();
        for scan in &self.scans.scans {
            sum.add(&scan.left_out);
        }
        sum
    }

    /// How many chunks it has.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.chunks.len()).unwrap_or(u32::MAX)
    }

    /// Whether scans may still append to it.
    pub(super) const fn is_open(&self) -> bool {
        self.record.sealed_at.is_none() && !self.record.state.has_ended()
    }

    /// The last scan is over: nothing comes any more.
    pub(super) fn close_if_scanned(&mut self, now: Timestamp) {
        if self.is_open() && self.scans.scans.iter().all(|scan| scan.last) {
            self.close(now);
        }
    }

    /// The scans that are not over are told to stop.
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
        // Who keeps a list of batches did not know how many pushes it has.
        self.notices.push(Notice::StateChanged);
    }

    /// Whether the batch waits for this step, and has not enough to do without it.
    fn is_next(&self, append: &Append) -> bool {
        let scan = self.scans.of(append.scan);
        let takes = matches!(self.record.state, State::Running | State::Paused) && self.is_open();
        // A scan that does not wait when it is told to gets nowhere.
        takes
            && append.does_anything()
            && scan.is_some_and(|scan| !scan.last && scan.cursor == append.from)
            && (self.plan.fresh() < MAX_FRESH || append.pushes == 0)
    }

    /// Whether a scan that was stopped says how many devices it has not come to.
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

    /// How long a scan is to wait.
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
        // Until there is room for a good many: a scan that waits and finds none has come in vain.
        let chunks = count(self.chunks.len()).max(1);
        let room = self.pushes().saturating_mul(ROOM) / chunks;
        let (rate, longest) = match terms.rate {
            Some(rate) => (u64::from(rate), LONGEST_HOLD),
            // Measured, and soon out of date: the batch must not run dry while scans wait.
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

    /// The numbers of the scans that are not over.
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

/// The most pushes of a batch that scans fill; the arithmetic is above.
pub const MAX_PUSHES: u64 = 50_000_000;

/// No chunk is appended to an object that stores so many bytes: a tenth of its 10 GB is left for how far the chunks are, half
/// a kilobyte each, and for what the platform keeps beside them.
const MAX_STORED: u64 = 9_000_000_000;

/// With so many chunks that nobody has touched, scans are to wait: a million pushes in chunks of 500, some 25 seconds' work
/// at 40,000 a second. More would only lie there and grow old: devices leave the audience meanwhile.
const FULL: usize = 2000;

/// Scans wait until so many of those are gone: the rest lasts while they come.
const ROOM: u64 = 500;

/// With so many, nothing is taken: scans that were told to wait bring no more than a chunk each.
const MAX_FRESH: usize = 2 * FULL;

/// A scan that was not heard of for so long, though it was expected, may stand still: its shard is woken. A turn of a shard with
/// many scans takes some minutes.
const SILENCE: Duration = Duration::from_mins(5);

/// How long after its end a run waits for its scans to count the devices that they have not come to: some hundred pages of a
/// shard. One that never began counts none.
pub(super) const COUNT_TIME: Duration = Duration::from_mins(10);

/// Characters of a fault that are kept.
const MAX_FAULT: usize = 500;

/// How long scans wait while the batch is paused.
const PAUSED_HOLD: Duration = Duration::from_secs(30);

/// How long they wait at the most where nothing that comes sooner could need them.
const LONGEST_HOLD: Duration = Duration::from_mins(5);

/// How long they wait at the most when it is a guess how fast pushes go out: less than [`FULL`] takes.
const UNSURE_HOLD: Duration = Duration::from_secs(10);

/// A shorter wait is not worth an alarm.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);
