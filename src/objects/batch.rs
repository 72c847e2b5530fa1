//! Batches: one Durable Object per batch.
//!
//! The object hosts a [`Batch`]. It stores an upload or the steps of scans in its rows, assigns chunks to
//! runners, queues what is due, and answers callers. A command is applied and its rows are written without
//! waiting in between, so no other event runs meanwhile. The platform holds the answer until the rows are
//! stored.

mod background;
mod batch_state;
mod pages;
mod run_report;
mod scans;
mod upload;
mod usage;
mod watch;
mod webhooks;

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

use self::batch_state::BatchState;
use crate::platform::log::Event;
use crate::platform::{clock, http};
use api::Answer;
use api::batch::pages::Wanted;
use api::batch::{BatchAction, BatchRequest};
use api::call_limit;
use api::problem::{Kind, Problem};
use apns::time::Timestamp;
use batch::{Batch, Command, Pause, PausedBy};

pub(crate) use crate::stubs::batch::{Body, ask, command, settle, upload};
pub(crate) use crate::stubs::batch::{append, left_out, open};
pub(crate) use usage::UsageCounters;

/// The Durable Object of a batch.
#[durable_object]
pub struct BatchObject {
    core: Rc<BatchState>,
}

impl DurableObject for BatchObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            core: Rc::new(BatchState::new(state, env)),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let answer = match request.path().as_str() {
            UPLOAD => {
                self.core.count_usage(|usage| usage.uploads += 1);
                upload::receive(&self.core, &request).await
            }
            COMMAND => self.command(&request.text().await?),
            _ => self.ask(&request.text().await?).await,
        };
        let response = match answer {
            Ok(response) => response,
            Err(problem) => http::response(problem.answer())?,
        };
        self.core.go_on();
        Ok(response)
    }

    /// Fails only if no alarm can be set. The platform then repeats it a few times.
    async fn alarm(&self) -> Result<Response> {
        self.core.alarm().await?;
        Response::empty()
    }
}

impl BatchObject {
    /// Handles a command. The lines of a scan's step may follow it.
    fn command(&self, text: &str) -> std::result::Result<Response, Problem> {
        let (command, lines) = text.split_once('\n').unwrap_or((text, ""));
        let command: Command = serde_json::from_str(command).map_err(internal)?;
        let (core, now) = (&self.core, clock::now());
        self.count(&command);
        match command {
            Command::Open {
                record,
                head,
                scans,
                until,
            } => scans::open(core, *record, head, scans, until),
            Command::Append(append) => scans::append(core, &append, lines),
            Command::Claim { chunk } => self.claim(chunk, now),
            Command::Settle {
                chunk,
                claim,
                results,
                over,
            } => self.apply(|batch| batch.settle(chunk, claim, &results, over, now)),
            Command::Release {
                chunk,
                claim,
                after_ms,
            } => self.apply(|batch| batch.release(chunk, claim, Duration::from_millis(after_ms), now)),
            Command::Halt { chunk, claim, detail } => {
                self.apply(|batch| batch.halt(chunk, claim, detail, now))
            }
            Command::CredentialRefused { reason } => {
                self.apply(|batch| batch.credential_refused(&reason, now))
            }
            Command::Control { control, issued_at } => {
                self.apply(|batch| batch.control(control, issued_at, now))
            }
            Command::CountLeftOut => self.apply(|batch| batch.left_out()),
        }
    }

    fn count(&self, command: &Command) {
        self.core.count_usage(|usage| match command {
            Command::Claim { .. } => usage.claims += 1,
            Command::Settle { over: true, .. } => usage.settlings += 1,
            Command::Settle { .. } => usage.checkpoints += 1,
            Command::Append(_) => usage.appends += 1,
            Command::Release { .. }
            | Command::Halt { .. }
            | Command::CredentialRefused { .. }
            | Command::Open { .. }
            | Command::Control { .. }
            | Command::CountLeftOut => usage.others += 1,
        });
    }

    fn claim(&self, chunk: u32, now: Timestamp) -> std::result::Result<Response, Problem> {
        if !self.core.load()? {
            return nothing();
        }
        let body = self.core.claim(chunk, now)?;
        self.core.save()?;
        match body {
            Some(body) => Response::from_bytes(body).map_err(internal),
            None => nothing(),
        }
    }

    /// Applies `act` to the batch and answers with the result. If the batch no longer exists, nothing is
    /// applied and the answer is empty.
    fn apply<T: Serialize>(
        &self,
        act: impl FnOnce(&mut Batch) -> T,
    ) -> std::result::Result<Response, Problem> {
        if !self.core.load()? {
            return nothing();
        }
        let result = self.core.with(act);
        self.core.save()?;
        result.map_or_else(nothing, |result| answer(&result))
    }

    /// Handles a caller's request.
    async fn ask(&self, text: &str) -> std::result::Result<Response, Problem> {
        let request: BatchRequest = serde_json::from_str(text).map_err(internal)?;
        let (core, now) = (&self.core, clock::now());
        core.count_usage(|usage| usage.questions += 1);
        let app = core.app_for(&request.caller)?;
        let state = core.with(|batch| batch.record().state).ok_or_else(not_found)?;
        request.action.check(state)?;
        match request.action {
            BatchAction::Status => {}
            BatchAction::Receipts {
                from,
                limit,
                ref only,
            } => return core.page(Wanted::Receipts(only), from, limit),
            BatchAction::Devices { list, from, limit } => {
                return core.page(Wanted::Devices(list), from, limit);
            }
            BatchAction::Events => return watch::stream(core, &request.caller, app),
            BatchAction::Deliveries => return webhooks::log(core),
            BatchAction::Cancel => {
                core.with(|batch| batch.cancel(now));
                core.save()?;
                core.go_on();
                watch::until_ended(core, call_limit::CANCEL_WAIT).await;
            }
            BatchAction::Pause => {
                let by = PausedBy::Caller;
                let detail = format!("paused by `{}`", request.caller.name);
                core.with(|batch| batch.pause(Pause { by, detail }, now));
            }
            BatchAction::Resume => {
                core.with(|batch| batch.resume(now));
            }
            BatchAction::Delete if core.with(|batch| batch.has_pending_reports()) == Some(true) => {
                let detail = "its campaign is still to be told of its end";
                return Err(Problem::new(Kind::BatchRunning, detail).retry_after_ms(1000));
            }
            BatchAction::Delete if core.delete_later() => {}
            BatchAction::Delete => {
                core.forget().await.map_err(internal)?;
                return nothing();
            }
        }
        core.save()?;
        let document = core.document(app)?;
        let is_cancelling = request.action == BatchAction::Cancel && !core.has_ended();
        let is_under_way = is_cancelling || request.action == BatchAction::Delete;
        let answer = Answer {
            status: if is_under_way { 202 } else { 200 },
            ..Answer::json(document)
        };
        http::response(answer).map_err(internal)
    }
}

fn not_found() -> Problem {
    Problem::new(Kind::BatchNotFound, "there is no such batch, or its time is over")
}

fn internal(error: impl std::fmt::Display) -> Problem {
    Event::BatchFailed {
        batch: "",
        problem: &error.to_string(),
    }
    .write();
    Problem::new(Kind::Unavailable, "the batch could not answer")
}

fn answer(result: &impl Serialize) -> std::result::Result<Response, Problem> {
    let text = serde_json::to_vec(result).map_err(internal)?;
    Response::from_bytes(text).map_err(internal)
}

fn nothing() -> std::result::Result<Response, Problem> {
    let response = Response::empty().map_err(internal)?;
    Ok(response.with_status(NOTHING))
}

pub(crate) const UPLOAD: &str = "/upload";
pub(crate) const COMMAND: &str = "/command";
pub(crate) const ASK: &str = "/ask";

/// The headers of an upload: the [`Caller`](api::config::Caller), the batch's id, whether the body is NDJSON,
/// and its content encoding.
pub(crate) const CALLER: &str = "x-apns-edge-caller";
pub(crate) const ID: &str = "x-apns-edge-batch";
pub(crate) const LINES: &str = "x-apns-edge-lines";
pub(crate) const CODING: &str = "x-apns-edge-coding";

/// The status of an empty answer.
pub(crate) const NOTHING: u16 = 204;

/// An upload that has received nothing for this long has broken off.
const UPLOAD_STALLED: Duration = Duration::from_secs(60);
