//! Announces slow steps in one line: what, why, and about how long, then how long it took.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// A step that ends sooner is not announced.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs a step, and announces it on stderr if it is slow.
///
/// `what` names the step and `why` its purpose. `about` is the expected duration on a two-core machine.
pub(crate) fn step<T>(what: &str, why: &str, about: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    thread::scope(|scope| {
        let started = Instant::now();
        let (end, ended) = mpsc::channel::<()>();
        let announcer = scope.spawn(move || {
            let slow = ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
            if slow {
                eprintln!("> {what} - {why} ({about})");
            }
            slow
        });
        let done = work()?;
        drop(end);
        if announcer.join().unwrap_or_default() {
            eprintln!("  done in {:.0} s", started.elapsed().as_secs_f32());
        }
        Ok(done)
    })
}
