//! Ctrl-C: what it leaves behind is said before the command ends.

use std::sync::{Arc, Mutex, PoisonError};

use crate::exit::INTERRUPTED;

/// The last words of a command that Ctrl-C ends.
#[derive(Clone, Debug)]
pub(crate) struct Farewell(Arc<Mutex<String>>);

impl Farewell {
    /// From now on Ctrl-C ends the command with these words.
    pub(crate) fn new(words: String) -> Self {
        let farewell = Self(Arc::new(Mutex::new(words)));
        let last = farewell.clone();
        // Without a handler Ctrl-C ends the command as it always does, in silence.
        let _ = ctrlc::set_handler(move || {
            eprintln!("\n{}", last.0.lock().unwrap_or_else(PoisonError::into_inner));
            std::process::exit(INTERRUPTED);
        });
        farewell
    }

    /// Things have moved on: these are the words now.
    pub(crate) fn set(&self, words: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }
}
