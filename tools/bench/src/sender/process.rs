//! A sender's program: it ends when its standard input does, and so whenever this process does.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// How long a program may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// Starts a program with its input piped.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    command.stdin(Stdio::piped());
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command
        .spawn()
        .with_context(|| format!("{program} cannot be started"))
}

/// Closes a program's input and waits for its end.
pub(crate) async fn stop(mut child: Child, input: Option<ChildStdin>) -> Result<()> {
    drop(input);
    drop(child.stdin.take());
    if timeout(GRACE, child.wait()).await.is_err() {
        child.kill().await?;
        bail!("it did not end by itself");
    }
    Ok(())
}
