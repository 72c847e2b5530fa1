//! The memory and the rows of a batch's object.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use worker::{Env, Result, State};

use super::background;
use super::usage::UsageCounters;
use super::{internal, not_found};
use crate::platform::database::{Database, Rows};
use crate::platform::log::Event;
use crate::platform::{bindings, clock};
use api::batch as contract;
use api::config::{App, Caller};
use api::problem::{Kind, Problem};
use apns::time::Timestamp;
use batch::outbox::Outbox;
use batch::rows::{self, Fact};
use batch::watchers::Watchers;
use batch::{Assignment, BackgroundTasks, Batch, Effect, Event as Happened, Record, Size};

/// The state that the object's tasks share.
pub(super) struct BatchState {
    pub(super) state: State,
    pub(super) env: Env,
    loaded: RefCell<Option<Loaded>>,
    /// When the last part of an upload arrived, while one is in progress.
    pub(super) uploading: Cell<Option<Timestamp>>,
    /// The number of the current upload. A stalled upload that continues sees that it was given up.
    turn: Cell<u32>,
    alarm: Cell<Option<Alarm>>,
    /// The number of consecutive failures to read or write the rows.
    failures: Cell<u32>,
    expense: Cell<UsageCounters>,
    rows: Rc<Rows>,
    pub(super) watchers: RefCell<Watchers>,
}

/// A batch in memory and its background tasks.
struct Loaded {
    batch: Batch,
    tasks: BackgroundTasks,
}

/// The alarm that is set.
#[derive(Clone, Copy)]
struct Alarm {
    at: Timestamp,
    /// Whether it is set only in case a task fails, and may be moved to a later moment.
    is_guard: bool,
}

impl BatchState {
    /// Creates the object's state, without a batch.
    pub(super) fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            loaded: RefCell::default(),
            uploading: Cell::default(),
            turn: Cell::default(),
            alarm: Cell::default(),
            failures: Cell::default(),
            expense: Cell::default(),
            rows: Rc::default(),
            watchers: RefCell::default(),
        }
    }

    /// Handles the alarm. The next alarm is set before anything else, and stays if anything fails.
    ///
    /// # Errors
    /// Returns an error if the alarm cannot be set.
    pub(super) async fn alarm(self: &Rc<Self>) -> Result<()> {
        self.count_usage(|usage| usage.alarms += 1);
        self.set_alarm(clock::now() + GUARD, true).await?;
        if self.load().is_ok_and(|is_loaded| !is_loaded) {
            if let Err(error) = self.clear_abandoned().await {
                internal(error);
            }
            return Ok(());
        }
        // A failure was logged and the alarm set where it occurred.
        let _ = background::step(self, Happened::Look).await;
        Ok(())
    }

    /// Starts a new upload's turn. The previous upload loses its turn.
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

    /// Counts a cost.
    pub(super) fn count_usage(&self, add: impl FnOnce(&mut UsageCounters)) {
        let mut expense = self.expense.get();
        add(&mut expense);
        self.expense.set(expense);
    }

    /// Returns the costs since this object was loaded.
    pub(super) fn expense(&self) -> UsageCounters {
        UsageCounters {
            rows_read: self.rows.read.get(),
            rows_written: self.rows.written.get(),
            stored: self.database().size(),
            ..self.expense.get()
        }
    }

    /// Reads the batch from its rows, unless it is in memory. Returns `false` if there is none.
    pub(super) fn load(&self) -> std::result::Result<bool, Problem> {
        if self.loaded.borrow().is_some() {
            return Ok(true);
        }
        match self.read() {
            Ok(None) => Ok(false),
            Ok(Some(loaded)) => {
                *self.loaded.borrow_mut() = Some(loaded);
                self.failures.set(0);
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

    /// Reads the progress rows of a batch that was loaded without them, one page at a time.
    pub(super) fn read_progress(&self, batch: &mut Batch) -> std::result::Result<(), String> {
        let database = self.database();
        let mut next = Some(0);
        while let Some(from) = next {
            let progress = database
                .rows(rows::progress_from(from))
                .map_err(|error| error.to_string())?;
            let progress: std::result::Result<Vec<_>, _> = progress.iter().map(rows::progress).collect();
            let progress = progress?;
            next = rows::next_page(progress.iter().map(|(number, _)| *number));
            batch.take_rows(progress);
        }
        Ok(())
    }

    fn read(&self) -> std::result::Result<Option<Loaded>, String> {
        let database = self.database();
        let rows = |statement| database.rows(statement).map_err(|error| error.to_string());
        let tables = rows(rows::exist())?;
        if !rows::have(&tables, rows::FACTS) {
            return Ok(None);
        }
        let text = database
            .text(Fact::Record.read())
            .map_err(|error| error.to_string())?;
        let Some(text) = text else { return Ok(None) };
        let record: Record = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let mut scans = Vec::new();
        if rows::have(&tables, rows::SCANS) {
            let (read, chunks) = rows::read_scans(&rows(rows::scans())?)?;
            scans = read;
            rows(rows::drop_chunks(chunks))?;
        }
        let sizes = rows(rows::sizes())?;
        let sizes: std::result::Result<Vec<Size>, _> = sizes.iter().map(rows::size).collect();
        let sizes = sizes.map_err(|error| error.to_string())?;
        let mut batch = Batch::load(record, sizes, Vec::new()).with_scans(scans);
        self.read_progress(&mut batch)?;
        let mut outbox = Outbox::new(&batch.record().id);
        if rows::have(&tables, rows::DELIVERIES) {
            let stored = Outbox::load(&batch.record().id, &rows(Outbox::select())?);
            if let Some(fault) = stored.fault {
                internal(fault);
            }
            outbox = stored.machine;
        }
        let tasks = BackgroundTasks::new(outbox);
        Ok(Some(Loaded { batch, tasks }))
    }

    /// Starts a batch whose upload has ended or that was opened.
    pub(super) fn begin(&self, batch: Batch) -> std::result::Result<(), Problem> {
        let tasks = BackgroundTasks::new(Outbox::new(&batch.record().id));
        *self.loaded.borrow_mut() = Some(Loaded { batch, tasks });
        self.save()
    }

    /// Handles a request to delete the batch. Returns whether the batch stays until its deliveries have
    /// ended.
    pub(super) fn delete_later(&self) -> bool {
        let mut slot = self.loaded.borrow_mut();
        let loaded = slot.as_mut();
        loaded.is_some_and(|Loaded { batch, tasks }| tasks.delete_later(batch))
    }

    /// Applies `act` to the batch. Returns `None` if it is not loaded.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Batch) -> T) -> Option<T> {
        let mut loaded = self.loaded.borrow_mut();
        loaded.as_mut().map(|loaded| act(&mut loaded.batch))
    }

    /// Reads the deliveries. Returns `None` if the batch is not loaded.
    pub(super) fn with_outbox<T>(&self, look: impl FnOnce(&Outbox) -> T) -> Option<T> {
        let loaded = self.loaded.borrow();
        loaded.as_ref().map(|loaded| look(loaded.tasks.outbox()))
    }

    /// Handles an event and returns its effects. Returns none if the batch is not loaded.
    pub(super) fn handle(&self, event: Happened) -> Vec<Effect> {
        let mut loaded = self.loaded.borrow_mut();
        let handled = loaded
            .as_mut()
            .map(|Loaded { batch, tasks }| tasks.handle(batch, event, clock::now()));
        handled.unwrap_or_default()
    }

    /// Writes the changed rows.
    pub(super) fn save(&self) -> std::result::Result<(), Problem> {
        let database = self.database();
        let mut slot = self.loaded.borrow_mut();
        let Some(Loaded { batch, tasks }) = slot.as_mut() else {
            return Ok(());
        };
        let (chunks, is_record_unsaved) = batch.take_unsaved();
        let (scans, chunks_there) = (batch.take_unsaved_scans(), batch.chunks());
        let deliveries = tasks.outbox_mut().take_changes();
        let written = || -> Result<()> {
            for number in &chunks {
                if let Some(progress) = batch.progress(*number) {
                    if !progress.details.is_empty() {
                        database.execute(rows::add_details(*number, &progress.details))?;
                    }
                    database.execute(rows::write_progress(*number, progress))?;
                }
            }
            for (number, scan) in &scans {
                database.execute(rows::write_scan(*number, scan, chunks_there))?;
            }
            if is_record_unsaved {
                database.execute(rows::write_record(batch.record()))?;
            }
            if !deliveries.is_empty() {
                database.execute(Outbox::schema())?;
            }
            for statement in deliveries {
                database.execute(statement)?;
            }
            Ok(())
        };
        match written() {
            Ok(()) => {
                batch.saved(&chunks);
                Ok(())
            }
            Err(error) => {
                // The memory is ahead of the rows, and the rows are the truth.
                *slot = None;
                Err(internal(error))
            }
        }
    }

    /// Writes the lines of an appended chunk. [`BatchState::save`] writes its other rows.
    pub(super) fn add_chunk(
        &self,
        number: u32,
        size: Size,
        lines: String,
    ) -> std::result::Result<(), Problem> {
        let pushes = u32::try_from(size.pushes).unwrap_or(u32::MAX);
        let row = rows::add_chunk(number, size.first, pushes, lines);
        self.database().execute(row).map_err(|error| {
            // The memory has a chunk that the rows lack.
            *self.loaded.borrow_mut() = None;
            internal(error)
        })
    }

    /// Starts what is due: messages, deliveries, the next alarm.
    pub(super) fn go_on(self: &Rc<Self>) {
        let core = Rc::clone(self);
        self.state.wait_until(async move {
            let _ = background::step(&core, Happened::Look).await;
        });
    }

    /// Sets the alarm unless it is set early enough already. An early alarm costs less than setting one with
    /// each command.
    pub(super) async fn arm(&self, at: Timestamp) {
        let is_early_enough = |alarm: Alarm| alarm.at == at || (alarm.at < at && !alarm.is_guard);
        if !self.alarm.get().is_some_and(is_early_enough)
            && let Err(error) = self.set_alarm(at, false).await
        {
            internal(error);
        }
    }

    /// Sets the alarm after rows could not be read or written. The delay grows with each failure.
    pub(super) async fn arm_after_failure(&self) {
        let failures = self.failures.get();
        self.failures.set(failures.saturating_add(1));
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(MAX_DOUBLINGS));
        self.arm(clock::now() + pause.min(LONGEST_PAUSE)).await;
    }

    async fn set_alarm(&self, at: Timestamp, is_guard: bool) -> Result<()> {
        self.alarm.set(Some(Alarm { at, is_guard }));
        self.count_usage(|usage| usage.alarms_set += 1);
        let set = clock::set_alarm(&self.state, at).await;
        if set.is_err() {
            self.alarm.set(None);
        }
        set
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
                indices: work.indices,
                weight: record.terms.weight,
                collapse_repeats: record.terms.collapse_repeats,
                launch_until: work.launch_until,
            };
            Some(assignment)
        });
        let Some(assignment) = work.flatten() else {
            return Ok(None);
        };
        self.count_usage(|usage| usage.granted += 1);
        let database = self.database();
        let head = database.text(Fact::Head.read()).map_err(internal)?;
        let lines = database.text(rows::lines(chunk)).map_err(internal)?;
        let mut body = serde_json::to_vec(&assignment).map_err(internal)?;
        body.push(b'\n');
        let (head, lines) = (head.unwrap_or_default(), lines.unwrap_or_default());
        let send_request = contract::chunk_body(&head, &lines);
        body.extend_from_slice(send_request.as_bytes());
        Ok(Some(body))
    }

    /// Returns the batch's app if the caller may use it. Fails as if there were no batch otherwise.
    pub(super) fn app_for(&self, caller: &Caller) -> std::result::Result<Option<&'static App>, Problem> {
        let config = bindings::config(&self.env)?;
        let app = if self.load()? {
            self.with(|batch| batch.record().app.clone())
        } else {
            None
        };
        match app {
            Some(app) if caller.reaches(&app) => Ok(config.app(&app)),
            _ => Err(not_found()),
        }
    }

    pub(super) fn document(&self, app: Option<&App>) -> std::result::Result<String, Problem> {
        let now = clock::now();
        let transport = app.map(|app| app.transport);
        self.with(|batch| contract::document(batch.record(), &batch.overview(now), transport))
            .ok_or_else(not_found)
    }

    /// Deletes the rows of an upload that broke off.
    async fn clear_abandoned(&self) -> Result<()> {
        match self.uploading.get() {
            Some(last) if clock::now().since(last) < super::UPLOAD_STALLED => {
                self.arm(last + super::UPLOAD_STALLED).await;
                Ok(())
            }
            _ => {
                self.take_turn();
                self.uploading.set(None);
                self.wipe().await
            }
        }
    }

    /// Deletes everything, also in the registry.
    pub(super) async fn forget(&self) -> Result<()> {
        background::unregister(self).await;
        self.wipe().await
    }

    /// Deletes everything, including the alarm. If this fails, the alarm stays and repeats it.
    pub(super) async fn wipe(&self) -> Result<()> {
        *self.loaded.borrow_mut() = None;
        self.state.storage().delete_all().await?;
        self.alarm.set(None);
        Ok(())
    }
}

/// The alarm is repeated after this time if the task that it started never ended.
const GUARD: Duration = Duration::from_secs(60);

/// The delay after the first failure to read or write rows; it then doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest delay between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// 2^6 times the first delay exceeds the longest.
const MAX_DOUBLINGS: u32 = 6;
