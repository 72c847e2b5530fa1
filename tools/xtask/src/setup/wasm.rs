//! A Rust compiler for wasm32-unknown-unknown.
//!
//! Usually it is the developer's own, for which rustup installs the target in seconds. Where rustup's
//! downloads are not reachable, Debian's Rust is used, with a standard library that is compiled here
//! ([`debian`]).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::{process, progress, project};

mod debian;

/// The target that Cloudflare runs.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// How long rustup may take when there is another way. It needs about 3 s, but without a network it would
/// retry for minutes.
const RUSTUP_LIMIT: Duration = Duration::from_secs(20);

/// The compiler for wasm32.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The one that compiles everything else.
    Usual,
    /// The one that was built here, in this folder.
    Own(PathBuf),
}

impl Toolchain {
    /// Returns a command with this toolchain's cargo, rustc and clippy first in its PATH, and with wasm32's
    /// own target folder.
    ///
    /// `path` is the PATH to extend.
    pub(crate) fn command(&self, program: impl AsRef<Path>, path: &std::ffi::OsStr) -> Result<Command> {
        let mut command = process::command(program);
        command.env("CARGO_TARGET_DIR", project::wasm_target());
        // As worker-build sets it, because cargo would compile again for each different value.
        command.env("WASM_BINDGEN_USE_JS_SYS", "1");
        match self {
            Self::Usual => {
                command.env("PATH", path);
            }
            Self::Own(folder) => {
                let bin = folder.join("bin");
                // SYSROOT is for clippy, which is a compiler of its own and does not use the wrapper in this
                // folder.
                command
                    .env("RUSTC", bin.join("rustc"))
                    .env("RUSTDOC", bin.join("rustdoc"))
                    .env("SYSROOT", folder);
                command.env(
                    "PATH",
                    std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(path)))?,
                );
                // Both refer to the compiler that compiled this program.
                command
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("LD_LIBRARY_PATH");
            }
        }
        Ok(command)
    }

    /// Returns the path of the cargo to run. A bare name would be looked up in the PATH of this process.
    pub(crate) fn cargo(&self) -> PathBuf {
        match self {
            Self::Usual => std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
            Self::Own(folder) => folder.join("bin").join("cargo"),
        }
    }
}

/// Finds a compiler for wasm32, or builds one.
pub(crate) fn ready() -> Result<Toolchain> {
    if has_target() {
        return Ok(Toolchain::Usual);
    }
    let own = project::tools().join("rust-wasm");
    if debian::is_complete(&own) {
        return Ok(Toolchain::Own(own));
    }
    let another_way = process::exists("apt-get");
    if process::exists("rustup") {
        let what = format!("rustup target add {TARGET}");
        let limit = if another_way { RUSTUP_LIMIT } else { Duration::MAX };
        progress::step(&what, "the compiler's library for wasm32", "5 s", || {
            process::succeeds_within(process::command("rustup").args(["target", "add", TARGET]), limit);
            Ok(())
        })?;
        if has_target() {
            return Ok(Toolchain::Usual);
        }
        eprintln!("rustup has no way to the library for wasm32; taking Debian's");
    }
    if !another_way {
        bail!(
            "this Rust has no library for {TARGET}: add it with `rustup target add {TARGET}` or your system's packages"
        );
    }
    debian::make(&own)?;
    Ok(Toolchain::Own(own))
}

/// Whether the developer's rustc has the target's library.
fn has_target() -> bool {
    let folder =
        process::answer(process::command("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    folder.is_some_and(|folder| Path::new(&folder).is_dir())
}
