//! Describes the machine and the versions, without which the figures mean little.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::project;

/// The npm packages of workerd. The one for this machine is installed.
const WORKERD: [&str; 4] = [
    "workerd-linux-64",
    "workerd-linux-arm64",
    "workerd-darwin-64",
    "workerd-darwin-arm64",
];

/// Returns the requested workerd, or the one that wrangler installs.
pub(crate) fn workerd(arguments: &Arguments) -> Result<PathBuf> {
    let packages = project::root().join("node_modules").join("@cloudflare");
    let installed = WORKERD.map(|package| packages.join(package).join("bin").join("workerd"));
    let mut candidates = arguments.workerd.iter().cloned().chain(installed);
    candidates
        .find(|program| program.exists())
        .context("there is no workerd: run `cargo xtask setup`")
}

/// Returns the requested apns-mock, or the one beside this program.
pub(crate) fn mock(arguments: &Arguments) -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("apns-mock");
    Ok(arguments.mock.clone().unwrap_or(beside))
}

/// Returns a line about the machine and one about the versions.
pub(crate) fn description(arguments: &Arguments) -> [String; 2] {
    let workerd = workerd(arguments).map_or_else(|_| "no workerd".to_owned(), |workerd| version(&workerd));
    let python = project::python_packages().join("bin").join("python");
    let versions = [
        format!("apns-edge {}", env!("CARGO_PKG_VERSION")),
        workerd,
        format!("a2 {}", a2()),
        format!("@parse/node-apn {}", npm("@parse/node-apn")),
        format!("apns2 {}", npm("apns2")),
        format!("node {}", version(&arguments.node)),
        format!("aioapns {}", aioapns()),
        version(&python),
    ];
    [processor(), versions.join(", ")]
}

/// Returns the machine in one line.
pub(crate) fn processor() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = field(&cpu, "model name").unwrap_or("unknown processor");
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cpu}, {cores} cores, Linux {}", kernel.trim())
}

/// Returns the value of a line `name : value`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// Returns what a program prints as its version.
pub(crate) fn version(program: &Path) -> String {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let said = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// Returns the locked version.
fn a2() -> String {
    let lock = fs::read_to_string(project::peers().join("a2").join("Cargo.lock")).unwrap_or_default();
    let version = lock.split("name = \"a2\"\nversion = \"").nth(1);
    version
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default()
        .to_owned()
}

/// Returns the locked version.
fn npm(package: &str) -> String {
    let lock = fs::read(project::peers().join("node").join("package-lock.json")).unwrap_or_default();
    let lock: Value = serde_json::from_slice(&lock).unwrap_or_default();
    let version = lock.pointer(&format!(
        "/packages/node_modules~1{}/version",
        package.replace('/', "~1")
    ));
    version.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns the locked version.
fn aioapns() -> String {
    let lock =
        fs::read_to_string(project::peers().join("aioapns").join("requirements.txt")).unwrap_or_default();
    let version = lock.lines().find_map(|line| line.strip_prefix("aioapns=="));
    version.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{a2, aioapns, field, npm};

    #[test]
    fn the_versions_are_those_of_the_lock_files() {
        for version in [a2(), npm("@parse/node-apn"), npm("apns2"), aioapns()] {
            assert!(
                version.starts_with(|first: char| first.is_ascii_digit()),
                "{version}"
            );
        }
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 3 GHz"));
        assert_eq!(field(text, "cores"), None);
    }
}
