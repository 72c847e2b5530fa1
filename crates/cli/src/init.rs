//! `apns-edge init`: writes the configuration of a deployment, ready for `wrangler deploy`.
//!
//! Asks for what Apple's developer portal shows, validates it, creates an API key, and writes a configuration
//! that git ignores. In scope: local files, and the commands to run next. Out of scope: running them, and
//! whether Apple accepts the key, which only a push shows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use apns::credential::{KeyId, SigningKey, TeamId};
use apns::environment::Environment;
use apns::topic::BundleId;
use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::key;
use crate::output::Output;

mod configuration;
mod questions;

use configuration::App;
use questions::Questions;

/// Write a configuration for a deployment of your own, check your .p8 file, and make an API key
///
/// Asks for every value that has no flag. Run it in the folder of wrangler.toml. Git ignores the file that it writes.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The app's name in requests: a-z, 0-9, - and _ [default: the last part of the topic]
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// The team id, under Membership in Apple's developer portal
    #[arg(long, value_name = "ID")]
    team_id: Option<String>,
    /// The .p8 file of the key, as Apple's developer portal offers it once
    #[arg(long, value_name = "FILE")]
    p8: Option<String>,
    /// The key id [default: as in the name of the file, AuthKey_<key id>.p8]
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// The topic: the app's bundle id
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// `sandbox` for builds that Xcode installs, else `production` [default: production]
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: Option<String>,
    /// The file to write, in the folder of wrangler.toml
    #[arg(long, value_name = "FILE", default_value = OUTPUT)]
    output: PathBuf,
    /// After an upgrade: take the shared part from wrangler.toml again, and keep yours
    #[arg(long, conflicts_with_all = ["app", "team_id", "p8", "key_id", "topic", "environment"])]
    refresh: bool,
}

impl Init {
    /// Runs the command.
    pub(crate) fn run(&self, output: Output) -> Result<Exit, Failure> {
        let base = read(&self.base())?;
        if self.refresh {
            let text = configuration::refreshed(&base, &read(&self.output)?).map_err(Failure::Usage)?;
            write(&self.output, &text)?;
            let (file, base) = (self.output.display(), self.base());
            output.note(&format!(
                "{file} has what {} has now, and your own part as it was",
                base.display()
            ));
            return Ok(Exit::Done);
        }
        if self.output.exists() {
            return Err(Failure::Usage(format!(
                "{} exists: change it there, or name another --output. After an upgrade run `apns-edge init --refresh`",
                self.output.display()
            )));
        }
        let app = self.answers()?;
        let text = configuration::with_app(&base, &app).map_err(Failure::Usage)?;
        let (key, entry) = key::new_for(&app.name)?;
        write(&self.output, &text)?;
        self.warn_if_tracked(output);
        let commands = self.commands(&app, &entry.to_string());
        let document =
            json!({"config": self.output, "key": key, "entry": entry, "commands": commands}).to_string();
        output.result(&document, || {
            let file = self.output.display();
            let commands: String = commands.iter().map(|command| format!("\n  {command}")).collect();
            format!(
                "Wrote {file}.\n\nThe API key, shown this once; your backend sends it as `Authorization: Bearer`:\n\n{key}\n\n\
                 Now run:\n{commands}\n\nwrangler creates the queues and prints the URL. See docs/guides/first-push.md for what follows."
            )
        })?;
        Ok(Exit::Done)
    }

    /// Returns the values of the flags, and asks for the others.
    fn answers(&self) -> Result<App, Failure> {
        let mut questions = Questions::new(io::stdin().lock(), io::stderr());
        let team_id: TeamId =
            questions.ask("--team-id", "Team id", self.team_id.as_deref(), None, str::parse)?;
        let p8 = questions.ask("--p8", "The .p8 file", self.p8.as_deref(), None, signing_key)?;
        let of_file = key_id_in(&p8);
        let key_id: KeyId = questions.ask(
            "--key-id",
            "Key id",
            self.key_id.as_deref(),
            of_file.as_deref(),
            str::parse,
        )?;
        let topic = questions.ask(
            "--topic",
            "Bundle id",
            self.topic.as_deref(),
            None,
            BundleId::parse,
        )?;
        let end = configuration::name_of(topic.as_str());
        let name = questions.ask(
            "--app",
            "Name of the app",
            self.app.as_deref(),
            end.as_deref(),
            configuration::name,
        )?;
        let environment: Environment = questions.ask(
            "--environment",
            "Environment, production or sandbox",
            self.environment.as_deref(),
            Some(Environment::Production.as_str()),
            str::parse,
        )?;
        Ok(App {
            name,
            team_id,
            key_id,
            topic,
            environment,
            p8,
        })
    }

    /// Returns the commands to run next.
    fn commands(&self, app: &App, entry: &str) -> Vec<String> {
        let config = format!("--config {}", self.output.display());
        vec![
            "npx wrangler login".to_owned(),
            format!(
                "npx wrangler secret put APNS_KEY_{} {config} < {}",
                app.key_id,
                quoted(&app.p8)
            ),
            format!("echo '[{entry}]' | npx wrangler secret put API_KEYS {config}"),
            format!("npx wrangler deploy {config}"),
        ]
    }

    /// Returns the path of wrangler.toml. It must be in the folder of the written file, because both have
    /// relative paths.
    fn base(&self) -> PathBuf {
        self.output.with_file_name(BASE)
    }

    /// Warns if git would commit the file. Does nothing without git.
    fn warn_if_tracked(&self, output: Output) {
        let mut git = Command::new("git");
        git.args(["check-ignore", "--quiet"]).arg(&self.output);
        git.stdout(Stdio::null()).stderr(Stdio::null());
        if git.status().is_ok_and(|status| status.code() == Some(1)) {
            output.warn(&format!("git does not ignore {}", self.output.display()));
        }
    }
}

/// Checks the `.p8` file with this name. Returns its path.
fn signing_key(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path.trim());
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let read = text.parse::<SigningKey>();
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// Returns the key id in the name of a file, if it is named as Apple does.
fn key_id_in(path: &Path) -> Option<String> {
    let name = path.file_stem()?.to_str()?;
    let id = name.strip_prefix("AuthKey_")?;
    id.parse::<KeyId>().is_ok().then(|| id.to_owned())
}

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+@".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|fault| Failure::File {
        path: path.to_owned(),
        fault,
    })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|fault| Failure::File {
        path: path.to_owned(),
        fault,
    })
}

/// The file with the settings that all deployments share.
const BASE: &str = "wrangler.toml";

/// The default file to write, which is in .gitignore.
const OUTPUT: &str = "wrangler.local.toml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_id_is_read_from_the_name_of_the_file() {
        let found = |name: &str| key_id_in(Path::new(name));
        assert_eq!(found("/a/AuthKey_ABC123DEFG.p8").as_deref(), Some("ABC123DEFG"));
        for name in ["AuthKey_abc.p8", "key.p8", "AuthKey_ABC123DEFG (1).p8", ""] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(quoted(Path::new("a/AuthKey_1.p8")), "a/AuthKey_1.p8");
        assert_eq!(quoted(Path::new("my keys/it's.p8")), r"'my keys/it'\''s.p8'");
    }
}
