//! Renders the lines of a run's batch from the devices of an audience.

use serde_json::Value;

use super::compiled::CompiledCampaign;
use crate::config::App;
use crate::ndjson::{described, too_long};
use crate::problem::Problem;
use crate::send_request::DeviceReader;
use crate::upload::{BatchHeader, MAX_CHUNK_BYTES, MAX_CHUNK_PUSHES, MAX_LINE, read_device};
use apns::DeviceToken;
use apns::fault::{self, Faults, Pointer, WarningSummary};
use apns::time::Timestamp;
use batch::LeftOut;
use campaign::template::{Recipient, Unrendered};

/// Renders the chunks of a run.
pub struct ChunkRenderer<'c> {
    compiled: CompiledCampaign<'c>,
    reader: DeviceReader,
}

/// The devices of a run that are sent together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderedChunk {
    /// One line per device, each ended by `\n`, at most [`MAX_CHUNK_BYTES`] in all.
    pub body: String,
    /// The number of lines, at most [`MAX_CHUNK_PUSHES`].
    pub pushes: u32,
    /// The number of devices to which nothing can be sent, by reason.
    pub left_out: LeftOut,
    /// The faults of the first [`MAX_PROBLEMS`] of them.
    pub problems: Vec<String>,
    /// The indices of the devices that have a line.
    pub indices: Vec<usize>,
    /// The number of devices that were handled. The next chunk begins after them.
    pub taken: usize,
}

impl<'c> ChunkRenderer<'c> {
    /// Creates a renderer for a run of the campaign with this document, which sends as `app`. Relative times
    /// count from `moment`.
    ///
    /// # Errors
    /// 422 if nothing can be sent, for example because an expiration is over or the app has changed.
    pub fn new(document: &Value, app: &'c App, moment: Timestamp) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        let map = fault::open_object(document, &Pointer::Root, &mut faults);
        let compiled = map.and_then(|map| CompiledCampaign::read(map, app, moment, &mut faults));
        match faults.or(compiled).map_err(Problem::invalid)? {
            Some(compiled) => Ok(Self {
                reader: DeviceReader::new(Some(compiled.notification.clone()), compiled.is_strict),
                compiled,
            }),
            None => Err(Problem::invalid(Faults::default())),
        }
    }

    /// Returns the header of the batch.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader<'c> {
        &self.compiled.header
    }

    /// The warnings about the notification, with samples for the variables.
    #[must_use]
    pub const fn warnings(&self) -> &WarningSummary {
        &self.compiled.warnings
    }

    /// Renders a chunk from the first recipients, as many as fit and at least one.
    pub fn render(&mut self, recipients: &[Recipient<'_>]) -> RenderedChunk {
        let mut chunk = RenderedChunk::default();
        for (place, recipient) in recipients.iter().enumerate() {
            if chunk.pushes >= MAX_CHUNK_PUSHES {
                break;
            }
            match self.line(recipient) {
                Ok(line) if chunk.body.len() + line.len() >= MAX_CHUNK_BYTES => break,
                Ok(line) => {
                    chunk.body.push_str(&line);
                    chunk.body.push('\n');
                    chunk.pushes += 1;
                    chunk.indices.push(place);
                }
                Err(refusal) => {
                    let problem = refusal.count(&mut chunk.left_out);
                    if chunk.problems.len() < MAX_PROBLEMS {
                        chunk.problems.push(format!("{}: {problem}", name_of(recipient)));
                    }
                }
            }
            chunk.taken += 1;
        }
        chunk
    }

    /// Renders the line of a device, or returns its first fault.
    fn line(&mut self, recipient: &Recipient<'_>) -> Result<String, Refusal> {
        let line = self.compiled.line(recipient).map_err(Refusal::Unrendered)?;
        let line = serde_json::to_string(&line).unwrap_or_default();
        let read = if line.len() > MAX_LINE {
            Err(too_long(line.len(), MAX_LINE))
        } else {
            read_device(line.as_bytes(), 0, &mut self.reader)
        };
        match read {
            Ok(_) => Ok(line),
            Err(faults) => {
                let faults = faults.listed().iter().chain(self.reader.faults().listed());
                Err(Refusal::Fault(faults.map(described).next().unwrap_or_default()))
            }
        }
    }
}

/// Why a device has no line.
enum Refusal {
    /// Its texts could not be rendered.
    Unrendered(Unrendered),
    /// Its line has a fault.
    Fault(String),
}

impl Refusal {
    /// Counts the device, and returns its fault.
    fn count(self, left_out: &mut LeftOut) -> String {
        if let Self::Unrendered(Unrendered::Missing(name)) = &self {
            left_out.add_missing(name, 1);
        } else {
            left_out.invalid = left_out.invalid.saturating_add(1);
        }
        match self {
            Self::Unrendered(error) => error.to_string(),
            Self::Fault(fault) => fault,
        }
    }
}

/// Describes a device for the log, without its token, and without its `ref`, which may be a person's name.
fn name_of(recipient: &Recipient<'_>) -> String {
    DeviceToken::parse(recipient.token).map_or_else(|_| "…".to_owned(), |token| token.hint())
}

/// The most left-out devices per chunk that are reported: enough to see why.
pub const MAX_PROBLEMS: usize = 5;
