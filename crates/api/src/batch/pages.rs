//! Reads a page of a batch's receipts or of its refused devices: returns the statements to execute, one after
//! the other.
//!
//! The beginning of a page is computed from the chunks' sizes, which are in memory. Each chunk is read by its
//! number: first its progress, and its device lines only if any of them is on the page. A page ends when it
//! is full or when it has read [`MAX_CHUNKS`] chunks. Its cursor then is the beginning of the next page. So a
//! caller that filters by a rare status gets quick pages with few or no lines, and not one page that takes
//! minutes.

use super::receipts::{Chunk, Page};
use super::{DeviceList, seed};
use batch::rows::{self, Contents};
use batch::{Progress, Record, Size, State};
use delivery::sql::{Row, Statement};

/// The contents of a page.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'w> {
    /// The receipts of pushes with one of these statuses, or of all pushes if it is empty.
    Receipts(&'w [String]),
    /// The devices on a list.
    Devices(DeviceList),
}

/// A page that is being read.
#[derive(Debug)]
pub struct PageReader<'b> {
    record: &'b Record,
    wanted: Wanted<'b>,
    from: u64,
    page: Page,
    /// The current chunk, its size, and its progress once that is read.
    number: u32,
    size: Size,
    progress: Option<Progress>,
    looked_at: u32,
}

impl<'b> PageReader<'b> {
    /// Creates a page of up to `limit` lines that begins at position `from`, which is in chunk `number`.
    #[must_use]
    pub const fn new(
        record: &'b Record,
        wanted: Wanted<'b>,
        (from, number): (u64, u32),
        limit: usize,
    ) -> Self {
        Self {
            record,
            wanted,
            from,
            page: Page::new(limit),
            number,
            size: Size { first: 0, pushes: 0 },
            progress: None,
            looked_at: 0,
        }
    }

    /// Returns the next statement, whose rows must be passed to [`PageReader::take`]. Returns `None` if the
    /// page is complete.
    pub fn next(&mut self, size: impl Fn(u32) -> Option<Size>) -> Option<Statement> {
        if self.progress.is_some() {
            return Some(rows::contents(self.number));
        }
        self.size = size(self.number)?;
        if self.page.is_full() {
            return None;
        }
        if self.looked_at == MAX_CHUNKS {
            self.page.stop_at(u64::from(self.size.first));
            return None;
        }
        self.looked_at += 1;
        Some(rows::one_progress(self.number))
    }

    /// Accepts the rows of the last statement.
    ///
    /// # Errors
    /// A row is malformed.
    pub fn take(&mut self, rows: &[Row]) -> Result<(), String> {
        let Some(progress) = self.progress.take() else {
            let row = rows.first().map(rows::progress).transpose()?;
            let progress = row.map(|(_, progress)| progress).unwrap_or_default();
            if self.wants(&self.chunk(&progress, &Contents::default())) {
                self.progress = Some(progress);
            } else {
                self.number += 1;
            }
            return Ok(());
        };
        let contents = Contents::read(rows)?;
        let mut page = std::mem::replace(&mut self.page, Page::new(0));
        let chunk = self.chunk(&progress, &contents);
        match self.wanted {
            Wanted::Receipts(only) => page.add_receipts(&chunk, self.from, only),
            Wanted::Devices(list) => page.add_devices(&chunk, list, self.from),
        }
        self.page = page;
        self.number += 1;
        Ok(())
    }

    /// Returns the page's lines, including the last one, for a batch in this state.
    #[must_use]
    pub fn end(mut self, state: State) -> Vec<u8> {
        self.page.end(state);
        self.page.text
    }

    fn wants(&self, chunk: &Chunk<'_>) -> bool {
        match self.wanted {
            Wanted::Receipts(only) => chunk.has_any(only),
            Wanted::Devices(list) => chunk.count(list) > 0,
        }
    }

    fn chunk<'c>(&self, progress: &'c Progress, contents: &'c Contents) -> Chunk<'c>
    where
        'b: 'c,
    {
        Chunk {
            record: self.record,
            seed: seed(&self.record.id).unwrap_or_default(),
            size: self.size,
            lines: &contents.lines,
            details: &contents.details,
            progress,
        }
    }
}

/// The most chunks per page. Each reads one row, and one more if any of its lines is on the page.
pub const MAX_CHUNKS: u32 = 1000;

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
