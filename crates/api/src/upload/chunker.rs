//! Splits devices into chunks.

use super::{MAX_CHUNK_BYTES, MAX_CHUNK_PUSHES, Staged};

/// The current chunk, and the complete ones.
#[derive(Debug, Default)]
pub(super) struct Chunker {
    first: u32,
    pushes: u32,
    body: String,
    /// The pushes of the current chunk that are left out.
    repeats: Vec<(usize, u32)>,
    /// The number of left-out pushes in all chunks.
    duplicates: u32,
    complete: Vec<Staged>,
}

impl Chunker {
    /// Adds a device's line, which has no line end. If it does not fit, a new chunk begins. Nothing is sent
    /// to a device that has the same content as the push at position `duplicate_of`.
    pub(super) fn add(&mut self, line: &str, duplicate_of: Option<u32>) {
        let fits = self.pushes < MAX_CHUNK_PUSHES && self.body.len() + line.len() < MAX_CHUNK_BYTES;
        if !fits {
            self.cut();
        }
        if let Some(of) = duplicate_of {
            let place = usize::try_from(self.pushes).unwrap_or(usize::MAX);
            self.repeats.push((place, of));
            self.duplicates = self.duplicates.saturating_add(1);
        }
        self.pushes += 1;
        self.body.push_str(line);
        self.body.push('\n');
    }

    /// Returns the chunks that were completed since the last call.
    pub(super) fn take(&mut self) -> Vec<Staged> {
        std::mem::take(&mut self.complete)
    }

    /// Returns the number of devices.
    pub(super) const fn pushes(&self) -> u32 {
        self.first.saturating_add(self.pushes)
    }

    /// Returns how many of them are left out.
    pub(super) const fn duplicates(&self) -> u32 {
        self.duplicates
    }

    /// Completes the last chunk.
    pub(super) fn finish(mut self) -> Vec<Staged> {
        self.cut();
        self.complete
    }

    fn cut(&mut self) {
        if self.pushes == 0 {
            return;
        }
        let next = self.pushes();
        self.complete.push(Staged {
            first: self.first,
            pushes: self.pushes,
            body: std::mem::take(&mut self.body),
            duplicates: std::mem::take(&mut self.repeats),
        });
        (self.first, self.pushes) = (next, 0);
    }
}
