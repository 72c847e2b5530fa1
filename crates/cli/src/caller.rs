//! What every command that talks to the server has at hand.

use std::thread;

use crate::client::Client;
use crate::fail_on::FailOn;
use crate::failure::Failure;
use crate::patience::Patience;
use crate::screen::Screen;
use crate::settings::{Flags, Settings};

/// Someone who calls the deployment.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The way to the server.
    pub(crate) client: Client,
    /// The way to the user.
    pub(crate) screen: Screen,
    attempts: u32,
    /// What of the pushes' results fails the command.
    pub(crate) fail_on: Vec<FailOn>,
}

impl Caller {
    /// Finds the settings; warnings about them are told at once.
    ///
    /// # Errors
    /// A setting is missing or at fault.
    pub(crate) fn new(
        flags: &Flags,
        screen: Screen,
        attempts: u32,
        fail_on: Vec<FailOn>,
    ) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let settings = Settings::find(flags, variable, std::env::home_dir())?;
        for warning in &settings.warnings {
            screen.warn(warning);
        }
        Ok(Self {
            client: Client::new(&settings),
            screen,
            attempts,
            fail_on,
        })
    }

    /// The attempts that the user grants.
    pub(crate) const fn patience(&self) -> Patience {
        Patience::new(self.attempts)
    }

    /// Does what can safely be repeated, until it succeeds or the patience ends.
    ///
    /// # Errors
    /// The last attempt's.
    pub(crate) fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let mut patience = self.patience();
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(failure) => self.wait(&mut patience, failure)?,
            }
        }
    }

    /// Waits for the next attempt, and says what for.
    ///
    /// # Errors
    /// The failure, if there is to be none.
    pub(crate) fn wait(&self, patience: &mut Patience, failure: Failure) -> Result<(), Failure> {
        let told = failure.to_string();
        let wait = patience.wait(failure)?;
        self.screen
            .note(&format!("{told}\ntrying again in {:.1} s", wait.as_secs_f32()));
        thread::sleep(wait);
        Ok(())
    }
}
