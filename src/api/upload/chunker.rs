//! Cuts devices into chunks.

use std::collections::HashSet;

use super::{MAX_CHUNK_BYTES, MAX_CHUNK_PUSHES, Staged};
use crate::apns::DeviceToken;

/// The chunk that grows, and those that are complete.
#[derive(Debug, Default)]
pub(super) struct Chunker {
    first: u32,
    pushes: u32,
    body: String,
    /// Whom the chunk goes to. Its pushes share a collapse id, under which two to one device would be one.
    tokens: HashSet<DeviceToken>,
    complete: Vec<Staged>,
}

impl Chunker {
    /// Adds a device's line, which has no line end; a new chunk begins where it does not fit.
    pub(super) fn add(&mut self, line: &str, token: DeviceToken) {
        let fits = self.pushes < MAX_CHUNK_PUSHES && self.body.len() + line.len() < MAX_CHUNK_BYTES;
        if !fits || self.tokens.contains(&token) {
            self.cut();
        }
        self.tokens.insert(token);
        self.pushes += 1;
        self.body.push_str(line);
        self.body.push('\n');
    }

    /// The chunks that have been completed since this was last asked.
    pub(super) fn take(&mut self) -> Vec<Staged> {
        std::mem::take(&mut self.complete)
    }

    /// How many devices were added.
    pub(super) const fn pushes(&self) -> u32 {
        self.first.saturating_add(self.pushes)
    }

    /// Ends the last chunk.
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
        });
        (self.first, self.pushes) = (next, 0);
        self.tokens.clear();
    }
}
