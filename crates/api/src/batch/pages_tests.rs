//! Pages of receipts and of devices, read from a database as an object has it.

use std::cell::Cell;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::batch::tests::{NOW, found, lines, sample};
use batch::{Batch, Results};
use delivery::sql::fixture::Database;
use delivery::verdict::Verdict;

/// A batch with its rows. In every `every`th chunk the first device is gone, and all other pushes were
/// accepted.
struct Stored {
    database: Database,
    batch: Batch,
    statements: Cell<u32>,
}

const PUSHES: usize = 3;

const GONE: Wanted<'static> = Wanted::Devices(DeviceList::Gone);

fn stored(chunks: u32, every: u32) -> Stored {
    let database = Database::new();
    for statement in rows::create() {
        database.execute(&statement);
    }
    let size = |number: u32| Size {
        first: number * 3,
        pushes: PUSHES,
    };
    for number in 0..chunks {
        database.execute(&rows::add_chunk(number, number * 3, 3, lines(PUSHES)));
    }
    let mut batch = Batch::seal(sample(), (0..chunks).map(size).collect(), NOW);
    for number in 0..chunks {
        let work = batch.claim(number, NOW).unwrap();
        let gone = if number % every == 0 { 1 } else { 0 };
        let mut results = Results::default();
        let indices = |range: std::ops::Range<usize>| range.collect::<Vec<_>>();
        results.groups = vec![
            found(Verdict::DropDevice, 410, Some("Unregistered"), &indices(0..gone)),
            found(Verdict::Accepted, 200, None, &indices(gone..PUSHES)),
        ];
        results.groups.retain(|found| !found.indices.is_empty());
        batch.settle(number, work.until, &results, true, NOW);
        database.execute(&rows::write_progress(number, batch.progress(number).unwrap()));
    }
    Stored {
        database,
        batch,
        statements: Cell::new(0),
    }
}

impl Stored {
    /// Reads one page. Returns its positions and its cursor.
    fn page(&self, wanted: Wanted<'_>, from: u64, limit: usize) -> (Vec<u64>, Option<u64>) {
        let record = self.batch.record();
        let begin = (from, self.batch.chunk_at(from));
        let mut reader = PageReader::new(record, wanted, begin, limit);
        while let Some(statement) = reader.next(|number| self.batch.size(number)) {
            self.statements.set(self.statements.get() + 1);
            let plan = Statement {
                text: format!("EXPLAIN QUERY PLAN {}", statement.text).into(),
                ..statement.clone()
            };
            for step in self.database.execute(&plan) {
                let step = step.text(3).unwrap().to_owned();
                assert!(
                    step.starts_with("SEARCH") && step.contains("PRIMARY KEY"),
                    "{step}"
                );
            }
            let rows = self.database.execute(&statement);
            assert!(rows.len() <= 1);
            reader.take(&rows).unwrap();
        }
        let text = String::from_utf8(reader.end(record.state)).unwrap();
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let last = lines.pop().unwrap();
        let cursor = last["cursor"].as_str().map(|cursor| cursor.parse().unwrap());
        assert_eq!(last["more"], cursor.is_some());
        let positions = lines.iter().map(|line| line["index"].as_u64().unwrap());
        (positions.collect(), cursor)
    }

    /// Reads all pages. Returns their positions and their number.
    fn pages(&self, wanted: Wanted<'_>, limit: usize) -> (Vec<u64>, u32) {
        let (mut all, mut pages, mut next) = (Vec::new(), 0, Some(0));
        while let Some(from) = next {
            let before = self.statements.get();
            let (positions, cursor) = self.page(wanted, from, limit);
            assert!(positions.len() <= limit);
            assert!(self.statements.get() - before <= 2 * MAX_CHUNKS);
            assert!(cursor.is_none_or(|cursor| cursor > from), "it goes on");
            all.extend(positions);
            pages += 1;
            next = cursor;
        }
        (all, pages)
    }
}

#[test]
fn a_page_reads_the_rows_of_its_own_chunks_alone_wherever_it_begins() {
    let batch = stored(2000, 1);
    for from in [0, 1, 2, 3, 2999, 5990] {
        batch.statements.set(0);
        let (positions, cursor) = batch.page(Wanted::Receipts(&[]), from, 6);
        assert_eq!(positions, (from..from + 6).collect::<Vec<_>>());
        assert_eq!(cursor, Some(from + 6));
        // Two or three chunks, and the one that the next page begins with.
        assert!(batch.statements.get() <= 8, "{}", batch.statements.get());
    }
    batch.statements.set(0);
    assert_eq!(batch.page(Wanted::Receipts(&[]), 6000, 6), (vec![], None));
    assert_eq!(batch.page(Wanted::Receipts(&[]), u64::MAX, 6), (vec![], None));
    assert_eq!(batch.statements.get(), 0);
}

#[test]
fn a_page_ends_after_a_thousand_chunks_though_nothing_was_found() {
    let batch = stored(2500, 2_200);
    let (first, cursor) = batch.page(GONE, 1, 100);
    assert_eq!((first, cursor), (vec![], Some(3000)));
    assert_eq!(batch.statements.get(), MAX_CHUNKS + 1, "a row a chunk");
    assert_eq!(batch.pages(GONE, 100), (vec![0, 6600], 3));
    let rejected = ["rejected".to_owned()];
    assert_eq!(batch.pages(Wanted::Receipts(&rejected), 100), (vec![0, 6600], 3));
    let none = ["failed".to_owned()];
    assert_eq!(batch.pages(Wanted::Receipts(&none), 100), (vec![], 3));
}

#[test]
fn a_batch_of_exactly_a_thousand_chunks_is_one_page() {
    let batch = stored(MAX_CHUNKS, 1);
    assert_eq!(
        batch.page(Wanted::Receipts(&["failed".to_owned()]), 0, 9),
        (vec![], None)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn pages_of_any_size_give_each_line_once_and_in_order(
        chunks in 1..40_u32, every in 1..7_u32, limit in 1..20_usize,
    ) {
        let batch = stored(chunks, every);
        let (all, _) = batch.pages(Wanted::Receipts(&[]), limit);
        prop_assert_eq!(all, (0..u64::from(chunks) * 3).collect::<Vec<_>>());
        let (gone, _) = batch.pages(GONE, limit);
        let expected = (0..chunks).filter(|chunk| chunk % every == 0).map(|chunk| u64::from(chunk) * 3);
        prop_assert_eq!(gone, expected.collect::<Vec<_>>());
    }
}
