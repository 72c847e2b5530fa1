//! One line for each slow step: what is done, why, about how long; then how long it took.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// What ends sooner is not spoken of: there was nothing to do.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does a step, and tells the developer about it on stderr if it is slow.
///
/// `what` names the step and `why` what it is for; `about` is the expected duration on a two-core machine.
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
