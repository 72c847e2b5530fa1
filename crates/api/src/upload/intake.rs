//! Reads the devices of an upload one after another: validates each, and adds it to a chunk or reports its
//! faults.

use bytes::Bytes;

use super::chunker::Chunker;
use super::header::BatchHeader;
use super::recent::Recent;
use super::{Finished, InvalidLine, MAX_LINE, Staged};

use crate::ndjson::{self, Line};
use crate::problem::{LineFaults, Problem};
use crate::send_request::{DeviceReader, FastDevice};
use apns::fault::{Fault, FaultKind, Faults, Pointer};
use apns::{DeviceToken, Notification};

/// The state of reading the devices after a header.
pub(super) struct Intake<'c> {
    header: BatchHeader<'c>,
    reader: DeviceReader,
    chunker: Chunker,
    recent: Recent,
    /// Whether devices with faults are left out, or reject the batch.
    skip: bool,
    max_pushes: u32,
    /// The number of devices.
    devices: u32,
    /// The number of devices with faults.
    invalid: u32,
    /// Their faults. For a device that is left out, only its first one.
    faults: LineFaults,
}

impl<'c> Intake<'c> {
    /// Creates the reader of the devices after `header`. With `skip`, devices with faults are left out. With
    /// `is_strict`, warnings are faults.
    pub(super) fn new(
        header: BatchHeader<'c>,
        notification: Notification,
        (skip, is_strict): (bool, bool),
        max_pushes: u32,
    ) -> Self {
        Self {
            header,
            reader: DeviceReader::new(Some(notification), is_strict),
            chunker: Chunker::default(),
            recent: Recent::default(),
            skip,
            max_pushes,
            devices: 0,
            invalid: 0,
            faults: LineFaults::default(),
        }
    }

    pub(super) const fn header(&self) -> &BatchHeader<'c> {
        &self.header
    }

    pub(super) fn take_staged(&mut self) -> Vec<Staged> {
        self.chunker.take()
    }

    /// Reads the device of a line. Ignores a blank line.
    pub(super) fn take_line(&mut self, line: &Line<'_>) -> Result<(), Problem> {
        match line.text {
            Some([]) => Ok(()),
            text => self.take(line.number, line.size, text),
        }
    }

    /// Reads a device of `size` bytes at line `line`. Its `text` is one line, or `None` if it is too long to
    /// be kept.
    ///
    /// An error rejects the batch and ends it.
    pub(super) fn take(&mut self, line: u32, size: usize, text: Option<&[u8]>) -> Result<(), Problem> {
        let device = self.devices;
        self.devices = self.devices.saturating_add(1);
        let text = text.filter(|_| size <= MAX_LINE);
        let read = match text {
            Some(text) => read_device(text, line, &mut self.reader),
            None => Err(ndjson::too_long(size, MAX_LINE)),
        };
        if !self.reader.faults().is_empty() {
            // Without a valid shared payload, nothing can be sent.
            let faults = self.reader.faults().clone();
            return Err(Problem::invalid_lines(faults, std::mem::take(&mut self.faults)));
        }
        match read {
            Ok((text, token, content)) => self.stage(text, &token, &content),
            Err(faults) => {
                self.note(line, device, &faults);
                Ok(())
            }
        }
    }

    fn stage(&mut self, line: &str, token: &DeviceToken, content: &Bytes) -> Result<(), Problem> {
        if self.is_refused() {
            return Ok(());
        }
        if self.chunker.pushes() >= self.max_pushes {
            let text = format!("are more than {}, the most of one batch", self.max_pushes);
            return Err(of_devices(text, LineFaults::default()));
        }
        let duplicate_of = self.recent.note(token, content, self.chunker.pushes());
        self.chunker.add(line, duplicate_of);
        Ok(())
    }

    /// Records the faults of a device.
    fn note(&mut self, line: u32, device: u32, faults: &Faults) {
        self.invalid = self.invalid.saturating_add(1);
        if self.skip {
            if let Some(fault) = faults.listed().first() {
                self.faults.push(line, fault.clone());
            }
            return;
        }
        self.chunker = Chunker::default();
        for fault in faults.listed() {
            let pointer = format!("/devices/{device}{}", fault.pointer);
            let kind = fault.kind.clone();
            self.faults.push(line, Fault { pointer, kind });
        }
        self.faults.count(faults.len() - faults.listed().len());
    }

    /// Whether the batch will be rejected, so that the rest is read only for its faults.
    const fn is_refused(&self) -> bool {
        !self.skip && self.invalid > 0
    }

    /// Ends the upload. `sha256` is the hash of its body.
    pub(super) fn finish(self, sha256: [u8; 32]) -> Result<Finished<'c>, Problem> {
        if self.is_refused() {
            return Err(Problem::invalid_lines(Faults::default(), self.faults));
        }
        let pushes = self.chunker.pushes();
        if pushes == 0 {
            let text = if self.invalid == 0 {
                "names no device"
            } else {
                "names no device without faults"
            };
            return Err(of_devices(text.to_owned(), self.faults));
        }
        let mut header = self.header;
        if self.reader.has_own_payload() {
            header.note_own_payload();
        }
        let duplicates = self.chunker.duplicates();
        let invalid_lines = self.faults.listed().iter().map(InvalidLine::from);
        Ok(Finished {
            invalid_lines: invalid_lines.collect(),
            invalid_kinds: self.faults.kinds(),
            header,
            staged: self.chunker.finish(),
            pushes,
            duplicates,
            invalid: self.invalid,
            warnings: self.reader.into_warnings(),
            sha256,
        })
    }
}

/// Reads the device in line `line`: its text, its token and its content. If the reader itself has faults, the
/// returned faults may be empty.
pub(crate) fn read_device<'l>(
    text: &'l [u8],
    line: u32,
    reader: &mut DeviceReader,
) -> Result<(&'l str, DeviceToken, Bytes), Faults> {
    if let Ok(utf8) = std::str::from_utf8(text)
        && let Some(device) = FastDevice::of_line(text)
        && let Some(device) = reader.read_fast(device, line)
    {
        let (token, content) = device.into_parts();
        return Ok((utf8, token, content));
    }
    let mut faults = Faults::default();
    let value = ndjson::value(text, &Pointer::Root)?;
    let device = reader.read(&value, line, &Pointer::Root, &mut faults);
    let device = faults.or(device)?;
    // A line whose texts were all parsed is valid UTF-8. Without a device, the reader has faults.
    let text = std::str::from_utf8(text).ok();
    let (text, device) = text.zip(device).ok_or_else(Faults::default)?;
    let (token, content) = device.into_parts();
    Ok((text, token, content))
}

/// Returns the problem of the devices as a whole.
fn of_devices(text: String, lines: LineFaults) -> Problem {
    let root = Pointer::Root;
    let mut faults = Faults::default();
    faults.add(&root.key("devices"), FaultKind::Invalid(text));
    Problem::invalid_lines(faults, lines)
}
