//! `apns-edge audience`: the devices of an app that campaigns are sent to.

use std::fmt;
use std::str::FromStr;

use clap::{Args, Subcommand, value_parser};
use documents::audience::DeviceCount;
use serde_json::{Value, json};

use crate::client::Method;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json_args::{inline, some};
use crate::listing::Listing;
use crate::session::Session;

mod document;
mod export;
mod import;
mod part;
mod record;
mod report;
mod upload;

use document::Document;

/// The commands about audiences.
#[derive(Debug, Subcommand)]
pub(crate) enum Audience {
    Create(Create),
    /// List audiences
    List,
    /// Print an audience and its number of devices
    Show(NameArg),
    Import(import::Import),
    Export(export::Export),
    Count(Count),
    Remove(import::Remove),
    /// Delete an audience with all its devices
    Delete(NameArg),
}

/// The argument of commands about one audience.
#[derive(Debug, Args)]
pub(crate) struct NameArg {
    /// The audience
    #[arg(value_name = "NAME")]
    name: Name,
}

/// Create an audience; does nothing if it already exists with the same settings
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name: lower-case letters, digits, - and _
    #[arg(value_name = "NAME")]
    name: Name,
    /// The app that its devices belong to
    #[arg(long, value_name = "APP")]
    app: String,
    /// Number of shards, which cannot be changed later; plan one per 500,000 devices
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=256))]
    shards: u32,
}

/// Count the devices of an audience, or those of a segment
#[derive(Debug, Args)]
pub(crate) struct Count {
    /// The audience
    #[arg(value_name = "NAME")]
    name: Name,
    /// Only devices in this segment, such as {"eq": {"locale": "de"}}, or a file with it; - is standard input
    #[arg(long, value_name = "FILE|JSON")]
    segment: Option<String>,
}

impl Audience {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => create.run(session),
            Self::List => list(session),
            Self::Show(NameArg { name }) => show(session, name),
            Self::Import(import) => import.run(session),
            Self::Export(export) => export.run(session),
            Self::Count(count) => count.run(session),
            Self::Remove(remove) => remove.run(session),
            Self::Delete(NameArg { name }) => delete(session, name),
        }
    }
}

impl Create {
    fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let body = json!({"app": self.app, "shards": self.shards});
        let path = self.name.path();
        let answer = session.with_retries(|| session.client.json(Method::Put, &path, &body))?;
        let document = Document::read(&answer.text).map_err(|error| session.client.unreadable(error))?;
        session.output.result(&answer.text, || document.to_text())?;
        Ok(Exit::Done)
    }
}

fn list(session: &Session) -> Result<Exit, Failure> {
    Listing {
        path: "/v1/audiences",
        field: "audiences",
        filters: &[],
        limit: None,
    }
    .print(session, Document::to_line)
}

fn show(session: &Session, name: &Name) -> Result<Exit, Failure> {
    let answer = session.with_retries(|| session.client.get(&name.path(), &[]))?;
    let document = Document::read(&answer.text).map_err(|error| session.client.unreadable(error))?;
    session.output.result(&answer.text, || document.to_text())?;
    Ok(Exit::Done)
}

fn delete(session: &Session, name: &Name) -> Result<Exit, Failure> {
    session.client.delete(&name.path())?;
    // The document is not printed, because the audience no longer exists.
    session.output.note(&format!("audience {name} is deleted"));
    Ok(Exit::Done)
}

impl Count {
    fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let segment: Option<Value> = match &self.segment {
            Some(segment) => Some(inline("--segment", segment)?),
            None => None,
        };
        let body = some([("segment", segment)]);
        let path = format!("{}/count", self.name.path());
        let answer = session.with_retries(|| session.client.json(Method::Post, &path, &body))?;
        let counted: DeviceCount = serde_json::from_str(&answer.text)
            .map_err(|error| session.client.unreadable(error.to_string()))?;
        session.output.result(&answer.text, || {
            format!("{} of {} devices", counted.devices, counted.of)
        })?;
        Ok(Exit::Done)
    }
}

/// The name of an audience. It is part of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// Returns the path of the audience on the server.
    fn path(&self) -> String {
        format!("/v1/audiences/{}", self.0)
    }

    /// Returns the path of its devices.
    fn devices(&self) -> String {
        format!("{}/devices", self.path())
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name = (1..=MAX_NAME).contains(&text.len())
            && text
                .bytes()
                .all(|byte| is_plain(byte) || matches!(byte, b'-' | b'_'))
            && text.bytes().next().is_some_and(is_plain);
        is_name.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!("a name has 1 to {MAX_NAME} of a-z, 0-9, - and _, and begins with a letter or a digit")
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest name that the server accepts, in bytes.
const MAX_NAME: usize = 64;

#[test]
fn a_name_cannot_lead_to_another_path() {
    let longest = "a".repeat(MAX_NAME);
    for text in ["customers", "7-up_2", &longest] {
        assert_eq!(
            text.parse::<Name>().unwrap().path(),
            format!("/v1/audiences/{text}")
        );
    }
    for text in [
        "",
        "-a",
        "_a",
        "A",
        "a/b",
        "..",
        "a?",
        "ä",
        &format!("{longest}a"),
    ] {
        assert!(text.parse::<Name>().is_err(), "{text}");
    }
}
