//! The memory of the Worker's isolate, as V8 reports it: heap, objects outside it, and buffers. A Node
//! program polls the inspector. The Worker itself logs the wasm memory.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::project;
use crate::sender::process;

/// The timeout of an answer. The isolate answers between its own tasks.
const PATIENCE: Duration = Duration::from_secs(30);

/// Polls the isolate until it is stopped.
pub(super) struct Isolate {
    child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Isolate {
    /// Starts polling through the inspector at a port.
    pub(super) fn watch(node: &Path, inspector: u16) -> Result<Self> {
        let script = project::root().join("tools").join("bench").join("isolate.mjs");
        let mut command = Command::new(node);
        command
            .arg(script)
            .arg(inspector.to_string())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true);
        let mut child = process::spawn(&mut command)?;
        let input = child.stdin.take().context("no input")?;
        let output = child.stdout.take().context("no output")?;
        let answers = BufReader::new(output).lines();
        Ok(Self {
            child,
            input,
            answers,
        })
    }

    /// Returns the maximum since the last call, in bytes.
    pub(super) async fn most(&mut self) -> Result<u64> {
        self.input.write_all(b"\n").await?;
        let answer = timeout(PATIENCE, self.answers.next_line()).await;
        let answer = answer.context("the inspector does not answer")??;
        let bytes = answer.context("whoever asks the inspector has ended")?;
        Ok(bytes.parse()?)
    }

    /// Stops polling.
    pub(super) async fn stop(self) -> Result<()> {
        process::stop(self.child, Some(self.input)).await
    }
}
