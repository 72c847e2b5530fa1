//! `apns-edge batch send`: uploads an order of any length, and watches what becomes of it.
//!
//! The file is streamed and never held. The upload always carries an Idempotency-Key, so that one that broke, or whose
//! answer was lost, can be repeated: the server takes it once. What comes from standard input is gone when it is read,
//! and can not be repeated here.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use indicatif::ProgressBar;

use super::Document;
use super::watch::{farewell, watch};
use crate::body::Lines;
use crate::caller::Caller;
use crate::client::{Answer, Upload};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Farewell;
use crate::key::random_hex;
use crate::notification::{OnInvalid, read_object, some, text};
use crate::problem::Problem;

/// Send a notification to any number of devices, and watch until all is sent
///
/// FILE holds a device a line: JSON such as {"token": "…", "ref": "user-1"}, or a token. With --notification that is all
/// it holds. Without, its first line is the order without devices: {"app": "…", "notification": {…}, "batch": {…}}.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The lines to send; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// A file with the notification as JSON: {"payload": {"aps": {…}}, "collapse_id": "…", …}
    #[arg(long, value_name = "FILE")]
    notification: Option<PathBuf>,
    /// The app to send for, if your key reaches several
    #[arg(long, value_name = "APP", requires = "notification")]
    app: Option<String>,
    /// The most pushes a second
    #[arg(long, value_name = "N", requires = "notification", value_parser = value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// The share of the app's capacity beside its other batches [default: 1]
    #[arg(long, value_name = "N", requires = "notification", value_parser = value_parser!(u32).range(1..))]
    weight: Option<u32>,
    /// What becomes of the order if a line is at fault [default: reject]
    #[arg(long, value_name = "WHAT", requires = "notification")]
    on_invalid: Option<OnInvalid>,
    /// Where to tell when the batch has ended: an https URL
    #[arg(long, value_name = "URL", requires = "notification")]
    webhook: Option<String>,
    /// How long a push is tried again, such as 6h [default: 24h]
    #[arg(long, value_name = "DURATION", requires = "notification")]
    retry_for: Option<String>,
    /// Under which key a repeated upload is known to be the same [default: random]
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<String>,
    /// End when the upload is taken, without watching
    #[arg(long)]
    no_watch: bool,
}

impl Send {
    /// Runs the command.
    pub(crate) fn run(&self, caller: &Caller) -> Result<Exit, Failure> {
        let source = Source::find(&self.file, self.head()?)?;
        let key = match &self.idempotency_key {
            Some(key) => key.clone(),
            None => random_hex::<KEY_BYTES>()?,
        };
        caller.screen.note(&format!("Idempotency-Key: {key}"));
        let last_words = Farewell::new(format!(
            "The upload was cut off: nothing is sent of it, unless it had just ended. {}",
            source.advice(&key)
        ));
        let answer =
            upload(caller, &source, &key).map_err(|failure| source.explain(caller, &key, failure))?;
        if answer.status != ACCEPTED {
            return Err(caller.client.unreadable(format!(
                "{} to an order that should become a batch: does the deployment know batches?",
                answer.status
            )));
        }
        let document = Document::read(&answer.text).map_err(|error| caller.client.unreadable(error))?;
        let id = document.id().map_err(|error| caller.client.unreadable(error))?;
        last_words.set(farewell(&id));
        if answer.is_replayed {
            caller
                .screen
                .note("The server has taken this upload before; this is the batch that it became.");
        }
        caller
            .screen
            .result(&answer.text, || document.staged(source.lines_in_front()))?;
        if self.no_watch {
            return Ok(Exit::Done);
        }
        watch(caller, &id)
    }

    /// The first line of the body, if the flags make it.
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
            ("notification", Some(read_object(notification)?)),
            ("on_invalid", self.on_invalid.map(OnInvalid::to_json)),
            ("batch", is_set.then_some(batch)),
        ]);
        Ok(Some(head.to_string()))
    }
}

/// Where the lines come from.
struct Source {
    /// None is standard input.
    path: Option<PathBuf>,
    head: Option<String>,
    can_repeat: bool,
}

impl Source {
    fn find(path: &Path, head: Option<String>) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self {
                path: None,
                head,
                can_repeat: false,
            });
        }
        let metadata = path.metadata().map_err(|fault| Failure::File {
            path: path.to_owned(),
            fault,
        })?;
        Ok(Self {
            path: Some(path.to_owned()),
            head,
            // A pipe with a name is read once as well.
            can_repeat: metadata.is_file(),
        })
    }

    /// Opens it from its beginning. Its length is known if it is a file.
    fn open(&self) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
        let Some(path) = &self.path else {
            return Ok((Box::new(io::stdin().lock()), None));
        };
        let at_fault = |fault| Failure::File {
            path: path.clone(),
            fault,
        };
        let file = File::open(path).map_err(at_fault)?;
        let length = file.metadata().map_err(at_fault)?.len();
        if self.can_repeat {
            // What is added while it is read is not of this upload.
            return Ok((Box::new(file.take(length)), Some(length)));
        }
        Ok((Box::new(file), None))
    }

    /// How many lines of the body stand before the first of the file.
    const fn lines_in_front(&self) -> u64 {
        self.head.is_some() as u64
    }

    /// What can be done about an upload that did not go through.
    fn advice(&self, key: &str) -> String {
        if self.can_repeat {
            format!("Repeat it with --idempotency-key {key}: the server takes it once.")
        } else {
            format!(
                "What was read of the input is gone: give the same lines again with --idempotency-key {key}, and the \
                 server takes them once."
            )
        }
    }

    /// Makes the most of a failure: lines as the user counts them, and what to do.
    fn explain(&self, caller: &Caller, key: &str, failure: Failure) -> Failure {
        match failure {
            Failure::Refused(problem) => {
                Failure::Refused(Box::new(problem.less_lines(self.lines_in_front())))
            }
            Failure::Unreachable { .. } | Failure::Unavailable(_) | Failure::Unreadable { .. } => {
                caller.screen.warn(&self.advice(key));
                failure
            }
            Failure::Usage(_) | Failure::File { .. } | Failure::Output(_) => failure,
        }
    }
}

/// Uploads, again and again if the source can be repeated.
fn upload(caller: &Caller, source: &Source, key: &str) -> Result<Answer, Failure> {
    if source.can_repeat {
        caller.patiently(|| attempt(caller, source, key))
    } else {
        attempt(caller, source, key)
    }
}

fn attempt(caller: &Caller, source: &Source, key: &str) -> Result<Answer, Failure> {
    let (input, length) = source.open()?;
    let bar = caller.screen.bar(length, BAR, COUNT);
    let mut input = Watched {
        input,
        bar: bar.clone(),
        fault: None,
    };
    let (mut lines, mut plain);
    let (body, length): (&mut dyn Read, _) = match &source.head {
        // Tokens become devices on the way, so that the length is known at the end alone.
        Some(head) => {
            lines = Lines::new(head, &mut input);
            (&mut lines, None)
        }
        None => {
            plain = &mut input;
            (&mut plain, length)
        }
    };
    let answer = caller.client.order(Upload {
        body,
        length,
        headers: &[("prefer", "respond-async"), ("idempotency-key", key)],
    });
    bar.finish_and_clear();
    match (answer, input.fault) {
        // What looks like a broken connection was ours.
        (Err(_), Some(fault)) => Err(Failure::File {
            path: source
                .path
                .clone()
                .unwrap_or_else(|| PathBuf::from("standard input")),
            fault,
        }),
        (Err(failure @ Failure::Unreachable { .. }), None) => Err(refusal(caller).unwrap_or(failure)),
        (answer, _) => answer,
    }
}

/// A server that refuses an upload may close the connection before all of it is sent, and its answer is lost. What it
/// says to this caller whatever is asked, it says again to a small question.
fn refusal(caller: &Caller) -> Option<Failure> {
    let answer = caller.client.get("/v1/batches", &[("limit", "1")]);
    let is_about_us = |failure: &Failure| failure.problem().is_some_and(Problem::is_about_the_caller);
    answer.err().filter(is_about_us)
}

/// An input that shows how far it is read, and remembers its fault.
struct Watched {
    input: Box<dyn Read>,
    bar: ProgressBar,
    fault: Option<io::Error>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer) {
            Ok(count) => {
                self.bar.inc(count as u64);
                Ok(count)
            }
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.fault = Some(error);
                Err(told)
            }
        }
    }
}

/// Reads a key: what a header can hold.
fn idempotency_key(text: &str) -> Result<String, String> {
    let is_fit = (1..=MAX_KEY_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_fit
        .then(|| text.to_owned())
        .ok_or_else(|| format!("must be 1 to {MAX_KEY_LEN} visible ASCII characters"))
}

/// The status of an order that became a batch.
const ACCEPTED: u16 = 202;

/// The size of a random key: no two are ever alike.
const KEY_BYTES: usize = 16;

/// The longest key: a UUID or a name with a date, several times over.
const MAX_KEY_LEN: usize = 255;

/// The bar of an upload.
const BAR: &str = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go";

/// What is shown in its place when nobody knows how much there is.
const COUNT: &str = "{spinner} {bytes} sent, {bytes_per_sec}";
