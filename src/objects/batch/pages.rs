//! Pages of a batch's receipts and refused devices, and the chunks that webhooks and reports are rendered
//! from.

use worker::Response;

use super::batch_state::BatchState;
use super::{internal, not_found};
use crate::platform::http;
use api::Problem;
use api::batch as contract;
use api::batch::pages::{PageReader, Wanted};
use api::batch::receipts::Chunk;
use batch::rows::{self, Contents};
use batch::{Progress, Record};

/// The progress of some chunks, and the chunk to continue with.
type ProgressPage = (Vec<(u32, Progress)>, Option<u32>);

impl BatchState {
    /// Reads a page from position `from` on.
    pub(super) fn page(&self, wanted: Wanted<'_>, from: u64, limit: usize) -> Result<Response, Problem> {
        let begin = self.with(|batch| (batch.record().clone(), batch.chunk_at(from)));
        let (record, number) = begin.ok_or_else(not_found)?;
        let database = self.database();
        let mut reader = PageReader::new(&record, wanted, (from, number), limit);
        let size = |number| self.with(|batch| batch.size(number)).flatten();
        while let Some(statement) = reader.next(size) {
            let rows = database.rows(statement).map_err(internal)?;
            reader.take(&rows).map_err(internal)?;
        }
        http::lines(reader.end(record.state)).map_err(internal)
    }

    /// Reads the progress of some chunks from `from` on. Returns them, and the chunk to continue with.
    pub(super) fn progress_page(&self, from: u32) -> Result<ProgressPage, String> {
        let page = self.database().rows(rows::progress_from(from));
        let page = page.map_err(|error| error.to_string())?;
        let page: Result<Vec<(u32, Progress)>, String> = page.iter().map(rows::progress).collect();
        let page = page?;
        let next = rows::next_page(page.iter().map(|(number, _)| *number));
        Ok((page, next))
    }

    /// Applies `look` to a chunk without its lines. Returns `None` if the batch has no such chunk.
    pub(super) fn look_at<T>(
        &self,
        record: &Record,
        (number, progress): (u32, &Progress),
        look: impl FnOnce(&Chunk<'_>) -> T,
    ) -> Option<T> {
        self.look_into(record, (number, progress), &Contents::default(), look)
    }

    /// Applies `look` to a chunk with its lines. Returns `None` if the batch has no such chunk.
    pub(super) fn read_chunk<T>(
        &self,
        record: &Record,
        number: u32,
        look: impl FnOnce(&Chunk<'_>) -> T,
    ) -> Result<Option<T>, String> {
        let database = self.database();
        let rows = |statement| database.rows(statement).map_err(|error| error.to_string());
        let progress = rows(rows::one_progress(number))?;
        let progress = progress.first().map(rows::progress).transpose()?;
        let (_, progress) = progress.unwrap_or_default();
        let contents = Contents::read(&rows(rows::contents(number))?)?;
        Ok(self.look_into(record, (number, &progress), &contents, look))
    }

    fn look_into<T>(
        &self,
        record: &Record,
        (number, progress): (u32, &Progress),
        contents: &Contents,
        look: impl FnOnce(&Chunk<'_>) -> T,
    ) -> Option<T> {
        let size = self.with(|batch| batch.size(number)).flatten()?;
        Some(look(&Chunk {
            record,
            seed: contract::seed(&record.id).unwrap_or_default(),
            size,
            lines: &contents.lines,
            details: &contents.details,
            progress,
        }))
    }
}
