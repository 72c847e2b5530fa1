//! The built Worker under `wrangler dev`, offline.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{group::Group, http};
use crate::interrupt::Interrupt;
use crate::setup::Ready;

/// How long the Worker may take to answer for the first time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Runs its arguments, and ends its whole process group as soon as either these or its standard input ended: wrangler
/// alone would stay when this process is killed.
const WATCHED: &str = r#"("$@"; kill 0) </dev/null & read -r _; kill 0"#;

/// A running Worker.
#[derive(Debug)]
pub(crate) struct Worker {
    group: Group,
    url: String,
}

impl Worker {
    /// Starts it and returns when it answers. `settings` are its variables and secrets, `ca` is whom its connections
    /// trust beside the usual.
    pub(crate) fn start(
        ready: &Ready,
        folder: &Path,
        settings: &[(&str, String)],
        ca: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let environment = folder.join("environment");
        fs::write(&environment, env_file(settings)?)?;
        let port = free_port()?;
        let mut wrangler = ready.node.wrangler()?;
        wrangler.args([
            "dev",
            "--ip",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--inspector-port",
            "0",
        ]);
        wrangler
            .arg("--env-file")
            .arg(environment)
            .arg("--persist-to")
            .arg(folder.join("storage"));
        wrangler.env("NODE_EXTRA_CA_CERTS", ca);
        let group = Group::start(&mut watched(&wrangler), &folder.join("wrangler.log"), false)?;
        let mut worker = Self {
            group,
            url: format!("http://127.0.0.1:{port}"),
        };
        worker.wait(interrupt)?;
        Ok(worker)
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The last lines that it and wrangler logged.
    pub(crate) fn log(&self) -> String {
        self.group.log()
    }

    fn wait(&mut self, interrupt: &Interrupt) -> Result<()> {
        let started = Instant::now();
        let health = format!("{}/healthz", self.url);
        loop {
            interrupt.pause()?;
            let Err(error) = http::touch(&health) else {
                return Ok(());
            };
            if !self.group.is_running() {
                bail!("wrangler dev ended:\n{}", self.log());
            }
            if started.elapsed() > START_LIMIT {
                bail!("the Worker does not get ready: {error:#}\n{}", self.log());
            }
        }
    }
}

/// The same command, started by the shell that watches over it.
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

/// The settings in the format that wrangler reads. What that cannot carry as it is, is an error.
fn env_file(settings: &[(&str, String)]) -> Result<String> {
    let mut file = String::new();
    for (name, value) in settings {
        if value.contains(['\'', '$']) {
            bail!("the value of {name} holds a character that has a meaning in the file of settings");
        }
        file += &format!("{name}='{value}'\n");
    }
    Ok(file)
}

/// A port that nobody listens on right now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::{env_file, watched};
    use std::process::{Command, Stdio};

    #[test]
    fn settings_are_quoted_and_keep_their_lines() {
        let file = env_file(&[("A", "{\"b\":1}".into()), ("P", "x\ny\n".into())]).unwrap();
        assert_eq!(file, "A='{\"b\":1}'\nP='x\ny\n'\n");
        assert!(env_file(&[("A", "it's".into())]).is_err());
        assert!(env_file(&[("A", "$HOME".into())]).is_err());
    }

    #[test]
    fn a_watched_command_ends_when_its_input_closes() {
        use std::os::unix::process::CommandExt;
        let mut child = watched(Command::new("sleep").arg("600"))
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdin.take());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn the_watch_ends_with_the_command() {
        use std::os::unix::process::CommandExt;
        let mut child = watched(&Command::new("true"))
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let _open = child.stdin.take();
        assert!(!child.wait().unwrap().success());
    }
}
