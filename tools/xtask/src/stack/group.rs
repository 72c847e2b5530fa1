//! A program and all that it starts, in one process group, so that nothing outlives this process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;

/// How long a group may take to end when it is asked to; after that it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// How many of a log's last lines are worth showing.
const TAIL: usize = 40;

/// A running group. Its standard input stays open as long as this lives, and tells it by closing that we are gone.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Child,
    log: PathBuf,
}

impl Group {
    /// Starts a program as the leader of a group of its own. What it says goes to the log, except for its standard
    /// output if that is `piped`.
    pub(crate) fn start(command: &mut Command, log: &Path, piped: bool) -> Result<Self> {
        let file = File::create(log)?;
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(file.try_clone()?);
        command.stdout(if piped { Stdio::piped() } else { file.into() });
        let line = process::display(command);
        let leader = command
            .spawn()
            .with_context(|| format!("`{line}` cannot be started"))?;
        Ok(Self {
            leader,
            log: log.to_owned(),
        })
    }

    /// The leader's standard output, if it is piped and nobody took it before.
    pub(crate) fn output(&mut self) -> Option<ChildStdout> {
        self.leader.stdout.take()
    }

    /// Whether the leader still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.leader.try_wait(), Ok(None))
    }

    /// The last lines of the log.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines
            .get(lines.len().saturating_sub(TAIL)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Sends a signal to all members, by the shell's own `kill`. Whether there was a member left.
    fn signal(&self, name: &str) -> bool {
        let kill = format!("kill -{name} -{}", self.leader.id());
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &kill])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        shell.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let asked = Instant::now();
        self.signal("TERM");
        while self.signal("0") && asked.elapsed() < GRACE {
            // A leader that has ended stays a member until it is waited for.
            let _ = self.leader.try_wait();
            thread::sleep(Duration::from_millis(20));
        }
        self.signal("KILL");
        let _ = self.leader.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::Group;
    use std::io::{BufRead, BufReader};
    use std::process::Command;

    fn shell(script: &str) -> (Group, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let group = Group::start(command.args(["-c", script]), &folder.path().join("log"), true).unwrap();
        (group, folder)
    }

    fn first_line(group: &mut Group) -> String {
        let mut line = String::new();
        BufReader::new(group.output().unwrap())
            .read_line(&mut line)
            .unwrap();
        line.trim().to_owned()
    }

    fn is_alive(process: &str) -> bool {
        Command::new("sh")
            .args(["-c", &format!("kill -0 {process} 2>/dev/null")])
            .status()
            .unwrap()
            .success()
    }

    #[test]
    fn a_dropped_group_leaves_no_process_behind() {
        let (mut group, _folder) = shell("sleep 600 & echo $!; wait");
        let grandchild = first_line(&mut group);
        assert!(is_alive(&grandchild));
        drop(group);
        assert!(!is_alive(&grandchild));
    }

    #[test]
    fn the_log_holds_what_was_said_on_standard_error() {
        let (mut group, _folder) = shell("echo trouble >&2; echo said");
        assert_eq!(first_line(&mut group), "said");
        assert_eq!(group.log(), "trouble");
    }
}
