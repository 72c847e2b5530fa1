//! Pages of a batch's receipts and of its refused devices, and the chunks that they are made from.

use worker::Response;

use super::core::Core;
use super::{internal, not_found};
use crate::api::Problem;
use crate::api::batch as contract;
use crate::api::batch::DeviceList;
use crate::api::batch::receipts::{Chunk, Page};
use crate::delivery::batch::{Progress, Record, rows};
use crate::shell::http;

impl Core {
    pub(super) fn receipts(&self, from: u64, limit: usize, only: &[String]) -> Result<Response, Problem> {
        let mut page = Page::new(limit);
        self.visit(from, u64::MAX, |chunk| {
            if chunk.lines.is_empty() {
                return Visit::of(chunk.has_any(only), page.is_full());
            }
            page.add_receipts(chunk, from, only);
            Visit::Next
        })?;
        self.end(page)
    }

    pub(super) fn devices(&self, list: DeviceList, from: u64, limit: usize) -> Result<Response, Problem> {
        let mut page = Page::new(limit);
        self.visit(from, u64::MAX, |chunk| {
            if chunk.lines.is_empty() {
                return Visit::of(chunk.count(list) > 0, page.is_full());
            }
            page.add_devices(chunk, list, from);
            Visit::Next
        })?;
        self.end(page)
    }

    /// Counts the gone devices of some chunks, from one on. Returns those that have any, and the chunk to go on with.
    pub(super) fn count_gone(&self, from: u32) -> Result<(Vec<(u32, usize)>, Option<u32>), String> {
        let record = self.with(|batch| batch.record().clone());
        let record = record.ok_or("the batch was forgotten")?;
        let page = self.database().rows(rows::progress_from(from));
        let page = page.map_err(|error| error.to_string())?;
        let page: Result<Vec<(u32, Progress)>, String> = page.iter().map(rows::progress).collect();
        let page = page?;
        let count = |(number, progress): &(u32, Progress)| {
            let size = self.with(|batch| batch.size(*number)).flatten()?;
            let chunk = Chunk {
                record: &record,
                seed: contract::seed(&record.id).unwrap_or_default(),
                size,
                lines: "",
                progress,
            };
            Some((*number, chunk.count(DeviceList::Gone))).filter(|(_, gone)| *gone > 0)
        };
        let gone = page.iter().filter_map(count).collect();
        Ok((gone, rows::next_page(page.iter().map(|(number, _)| *number))))
    }

    /// Looks at one chunk with its lines; at none if the batch has no such chunk.
    pub(super) fn chunk<T>(
        &self,
        record: &Record,
        number: u32,
        look: impl FnOnce(&Chunk<'_>) -> T,
    ) -> Result<Option<T>, Problem> {
        let Some(size) = self.with(|batch| batch.size(number)).flatten() else {
            return Ok(None);
        };
        let database = self.database();
        let row = database.rows(rows::one_progress(number)).map_err(internal)?;
        let progress = match row.first() {
            Some(row) => rows::progress(row).map_err(internal)?.1,
            None => Progress::default(),
        };
        let lines = database.text(rows::lines(number)).map_err(internal)?;
        let lines = lines.unwrap_or_default();
        Ok(Some(look(&Chunk {
            record,
            seed: contract::seed(&record.id).unwrap_or_default(),
            size,
            lines: &lines,
            progress: &progress,
        })))
    }

    fn end(&self, mut page: Page) -> Result<Response, Problem> {
        let state = self.with(|batch| batch.record().state).ok_or_else(not_found)?;
        page.end(state);
        http::lines(page.text).map_err(internal)
    }

    /// Visits the chunks with pushes between two positions, in order: first without their lines, and again with them if
    /// they are wanted.
    pub(super) fn visit(
        &self,
        first: u64,
        last: u64,
        mut visit: impl FnMut(&Chunk<'_>) -> Visit,
    ) -> Result<(), Problem> {
        let database = self.database();
        let record = self.with(|batch| batch.record().clone()).ok_or_else(not_found)?;
        let seed = contract::seed(&record.id).unwrap_or_default();
        for row in database
            .rows(rows::chunks_between(first, last))
            .map_err(internal)?
        {
            let (number, size) = rows::numbered_size(&row).map_err(internal)?;
            let row = database.rows(rows::one_progress(number)).map_err(internal)?;
            let progress = match row.first() {
                Some(row) => rows::progress(row).map_err(internal)?.1,
                None => Progress::default(),
            };
            let mut chunk = Chunk {
                record: &record,
                seed,
                size,
                lines: "",
                progress: &progress,
            };
            match visit(&chunk) {
                Visit::Next => {}
                Visit::End => break,
                Visit::Lines => {
                    let lines = database
                        .text(rows::lines(number))
                        .map_err(internal)?
                        .unwrap_or_default();
                    chunk.lines = &lines;
                    visit(&chunk);
                }
            }
        }
        Ok(())
    }
}

/// What a visit to a chunk leads to.
pub(super) enum Visit {
    /// On to the next chunk.
    Next,
    /// Once more to this one, with its lines.
    Lines,
    /// No more chunks.
    End,
}

impl Visit {
    fn of(is_wanted: bool, is_full: bool) -> Self {
        match (is_wanted, is_full) {
            (_, true) => Self::End,
            (true, false) => Self::Lines,
            (false, false) => Self::Next,
        }
    }
}
