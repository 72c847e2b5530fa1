//! `apns-edge batch watch`: shows the progress of a batch, until it ends or is paused.
//!
//! The server sends it as a stream of events. If a stream breaks, a new one is opened, and its first event
//! has the current status.

use std::io::BufReader;

use clap::Args;
use documents::batch::BatchState;
use indicatif::ProgressBar;

use super::{BatchId, Document};
use crate::events::Events;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::InterruptMessage;
use crate::session::Session;
use crate::ticker::Ticker;

/// Show the progress of a batch until it has ended, and then its results
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The batch
    #[arg(value_name = "ID")]
    id: BatchId,
}

impl Watch {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let _message = InterruptMessage::new(interrupt_message(&self.id));
        Ok(watch(session, &self.id, &resume(&self.id))?.exit(&session.fail_on))
    }
}

/// Returns the message for an interrupted command.
pub(super) fn interrupt_message(id: &BatchId) -> String {
    format!("The batch goes on without you. Watch it again with: apns-edge batch watch {id}")
}

/// Returns the command that resumes a paused batch.
pub(super) fn resume(id: &BatchId) -> String {
    format!("apns-edge batch resume {id}")
}

/// Watches until the batch has ended or is paused, and returns its last document. `resume` is the command
/// that resumes it.
///
/// # Errors
/// The server does not answer, or its answer cannot be read.
pub(crate) fn watch(session: &Session, id: &BatchId, resume: &str) -> Result<Document, Failure> {
    let mut policy = session.retry_policy();
    let mut view = View {
        session,
        bar: None,
        last: String::new(),
        lines: Ticker::at_once(session.output),
        resume,
    };
    loop {
        let failure = match session.client.events(&format!("{}/events", id.path())) {
            Ok(stream) => {
                let mut broken = session.client.broken("the stream of events ended too early");
                for event in Events::new(BufReader::new(stream)) {
                    match event {
                        Ok(event) => {
                            policy.renew();
                            if let Some(last) = view.show(&event.data)? {
                                return Ok(last);
                            }
                        }
                        Err(error) => broken = session.client.broken(error.to_string()),
                    }
                }
                broken
            }
            Err(failure) => failure,
        };
        view.clear();
        session.wait(&mut policy, failure)?;
    }
}

/// The display of a batch.
struct View<'c> {
    session: &'c Session,
    bar: Option<ProgressBar>,
    last: String,
    lines: Ticker,
    resume: &'c str,
}

impl View<'_> {
    /// Shows the document. Returns it if it is the last one.
    fn show(&mut self, text: &str) -> Result<Option<Document>, Failure> {
        let document = Document::read(text).map_err(|error| self.session.client.unreadable(error))?;
        let is_last = document.is_over() || *document.state() == BatchState::Paused;
        if is_last {
            self.clear();
        } else {
            self.draw(&document);
        }
        // The first event of a new stream may repeat the last one of the old stream.
        if is_last || (self.session.output.is_json() && self.last != text) {
            self.session.output.result(text, || document.to_text())?;
        }
        text.clone_into(&mut self.last);
        if *document.state() == BatchState::Paused {
            self.session.output.note(&format!("go on with: {}", self.resume));
        }
        Ok(is_last.then_some(document))
    }

    fn draw(&mut self, document: &Document) {
        let output = self.session.output;
        let bar = self
            .bar
            .get_or_insert_with(|| output.bar(Some(document.pushes()), BAR, BAR));
        self.lines.print(|| document.progress());
        bar.set_length(document.pushes());
        bar.set_position(document.settled());
        bar.set_message(document.activity());
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// The bar of the pushes. Speed and remaining time come from the server.
const BAR: &str = "{bar:40} {human_pos} of {human_len} pushes, {msg}";
