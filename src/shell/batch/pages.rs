//! Pages of a batch's receipts and of its gone devices.

use worker::Response;

use super::core::Core;
use super::{internal, not_found};
use crate::api::Problem;
use crate::api::batch as contract;
use crate::api::batch::receipts::{Chunk, Page};
use crate::delivery::batch::{Progress, rows};
use crate::shell::http;

impl Core {
    fn receipts(&self, from: u64, limit: usize, only: &[String]) -> std::result::Result<Response, Problem> {
        let mut page = contract::receipts::Page::new(limit);
        self.walk(&mut page, from, |chunk| chunk.has_any(only), |page, chunk| {
            page.add_receipts(chunk, from, only);
        })
    }

    fn gone(&self, from: u64, limit: usize) -> std::result::Result<Response, Problem> {
        let mut page = contract::receipts::Page::new(limit);
        self.walk(&mut page, from, |chunk| chunk.has_gone(), |page, chunk| page.add_gone(chunk, from))
    }

    /// Writes a page of lines from the chunks at and behind a position, reading the lines of those alone that have any.
    fn walk(
        &self,
        page: &mut contract::receipts::Page,
        from: u64,
        has_any: impl Fn(&contract::receipts::Chunk<'_>) -> bool,
        add: impl Fn(&mut contract::receipts::Page, &contract::receipts::Chunk<'_>),
    ) -> std::result::Result<Response, Problem> {
        let database = self.database();
        let record = self.with(|batch| batch.record().clone()).ok_or_else(not_found)?;
        let seed = contract::seed(&record.id).unwrap_or_default();
        let sizes = database.rows(rows::sizes()).map_err(internal)?;
        for (row, number) in sizes.iter().zip(0_u32..) {
            let size = rows::size(row).map_err(internal)?;
            let end = u64::from(size.first) + u64::try_from(size.pushes).unwrap_or_default();
            if end <= from {
                continue;
            }
            if page.is_full() {
                break;
            }
            let row = database.rows(rows::one_progress(number)).map_err(internal)?;
            let progress = match row.first() {
                Some(row) => rows::progress(row).map_err(internal)?.1,
                None => Progress::default(),
            };
            let mut chunk = contract::receipts::Chunk {
                record: &record,
                seed,
                size,
                lines: "",
                progress: &progress,
            };
            if has_any(&chunk) {
                let lines = database.text(rows::lines(number)).map_err(internal)?.unwrap_or_default();
                chunk.lines = &lines;
                add(page, &chunk);
            }
        }
        page.end(record.state);
        http::lines(std::mem::take(&mut page.text)).map_err(internal)
    }

}
