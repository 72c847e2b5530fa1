//! Runs other programs: silent if they succeed, with all their output if they fail.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Variables that `cargo run` sets for this process and that other cargo runs must not inherit. Build scripts
/// that watch them would run again whenever cargo is called from here and not from a shell.
const FROM_CARGO_RUN: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// The interval at which a program with a time limit is checked.
const POLL: Duration = Duration::from_millis(50);

/// Returns a command that runs in the project's root, without the variables of `cargo run`.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir(crate::project::root());
    for (name, _) in std::env::vars_os() {
        let ours = name
            .to_str()
            .is_some_and(|name| FROM_CARGO_RUN.iter().any(|prefix| name.starts_with(prefix)));
        if ours {
            command.env_remove(name);
        }
    }
    command
}

/// Returns the command for the cargo that started this tool.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").map_or_else(|| "cargo".into(), std::path::PathBuf::from))
}

/// Runs a command to its end. Shows its output only if it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let line = display(command);
    let (mut reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let started = command.spawn();
    // Otherwise the copies of the pipe's end in this process would keep the reader waiting.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = started.with_context(|| format!("`{line}` cannot be started"))?;
    let mut said = Vec::new();
    reader.read_to_end(&mut said)?;
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    eprintln!("{}", String::from_utf8_lossy(&said).trim_end());
    bail!("`{line}` failed with {status}");
}

/// Runs a command quietly, and kills it when it takes longer than `limit`. Returns whether it succeeded in
/// time.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let started = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    while started.elapsed() < limit {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => thread::sleep(POLL),
            Err(_) => break,
        }
    }
    // It may have ended meanwhile, so an error is ignored.
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Returns the trimmed standard output of a command, or `None` if it cannot be run or fails.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let Output { status, stdout, .. } = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(stdout).ok()?;
    status.success().then(|| text.trim().to_owned())
}

/// Whether a program of this name is in the PATH.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Returns the command as a user would type it.
pub(crate) fn display(command: &Command) -> String {
    let path = Path::new(command.get_program());
    let program = path.file_name().unwrap_or(path.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::{answer, exists, quietly, succeeds_within};
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = quietly(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.to_string().contains("sh -c exit 3"), "{error}");
    }

    #[test]
    fn a_command_that_outlives_its_limit_did_not_succeed() {
        assert!(!succeeds_within(
            Command::new("sleep").arg("60"),
            Duration::from_millis(1)
        ));
    }

    #[test]
    fn an_answer_is_trimmed_and_only_given_on_success() {
        assert_eq!(answer(Command::new("echo").arg("yes")), Some("yes".into()));
        assert_eq!(answer(Command::new("sh").args(["-c", "echo no; exit 1"])), None);
    }

    #[test]
    fn a_program_is_looked_for_in_the_path() {
        assert!(exists("sh"));
        assert!(!exists("no-program-has-this-name"));
    }
}
