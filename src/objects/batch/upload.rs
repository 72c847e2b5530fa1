//! Receives an upload: reads its body as it arrives and stores its chunks.

use std::rc::Rc;

use worker::{Request, Response};

use super::batch_state::BatchState;
use super::{CALLER, CODING, ID, LINES, UPLOAD_STALLED, internal};
use crate::objects::metrics;
use crate::platform::body_reader::BodyReader;
use crate::platform::log::{self, Event};
use crate::platform::{bindings, clock, http};
use api::batch as contract;
use api::coding::Coding;
use api::config::{Caller, Config};
use api::format::Format;
use api::problem::{Kind, Problem};
use api::upload::{Fingerprint, Staged, Upload};
use apns::time::Timestamp;
use batch::rows::{self, Fact};
use batch::{Batch, Progress, Size};
use delivery::metrics::MetricsDelta;

/// Receives an upload, or joins one with the same body that was received before.
pub(super) async fn receive(core: &Rc<BatchState>, request: &Request) -> Result<Response, Problem> {
    let config = bindings::config(&core.env)?;
    let header = |name| http::header(request, name).unwrap_or_default();
    let id = header(ID);
    let format = Format {
        lines_in: header(LINES) == "true",
        lines_out: false,
    };
    let caller =
        Caller::from_header(&header(CALLER)).ok_or_else(|| internal("an upload without a caller"))?;
    let coding = Coding::of(Some(&header(CODING)))?;
    if core.load()? {
        return join(core, request, coding).await;
    }
    let now = clock::now();
    if core
        .uploading
        .get()
        .is_some_and(|last| now.since(last) < UPLOAD_STALLED)
    {
        let detail = "an upload with this Idempotency-Key has not ended yet";
        return Err(Problem::new(Kind::UploadInProgress, detail).retry_after_ms(1000));
    }
    core.uploading.set(Some(now));
    let turn = core.take_turn();
    let intake = Intake {
        id,
        format,
        coding,
        caller,
        config,
        now,
        turn,
    };
    let received = stage(core, request, intake).await;
    if !core.is_turn(turn) {
        // The stored rows belong to the upload that replaced this one.
        return Err(received.err().unwrap_or_else(broken_off));
    }
    core.uploading.set(None);
    match received {
        Ok(response) => Ok(response),
        Err(problem) => {
            core.wipe().await.map_err(internal)?;
            Err(problem)
        }
    }
}

struct Intake {
    id: String,
    format: Format,
    coding: Coding,
    caller: Caller,
    config: &'static Config,
    now: Timestamp,
    /// This upload's turn; it is current until another upload starts.
    turn: u32,
}

async fn stage(core: &Rc<BatchState>, request: &Request, intake: Intake) -> Result<Response, Problem> {
    // The rows of an upload that broke off are deleted.
    core.wipe().await.map_err(internal)?;
    // Set before the first row is written, so that an upload that breaks off is found.
    core.arm(intake.now + UPLOAD_STALLED).await;
    let database = core.database();
    for statement in rows::create() {
        database.execute(statement).map_err(internal)?;
    }
    let mut upload = Upload::new(&intake.caller, intake.config, intake.format, intake.now);
    let mut sizes = Vec::new();
    let mut add = |staged: Vec<Staged>| -> Result<(), Problem> {
        for chunk in staged {
            let number = u32::try_from(sizes.len()).unwrap_or(u32::MAX);
            sizes.push(Size {
                first: chunk.first,
                pushes: usize::try_from(chunk.pushes).unwrap_or(usize::MAX),
            });
            let row = rows::add_chunk(number, chunk.first, chunk.pushes, chunk.body);
            database.execute(row).map_err(internal)?;
            if !chunk.duplicates.is_empty() {
                let pushes = usize::try_from(chunk.pushes).unwrap_or(usize::MAX);
                let progress = Progress::staged(pushes, chunk.duplicates);
                database
                    .execute(rows::write_progress(number, &progress))
                    .map_err(internal)?;
            }
        }
        Ok(())
    };
    if let Some(mut pieces) = BodyReader::of(request, intake.coding).map_err(internal)? {
        while let Some(piece) = pieces.next().await.map_err(|error| error.or(broken_off))? {
            if !core.is_turn(intake.turn) {
                break;
            }
            core.uploading.set(Some(clock::now()));
            upload.feed(&piece)?;
            add(upload.take_staged())?;
        }
    }
    if !core.is_turn(intake.turn) {
        return Err(broken_off());
    }
    let mut finished = upload.finish()?;
    add(std::mem::take(&mut finished.staged))?;
    let now = clock::now();
    let record = contract::record(&intake.id, &finished, &intake.config.batches, intake.now);
    let facts = [
        Fact::Head.write(finished.header.head.clone()),
        Fact::Fingerprint.write(hex(&finished.sha256)),
    ];
    for fact in facts {
        database.execute(fact).map_err(internal)?;
    }
    let app = finished.header.app;
    Event::BatchAccepted {
        app: &app.name,
        batch: &record.id,
        pushes: finished.pushes,
        invalid: finished.invalid,
        chunks: sizes.len(),
        memory_kb: log::memory_kb(),
        ms: clock::millis_since(intake.now),
    }
    .write();
    let mut batch = Batch::load(record, sizes, Vec::new());
    if finished.duplicates > 0 {
        core.read_progress(&mut batch).map_err(internal)?;
    }
    core.begin(batch.sealed(now))?;
    let mut delta = MetricsDelta::default();
    delta.request(&app.name, 202);
    core.state.wait_until(metrics::add(core.env.clone(), delta));
    let document = core.document(Some(app))?;
    let document = contract::with_invalid_lines(document, &finished.invalid_lines, &finished.invalid_kinds);
    answer(core, document, false)
}

/// Joins the batch of a repeated Idempotency-Key. The body must be the same.
async fn join(core: &Rc<BatchState>, request: &Request, coding: Coding) -> Result<Response, Problem> {
    let mut fingerprint = Fingerprint::new();
    if let Some(mut pieces) = BodyReader::of(request, coding).map_err(internal)? {
        while let Some(piece) = pieces.next().await.map_err(|error| error.or(broken_off))? {
            fingerprint.feed(&piece);
        }
    }
    let known = core.database().text(Fact::Fingerprint.read()).map_err(internal)?;
    if known.as_deref() != Some(&hex(&fingerprint.finish())) {
        let detail = "this Idempotency-Key belongs to a batch with another body";
        return Err(Problem::new(Kind::IdempotencyConflict, detail));
    }
    let config = bindings::config(&core.env)?;
    let app = core.with(|batch| batch.record().app.clone()).unwrap_or_default();
    let document = core.document(config.app(&app))?;
    answer(core, document, true)
}

fn answer(core: &BatchState, document: String, replayed: bool) -> Result<Response, Problem> {
    let answer = core.with(|batch| contract::accepted(batch.record(), document, replayed));
    http::response(answer.ok_or_else(super::not_found)?).map_err(internal)
}

fn broken_off() -> Problem {
    Problem::new(Kind::NotJson, "the body broke off; nothing of it is sent")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
