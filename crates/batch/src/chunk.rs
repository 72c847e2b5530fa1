//! A chunk in memory: how large it is, and how far it is while it is under way.
//!
//! A batch has thousands, most of which nobody has touched or that are done: those are a few bytes each.

use super::Progress;

/// A chunk, of which the device lines stay in their row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The position of its first push in the upload.
    pub first: u32,
    /// How many pushes it has.
    pub pushes: usize,
}

#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) size: Size,
    pub(super) stage: Stage,
    pub(super) out: Standing,
}

/// How many pushes have not ended but were touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) in_flight: usize,
    pub(super) retrying: usize,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Nobody has claimed it yet.
    Fresh,
    /// Some of its pushes have not ended.
    Open(Box<Progress>),
    /// All have; what there is to know lies in its row alone.
    Done,
}

impl Standing {
    pub(super) fn of(progress: &Progress) -> Self {
        Self {
            in_flight: progress.in_flight().len(),
            retrying: progress.put_off().len(),
        }
    }
}

impl Chunk {
    pub(super) fn fresh(size: Size) -> Self {
        Self {
            size,
            stage: Stage::Fresh,
            out: Standing::default(),
        }
    }

    /// How far it is; none if it is done.
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
