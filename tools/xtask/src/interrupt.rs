//! Ctrl-C: the first one asks the running command to stop, including what it started. The second one ends at
//! once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit code of a program that was interrupted twice, as shells define it.
const INTERRUPTED: i32 = 130;

/// The interval at which a wait checks for an interruption.
const POLL: Duration = Duration::from_millis(50);

/// Whether the user asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches Ctrl-C (and SIGTERM) from now on.
    pub(crate) fn catch() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag unset, and sets it.
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    /// Returns an error if the user asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Waits a moment, for polling.
    pub(crate) fn pause(&self) -> Result<()> {
        thread::sleep(POLL);
        self.check()
    }

    /// Waits until the user asks to stop.
    pub(crate) fn wait(&self) {
        while self.pause().is_ok() {}
    }
}
