//! The exit codes of the command, for scripts.

use std::process::ExitCode;

/// The exit codes. They are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command succeeded. Devices that are gone are not a failure.
    Done = 0,
    /// A person must act: pushes failed, are unknown or were given up, lines were rejected, or the doctor
    /// found something.
    Undelivered = 1,
    /// The command line, the settings or a local file is invalid. clap uses the same code.
    Usage = 2,
    /// The server refused the request.
    Refused = 3,
    /// The server could not be reached, or is temporarily unable.
    Unavailable = 4,
    /// The batch or the campaign is paused or cancelled, or the campaign to watch is a draft.
    Stopped = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The exit code of a command that was interrupted with Ctrl-C, as shells define it.
pub(crate) const INTERRUPTED: i32 = 130;

/// The text about exit codes in `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done; devices that are gone or whose tokens were refused are no failure
  1    some pushes need a person (fix_*, unknown, given up, none accepted), or have what --fail-on names;
       lines were left out, or the doctor found something
  2    the command line, the settings or a file is at fault
  3    the server refused the request (4xx)
  4    the server could not be reached, or answered 5xx
  5    the batch or campaign is paused or cancelled, or a draft is watched
  130  interrupted by Ctrl-C";

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let codes = [
        Exit::Done,
        Exit::Undelivered,
        Exit::Usage,
        Exit::Refused,
        Exit::Unavailable,
        Exit::Stopped,
    ];
    let told: Vec<i32> = HELP
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    let mut all: Vec<i32> = codes.iter().map(|code| *code as i32).collect();
    all.push(INTERRUPTED);
    assert_eq!(told, all);
}
