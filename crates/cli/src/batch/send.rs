//! `apns-edge batch send`: uploads a request of any size, and watches its batch.
//!
//! The upload always has an Idempotency-Key, so that it can be repeated if the connection broke or the answer
//! was lost. The server accepts it once.

use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use serde_json::Value;

use super::Document;
use super::watch::{interrupt_message, resume, watch};
use crate::client::{Answer, Target};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::InterruptMessage;
use crate::json_args::{check_notification, read, some, text};
use crate::key::random_hex;
use crate::notification::OnInvalid;
use crate::problem::Problem;
use crate::session::Session;
use crate::source::Source;
use crate::warning::{self, Place};

/// Send a notification to any number of devices, and watch until the batch has ended
///
/// FILE has one device per line: JSON such as {"token": "…", "ref": "user-1"}, or a token. With --notification that is all
/// it holds. Without, its first line is the request without devices: {"app": "…", "notification": {…}, "batch": {…}}.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The devices; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// A file with the notification as JSON: {"payload": {"aps": {…}}, "collapse_id": "…", …}
    #[arg(long, value_name = "FILE")]
    notification: Option<PathBuf>,
    /// The app to send for; required if your key can use several
    #[arg(long, value_name = "APP", requires = "notification")]
    app: Option<String>,
    /// The most pushes per second
    #[arg(long, value_name = "N", requires = "notification", value_parser = value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Weight beside other batches of the same key, 1 to 100 [default: 1]
    #[arg(long, value_name = "N", requires = "notification", value_parser = value_parser!(u32).range(1..))]
    weight: Option<u32>,
    /// What to do when a line is invalid: refuse the whole upload, or skip that line [default: reject]
    #[arg(long, value_name = "WHAT", requires = "notification")]
    on_invalid: Option<OnInvalid>,
    /// Refuse the request if it has a warning, such as a misspelled key
    #[arg(long, requires = "notification")]
    strict: bool,
    /// An https URL to notify when the batch has ended
    #[arg(long, value_name = "URL", requires = "notification")]
    webhook: Option<String>,
    /// How long to retry a push, such as 6h [default: 24h]
    #[arg(long, value_name = "DURATION", requires = "notification")]
    retry_for: Option<String>,
    /// Idempotency key: an upload that is repeated with the same key is sent once [default: random]
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<String>,
    /// Exit when the upload is accepted, without watching
    #[arg(long)]
    no_watch: bool,
}

impl Send {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let head = self.head()?;
        let source = Source::find(&self.file)?;
        source.check_lines()?;
        let key = match &self.idempotency_key {
            Some(key) => key.clone(),
            None => random_hex::<KEY_BYTES>()?,
        };
        session.output.note(&format!("Idempotency-Key: {key}"));
        let request = SendRequest {
            source,
            head,
            key: &key,
        };
        let message = InterruptMessage::new(format!(
            "The upload was cut off: nothing is sent of it, unless it had just ended. {}",
            request.advice()
        ));
        let answer = request.upload(session)?;
        if answer.status != ACCEPTED {
            return Err(session.client.unreadable(format!(
                "{} to a request that should become a batch: does the deployment know batches?",
                answer.status
            )));
        }
        let document = Document::read(&answer.text).map_err(|error| session.client.unreadable(error))?;
        let id = document.id().map_err(|error| session.client.unreadable(error))?;
        message.set(interrupt_message(&id));
        if answer.is_replayed {
            session
                .output
                .note("The server has taken this upload before; this is the batch that it became.");
        }
        warning::print(
            &answer.text,
            session.output,
            Place::Line(request.lines_in_front()),
        );
        session
            .output
            .result(&answer.text, || document.staged(request.lines_in_front()))?;
        if self.no_watch {
            return Ok(Exit::Done);
        }
        Ok(watch(session, &id, &resume(&id))?.exit(&session.fail_on))
    }

    /// Returns the first line of the body, if it comes from the flags.
    fn head(&self) -> Result<Option<String>, Failure> {
        let Some(notification) = &self.notification else {
            return Ok(None);
        };
        let batch = some([
            ("rate", self.rate.map(Into::into)),
            ("weight", self.weight.map(Into::into)),
            ("retry_for", text(self.retry_for.as_deref())),
            ("webhook", text(self.webhook.as_deref())),
        ]);
        let is_set = batch.as_object().is_some_and(|batch| !batch.is_empty());
        let head = some([
            ("app", text(self.app.as_deref())),
            ("notification", Some(read_notification(notification)?)),
            ("on_invalid", self.on_invalid.map(OnInvalid::to_json)),
            ("strict", self.strict.then_some(Value::Bool(true))),
            ("batch", is_set.then_some(batch)),
        ]);
        Ok(Some(head.to_string()))
    }
}

fn read_notification(path: &Path) -> Result<Value, Failure> {
    let notification = read(path)?;
    check_notification(&path.display().to_string(), &notification)?;
    Ok(notification)
}

/// A source of devices and the idempotency key of its upload.
struct SendRequest<'o> {
    source: Source,
    head: Option<String>,
    key: &'o str,
}

impl SendRequest<'_> {
    fn upload(&self, session: &Session) -> Result<Answer, Failure> {
        let headers = [("prefer", "respond-async"), ("idempotency-key", self.key)];
        self.source
            .upload(session, &Target::push(&headers), self.head.as_deref(), || {
                refusal(session)
            })
            .map_err(|failure| self.explain(session, failure))
    }

    /// Returns the number of lines of the body before the first line of the file.
    const fn lines_in_front(&self) -> u64 {
        self.head.is_some() as u64
    }

    /// Says what to do about a failed upload.
    fn advice(&self) -> String {
        let key = self.key;
        if self.source.can_repeat() {
            format!("Repeat it with --idempotency-key {key}: the server takes it once.")
        } else {
            format!(
                "What was read of the input is gone: give the same lines again with --idempotency-key {key}, and the \
                 server takes them once."
            )
        }
    }

    /// Adds to a failure what to do, and converts its line numbers to those of the file.
    fn explain(&self, session: &Session, failure: Failure) -> Failure {
        match failure {
            Failure::Refused(problem) => Failure::Refused(Box::new(
                problem.with_lines(|line| line.saturating_sub(self.lines_in_front())),
            )),
            Failure::Unreachable { .. } | Failure::Unavailable(_) | Failure::Unreadable { .. } => {
                session.output.warn(&self.advice());
                failure
            }
            Failure::Usage(_) | Failure::File { .. } | Failure::Output(_) => failure,
        }
    }
}

/// Asks a small question, to find out why an upload was refused: an unknown key is also refused there.
fn refusal(session: &Session) -> Option<Failure> {
    let answer = session.client.get("/v1/batches", &[("limit", "1")]);
    let is_about_us = |failure: &Failure| failure.problem().is_some_and(Problem::is_about_the_caller);
    answer.err().filter(is_about_us)
}

/// Checks an idempotency key: it must fit in a header.
fn idempotency_key(text: &str) -> Result<String, String> {
    let is_fit = (1..=MAX_KEY_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_fit
        .then(|| text.to_owned())
        .ok_or_else(|| format!("must be 1 to {MAX_KEY_LEN} visible ASCII characters"))
}

/// The status of a request that became a batch.
const ACCEPTED: u16 = 202;

/// The size of a random key: large enough that no two are equal.
const KEY_BYTES: usize = 16;

/// The longest key in bytes: longer than a UUID, or a name with a date.
const MAX_KEY_LEN: usize = 255;
