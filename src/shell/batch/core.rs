//! What a batch's object has in memory and in its rows.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use worker::{Env, Result, State};

use super::chores::{self, Chores};
use super::expense::Expense;
use super::webhooks::Webhooks;
use super::{internal, not_found};
use crate::api::batch as contract;
use crate::api::problem::{Kind, Problem};
use crate::config::App;
use crate::delivery::batch::rows::{self, Fact};
use crate::delivery::batch::{Assignment, Batch, Record, Size};
use crate::shell::database::{Database, Rows};
use crate::shell::log::Event;
use crate::shell::{bindings, clock};
use crate::time::Timestamp;

/// What the object's work shares.
pub(super) struct Core {
    pub(super) state: State,
    pub(super) env: Env,
    batch: RefCell<Option<Batch>>,
    /// When the last part of an upload came, while one is under way.
    pub(super) uploading: Cell<Option<Timestamp>>,
    /// Which upload is read, so that one that had stalled and goes on knows that it was given up.
    turn: Cell<u32>,
    alarm_at: Cell<Option<Timestamp>>,
    expense: Cell<Expense>,
    rows: Rc<Rows>,
    pub(super) chores: Chores,
    pub(super) outbox: Webhooks,
}

impl Core {
    /// Nothing is in memory yet.
    pub(super) fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            batch: RefCell::default(),
            uploading: Cell::default(),
            turn: Cell::default(),
            alarm_at: Cell::default(),
            expense: Cell::default(),
            rows: Rc::default(),
            chores: Chores::default(),
            outbox: Webhooks::default(),
        }
    }

    /// The alarm has come.
    pub(super) async fn alarm(self: &Rc<Self>) -> Result<()> {
        self.alarm_at.set(None);
        self.spend(|spent| spent.alarms += 1);
        let now = clock::now();
        let loaded = self.load().map_err(|problem| problem.answer().body)?;
        if !loaded {
            self.clear_abandoned(now).await?;
        } else if self.with(|batch| batch.is_outdated(now)) == Some(true) {
            self.forget().await?;
        } else {
            chores::work(self).await;
        }
        Ok(())
    }

    /// Gives the turn to an upload; the one that had it has lost it.
    pub(super) fn take_turn(&self) -> u32 {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        turn
    }

    /// Whether an upload still has its turn.
    pub(super) fn is_turn(&self, turn: u32) -> bool {
        self.turn.get() == turn
    }

    /// Whether there is a batch and it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.with(|batch| batch.record().state.has_ended()) == Some(true)
    }

    pub(super) fn database(&self) -> Database {
        Database::counting(&self.state, Rc::clone(&self.rows))
    }

    /// Counts something that costs.
    pub(super) fn spend(&self, add: impl FnOnce(&mut Expense)) {
        let mut expense = self.expense.get();
        add(&mut expense);
        self.expense.set(expense);
    }

    /// What it has cost so far, as far as this object remembers.
    pub(super) fn expense(&self) -> Expense {
        Expense {
            rows_read: self.rows.read.get(),
            rows_written: self.rows.written.get(),
            stored: self.database().size(),
            ..self.expense.get()
        }
    }

    /// Reads the batch from its rows, unless it is in memory; false if there is none.
    pub(super) fn load(&self) -> std::result::Result<bool, Problem> {
        if self.batch.borrow().is_some() {
            return Ok(true);
        }
        match self.read() {
            Ok(None) => Ok(false),
            Ok(Some(batch)) => {
                *self.batch.borrow_mut() = Some(batch);
                self.chores.state_changed();
                Ok(true)
            }
            Err(problem) => {
                Event::StateLost {
                    object: "batch",
                    problem: &problem,
                }
                .write();
                Err(Problem::new(Kind::Unavailable, "the batch's rows cannot be read"))
            }
        }
    }

    fn read(&self) -> std::result::Result<Option<Batch>, String> {
        let database = self.database();
        let rows = |statement| database.rows(statement).map_err(|error| error.to_string());
        let tables = rows(rows::exist())?;
        if tables.is_empty() {
            return Ok(None);
        }
        let text = database
            .text(Fact::Record.read())
            .map_err(|error| error.to_string())?;
        let Some(text) = text else { return Ok(None) };
        let record: Record = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let mut walks = Vec::new();
        if rows::have_walks(&tables) {
            let (read, chunks) =
                rows::read_walks(&rows(rows::walks())?).map_err(|error| error.to_string())?;
            walks = read;
            rows(rows::drop_chunks(chunks))?;
        }
        let sizes = rows(rows::sizes())?;
        let sizes: std::result::Result<Vec<Size>, _> = sizes.iter().map(rows::size).collect();
        let sizes = sizes.map_err(|error| error.to_string())?;
        let mut batch = Batch::load(record, sizes, Vec::new()).with_walks(walks);
        let mut next = Some(0);
        while let Some(from) = next {
            let progress = rows(rows::progress_from(from))?;
            let progress: std::result::Result<Vec<_>, _> = progress.iter().map(rows::progress).collect();
            let progress = progress?;
            next = rows::next_page(progress.iter().map(|(number, _)| *number));
            batch.take_rows(progress);
        }
        Ok(Some(batch))
    }

    /// A new batch, whose upload has ended or which was opened.
    pub(super) fn begin(&self, batch: Batch) -> std::result::Result<(), Problem> {
        *self.batch.borrow_mut() = Some(batch);
        self.save()
    }

    /// Does something with the batch, if it is loaded.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Batch) -> T) -> Option<T> {
        self.batch.borrow_mut().as_mut().map(act)
    }

    /// Writes the rows that have changed.
    pub(super) fn save(&self) -> std::result::Result<(), Problem> {
        let database = self.database();
        let mut slot = self.batch.borrow_mut();
        let Some(batch) = slot.as_mut() else { return Ok(()) };
        let (chunks, is_record_unsaved) = batch.take_unsaved();
        let (walks, chunks_there) = (batch.take_unsaved_walks(), batch.chunks());
        let written = || -> Result<()> {
            for number in &chunks {
                if let Some(progress) = batch.progress(*number) {
                    database.execute(rows::write_progress(*number, progress))?;
                }
            }
            for (number, walk) in &walks {
                database.execute(rows::write_walk(*number, walk, chunks_there))?;
            }
            if is_record_unsaved {
                database.execute(rows::write_record(batch.record()))?;
            }
            Ok(())
        };
        match written() {
            Ok(()) => {
                batch.saved(&chunks);
                Ok(())
            }
            Err(error) => {
                // What is in memory is ahead of the rows: the rows are the truth.
                *slot = None;
                Err(internal(error))
            }
        }
    }

    /// Writes the lines of a chunk that was appended; what goes with it is written by [`Core::save`].
    pub(super) fn add_chunk(
        &self,
        number: u32,
        size: Size,
        lines: String,
    ) -> std::result::Result<(), Problem> {
        let pushes = u32::try_from(size.pushes).unwrap_or(u32::MAX);
        let row = rows::add_chunk(number, size.first, pushes, lines);
        self.database().execute(row).map_err(|error| {
            // Memory has a chunk that the rows have not.
            *self.batch.borrow_mut() = None;
            internal(error)
        })
    }

    /// Starts what is due: messages, deliveries, the next alarm.
    pub(super) fn go_on(self: &Rc<Self>) {
        let core = Rc::clone(self);
        self.state.wait_until(async move { chores::work(&core).await });
    }

    /// Sets the alarm, if it is not set early enough already: an alarm that comes early costs less than one that is set
    /// with each command.
    pub(super) async fn arm(&self, at: Option<Timestamp>) {
        let Some(at) = at else { return };
        if self.alarm_at.get().is_some_and(|set| set <= at) {
            return;
        }
        self.alarm_at.set(Some(at));
        self.spend(|spent| spent.alarms_set += 1);
        if clock::set_alarm(&self.state, at).await.is_err() {
            self.alarm_at.set(None);
        }
    }

    pub(super) fn claim(&self, chunk: u32, now: Timestamp) -> std::result::Result<Option<Vec<u8>>, Problem> {
        let work = self.with(|batch| {
            let work = batch.claim(chunk, now)?;
            let record = batch.record();
            let assignment = Assignment {
                batch: record.id.clone(),
                chunk,
                claim: work.until,
                app: record.app.clone(),
                created_at: record.created_at,
                first: work.size.first,
                places: work.places,
                weight: record.terms.weight,
            };
            Some((assignment, record.terms.collapse_repeats))
        });
        let Some((assignment, collapse_repeats)) = work.flatten() else {
            return Ok(None);
        };
        self.spend(|spent| spent.granted += 1);
        let database = self.database();
        let head = database.text(Fact::Head.read()).map_err(internal)?;
        let lines = database.text(rows::lines(chunk)).map_err(internal)?;
        let mut body = serde_json::to_vec(&assignment).map_err(internal)?;
        body.push(b'\n');
        let (head, lines) = (head.unwrap_or_default(), lines.unwrap_or_default());
        let order = contract::chunk_body(&assignment, collapse_repeats, &head, &lines);
        body.extend_from_slice(order.as_bytes());
        Ok(Some(body))
    }

    /// The app of the batch, if the caller reaches it; else there is no such batch.
    pub(super) fn app_for(&self, caller: &str) -> std::result::Result<Option<&'static App>, Problem> {
        let config = bindings::config(&self.env)?;
        let app = if self.load()? {
            self.with(|batch| batch.record().app.clone())
        } else {
            None
        };
        let caller = config.api_keys.iter().find(|key| key.name == caller);
        match (app, caller) {
            (Some(app), Some(caller)) if caller.reaches(&app) => Ok(config.app(&app)),
            _ => Err(not_found()),
        }
    }

    pub(super) fn document(&self, app: Option<&App>) -> std::result::Result<String, Problem> {
        let now = clock::now();
        let transport = app.map(|app| app.transport);
        self.with(|batch| contract::document(batch.record(), &batch.overview(now), transport))
            .ok_or_else(not_found)
    }

    /// Deletes what an upload left that broke off.
    async fn clear_abandoned(&self, now: Timestamp) -> Result<()> {
        match self.uploading.get() {
            Some(last) if now.since(last) < super::UPLOAD_STALLED => {
                self.arm(Some(last + super::UPLOAD_STALLED)).await;
                Ok(())
            }
            _ => {
                self.take_turn();
                self.uploading.set(None);
                self.wipe().await
            }
        }
    }

    /// Forgets everything, in the registry as well.
    pub(super) async fn forget(&self) -> Result<()> {
        self.chores.forgotten(self).await;
        self.wipe().await
    }

    pub(super) async fn wipe(&self) -> Result<()> {
        *self.batch.borrow_mut() = None;
        self.outbox.forget();
        self.alarm_at.set(None);
        self.state.storage().delete_alarm().await?;
        self.state.storage().delete_all().await
    }
}
