//! Prints a message when Ctrl-C ends the command.

use std::sync::{Arc, Mutex, PoisonError};

use crate::exit::INTERRUPTED;

/// The message of a command that Ctrl-C ends.
#[derive(Clone, Debug)]
pub(crate) struct InterruptMessage(Arc<Mutex<String>>);

impl InterruptMessage {
    /// Sets the message that Ctrl-C prints from now on.
    pub(crate) fn new(words: String) -> Self {
        let message = Self(Arc::new(Mutex::new(words)));
        let last = message.clone();
        // Without a handler, Ctrl-C ends the command without a message.
        let _ = ctrlc::set_handler(move || {
            eprintln!("\n{}", last.0.lock().unwrap_or_else(PoisonError::into_inner));
            std::process::exit(INTERRUPTED);
        });
        message
    }

    /// Replaces the message.
    pub(crate) fn set(&self, words: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }
}
