//! `apns-edge audience export`: prints all devices of an audience, in the form of the import.

use clap::Args;
use serde::{Deserialize, Deserializer};

use super::Name;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pages;
use crate::session::Session;

/// Print the devices of an audience, as lines of JSON that can be imported again
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The audience
    #[arg(value_name = "NAME")]
    name: Name,
    #[command(flatten)]
    output: pages::OutputFile,
}

impl Export {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let _: Last = self.output.write(session, &self.name.devices(), None)?;
        Ok(Exit::Done)
    }
}

/// The last line of a page of devices.
#[derive(Debug, Deserialize)]
struct Last {
    /// Required even if it is null, because it distinguishes this line from a device.
    #[serde(deserialize_with = "stated")]
    cursor: Option<String>,
}

fn stated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

impl pages::Last for Last {
    fn is_end(&self) -> bool {
        self.cursor.is_none()
    }

    fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

#[test]
fn a_device_is_not_taken_for_the_last_line() {
    let read = |text| serde_json::from_str::<Last>(text).map(|last| last.cursor);
    assert_eq!(read(r#"{"cursor":"c1"}"#).unwrap().as_deref(), Some("c1"));
    assert_eq!(read(r#"{"cursor":null}"#).unwrap(), None);
    assert!(read(r#"{"token":"0011"}"#).is_err());
}
