//! Drives the walks of a shard: reads devices, has their lines made, and hands them to the run's batch chunk by chunk.
//!
//! Everything happens in the object's alarm, which the platform gives again until it has ended well: what a crash ended is
//! begun again, from where the batch says that the walk is.

use std::rc::Rc;
use std::time::Duration;

use worker::Result;

use super::Core;
use crate::api::campaign::{Brief, MAX_PROBLEMS, Stager};
use crate::delivery::batch::{Append, Appended};
use crate::delivery::sql::BadRow;
use crate::delivery::template::Recipient;
use crate::delivery::walk::{Cursor, Page, Walk};
use crate::shell::database::Database;
use crate::shell::log::Event;
use crate::shell::{batch, bindings, clock};
use crate::time::Timestamp;

/// Takes a walk on; one that is under way stays as it is.
pub(super) async fn begin(core: &Core, mut walk: Walk) -> Result<()> {
    let database = core.database()?;
    if all(&database)?.iter().all(|known| known.batch != walk.batch) {
        let highest = database.rows(Walk::highest())?;
        walk.begin(&highest).map_err(|error| error.to_string())?;
        database.execute(walk.store())?;
        database.execute(Walk::sweep(clock::now()))?;
    }
    clock::set_alarm(&core.state, clock::now()).await
}

/// Goes on with all walks for a while, and sets the alarm for what is left.
pub(super) async fn go_on(core: &Rc<Core>) -> Result<()> {
    let again = take_turn(core).await.unwrap_or_else(|error| {
        let problem = error.to_string();
        Event::AudienceFailed {
            audience: "",
            problem: &problem,
        }
        .write();
        // The platform gives an alarm that has failed again a few times only, and the run would stand still then.
        Some(clock::now() + PAUSE)
    });
    match again {
        Some(at) => clock::set_alarm(&core.state, at).await,
        None => Ok(()),
    }
}

/// Takes all walks some way on, and says when they go on.
async fn take_turn(core: &Rc<Core>) -> Result<Option<Timestamp>> {
    let mut again: Option<Timestamp> = None;
    let mut later = |at: Timestamp| again = Some(again.map_or(at, |other| other.min(at)));
    let walks = all(&core.database()?)?;
    // Each has its share: one that could go on for hours is not to keep another from being sent at all.
    let share = TURN / u32::try_from(walks.len().max(1)).unwrap_or(u32::MAX);
    for walk in &walks {
        match step_on(core, walk.clone(), clock::now() + share).await {
            Ok(Rest::Over) => core.database()?.execute(Walk::delete(&walk.batch))?,
            Ok(Rest::Until(at)) => later(at),
            Err(problem) => {
                Event::BatchFailed {
                    batch: &walk.batch,
                    problem: &problem,
                }
                .write();
                later(clock::now() + PAUSE);
            }
        }
    }
    // The alarm of a walk that began meanwhile is the one that is set here.
    let is_new = |walk: &Walk| walks.iter().all(|known| known.batch != walk.batch);
    if all(&core.database()?)?.iter().any(is_new) {
        later(clock::now());
    }
    Ok(again)
}

/// What comes of a walk.
enum Rest {
    /// There is nothing left of it.
    Over,
    /// It goes on then.
    Until(Timestamp),
}

async fn step_on(core: &Core, mut walk: Walk, until: Timestamp) -> std::result::Result<Rest, String> {
    // Where it is, the batch knows: a step of nothing changes nothing, and is answered with that. It is asked before
    // anything else can fail, so that a walk ends that has nothing to walk for any more.
    let Some(mut told) = hand_over(core, &walk, &Step::default()).await? else {
        return Ok(Rest::Over);
    };
    let mut content = None;
    let mut seen = Seen::default();
    loop {
        if told.stop || told.last {
            seen.tell(&walk);
            return Ok(Rest::Over);
        }
        walk.move_to(
            told.cursor
                .parse()
                .map_err(|_| "the batch has another cursor".to_owned())?,
        );
        let now = clock::now();
        let hold = Duration::from_millis(told.hold_ms);
        if !hold.is_zero() {
            seen.tell(&walk);
            return Ok(Rest::Until(now + hold));
        }
        if now >= until {
            seen.tell(&walk);
            return Ok(Rest::Until(now));
        }
        let stager = match &mut content {
            Some(known) => known,
            none => none.insert(stager(core, &walk)?),
        };
        let step = match stager {
            Some(stager) if !walk.is_at_end() => {
                next(core, &walk, stager).map_err(|error| error.to_string())?
            }
            _ => Step {
                last: true,
                to: walk.cursor,
                ..Step::default()
            },
        };
        let Some(answer) = hand_over(core, &walk, &step).await? else {
            return Ok(Rest::Over);
        };
        told = answer;
        seen.add(step);
    }
}

/// What makes the texts of a walk; nothing if nothing can be sent any more: then the walk ends.
fn stager(core: &Core, walk: &Walk) -> std::result::Result<Option<Stager<'static>>, String> {
    let brief: Brief = serde_json::from_value(walk.document.clone()).map_err(|error| error.to_string())?;
    let config = bindings::config(&core.env).map_err(|problem| problem.detail().to_owned())?;
    let app = config.find_app(&brief.app).map_err(|error| error.to_string())?;
    let campaign = serde_json::from_str(&brief.campaign).map_err(|error| error.to_string())?;
    Ok(Stager::new(&campaign, app, brief.created_at).ok())
}

/// A step of a walk.
#[derive(Default)]
struct Step {
    to: Cursor,
    lines: String,
    pushes: u32,
    invalid: u32,
    last: bool,
    problems: Vec<String>,
}

/// Makes the next step and writes down whom it is for, with no wait in between.
fn next(core: &Core, walk: &Walk, stager: &mut Stager<'_>) -> Result<Step> {
    let database = core.database()?;
    let bad = |error: BadRow| worker::Error::from(error.to_string());
    let reach = database.rows(walk.reach())?;
    let found = database.rows(walk.page(&reach, PAGE).map_err(bad)?)?;
    let Page { members, end } = walk.read(&reach, &found, PAGE).map_err(bad)?;
    let members = match walk.sends(&members) {
        Some(sends) => {
            let sends = database.rows(sends)?;
            walk.allowed(members, &sends).map_err(bad)?
        }
        None => members,
    };
    let recipients = members.iter().map(|member| Recipient::of(&member.device));
    let chunk = stager.stage(&recipients.collect::<Vec<_>>());
    // A device that is left out is sent nothing, and counts for no cap.
    let sent_to = chunk.places.iter().filter_map(|place| members.get(*place));
    let ids: Vec<u64> = sent_to.map(|member| member.id).collect();
    database.execute(walk.record(&ids))?;
    let taken = members.get(..chunk.taken).unwrap_or(&members);
    let is_used_up = chunk.taken >= members.len();
    Ok(Step {
        to: taken.last().filter(|_| !is_used_up).map_or(end, Cursor::after),
        lines: chunk.body,
        pushes: chunk.pushes,
        invalid: chunk.invalid,
        last: false,
        problems: chunk.problems,
    })
}

/// Hands a step to the batch; nothing comes back if the batch is not there any more.
async fn hand_over(core: &Core, walk: &Walk, step: &Step) -> std::result::Result<Option<Appended>, String> {
    let append = Append {
        walk: walk.number,
        from: walk.cursor.to_string(),
        to: step.to.to_string(),
        pushes: step.pushes,
        invalid: step.invalid,
        last: step.last,
    };
    batch::append(&core.env, &walk.batch, append, &step.lines).await
}

/// What a walk came to in one turn, for the log.
#[derive(Default)]
struct Seen {
    pushes: u64,
    invalid: u64,
    problems: Vec<String>,
}

impl Seen {
    fn add(&mut self, step: Step) {
        self.pushes += u64::from(step.pushes);
        self.invalid += u64::from(step.invalid);
        let left = MAX_PROBLEMS.saturating_sub(self.problems.len());
        self.problems.extend(step.problems.into_iter().take(left));
    }

    fn tell(&self, walk: &Walk) {
        if self.pushes + self.invalid > 0 {
            Event::ShardWalked {
                batch: &walk.batch,
                shard: walk.number,
                pushes: self.pushes,
                invalid: self.invalid,
                problems: &self.problems,
            }
            .write();
        }
    }
}

fn all(database: &Database) -> Result<Vec<Walk>> {
    let rows = database.rows(Walk::all())?;
    // One that cannot be read must not keep the others from going on.
    let walks = rows.iter().filter_map(|row| match Walk::load(row) {
        Ok(walk) => Some(walk),
        Err(problem) => {
            let object = "audience";
            Event::StateLost {
                object,
                problem: &problem,
            }
            .write();
            None
        }
    });
    Ok(walks.collect())
}

/// How many devices are read at once: as many as a chunk may have.
const PAGE: u32 = crate::api::upload::MAX_CHUNK_PUSHES;

/// How long walks go on before the alarm is set anew: an alarm may take 15 minutes, and others are to have their turn.
const TURN: Duration = Duration::from_secs(20);

/// When what failed is tried again.
const PAUSE: Duration = Duration::from_secs(5);
