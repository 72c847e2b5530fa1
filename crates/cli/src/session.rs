//! The session of a command that calls the server: client, output and options.

use std::thread;

use crate::client::Client;
use crate::fail_on::FailOn;
use crate::failure::Failure;
use crate::output::Output;
use crate::retry_policy::RetryPolicy;
use crate::settings::{Flags, Settings};

/// The session of a command.
#[derive(Debug)]
pub(crate) struct Session {
    /// The client of the server.
    pub(crate) client: Client,
    /// The output.
    pub(crate) output: Output,
    attempts: u32,
    /// The results of pushes that make the command fail.
    pub(crate) fail_on: Vec<FailOn>,
}

impl Session {
    /// Reads the settings, and prints warnings about them.
    ///
    /// # Errors
    /// A setting is missing or invalid.
    pub(crate) fn new(
        flags: &Flags,
        output: Output,
        attempts: u32,
        fail_on: Vec<FailOn>,
    ) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let settings = Settings::find(flags, variable, std::env::home_dir())?;
        for warning in &settings.warnings {
            output.warn(warning);
        }
        Ok(Self {
            client: Client::new(&settings),
            output,
            attempts,
            fail_on,
        })
    }

    /// Returns the retry policy that the user chose.
    pub(crate) const fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::new(self.attempts)
    }

    /// Executes something that can safely be repeated, until it succeeds or the attempts are used up.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub(crate) fn with_retries<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut policy = self.retry_policy();
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(failure) => self.wait(&mut policy, failure)?,
            }
        }
    }

    /// Waits for the next attempt, and says why.
    ///
    /// # Errors
    /// The failure, if there is no further attempt.
    pub(crate) fn wait(&self, policy: &mut RetryPolicy, failure: Failure) -> Result<(), Failure> {
        let told = failure.to_string();
        let wait = policy.wait(failure)?;
        self.output
            .note(&format!("{told}\ntrying again in {:.1} s", wait.as_secs_f32()));
        thread::sleep(wait);
        Ok(())
    }
}
