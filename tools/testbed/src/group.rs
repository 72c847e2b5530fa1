//! Runs a program and everything that it starts in one process group, so that nothing outlives this process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long a group may take to end when it is asked to. After that it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// How many of a log's last lines are shown.
const TAIL: usize = 40;

/// Runs its arguments, and ends its whole process group when either they or its standard input end. Otherwise
/// wrangler and workerd would keep running when this process is killed.
const WATCHED: &str = r#"("$@"; kill 0) </dev/null & read -r _; kill 0"#;

/// The destination of a group's standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// To the log.
    Log,
    /// To this process: see [`Group::output`].
    Piped,
    /// Nowhere.
    Discarded,
}

/// A running group. Its standard input stays open until this value is dropped, which tells the group to end.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Child,
    log: PathBuf,
    is_killed: bool,
}

impl Group {
    /// Starts a program as the leader of a new group. The program must end when its standard input does. Its
    /// standard error is appended to the log.
    pub(crate) fn start(command: &mut Command, log: &Path, output: Output) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(file.try_clone()?);
        command.stdout(match output {
            Output::Log => file.into(),
            Output::Piped => Stdio::piped(),
            Output::Discarded => Stdio::null(),
        });
        let leader = command
            .spawn()
            .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        Ok(Self {
            leader,
            log: log.to_owned(),
            is_killed: false,
        })
    }

    /// Starts a program that does not read its standard input, and ends it when its standard input ends.
    pub(crate) fn start_watched(command: &Command, log: &Path, output: Output) -> Result<Self> {
        Self::start(&mut watched(command), log, output)
    }

    /// Returns the leader's id.
    pub(crate) fn id(&self) -> u32 {
        self.leader.id()
    }

    /// Takes the leader's standard output. Returns `None` if it is not piped or was taken before.
    pub(crate) fn output(&mut self) -> Option<ChildStdout> {
        self.leader.stdout.take()
    }

    /// Returns the leader's standard input.
    pub(crate) fn input(&mut self) -> Result<&mut ChildStdin> {
        self.leader.stdin.as_mut().context("the input is piped")
    }

    /// Returns whether the leader still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.leader.try_wait(), Ok(None))
    }

    /// Returns the log.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Returns the last lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL)..);
        tail.unwrap_or_default().join("\n")
    }

    /// Kills the group, as a power failure does.
    pub(crate) fn kill(&mut self) {
        if self.is_killed {
            // The group's number may belong to another group by now.
            return;
        }
        self.signal("KILL");
        let _ = self.leader.wait();
        self.is_killed = true;
    }

    /// Sends a signal to all members, with the shell's `kill`. Returns whether there was one.
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
        if self.is_killed {
            return;
        }
        let asked = Instant::now();
        self.signal("TERM");
        while self.signal("0") && asked.elapsed() < GRACE {
            // A leader that has ended stays a member until it is waited for.
            let _ = self.leader.try_wait();
            thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

/// Returns the same command, started by a shell that watches over it.
fn watched(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", WATCHED, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

#[cfg(test)]
mod tests {
    use super::{Group, Output};
    use std::io::{BufRead, BufReader};
    use std::process::Command;

    fn shell(script: &str) -> (Group, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let group = Group::start(&mut command, &folder.path().join("log"), Output::Piped).unwrap();
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
        assert_eq!(group.log_tail(), "trouble");
    }

    #[test]
    fn a_watched_program_ends_with_its_input_and_the_watch_with_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let start = |command: &Command| Group::start_watched(command, &log, Output::Log).unwrap();
        let mut endless = start(Command::new("sleep").arg("600"));
        drop(endless.leader.stdin.take());
        assert!(!endless.leader.wait().unwrap().success());
        let mut short = start(&Command::new("true"));
        let _open = short.leader.stdin.take();
        assert!(!short.leader.wait().unwrap().success());
    }
}
