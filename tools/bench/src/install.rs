//! Installs the other senders on demand from crates.io, npm and PyPI, each by its own lock file, into a
//! folder that git ignores. If one cannot be installed, the benchmark continues without it.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::project;
use crate::sender::{LeftOut, Sender};

/// A file in a folder in which everything was installed. It contains the lock file that was used.
const MARK: &str = ".installed-from";

/// Installs what the requested senders need. Returns those for which that failed.
pub(crate) fn missing(arguments: &Arguments) -> Vec<LeftOut> {
    arguments
        .senders()
        .filter_map(|sender| {
            let error = install(sender).err()?;
            Some(LeftOut::because(sender, &error))
        })
        .collect()
}

fn install(sender: Sender) -> Result<()> {
    match sender {
        Sender::Fetch | Sender::Socket1 | Sender::Socket4 => Ok(()),
        Sender::A2 => a2(),
        Sender::NodeApn | Sender::Apns2 => node(),
        Sender::Aioapns => aioapns(),
    }
}

/// Builds the sender with a2. Cargo itself detects whether that is needed.
fn a2() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    if !project::a2_target().exists() {
        eprintln!("> cargo build - the sender with a2 (3 min)");
    }
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]);
    command
        .arg(project::peers().join("a2").join("Cargo.toml"))
        .arg("--target-dir")
        .arg(project::a2_target());
    quietly(&mut command)
}

fn node() -> Result<()> {
    let folder = project::peers().join("node");
    let lock = folder.join("package-lock.json");
    // `npm ci` empties the folder first, so the mark exists only after a complete installation.
    once(&lock, &folder.join("node_modules"), || {
        eprintln!("> npm ci - @parse/node-apn and apns2 (10 s)");
        quietly(Command::new("npm").arg("ci").current_dir(&folder))
    })
}

fn aioapns() -> Result<()> {
    let lock = project::peers().join("aioapns").join("requirements.txt");
    let folder = project::python_packages();
    once(&lock, &folder, || {
        eprintln!("> pip install - aioapns (15 s)");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        quietly(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin").join("python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ]);
        quietly(pip.arg(&lock))
    })
}

/// Installs into a folder, unless that was done with the same lock file before.
fn once(lock: &Path, folder: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let lock = fs::read_to_string(lock).with_context(|| format!("{} cannot be read", lock.display()))?;
    let mark = folder.join(MARK);
    if fs::read_to_string(&mark).is_ok_and(|before| before == lock) {
        return Ok(());
    }
    install()?;
    fs::write(mark, lock)?;
    Ok(())
}

/// Runs a command without its output. If it fails, the error contains its last line.
fn quietly(command: &mut Command) -> Result<()> {
    // Build scripts that watch these would run again whenever cargo is started from here.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let (mut reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let started = command.spawn();
    // Otherwise the copies of the pipe's end in this process would keep the reader waiting.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = started.with_context(|| format!("{program} cannot be started"))?;
    let mut said = Vec::new();
    reader.read_to_end(&mut said)?;
    let status = child.wait()?;
    if !status.success() {
        let said = String::from_utf8_lossy(&said);
        let said = said.trim_end();
        eprintln!("{said}");
        bail!("{program} failed: {}", said.lines().last().unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{once, quietly};
    use std::cell::Cell;
    use std::fs;
    use std::process::Command;

    #[test]
    fn a_lock_file_is_installed_once_and_again_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, installed) = (folder.path().join("lock"), folder.path().join("installed"));
        let times = Cell::new(0);
        let install = || {
            times.set(times.get() + 1);
            Ok(fs::create_dir_all(&installed)?)
        };
        for (text, expected) in [("a", 1), ("a", 1), ("b", 2)] {
            fs::write(&lock, text).unwrap();
            once(&lock, &installed, install).unwrap();
            assert_eq!(times.get(), expected);
        }
    }

    #[test]
    fn a_failed_installation_says_its_last_line_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        fs::write(&lock, "a").unwrap();
        let fail = || quietly(Command::new("sh").args(["-c", "echo first; echo no network >&2; exit 1"]));
        let error = once(&lock, folder.path(), fail).unwrap_err().to_string();
        assert!(error.ends_with("no network"), "{error}");
        let again = Cell::new(0);
        let succeed = || {
            again.set(again.get() + 1);
            Ok(())
        };
        once(&lock, folder.path(), succeed).unwrap();
        assert_eq!(again.get(), 1);
    }
}
