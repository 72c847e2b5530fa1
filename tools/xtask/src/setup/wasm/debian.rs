//! The alternative for wasm32: Debian's Rust, and the target's standard library compiled from Debian's source
//! package.
//!
//! Debian has no package of that library for its newest Rust, but it has the source with all dependencies. It
//! is compiled once, and laid out as a toolchain in a folder of the project: Debian's programs and our
//! library. Outside the project, only the packages are installed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::TARGET;
use crate::{process, progress, project};

/// Compiler, cargo, the library's source, and clippy: Debian's newest Rust, which is maintained for its
/// browsers.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"];

/// The folder of Debian's programs.
const BIN: &str = "/usr/bin";

/// The folder of the libraries of Debian's compiler.
const RUSTLIB: &str = "/usr/lib/rustlib";

/// The crates of the standard library that a Worker is linked with.
const BUILD_STD: &str = "-Zbuild-std=std,panic_abort,panic_unwind,test";

/// The empty crate for which cargo builds the standard library.
const EMPTY: &str = "std-for-wasm";

/// The file with the version of the compiler for which a complete toolchain was built.
const MARK: &str = "made-for";

/// Whether the toolchain in `folder` is complete, and built for the installed compiler.
pub(super) fn is_complete(folder: &Path) -> bool {
    let made_for = fs::read_to_string(folder.join(MARK)).ok();
    made_for.is_some() && made_for == version()
}

/// Builds the toolchain in `folder`.
pub(super) fn make(folder: &Path) -> Result<()> {
    install(&PACKAGES)?;
    let compiler = version().context("Debian's rustc is installed but does not run")?;
    let host = field(&compiler, "host: ").context("rustc -vV does not name its host")?;
    let linker = linker(&compiler, host)?;
    let libraries = progress::step(
        "compiling Rust's standard library",
        "Debian has none for wasm32",
        "1 min",
        compile,
    )?;
    lay_out(folder, host, &linker, &libraries)?;
    fs::remove_dir_all(project::tools().join(EMPTY))?;
    // Written last, so that a toolchain with the mark is complete.
    fs::write(folder.join(MARK), compiler)?;
    Ok(())
}

/// Returns what Debian's rustc prints as its version.
fn version() -> Option<String> {
    process::answer(
        Command::new(Path::new(BIN).join("rustc"))
            .arg("-vV")
            .env_remove("LD_LIBRARY_PATH"),
    )
}

fn field<'a>(version: &'a str, name: &str) -> Option<&'a str> {
    version.lines().find_map(|line| line.strip_prefix(name))
}

/// Installs the packages that are missing.
fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<_> = packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("apt-get install {}", missing.join(" "));
    let Some(apt) = apt() else {
        bail!("`{what}` needs root: run it yourself, after apt-get update, and then this command again");
    };
    progress::step(&what, "a compiler for wasm32", "1 min, once", || {
        process::quietly(apt().arg("update"))?;
        process::quietly(
            apt()
                .args(["install", "-y", "--no-install-recommends"])
                .args(&missing),
        )
    })
}

fn is_installed(package: &str) -> bool {
    let status = process::answer(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]));
    status.as_deref() == Some("installed")
}

/// Returns a command for apt-get with the required rights, if that is possible without a password.
fn apt() -> Option<impl Fn() -> Command> {
    let root = process::answer(Command::new("id").arg("-u")).as_deref() == Some("0");
    let sudo = !root && process::answer(Command::new("sudo").args(["-n", "true"])).is_some();
    (root || sudo).then_some(move || {
        let mut command = process::command(if sudo { "sudo" } else { "apt-get" });
        if sudo {
            command.args(["-n", "apt-get"]);
        }
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    })
}

/// Returns a linker for wasm. rustup's toolchains include one. Debian's is in the package of the compiler's
/// LLVM.
fn linker(compiler: &str, host: &str) -> Result<PathBuf> {
    if let Some(sysroot) = process::answer(process::command("rustc").args(["--print", "sysroot"])) {
        let linker = Path::new(&sysroot)
            .join("lib/rustlib")
            .join(host)
            .join("bin/rust-lld");
        if linker.is_file() {
            return Ok(linker);
        }
    }
    let llvm = field(compiler, "LLVM version: ").and_then(|version| version.split('.').next());
    let package = format!("lld-{}", llvm.context("rustc -vV does not name its LLVM")?);
    install(&[&package])?;
    Ok(Path::new(BIN).join(package))
}

/// Compiles the standard library and returns its files.
fn compile() -> Result<Vec<PathBuf>> {
    let work = project::tools().join(EMPTY);
    fs::create_dir_all(work.join("src"))?;
    let manifest = format!("[package]\nname = \"{EMPTY}\"\nedition = \"2024\"\n\n[workspace]\n");
    fs::write(work.join("Cargo.toml"), manifest)?;
    fs::write(work.join("src/lib.rs"), "#![no_std]\n")?;
    let mut cargo = process::command(Path::new(BIN).join("cargo"));
    cargo
        .current_dir(&work)
        .args(["build", "--release", "--target", TARGET, BUILD_STD]);
    cargo
        .env("RUSTC", Path::new(BIN).join("rustc"))
        .env("CARGO_TARGET_DIR", work.join("target"));
    // Enables unstable options of a stable compiler, and bitcode, which the optimization of a whole Worker
    // needs.
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Cembed-bitcode=yes");
    cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("LD_LIBRARY_PATH");
    process::quietly(&mut cargo)?;
    let own = format!("lib{}-", EMPTY.replace('-', "_"));
    let mut libraries = Vec::new();
    for entry in fs::read_dir(work.join("target").join(TARGET).join("release/deps"))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.ends_with(".rlib") && !name.starts_with(&own) {
            libraries.push(path);
        }
    }
    Ok(libraries)
}

/// Copies the programs, the host's library and the target's into one folder.
fn lay_out(folder: &Path, host: &str, linker: &Path, libraries: &[PathBuf]) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let bin = folder.join("bin");
    fs::create_dir_all(&bin)?;
    for program in ["cargo", "cargo-clippy", "clippy-driver"] {
        symlink(Path::new(BIN).join(program), bin.join(program))?;
    }
    for program in ["rustc", "rustdoc"] {
        let wrapper = bin.join(program);
        let sysroot = folder.display();
        fs::write(
            &wrapper,
            format!("#!/bin/sh\nexec {BIN}/{program} --sysroot '{sysroot}' \"$@\"\n"),
        )?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    }
    let rustlib = folder.join("lib/rustlib");
    fs::create_dir_all(rustlib.join(host).join("bin"))?;
    symlink(
        Path::new(RUSTLIB).join(host).join("lib"),
        rustlib.join(host).join("lib"),
    )?;
    symlink(linker, rustlib.join(host).join("bin/rust-lld"))?;
    let target = rustlib.join(TARGET).join("lib");
    fs::create_dir_all(&target)?;
    for library in libraries {
        fs::copy(
            library,
            target.join(library.file_name().context("a library has a name")?),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn what_a_compiler_says_about_itself_is_found_by_name() {
        let version = "rustc 1.96.0\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8\n";
        assert_eq!(field(version, "host: "), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(field(version, "LLVM version: "), Some("22.1.8"));
        assert_eq!(field(version, "commit-date: "), None);
    }
}
