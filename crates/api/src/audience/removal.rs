//! Reads the devices to remove: lines of `{"token": ..}` or `{"ref": ..}`.

use serde_json::Value;

use super::MAX_LINE;
use super::documents::Tally;
use super::fields::{self, note};
use super::intake::{Notes, has_first_line};
use super::shard_router::{MAX_DEVICES, ShardBatch};
use crate::media::Evident;
use crate::ndjson::{self, Line, Lines};
use crate::problem::Problem;
use apns::fault::{self, FaultKind, Faults, Pointer};
use campaign::audience::{Command, shard_of};

/// The reader of `DELETE /v1/audiences/{name}/devices`, which is fed with the body's bytes.
///
/// A token belongs to one shard. The devices with a `ref` may be in any shard, so a `ref` is sent to all of
/// them.
pub struct Removal {
    /// The beginning of a body whose first line has not ended. `None` after that.
    start: Option<Vec<u8>>,
    lines: Lines,
    /// The queued tokens, by shard.
    tokens: Vec<Vec<String>>,
    refs: Vec<String>,
    notes: Notes,
    ready: Vec<ShardBatch>,
    /// Whether no line was read.
    is_empty: bool,
}

enum Named {
    Token(String),
    Reference(String),
}

impl Removal {
    /// Creates the reader for an audience with this number of shards.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        Self {
            start: Some(Vec::new()),
            lines: Lines::default(),
            tokens: (0..shards).map(|_| Vec::new()).collect(),
            refs: Vec::new(),
            notes: Notes::default(),
            ready: Vec::new(),
            is_empty: true,
        }
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// 422 if the body does not contain lines of devices. The rest need not be sent.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let Some(start) = &mut self.start else {
            self.read(bytes);
            return Ok(());
        };
        start.extend_from_slice(bytes);
        if has_first_line(start) {
            self.begin()
        } else {
            Ok(())
        }
    }

    /// Checks the start of the body, if that was not done yet.
    fn begin(&mut self) -> Result<(), Problem> {
        let Some(start) = self.start.take() else {
            return Ok(());
        };
        if let Some(text) = Evident::of(&start).and_then(Evident::instead_of_lines) {
            return Err(ndjson::refused(text));
        }
        self.read(&start);
        Ok(())
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut lines = std::mem::take(&mut self.lines);
        for piece in ndjson::pieces_of(bytes) {
            if let Some(line) = lines.take(piece, MAX_LINE) {
                self.take_line(&line);
            }
        }
        self.lines = lines;
    }

    /// Returns the batches for shards since the last call.
    pub fn take_ready(&mut self) -> Vec<ShardBatch> {
        std::mem::take(&mut self.ready)
    }

    /// Ends the body. Returns the last batches, and the tally, to which the shards' replies must be added.
    ///
    /// # Errors
    /// The error of [`Removal::feed`].
    pub fn finish(mut self) -> Result<(Vec<ShardBatch>, Tally), Problem> {
        self.begin()?;
        let mut lines = std::mem::take(&mut self.lines);
        if let Some(line) = lines.last() {
            self.take_line(&line);
        }
        if self.is_empty {
            return Err(ndjson::refused(FORM));
        }
        self.notes.check().map_err(|problem| {
            let told = problem.detail();
            ndjson::refused(&format!("{FORM}; {told}"))
        })?;
        self.ship_all();
        Ok((self.ready, self.notes.tally()))
    }

    fn take_line(&mut self, line: &Line<'_>) {
        let read = match line.text {
            Some([]) => return,
            Some(text) => read_line(text).map(Some),
            None => Err(ndjson::too_long(line.size, MAX_LINE)),
        };
        self.is_empty = false;
        match self.notes.note(line.number, read) {
            None => {}
            Some(Named::Token(token)) => self.add_token(token),
            Some(Named::Reference(reference)) => {
                self.refs.push(reference);
                if self.refs.len() >= MAX_DEVICES {
                    self.ship_all();
                }
            }
        }
    }

    fn add_token(&mut self, token: String) {
        let shard = shard_of(&token, u32::try_from(self.tokens.len()).unwrap_or(u32::MAX));
        let place = usize::try_from(shard).unwrap_or(usize::MAX);
        let Some(tokens) = self.tokens.get_mut(place) else {
            return;
        };
        tokens.push(token);
        if tokens.len() >= MAX_DEVICES {
            let command = Command::Remove {
                tokens: std::mem::take(tokens),
                refs: Vec::new(),
            };
            self.ready.push(ShardBatch { shard, command });
        }
    }

    /// Completes a batch for each shard.
    fn ship_all(&mut self) {
        let refs = std::mem::take(&mut self.refs);
        for (tokens, shard) in self.tokens.iter_mut().zip(0..) {
            if tokens.is_empty() && refs.is_empty() {
                continue;
            }
            let command = Command::Remove {
                tokens: std::mem::take(tokens),
                refs: refs.clone(),
            };
            self.ready.push(ShardBatch { shard, command });
        }
    }
}

/// The fault of a body without devices.
const FORM: &str = "names no device; send a line for each, as `{\"token\": \"...\"}` or `{\"ref\": \"...\"}`";

fn read_line(text: &[u8]) -> Result<Named, Faults> {
    let value = ndjson::value(text, &Pointer::Root)?;
    let (root, mut faults) = (Pointer::Root, Faults::default());
    let named = named(&value, &root, &mut faults);
    match faults.or(named)? {
        Some(named) => Ok(named),
        // A missing device always has faults.
        None => Err(ndjson::of_line(FaultKind::Missing)),
    }
}

fn named(value: &Value, root: &Pointer<'_>, faults: &mut Faults) -> Option<Named> {
    if let Value::String(text) = value {
        return note(fields::token(text), root, faults).map(Named::Token);
    }
    let map = fault::object(value, root, &["token", "ref"], faults)?;
    match (map.get("token"), map.get("ref")) {
        (Some(value), None) => {
            let at = root.key("token");
            let text = fault::string(value, &at, faults)?;
            note(fields::token(text), &at, faults).map(Named::Token)
        }
        (None, Some(value)) => {
            let at = root.key("ref");
            let text = fault::identifier(value, &at, faults)?;
            note(fields::reference(text.into_owned()), &at, faults).map(Named::Reference)
        }
        _ => {
            let text = "must have either `token` or `ref`, a line for each device";
            faults.add(root, FaultKind::Invalid(text.to_owned()));
            None
        }
    }
}
