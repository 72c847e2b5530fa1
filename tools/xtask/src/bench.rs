//! `cargo xtask bench`: prepares what the benchmark needs and runs it. `tools/bench` measures.

use anyhow::{Result, bail};
use clap::Args;

use crate::{build, process, progress, setup};

/// Compare apns-edge with other senders (docs/internals/benchmark.md)
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Options of the benchmark: `--json`, `--pushes N`, `--runs N`, `--only SENDER`, `--memory` ...
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<String>,
}

impl Bench {
    /// Runs the benchmark.
    pub(crate) fn run(&self) -> Result<()> {
        let ready = setup::everything()?;
        build::worker(&ready, build::Quality::Release)?;
        let mut compile = process::cargo();
        compile.args([
            "build",
            "--release",
            "--package",
            "apns-mock",
            "--package",
            "bench",
        ]);
        progress::step(
            "cargo build --release -p apns-mock -p bench",
            "the server and the benchmark",
            "2 min at first",
            || process::quietly(&mut compile),
        )?;
        let mut bench = process::cargo();
        bench.args(["run", "--quiet", "--release", "--package", "bench", "--"]);
        bench.arg("--node").arg(ready.node.binary()).args(&self.options);
        let status = bench.status()?;
        if !status.success() {
            bail!("the benchmark failed with {status}");
        }
        Ok(())
    }
}
