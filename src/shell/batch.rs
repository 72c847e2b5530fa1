//! The batches: one Durable Object each, and how to talk to it.
//!
//! The object hosts a [`Batch`](crate::delivery::batch::Batch): it reads the upload into its rows, hands chunks to runners,
//! queues what is due, and answers those who watch. A command is applied and its rows are written before anything else
//! runs, as neither waits; the platform lets no answer out before the rows are safe.

mod chores;
mod client;
mod core;
mod expense;
mod pages;
mod upload;
mod watch;
mod webhooks;

use std::rc::Rc;
use std::time::Duration;

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

use self::core::Core;
use super::log::Event;
use super::{clock, http};
use crate::api::Answer;
use crate::api::batch::{Ask, Question};
use crate::api::problem::{Kind, Problem};
use crate::delivery::batch::{Command, Pause, PausedBy};

pub(super) use client::{Body, ask, command, settle, upload};
pub(super) use expense::Expense;

/// The Durable Object of a batch.
#[durable_object]
pub struct BatchObject {
    core: Rc<Core>,
}

impl DurableObject for BatchObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            core: Rc::new(Core::new(state, env)),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let answer = match request.path().as_str() {
            UPLOAD => {
                self.core.spend(|spent| spent.uploads += 1);
                upload::receive(&self.core, &mut request).await
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

    async fn alarm(&self) -> Result<Response> {
        self.core.alarm().await?;
        Response::empty()
    }
}

impl BatchObject {
    /// Takes a command of a runner.
    fn command(&self, text: &str) -> std::result::Result<Response, Problem> {
        let command: Command = serde_json::from_str(text).map_err(internal)?;
        let (core, now) = (&self.core, clock::now());
        core.spend(|spent| match &command {
            Command::Claim { .. } => spent.claims += 1,
            Command::Settle { over: true, .. } => spent.settlings += 1,
            Command::Settle { .. } => spent.checkpoints += 1,
            Command::Release { .. } | Command::Halt { .. } | Command::CredentialRefused { .. } => {
                spent.others += 1;
            }
        });
        if !core.load()? {
            // A batch that was forgotten has nothing to give and nothing to learn.
            return nothing();
        }
        let body = match command {
            Command::Claim { chunk } => core.claim(chunk, now)?,
            Command::Settle {
                chunk,
                claim,
                results,
                over,
            } => {
                let settled = core.with(|batch| batch.settle(chunk, claim, &results, over, now));
                settled.map(|settled| serde_json::to_vec(&settled).unwrap_or_default())
            }
            Command::Release {
                chunk,
                claim,
                after_ms,
            } => core
                .with(|batch| batch.release(chunk, claim, Duration::from_millis(after_ms), now))
                .map(|()| Vec::new()),
            Command::Halt { chunk, claim, detail } => core
                .with(|batch| batch.halt(chunk, claim, detail, now))
                .map(|()| Vec::new()),
            Command::CredentialRefused { reason } => core
                .with(|batch| batch.credential_refused(&reason, now))
                .map(|()| Vec::new()),
        };
        core.save()?;
        match body {
            Some(body) => Response::from_bytes(body).map_err(internal),
            None => nothing(),
        }
    }

    /// Answers a caller.
    async fn ask(&self, text: &str) -> std::result::Result<Response, Problem> {
        let question: Question = serde_json::from_str(text).map_err(internal)?;
        let (core, now) = (&self.core, clock::now());
        core.spend(|spent| spent.questions += 1);
        let app = core.app_for(&question.caller)?;
        let state = core.with(|batch| batch.record().state).ok_or_else(not_found)?;
        question.ask.check(state)?;
        match question.ask {
            Ask::Status => {}
            Ask::Receipts {
                from,
                limit,
                ref only,
            } => return core.receipts(from, limit, only),
            Ask::Gone { from, limit } => return core.gone(from, limit),
            Ask::Events => return watch::stream(Rc::clone(core), app),
            Ask::Deliveries => return webhooks::log(core),
            Ask::Cancel => {
                core.with(|batch| batch.cancel(now));
                core.save()?;
                core.go_on();
                watch::until_ended(core, CANCEL_WAIT).await;
            }
            Ask::Pause => {
                let by = PausedBy::Caller;
                let detail = format!("paused by `{}`", question.caller);
                core.with(|batch| batch.pause(Pause { by, detail }, now));
            }
            Ask::Resume => {
                core.with(|batch| batch.resume(now));
            }
            Ask::Delete => {
                core.forget().await.map_err(internal)?;
                return nothing();
            }
        }
        core.save()?;
        let document = core.document(app)?;
        let is_cancelling = question.ask == Ask::Cancel && !core.has_ended();
        let answer = Answer {
            status: if is_cancelling { 202 } else { 200 },
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

fn nothing() -> std::result::Result<Response, Problem> {
    let response = Response::empty().map_err(internal)?;
    Ok(response.with_status(NOTHING))
}

const UPLOAD: &str = "/upload";
const COMMAND: &str = "/command";
const ASK: &str = "/ask";

/// The headers of an upload: whose it is, which batch it becomes, and whether its body comes in lines.
pub(super) const CALLER: &str = "x-apns-edge-caller";
pub(super) const ID: &str = "x-apns-edge-batch";
pub(super) const LINES: &str = "x-apns-edge-lines";

/// The status of an answer that has nothing to say.
const NOTHING: u16 = 204;

/// How long a cancel waits for what is in flight: less than the time after which clients give a request up.
const CANCEL_WAIT: Duration = Duration::from_secs(25);

/// An upload of which nothing has come for so long has broken off.
const UPLOAD_STALLED: Duration = Duration::from_secs(60);
