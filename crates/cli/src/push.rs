//! `apns-edge push`: sends one notification to some devices, and prints a result per device.
//!
//! It is not retried if the answer is lost, because devices would show the notification twice.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use crate::batch::Document;
use crate::body::Lines;
use crate::client::{Answer, Target};
use crate::exit::Exit;
use crate::fail_on::{Ending, FailOn, fails};
use crate::failure::Failure;
use crate::json_args::{some, text};
use crate::notification::{Notification, OnInvalid};
use crate::session::Session;
use crate::source::Source;
use crate::warning::{self, Place};

/// Send a notification to a few devices, and print each result
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The app to send for; required if your key can use several
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    #[command(flatten)]
    notification: Notification,
    /// A device token, and your name for the device; can be repeated
    #[arg(
        long = "device",
        value_name = "TOKEN[=REF]",
        required_unless_present = "devices"
    )]
    device: Vec<String>,
    /// A file with one device per line: a token, or JSON such as {"token": "…", "ref": "user-1"}
    #[arg(long, value_name = "FILE")]
    devices: Option<PathBuf>,
    /// What to do when a device is invalid: refuse the whole request, or skip that device [default: reject]
    #[arg(long, value_name = "WHAT")]
    on_invalid: Option<OnInvalid>,
    /// Refuse the request if it has a warning, such as a misspelled key
    #[arg(long)]
    strict: bool,
}

impl Push {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let body = self.request_body()?;
        let length = Some(body.len() as u64);
        let answer = session
            .client
            .upload(&Target::push(&[]), &mut body.as_slice(), length)?;
        // The first line of the body is the header.
        let place = if self.devices.is_some() && self.device.is_empty() {
            Place::Line(1)
        } else {
            Place::Device(1)
        };
        print(session, &answer, place)
    }

    /// Returns the request in lines.
    fn request_body(&self) -> Result<Vec<u8>, Failure> {
        let head = some([
            ("app", text(self.app.as_deref())),
            ("notification", Some(self.notification.to_json()?)),
            ("on_invalid", self.on_invalid.map(OnInvalid::to_json)),
            ("strict", self.strict.then(|| json!(true))),
        ]);
        let mut body = format!("{head}\n");
        for device in &self.device {
            let (token, reference) = device_of(device);
            let device = some([("token", Some(json!(token))), ("ref", text(reference))]);
            body.push_str(&format!("{device}\n"));
        }
        let Some(path) = &self.devices else {
            return Ok(body.into_bytes());
        };
        let at_fault = |fault| Failure::File {
            path: path.clone(),
            fault,
        };
        let source = Source::find(path)?;
        source.check_lines()?;
        let (file, _) = source.open()?;
        let mut lines = Vec::new();
        Lines::new(Some(body.trim_end()), file)
            .take(MAX_BODY + 1)
            .read_to_end(&mut lines)
            .map_err(at_fault)?;
        if lines.len() as u64 > MAX_BODY {
            let path = path.display();
            return Err(Failure::Usage(format!(
                "{path}: is too large to be sent at once: `apns-edge batch send` takes any number of devices"
            )));
        }
        Ok(lines)
    }
}

/// Splits `TOKEN[=REF]`. A token in Base64 may end with `=`, which the server rejects with an explanation.
fn device_of(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((_, rest)) if rest.trim_matches('=').is_empty() => (text, None),
        Some((token, reference)) => (token.trim_end(), Some(reference)),
        None => (text, None),
    }
}

/// Prints the result of each push and the warnings. Returns the exit code.
///
/// # Errors
/// The answer is not one to a send request, or cannot be written.
pub(crate) fn print(session: &Session, answer: &Answer, place: Place) -> Result<Exit, Failure> {
    warning::print(&answer.text, session.output, place);
    if answer.status == ACCEPTED {
        let batch = Document::read(&answer.text).map_err(|error| session.client.unreadable(error))?;
        session.output.result(&answer.text, || batch.became())?;
        return Ok(Exit::Done);
    }
    let results: Results =
        serde_json::from_str(&answer.text).map_err(|error| session.client.unreadable(error.to_string()))?;
    session.output.result(&answer.text, || results.to_text())?;
    let fails = |result: &PushResult| {
        let ending = Ending {
            status: &result.status,
            verdict: result.verdict.as_deref(),
            gave_up: false,
        };
        fails(ending, &session.fail_on)
    };
    // If no push was accepted, a person must look at it.
    let is_in_vain = results.counts.accepted == 0 && results.counts.devices > 0;
    let is_failed = is_in_vain && !session.fail_on.contains(&FailOn::Never);
    Ok(if is_failed || results.results.iter().any(fails) {
        Exit::Undelivered
    } else {
        Exit::Done
    })
}

#[derive(Deserialize)]
struct Results {
    counts: Counts,
    results: Vec<PushResult>,
}

#[derive(Deserialize)]
struct Counts {
    devices: u64,
    accepted: u64,
    rejected: u64,
    retrying: u64,
    failed: u64,
    #[serde(default)]
    duplicate: u64,
    #[serde(default)]
    gone: u64,
}

#[derive(Deserialize)]
struct PushResult {
    #[serde(rename = "ref")]
    reference: Option<String>,
    token_hint: String,
    status: String,
    #[serde(default)]
    code: u16,
    reason: Option<String>,
    verdict: Option<String>,
    since: Option<String>,
    detail: Option<String>,
    duplicate_of: Option<u64>,
    retry_after: Option<u64>,
    apns_id: Option<String>,
}

impl Results {
    /// Returns a line per device, and the counts.
    fn to_text(&self) -> String {
        let mut text: String = self
            .results
            .iter()
            .map(|result| result.to_line() + "\n")
            .collect();
        let counts = &self.counts;
        let mut parts = vec![format!("{} accepted", counts.accepted)];
        let others = [
            (counts.rejected, "rejected"),
            (counts.retrying, "to be sent again"),
            (counts.failed, "failed"),
            (counts.duplicate, "left out as repeats"),
            (counts.gone, "gone"),
        ];
        parts.extend(
            others
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}")),
        );
        let devices = if counts.devices == 1 { "device" } else { "devices" };
        text.push_str(&format!("{} {devices}: {}", counts.devices, parts.join(", ")));
        text
    }
}

impl PushResult {
    fn to_line(&self) -> String {
        let mut parts = vec![format!("{:<8}", self.status), self.token_hint.clone()];
        parts.extend(self.reference.clone());
        if let Some(reason) = &self.reason {
            parts.extend((self.code > 0).then(|| self.code.to_string()));
            parts.push(reason.clone());
            parts.extend(self.since.as_ref().map(|since| format!("since {since}")));
            parts.extend(self.verdict.as_ref().map(|verdict| format!("({verdict})")));
        }
        parts.extend(self.duplicate_of.map(|of| format!("repeats device {of}")));
        parts.extend(self.detail.clone());
        parts.extend(self.retry_after.map(|seconds| format!("again in {seconds} s")));
        parts.extend(self.apns_id.clone());
        parts.join("  ")
    }
}

/// The status of a request that became a batch.
const ACCEPTED: u16 = 202;

/// The largest request that is sent at once: the largest body that the server accepts, by any transport.
const MAX_BODY: u64 = 16 * 1024 * 1024;

#[test]
fn a_device_has_a_name_behind_its_token_unless_it_is_base64() {
    for (given, expected) in [
        ("00ff=user-1", ("00ff", Some("user-1"))),
        ("<00ff 11ee> = a=b", ("<00ff 11ee>", Some(" a=b"))),
        ("00ff", ("00ff", None)),
        ("AP8R7g==", ("AP8R7g==", None)),
        ("AP8R7g=", ("AP8R7g=", None)),
    ] {
        assert_eq!(device_of(given), expected, "{given}");
    }
}
