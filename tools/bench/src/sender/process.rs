//! A sender's program. It ends when its standard input does, and so whenever this process ends.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// How long a program may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Starts a program with a pipe as its standard input.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    command.stdin(Stdio::piped());
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command
        .spawn()
        .with_context(|| format!("{program} cannot be started"))
}

/// Closes a program's standard input and waits for its end.
pub(crate) async fn stop(mut child: Child, input: Option<ChildStdin>) -> Result<()> {
    drop(input);
    drop(child.stdin.take());
    if timeout(GRACE, child.wait()).await.is_err() {
        child.kill().await?;
        bail!("it did not end by itself");
    }
    Ok(())
}
