//! Executes the decisions of a shard's scan loop ([`ShardLoop`]).
//!
//! All of it runs in the object's alarm, which the platform repeats until it succeeds. After a crash a scan
//! starts again from the position that the batch has stored.

use std::rc::Rc;

use worker::Result;

use super::ShardState;
use crate::objects::batch;
use crate::platform::database::Database;
use crate::platform::{bindings, clock, log};
use ::batch::{Append, Appended};
use api::campaign::{ChunkRenderer, RunSpec};
use campaign::audience::{self as shard, Admission, Epoch, StoredDevice};
use campaign::scan::{AudienceScan, Effect, Event, Notice, Rendered, ShardLoop, Step};
use campaign::template::Recipient;

/// Adds a scan. A scan that exists already is not changed.
pub(super) async fn begin(core: &ShardState, request: shard::Request<AudienceScan>) -> Result<()> {
    let shard::Request {
        epoch,
        command: mut scan,
    } = request;
    if core.admit(epoch, true).await? == Admission::Refuse {
        // The audience was deleted, so the run was cancelled.
        return Ok(());
    }
    let database = core.database();
    if all(&database)?.iter().all(|known| known.batch != scan.batch) {
        let highest = database.rows(AudienceScan::highest())?;
        scan.begin(&highest).map_err(|error| error.to_string())?;
        database.execute(scan.store())?;
        database.execute(AudienceScan::sweep(clock::now()))?;
    }
    clock::set_alarm(&core.state, clock::now()).await
}

/// Starts a turn at once, unless the batch's scan has ended. The batch has not heard from the scan for a
/// while.
pub(super) async fn wake(core: &ShardState, request: &shard::Request<String>) -> Result<()> {
    if core.admit(request.epoch, false).await? == Admission::Execute
        && all(&core.database())?
            .iter()
            .any(|scan| scan.batch == request.command)
    {
        core.scans.borrow_mut().wake(&request.command);
        clock::set_alarm(&core.state, clock::now()).await?;
    }
    Ok(())
}

/// Handles the alarm: runs a turn of the scans.
pub(super) async fn take_turn(core: &Rc<ShardState>) -> Result<()> {
    let known = core.epoch()?;
    if !matches!(known, Epoch::Of(_)) {
        return forget(core, known).await;
    }
    let generation = core.generation.get();
    let mut renderers = Renderers::default();
    let mut event = Event::Alarm;
    loop {
        let effect = core.scans.borrow_mut().handle(event, clock::now());
        write_log(core);
        let effect = match effect {
            None => return Ok(()),
            Some(Effect::Fail(problem)) => return Err(problem.into()),
            Some(effect) => effect,
        };
        event = perform(core, effect, &mut renderers).await;
        if core.generation.get() != generation {
            // Everything was deleted in the meantime. The devices in the shard now belong to another
            // audience.
            core.scans.take();
            return clock::set_alarm(&core.state, clock::now()).await;
        }
    }
}

/// Deletes the remains of a deleted audience when their time is over.
async fn forget(core: &ShardState, known: Epoch) -> Result<()> {
    match known.forget_at() {
        Some(at) if at > clock::now() => clock::set_alarm(&core.state, at).await,
        Some(_) => core.delete_all().await,
        None => Ok(()),
    }
}

async fn perform(core: &ShardState, effect: Effect, renderers: &mut Renderers) -> Event {
    let done = |result: Result<()>| match result {
        Ok(()) => Event::Done,
        Err(error) => Event::Failed(error.to_string()),
    };
    match effect {
        Effect::Arm(at) => done(clock::set_alarm(&core.state, at).await),
        Effect::Disarm => done(core.state.storage().delete_alarm().await),
        Effect::Load => match all(&core.database()) {
            Ok(scans) => Event::Loaded(scans),
            Err(error) => Event::Failed(error.to_string()),
        },
        Effect::MakeStep(scan) => Event::Made(make_step(core, &scan, renderers)),
        Effect::CountRemainder(scan) => {
            let database = core.database();
            Event::Made(
                scan.count_remainder(|statement| database.rows(statement).map_err(|error| error.to_string())),
            )
        }
        Effect::HandOver(scan, step) => Event::Answered(hand_over(core, &scan, *step).await),
        Effect::Write(statements) => {
            let database = core.database();
            let mut statements = statements.into_iter();
            done(statements.try_for_each(|statement| database.execute(statement)))
        }
        Effect::Fail(problem) => Event::Failed(problem),
    }
}

/// The scan that is being rendered, and its renderer.
#[derive(Default)]
struct Renderers(Option<(String, ChunkRenderer<'static>)>);

fn make_step(
    core: &ShardState,
    scan: &AudienceScan,
    renderers: &mut Renderers,
) -> std::result::Result<Step, String> {
    let Renderers(known) = renderers;
    if known.as_ref().is_none_or(|(batch, _)| *batch != scan.batch) {
        *known = match renderer(core, scan)? {
            Ok(renderer) => Some((scan.batch.clone(), renderer)),
            Err(fault) => return Ok(Step::fault(scan.cursor, fault)),
        };
    }
    let Some((_, renderer)) = known else {
        return Err("there is nothing that makes the texts".to_owned());
    };
    let database = core.database();
    let rows = |statement| database.rows(statement).map_err(|error| error.to_string());
    scan.step(PAGE, rows, |members| render(renderer, members))
}

/// Creates the renderer of a scan. The inner error says why no device of the campaign can be rendered any
/// more. The outer error may be temporary, and the step is retried.
fn renderer(
    core: &ShardState,
    scan: &AudienceScan,
) -> std::result::Result<std::result::Result<ChunkRenderer<'static>, String>, String> {
    let spec: RunSpec = match serde_json::from_value(scan.document.clone()) {
        Ok(spec) => spec,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let config = bindings::config(&core.env).map_err(|problem| problem.detail().to_owned())?;
    let app = config.find_app(&spec.app).map_err(|error| error.to_string())?;
    let campaign = match serde_json::from_str(&spec.campaign) {
        Ok(campaign) => campaign,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let renderer = ChunkRenderer::new(&campaign, app, spec.created_at);
    Ok(renderer.map_err(|problem| problem.detail().to_owned()))
}

fn render(renderer: &mut ChunkRenderer<'_>, members: &[StoredDevice]) -> Rendered {
    let recipients = members.iter().map(|member| Recipient::of(&member.device));
    let chunk = renderer.render(&recipients.collect::<Vec<_>>());
    Rendered {
        lines: chunk.body,
        pushes: chunk.pushes,
        left_out: chunk.left_out,
        problems: chunk.problems,
        indices: chunk.indices,
        taken: chunk.taken,
    }
}

/// Sends a step to the batch. Returns `None` if the batch no longer exists.
async fn hand_over(
    core: &ShardState,
    scan: &AudienceScan,
    step: Step,
) -> std::result::Result<Option<Appended>, String> {
    let append = Append {
        scan: scan.number,
        from: scan.cursor.to_string(),
        to: step.to.to_string(),
        pushes: step.pushes,
        left_out: step.left_out,
        last: step.last,
        fault: step.fault,
    };
    batch::append(&core.env, &scan.batch, append, &step.lines).await
}

fn write_log(core: &ShardState) {
    let notices = ShardLoop::take_notices(&mut core.scans.borrow_mut());
    for notice in &notices {
        match notice {
            Notice::Scanned {
                batch,
                shard,
                pushes,
                invalid,
                problems,
            } => log::Event::ShardScanned {
                batch,
                shard: *shard,
                pushes: *pushes,
                invalid: *invalid,
                problems,
            },
            Notice::Failed { batch, problem } => log::Event::BatchFailed { batch, problem },
            Notice::TurnFailed { problem } => log::Event::AudienceFailed {
                audience: "",
                problem,
            },
        }
        .write();
    }
}

fn all(database: &Database) -> Result<Vec<AudienceScan>> {
    let rows = database.rows(AudienceScan::all())?;
    // A scan that cannot be read must not stop the others.
    let scans = rows.iter().filter_map(|row| match AudienceScan::load(row) {
        Ok(scan) => Some(scan),
        Err(problem) => {
            let object = "audience";
            log::Event::StateLost {
                object,
                problem: &problem,
            }
            .write();
            None
        }
    });
    Ok(scans.collect())
}

/// The number of devices that are read at once: as many as a chunk may have.
const PAGE: u32 = api::upload::MAX_CHUNK_PUSHES;
