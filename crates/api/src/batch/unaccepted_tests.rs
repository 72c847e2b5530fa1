//! A run, the frequency caps of its audience's devices, and its report of the devices that it has not
//! reached.

use std::collections::BTreeMap;

use ::batch::fixture::{
    BEGIN, accepted, audience, bad_tokens, both, overloaded, record, refused, results_of, secs, terms,
    throttled, untried,
};
use ::batch::rows::PAGE;
use ::batch::{Append, Batch, LeftOut, Progress, Results, RunRef, State, Terms, report_page, whole_page};
use apns::time::Timestamp;
use campaign::audience::{Command, Device, Reply};
use campaign::scan::{AudienceScan, CapScope, Cursor, Frequency, Judge, Rendered, Unaccepted};
use delivery::sql::fixture::Database;
use delivery::sql::{Row, Statement};
use delivery::verdict::Verdict;

use super::receipts::{Chunk, unaccepted};

fn at(number: u32) -> usize {
    usize::try_from(number).unwrap()
}

/// A shard and a run that scans it.
struct Run {
    database: Database,
    scan: AudienceScan,
    batch: Batch,
    lines: Vec<String>,
    /// The rows with the progress of chunks.
    rows: BTreeMap<u32, String>,
}

impl Run {
    /// Creates a run and hands over all of these chunks.
    fn new(terms: Terms, chunks: &[u32]) -> Self {
        let database = Database::of::<Command>();
        let devices = (1..=chunks.iter().sum()).map(|id| Device::new(format!("{id:064x}")));
        let devices: Vec<Device> = devices.collect();
        database.ask(&Command::Upsert { devices }, BEGIN).unwrap();
        let mut record = record(terms);
        record.run = Some(RunRef {
            campaign: "c".to_owned(),
            at: BEGIN,
            audience: audience(),
            opened_at: BEGIN,
        });
        let mut scan = AudienceScan {
            batch: record.id.clone(),
            campaign: "c".to_owned(),
            at: BEGIN,
            number: 0,
            cursor: Cursor::default(),
            max_id: 0,
            zones: None,
            segment: None,
            frequency: None,
            document: serde_json::Value::Null,
            remainder: None,
        };
        scan.begin(&database.execute(&AudienceScan::highest())).unwrap();
        let batch = Batch::open(record, 1, BEGIN);
        let (lines, rows) = (Vec::new(), BTreeMap::new());
        let mut run = Self {
            database,
            scan,
            batch,
            lines,
            rows,
        };
        for limit in chunks {
            run.hand_over(*limit);
        }
        run.hand_over(1);
        run
    }

    fn hand_over(&mut self, limit: u32) {
        let rows = |statement: Statement| Ok(self.database.execute(&statement));
        let step = self.scan.step(limit, rows, |members| Rendered {
            lines: members
                .iter()
                .map(|member| format!("{{\"token\":\"{}\"}}\n", member.device.token))
                .collect(),
            pushes: u32::try_from(members.len()).unwrap(),
            indices: (0..members.len()).collect(),
            taken: members.len(),
            ..Rendered::default()
        });
        let step = step.unwrap();
        let append = Append {
            scan: 0,
            from: self.scan.cursor.to_string(),
            to: step.to.to_string(),
            pushes: step.pushes,
            left_out: LeftOut::default(),
            last: step.last,
            fault: None,
        };
        let taken = self.batch.append(&append, 0, BEGIN);
        if taken.chunk.is_some() {
            self.lines.push(step.lines);
        }
        self.scan.move_to(taken.appended.cursor.parse().unwrap());
    }

    /// Claims a chunk as a runner does, and reports these results.
    fn settle(&mut self, chunk: u32, results: &Results, now: Timestamp) {
        let work = self.batch.claim(chunk, now).unwrap();
        self.batch.settle(chunk, work.until, results, true, now);
        self.save();
    }

    fn save(&mut self) {
        let (chunks, _) = self.batch.take_unsaved();
        for number in &chunks {
            if let Some(progress) = self.batch.progress(*number) {
                self.rows
                    .insert(*number, serde_json::to_string(progress).unwrap());
            }
        }
        self.batch.saved(&chunks);
    }

    /// Reports the end. Returns the number of written rows of the shard.
    fn report(&mut self) -> u64 {
        self.save();
        assert!(self.batch.record().state.has_ended());
        let (mut next, mut written) = (Some(0), 0);
        while let Some(from) = next {
            let begun = self.rows.range(from..).take(at(PAGE));
            let begun = begun.map(|(number, text)| (*number, serde_json::from_str(text).unwrap()));
            let page = whole_page(from, self.batch.chunks(), begun.collect());
            let chunk = |number: u32, progress: &Progress, lines: &str| {
                let chunk = Chunk {
                    record: self.batch.record(),
                    seed: [0; 16],
                    size: self.batch.size(number).unwrap(),
                    lines,
                    details: &[],
                    progress,
                };
                (chunk.count_unaccepted(), unaccepted(&chunk))
            };
            let counted = page
                .iter()
                .map(|(number, progress)| (*number, chunk(*number, progress, "").0));
            let counted: Vec<(u32, usize)> = counted.collect();
            let report_page = report_page(&counted, 1);
            for ((number, progress), (_, count)) in page.iter().zip(&counted).take(report_page.chunks) {
                let (_, tokens) = chunk(*number, progress, &self.lines[at(*number)]);
                assert_eq!(tokens.len(), *count);
                if !tokens.is_empty() {
                    written += self.tell(tokens);
                }
            }
            next = report_page.next;
        }
        written
    }

    fn tell(&self, tokens: Vec<String>) -> u64 {
        let run = self.batch.record().id.clone();
        let command = Command::Unaccepted(Unaccepted { run, tokens });
        match self.database.ask(&command, BEGIN).unwrap() {
            Reply::Uncounted { rows } => rows,
            other => panic!("{other:?}"),
        }
    }

    /// Returns how many devices another campaign with a cap of one push per day would not reach.
    fn capped(&self) -> usize {
        let cap = Frequency {
            max: 1,
            per: 86_400,
            of: CapScope::All,
        };
        let judge = Judge {
            ids: (1..=self.batch.pushes()).collect(),
            segment: None,
            frequency: Some(cap),
            campaign: "other".to_owned(),
            at: BEGIN + secs(3600),
        };
        match self.database.ask(&Command::Judge(judge), BEGIN).unwrap() {
            Reply::Judged(judged) => judged.capped.len(),
            other => panic!("{other:?}"),
        }
    }

    fn rows_of_shard(&self) -> Vec<Row> {
        let all = "SELECT start, first, last, devices FROM send_log ORDER BY first";
        self.database.execute(&Statement::new(all))
    }
}

/// Returns results in which APNs may have accepted these pushes.
fn lost(indices: impl IntoIterator<Item = usize>) -> Results {
    results_of(Verdict::Unknown, 0, "ConnectionLost", indices)
}

fn once() -> Terms {
    Terms {
        repeatable: false,
        ..terms()
    }
}

#[test]
fn a_run_cancelled_after_80_of_600_leaves_the_other_520_to_the_corrected_campaign() {
    // Some are handed back by a runner, and a chunk was touched by nobody.
    let mut run = Run::new(terms(), &[100, 400, 100]);
    assert_eq!(
        (run.batch.chunks(), run.capped()),
        (3, 600),
        "counted from the hand-over on"
    );
    run.settle(0, &both(accepted(0..80), untried(80..100)), BEGIN);
    run.batch.cancel(BEGIN);
    assert_eq!(run.batch.record().state, State::Cancelled);
    assert_eq!(run.report(), 3);
    assert_eq!(run.capped(), 80);
    let rows = run.rows_of_shard();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].number(1), rows[0].number(2)), (Ok(1), Ok(80)));
}

#[test]
fn devices_whose_pushes_apns_refused_are_left_to_the_corrected_campaign() {
    let topics = results_of(Verdict::FixRequest, 400, "BadTopic", 0..300);
    for refusal in [bad_tokens(0..300), topics] {
        let mut run = Run::new(terms(), &[300]);
        run.settle(0, &refusal, BEGIN);
        assert_eq!(run.batch.record().state, State::Done);
        assert_eq!((run.report(), run.capped()), (1, 0));
    }
    for refusal in [refused(0..300), overloaded(0..300), throttled(0..300)] {
        let mut run = Run::new(terms(), &[300]);
        run.settle(0, &refusal, BEGIN);
        run.batch.cancel(BEGIN);
        assert_eq!((run.report(), run.capped()), (1, 0));
    }
}

#[test]
fn devices_that_an_expired_run_was_not_sent_to_are_left_to_the_corrected_campaign() {
    let expires_at = BEGIN + secs(600);
    let mut run = Run::new(
        Terms {
            expires_at: Some(expires_at),
            ..terms()
        },
        &[100, 100],
    );
    run.settle(0, &both(accepted(0..50), overloaded(50..100)), BEGIN);
    run.batch.plan(expires_at + secs(1));
    assert_eq!(run.batch.record().state, State::Done);
    run.report();
    assert_eq!(run.capped(), 50);
}

#[test]
fn what_apns_may_have_accepted_counts_for_a_cap() {
    for (terms, results) in [
        (terms(), accepted(0..100)),
        (
            terms(),
            results_of(Verdict::DropDevice, 410, "Unregistered", 0..100),
        ),
        (once(), lost(0..100)),
        (terms(), lost(0..100)),
    ] {
        let mut run = Run::new(terms, &[100]);
        run.settle(0, &results, BEGIN);
        run.batch.cancel(BEGIN);
        assert_eq!((run.report(), run.capped()), (0, 100), "{results:?}");
    }
}

#[test]
fn a_push_with_an_attempt_that_was_lost_counts_though_a_later_one_was_refused() {
    let mut run = Run::new(terms(), &[100]);
    run.settle(0, &both(lost(0..50), overloaded(50..100)), BEGIN);
    let later = BEGIN + secs(3600);
    run.settle(
        0,
        &results_of(Verdict::FixRequest, 400, "BadTopic", 0..100),
        later,
    );
    run.batch.cancel(later);
    assert_eq!((run.report(), run.capped()), (1, 50));
}

#[test]
fn pushes_of_a_runner_that_was_never_heard_of_count_for_a_cap() {
    for terms in [terms(), once()] {
        let mut run = Run::new(terms, &[100, 100]);
        let work = run.batch.claim(0, BEGIN).unwrap();
        run.save();
        let later = work.until + secs(1);
        run.batch.cancel(later);
        assert_eq!(run.batch.record().state, State::Cancelled);
        run.report();
        assert_eq!(run.capped(), 100, "the chunk that nobody touched is free");
    }
}

#[test]
fn a_run_that_went_well_writes_no_row_more() {
    let mut run = Run::new(terms(), &[100, 100]);
    let before = run.rows_of_shard();
    for chunk in 0..2 {
        run.settle(chunk, &accepted(0..100), BEGIN);
    }
    assert_eq!(run.batch.record().state, State::Done);
    assert_eq!((run.report(), run.rows_of_shard()), (0, before));
}

#[test]
fn rows_of_chunks_that_reached_all_their_devices_stay_as_they_are() {
    let mut run = Run::new(terms(), &[100, 100, 100]);
    let before = run.rows_of_shard();
    for chunk in [0, 2] {
        run.settle(chunk, &accepted(0..100), BEGIN);
    }
    run.settle(1, &both(accepted(1..100), bad_tokens([0])), BEGIN);
    assert_eq!(run.report(), 1);
    let after = run.rows_of_shard();
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_eq!((after[1].number(1), after[1].number(2)), (Ok(102), Ok(200)));
    assert_eq!(run.capped(), 299);
}

#[test]
fn an_end_that_is_reported_twice_changes_nothing_more() {
    let mut run = Run::new(terms(), &[100, 100]);
    run.settle(0, &both(accepted(0..80), bad_tokens(80..100)), BEGIN);
    run.batch.cancel(BEGIN);
    assert_eq!(run.report(), 2);
    let after = run.rows_of_shard();
    assert_eq!((run.report(), run.rows_of_shard()), (0, after));
    // Nor does one of another run, or of devices that left.
    let other = Command::Unaccepted(Unaccepted {
        run: "other".to_owned(),
        tokens: vec![format!("{:064x}", 1), "00".to_owned()],
    });
    let reply = run.database.ask(&other, BEGIN).unwrap();
    assert_eq!(reply, Reply::Uncounted { rows: 0 });
    assert_eq!(run.capped(), 80);
}

#[test]
fn a_report_goes_through_all_chunks_page_by_page() {
    let page = |from, chunks, begun: &[u32]| {
        let begun = begun
            .iter()
            .map(|number| (*number, Progress::staged(1, vec![(0, 0)])));
        let page = whole_page(from, chunks, begun.collect());
        let numbers: Vec<u32> = page.iter().map(|(number, _)| *number).collect();
        let touched = page
            .iter()
            .filter(|(_, progress)| !progress.ended().is_empty())
            .count();
        (numbers, touched)
    };
    assert_eq!(page(0, 3, &[1]), (vec![0, 1, 2], 1));
    assert_eq!(page(2, 3, &[]), (vec![2], 0));
    assert_eq!(page(3, 3, &[]), (vec![], 0));
    let (numbers, touched) = page(250, 1000, &[250, 499, 500, 999]);
    assert_eq!(
        (numbers.first(), numbers.last(), touched),
        (Some(&250), Some(&499), 2)
    );
    // Pages follow one another until the last chunk.
    let mut run = Run::new(terms(), &[1; 501]);
    run.batch.cancel(BEGIN);
    assert_eq!((run.report(), run.capped()), (501, 0));
}
