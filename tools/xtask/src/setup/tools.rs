//! The two programs that convert a wasm32 library to a Worker, compiled from the crates registry.
//!
//! Each is in a folder named after its version, so a new version has a new folder.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{process, progress, project};

/// The version of worker-build, which must match the version of the `worker` crate.
const WORKER_BUILD: &str = "0.8.7";

/// The settings for compiling the tools. They run for seconds, so minutes of optimization do not pay off.
const QUICK_RELEASE: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
];

/// The paths of the programs.
#[derive(Debug)]
pub(crate) struct Tools {
    /// worker-build: runs the other tools and writes build/.
    pub(crate) worker_build: PathBuf,
    /// wasm-bindgen: writes the JavaScript side. It has exactly the version of the library in Cargo.lock.
    pub(crate) wasm_bindgen: PathBuf,
}

/// Compiles the missing programs.
pub(crate) fn ready() -> Result<Tools> {
    let lock = fs::read_to_string(project::root().join("Cargo.lock")).context("Cargo.lock cannot be read")?;
    let wasm_bindgen = locked(&lock, "wasm-bindgen").context("Cargo.lock does not name wasm-bindgen")?;
    let tools = Tools {
        worker_build: install(
            "worker-build",
            "worker-build",
            WORKER_BUILD,
            "makes a Worker of the wasm",
        )?,
        wasm_bindgen: install(
            "wasm-bindgen-cli",
            "wasm-bindgen",
            wasm_bindgen,
            "writes the wasm's JavaScript",
        )?,
    };
    // Both were compiled in this folder to share dependencies. It is no longer needed.
    let shared = compile_folder();
    if shared.exists() {
        fs::remove_dir_all(shared)?;
    }
    Ok(tools)
}

fn install(package: &str, program: &str, version: &str, why: &str) -> Result<PathBuf> {
    let folder = project::tools().join(format!("{package}-{version}"));
    let path = folder.join("bin").join(program);
    if path.is_file() {
        return Ok(path);
    }
    progress::step(
        &format!("cargo install {package} {version}"),
        why,
        "3 min, once",
        || {
            let mut cargo = process::cargo();
            cargo.args([
                "install",
                package,
                "--bin",
                program,
                "--locked",
                "--version",
                &format!("={version}"),
            ]);
            cargo.arg("--root").arg(&folder);
            cargo
                .env("CARGO_TARGET_DIR", compile_folder())
                .envs(QUICK_RELEASE);
            process::quietly(&mut cargo)
        },
    )?;
    Ok(path)
}

fn compile_folder() -> PathBuf {
    project::tools().join("target")
}

/// Returns the locked version of a package.
fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.split_once(&entry)?;
    rest.split_once('"').map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::locked;

    #[test]
    fn the_version_in_the_lock_file_is_that_of_the_very_package() {
        let lock = "[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"1.0.0\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.129\"\n";
        assert_eq!(locked(lock, "wasm-bindgen"), Some("0.2.129"));
        assert_eq!(locked(lock, "wasm"), None);
    }
}
