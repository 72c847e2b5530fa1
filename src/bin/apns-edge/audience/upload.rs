//! `apns-edge audience import` and `remove`: lines of devices that come into an audience, or leave it.
//!
//! Either can be repeated: a device that is there is updated, and one that is gone stays so. Thus an upload that breaks
//! is made again from its beginning, and what had arrived of it does no harm.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::Name;
use crate::caller::Caller;
use crate::client::{Method, NDJSON, Target};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Farewell;
use crate::source::{Form, Source};

/// Add devices to an audience, and update those that it has
///
/// FILE holds a device a line: JSON such as {"token": "…", "ref": "user-1", "locale": "de-AT", "time_zone":
/// "Europe/Vienna", "tags": ["sale"], "attributes": {"first_name": "Ann"}}, or a token; or it is CSV with the same names
/// in its first row, tags separated by ;, and a column `attributes.first_name` for each attribute.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The audience
    #[arg(value_name = "NAME")]
    name: Name,
    /// The devices; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// What FILE holds [default: csv if its name ends with .csv, else ndjson]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

/// Take devices out of an audience
///
/// FILE holds a line for each: {"token": "…"}, {"ref": "user-1"} for all devices of that name, or a bare token.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The audience
    #[arg(value_name = "NAME")]
    name: Name,
    /// The devices; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

/// What a file of devices holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// An object or a token a line
    Ndjson,
    /// A row a device, below a row of names
    Csv,
}

impl Import {
    /// Runs the command.
    pub(crate) fn run(&self, caller: &Caller) -> Result<Exit, Failure> {
        let (content_type, form) = match self.format.unwrap_or_else(|| Format::of(&self.file)) {
            Format::Ndjson => (NDJSON, Form::Devices(None)),
            Format::Csv => ("text/csv", Form::Plain),
        };
        upload(caller, &self.name, &self.file, Method::Post, content_type, form)
    }
}

impl Remove {
    /// Runs the command.
    pub(crate) fn run(&self, caller: &Caller) -> Result<Exit, Failure> {
        let form = Form::Devices(None);
        upload(caller, &self.name, &self.file, Method::Delete, NDJSON, form)
    }
}

impl Format {
    fn of(file: &Path) -> Self {
        match file.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("csv") => Self::Csv,
            Some(_) | None => Self::Ndjson,
        }
    }
}

fn upload(
    caller: &Caller,
    name: &Name,
    file: &Path,
    method: Method,
    content_type: &'static str,
    form: Form<'_>,
) -> Result<Exit, Failure> {
    let source = Source::find(file)?;
    let advice = if source.can_repeat() {
        "What had arrived has its effect. Repeat the command: nothing is done twice."
    } else {
        "What had arrived has its effect, and what was read of the input is gone: give the same lines again; nothing is \
         done twice."
    };
    let _farewell = Farewell::new(format!("The upload was cut off. {advice}"));
    let path = name.devices();
    let target = Target {
        method,
        path: &path,
        content_type,
        headers: &[],
    };
    let answer = source
        .upload(caller, &target, form, || refusal(caller, name))
        .inspect_err(|failure| match failure {
            Failure::Unreachable { .. } | Failure::Unavailable(_) | Failure::Unreadable { .. } => {
                caller.screen.warn(advice);
            }
            Failure::Refused(_) | Failure::Usage(_) | Failure::File { .. } | Failure::Output(_) => {}
        })?;
    // What stands there instead may be a device: it is not quoted.
    let report: Report = serde_json::from_str(&answer.text).map_err(|_| {
        caller
            .client
            .unreadable("it does not say what became of the lines")
    })?;
    caller.screen.result(&answer.text, || report.to_text())?;
    Ok(report.exit())
}

/// A caller or an audience that the server does not know, it does not know without the devices either.
fn refusal(caller: &Caller, name: &Name) -> Option<Failure> {
    let failure = caller.client.get(&name.path(), &[]).err()?;
    (matches!(failure, Failure::Refused(_)) && !failure.is_passing()).then_some(failure)
}

/// What has become of an upload: of an import what was added and updated, else what was removed.
#[derive(Debug, Deserialize)]
struct Report {
    audience: String,
    received: u64,
    added: Option<u64>,
    updated: Option<u64>,
    removed: Option<u64>,
    invalid: u64,
    #[serde(default)]
    invalid_lines: Vec<InvalidLine>,
}

#[derive(Debug, Deserialize)]
struct InvalidLine {
    line: u64,
    detail: String,
}

impl Report {
    /// A line that was left out is a device that is missing, or there when it should not be.
    const fn exit(&self) -> Exit {
        if self.invalid == 0 {
            Exit::Done
        } else {
            Exit::Undelivered
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!("audience {}: {} received", self.audience, self.received);
        let numbers = [
            (self.added, "added"),
            (self.updated, "updated"),
            (self.removed, "removed"),
            (Some(self.invalid), "invalid"),
        ];
        for (number, what) in numbers {
            if let Some(number) = number {
                text.push_str(&format!(", {number} {what}"));
            }
        }
        for invalid in &self.invalid_lines {
            text.push_str(&format!("\n  line {}: {}", invalid.line, invalid.detail));
        }
        let listed = self.invalid_lines.len() as u64;
        if self.invalid > listed {
            text.push_str(&format!("\n  and {} more", self.invalid - listed));
        }
        text
    }
}

#[test]
fn a_name_says_what_a_file_holds() {
    for (name, format) in [
        ("devices.csv", Format::Csv),
        ("DEVICES.CSV", Format::Csv),
        ("devices.ndjson", Format::Ndjson),
        ("csv", Format::Ndjson),
        ("-", Format::Ndjson),
    ] {
        assert_eq!(Format::of(Path::new(name)), format, "{name}");
    }
}
