//! Runs the command, and creates files for it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::fake::{Fake, KEY};

/// The result of a run of the command.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

impl Run {
    /// Reads the result of a process. Asserts that the key is in no output.
    #[track_caller]
    pub(crate) fn of(output: Output) -> Self {
        let run = Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!run.out.contains(KEY) && !run.err.contains(KEY), "{run:?}");
        run
    }

    /// Asserts that it ended with this exit code, and returns it.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// Returns the command with these arguments and an empty environment.
pub(crate) fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apns-edge"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    // The home of nobody: no config file of whoever runs the tests is read.
    command.env("HOME", "/nonexistent");
    command
}

/// Returns the command with the settings for this server.
pub(crate) fn command(fake: &Fake, arguments: &[&str]) -> Command {
    let mut command = bare(arguments);
    command.env("APNS_EDGE_URL", fake.url()).env("APNS_EDGE_KEY", KEY);
    command
}

/// Runs the command against this server.
#[track_caller]
pub(crate) fn run(fake: &Fake, arguments: &[&str]) -> Run {
    Run::of(command(fake, arguments).output().unwrap())
}

/// Runs the command with this text on its standard input.
#[track_caller]
pub(crate) fn run_with(fake: &Fake, arguments: &[&str], input: &str) -> Run {
    let mut child = command(fake, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Run::of(child.wait_with_output().unwrap())
}

/// A folder with files.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// Creates an empty folder.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Returns the path of a file, which may not exist.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and returns its path.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Returns the path of the folder.
    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }
}

/// The id of the batch in these tests.
pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef";

/// Returns the status document of that batch, in which the remaining pushes are waiting.
pub(crate) fn document(state: &str, pushes: u64, accepted: u64, rejected: u64) -> String {
    let waiting = pushes - accepted - rejected;
    format!(
        r#"{{"id":"{ID}","app":"shop","state":"{state}","created_at":"2026-11-23T08:00:00.000Z","transport":"fetch","pushes":{pushes},"chunks":1,"invalid":0,"counts":{{"accepted":{accepted},"rejected":{rejected},"failed":0,"cancelled":0,"retrying":0,"in_flight":0,"waiting":{waiting},"gone":0}},"reasons":[],"rate":12,"eta_s":3,"options":{{"weight":1,"retry_for_s":86400,"collapse_repeats":true}}}}"#
    )
}

/// Returns an event of the batch's stream.
pub(crate) fn event(kind: &str, document: &str) -> String {
    format!("event: {kind}\ndata: {document}\n\n")
}
