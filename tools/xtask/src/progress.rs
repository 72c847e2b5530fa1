//! One line for each slow step: what is done, why, about how long; then how long it took.

use std::time::Instant;

use anyhow::Result;

/// Does a slow step, telling the developer about it on stderr.
///
/// `what` names the step and `why` what it is for; `about` is the expected duration on a two-core machine.
pub(crate) fn step<T>(what: &str, why: &str, about: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("> {what} - {why} ({about})");
    let started = Instant::now();
    let done = work()?;
    eprintln!("  done in {:.0} s", started.elapsed().as_secs_f32());
    Ok(done)
}
