//! Ctrl-C: the first asks the running command to stop, which then also stops what it started; the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit status of a program that was interrupted twice, as shells number it.
const INTERRUPTED: i32 = 130;

/// How soon a wait notices an interruption.
const POLL: Duration = Duration::from_millis(50);

/// Whether somebody asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on, Ctrl-C (or a request to terminate) is for the caller to act on.
    pub(crate) fn catch() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset, and sets it.
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    /// An error if somebody asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Waits a moment between two looks at something.
    pub(crate) fn pause(&self) -> Result<()> {
        thread::sleep(POLL);
        self.check()
    }

    /// Waits until somebody asks to stop.
    pub(crate) fn wait(&self) {
        while self.pause().is_ok() {}
    }
}
