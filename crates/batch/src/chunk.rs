//! A chunk in memory: its size, and its progress while it is being sent.
//!
//! A batch has thousands of chunks. Most are untouched or done, and take a few bytes each.

use super::Progress;

/// The size of a chunk. The device lines stay in their row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The position of its first push in the upload.
    pub first: u32,
    /// The number of its pushes.
    pub pushes: usize,
}

#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) size: Size,
    pub(super) stage: Stage,
    pub(super) out: ChunkCounts,
}

/// The number of touched pushes without a final result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChunkCounts {
    pub(super) in_flight: usize,
    pub(super) retrying: usize,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// No runner has claimed it yet.
    Fresh,
    /// Some of its pushes have no final result.
    Open(Box<Progress>),
    /// All pushes have a final result. The details are only in its row.
    Done,
}

impl ChunkCounts {
    pub(super) fn of(progress: &Progress) -> Self {
        Self {
            in_flight: progress.in_flight().len(),
            retrying: progress.rescheduled().len(),
        }
    }
}

impl Chunk {
    pub(super) fn fresh(size: Size) -> Self {
        Self {
            size,
            stage: Stage::Fresh,
            out: ChunkCounts::default(),
        }
    }

    /// Returns its progress, and creates it for an untouched chunk. Returns `None` if the chunk is done.
    pub(super) fn open(&mut self) -> Option<&mut Progress> {
        if matches!(self.stage, Stage::Fresh) {
            self.stage = Stage::Open(Box::default());
        }
        match &mut self.stage {
            Stage::Open(progress) => Some(progress),
            Stage::Fresh | Stage::Done => None,
        }
    }

    pub(super) fn forget_if_done(&mut self) {
        let is_done = match &self.stage {
            Stage::Fresh => false,
            Stage::Open(progress) => progress.ended().len() >= self.size.pushes,
            Stage::Done => true,
        };
        if is_done {
            self.stage = Stage::Done;
        }
    }
}
