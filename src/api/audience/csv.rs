//! Devices in a table: `text/csv`, whose header row has the names of a device's fields.
//!
//! Tags are separated by `;`, and an attribute is a column `attributes.NAME`. A cell with nothing in it is a field that is not
//! there. A cell of an attribute that is a JSON number, `true` or `false` is that, and any other is text. Source: RFC 4180.

use csv_core::{ReadRecordResult, Reader};
use serde_json::Value;

use super::MAX_LINE;
use super::device::{self, FIELDS, MAX_ATTRIBUTES, MAX_TAGS, note};
use crate::api::lines;
use crate::api::problem::{LineFaults, Problem};
use crate::config::App;
use crate::delivery::audience::Device;
use crate::fault::{Fault, FaultKind, Faults, Pointer, nearest};

/// A table that is read as it arrives.
pub(super) struct Table {
    reader: Reader,
    /// What the columns are; none before the header.
    columns: Option<Vec<Column>>,
    /// The cells of the record that is being read, one after the other.
    cells: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// How many bytes of the record there are, kept or not.
    size: usize,
    /// How many cells of it have ended, kept or not.
    count: usize,
    /// How many of the bytes are kept, and how many of the ends.
    kept: (usize, usize),
    /// How many lines have ended.
    ended: u32,
    /// On which line the record begins; none between two records.
    line: Option<u32>,
}

/// A row of a table.
pub(super) struct Record {
    /// The line on which it begins, from 1.
    pub(super) line: u32,
    /// Its size in bytes.
    pub(super) size: usize,
    /// The device in it.
    pub(super) device: Result<Device, Faults>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    /// A field by its name.
    Field(&'static str),
    Attribute(String),
}

impl Default for Table {
    fn default() -> Self {
        Self {
            reader: Reader::new(),
            columns: None,
            cells: vec![0; FIRST_SIZE],
            ends: vec![0; MAX_COLUMNS],
            size: 0,
            count: 0,
            kept: (0, 0),
            ended: 0,
            line: None,
        }
    }
}

impl Table {
    /// Takes the next bytes, and hands out the records that end in them.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        app: &App,
        take: &mut impl FnMut(Record),
    ) -> Result<(), Problem> {
        loop {
            if self.line.is_none() {
                bytes = self.skip_line_ends(bytes);
            }
            // No bytes at all would mean the end of the table.
            if bytes.is_empty() {
                return Ok(());
            }
            let line = self.ended.saturating_add(1);
            self.line.get_or_insert(line);
            bytes = self.read(bytes, app, take)?;
        }
    }

    /// Ends the table.
    pub(super) fn finish(&mut self, app: &App, take: &mut impl FnMut(Record)) -> Result<(), Problem> {
        // The reader needs one call for the record that no line end follows; it may need room for it.
        while self.line.is_some() {
            self.read(&[], app, take)?;
        }
        Ok(())
    }

    /// Reads on in a record; what of the bytes is behind it.
    fn read<'b>(
        &mut self,
        bytes: &'b [u8],
        app: &App,
        take: &mut impl FnMut(Record),
    ) -> Result<&'b [u8], Problem> {
        let (cells, ends) = self.kept;
        let room = self.cells.get_mut(cells..).unwrap_or_default();
        let places = self.ends.get_mut(ends..).unwrap_or_default();
        let (result, read, written, ended) = self.reader.read_record(bytes, room, places);
        self.kept = (cells + written, ends + ended);
        self.size = self.size.saturating_add(written);
        self.count = self.count.saturating_add(ended);
        let (before, behind) = bytes.split_at_checked(read).unwrap_or((bytes, &[]));
        self.count_lines(before);
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull if self.cells.len() <= MAX_LINE => {
                self.cells
                    .resize(self.cells.len().saturating_mul(2).min(MAX_LINE + 1), 0);
            }
            // Nothing of such a record is kept but its size, or the number of its cells.
            ReadRecordResult::OutputFull => self.kept.0 = 0,
            ReadRecordResult::OutputEndsFull => self.kept.1 = 0,
            ReadRecordResult::Record => self.end_record(app, take)?,
            ReadRecordResult::End => self.line = None,
        }
        Ok(behind)
    }

    fn end_record(&mut self, app: &App, take: &mut impl FnMut(Record)) -> Result<(), Problem> {
        let (size, count) = (std::mem::take(&mut self.size), std::mem::take(&mut self.count));
        self.kept = (0, 0);
        let line = self.line.take().unwrap_or(self.ended);
        let Some(columns) = &self.columns else {
            let header = self.cells(size, count).and_then(|cells| read_header(&cells));
            self.columns = Some(header.map_err(|faults| problem(line, &faults))?);
            return Ok(());
        };
        let cells = self.cells(size, count);
        let is_blank = |cells: &Vec<&[u8]>| cells.iter().all(|cell| cell.trim_ascii().is_empty());
        if cells.as_ref().is_ok_and(is_blank) {
            return Ok(());
        }
        let device = cells.and_then(|cells| read_device(columns, &cells, app));
        take(Record { line, size, device });
        Ok(())
    }

    /// The cells of a record of this size.
    fn cells(&self, size: usize, count: usize) -> Result<Vec<&[u8]>, Faults> {
        if size > MAX_LINE {
            return Err(lines::too_long(size, MAX_LINE));
        }
        if count > MAX_COLUMNS {
            let (size, limit, unit) = (count, MAX_COLUMNS, "cells");
            return Err(lines::of_line(FaultKind::TooLong { size, limit, unit }));
        }
        let mut start = 0;
        let ends = self.ends.get(..count).unwrap_or_default();
        let texts = ends.iter().map(|end| {
            let text = self.cells.get(start..*end).unwrap_or_default();
            start = *end;
            text
        });
        Ok(texts.collect())
    }

    /// The bytes from the first on that ends no line.
    fn skip_line_ends<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let count = bytes
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let (ends, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        self.count_lines(ends);
        rest
    }

    fn count_lines(&mut self, bytes: &[u8]) {
        let ended = bytes.iter().filter(|byte| **byte == b'\n').count();
        self.ended = self
            .ended
            .saturating_add(u32::try_from(ended).unwrap_or(u32::MAX));
    }
}

/// What the columns are.
fn read_header(cells: &[&[u8]]) -> Result<Vec<Column>, Faults> {
    let (root, mut faults) = (Pointer::Root, Faults::default());
    let mut columns = Vec::new();
    for cell in cells {
        let name = String::from_utf8_lossy(cell);
        let name = name.trim_start_matches('\u{feff}').trim();
        let column = match name.strip_prefix(ATTRIBUTES) {
            Some(attribute) => {
                let checked = device::is_attribute(attribute, &Value::Bool(true));
                note(checked, &root.key(name), &mut faults);
                Some(Column::Attribute(attribute.to_owned()))
            }
            None => field(name).or_else(|| {
                let nearest = nearest(name, COLUMNS);
                let shown: String = name.chars().take(MAX_SHOWN_NAME).collect();
                faults.add(&root.key(&shown), FaultKind::UnknownField { nearest });
                None
            }),
        };
        if column.as_ref().is_some_and(|column| columns.contains(column)) {
            faults.add(
                &root.key(name),
                FaultKind::Invalid("stands there twice".to_owned()),
            );
        }
        columns.extend(column);
    }
    if !columns.contains(&Column::Field("token")) {
        faults.add(&root.key("token"), FaultKind::Missing);
    }
    let attributes = columns
        .iter()
        .filter(|column| matches!(column, Column::Attribute(_)));
    note(
        device::are_few(attributes.count(), MAX_ATTRIBUTES, "attributes"),
        &root,
        &mut faults,
    );
    faults.or(columns)
}

fn field(name: &str) -> Option<Column> {
    let known = FIELDS
        .iter()
        .find(|field| **field == name && name != "attributes");
    known.map(|field| Column::Field(field))
}

fn read_device(columns: &[Column], cells: &[&[u8]], app: &App) -> Result<Device, Faults> {
    if cells.len() != columns.len() {
        let text = format!("has {} cells, and the header has {}", cells.len(), columns.len());
        return Err(lines::of_line(FaultKind::Invalid(text)));
    }
    let (root, mut faults) = (Pointer::Root, Faults::default());
    let mut device = Device::new(String::new());
    for (column, cell) in columns.iter().zip(cells) {
        let (parent, name) = match column {
            Column::Field(name) => (root, *name),
            Column::Attribute(name) => (root.key("attributes"), name.as_str()),
        };
        let at = parent.key(name);
        let Ok(text) = std::str::from_utf8(cell) else {
            faults.add(&at, FaultKind::Invalid("is not UTF-8".to_owned()));
            continue;
        };
        let read = match column {
            Column::Attribute(_) if text.is_empty() => Ok(()),
            Column::Attribute(name) => set_attribute(&mut device, name, text),
            Column::Field(name) => match text.trim() {
                "" => Ok(()),
                text => set_field(&mut device, name, text, app),
            },
        };
        note(read, &at, &mut faults);
    }
    if device.token.is_empty() && faults.is_empty() {
        faults.add(&root.key("token"), FaultKind::Missing);
    }
    faults.or(device)
}

fn set_field(device: &mut Device, name: &str, text: &str, app: &App) -> Result<(), FaultKind> {
    match name {
        "token" => device.token = device::token(text)?,
        "ref" => device.reference = Some(device::reference(text.to_owned())?),
        "locale" => device.locale = Some(device::tag_of_locale(text)?),
        "time_zone" => device.time_zone = Some(device::time_zone(text.to_owned())?),
        "tags" => {
            let tags = text.split(';').map(str::trim).filter(|tag| !tag.is_empty());
            let tags = tags.map(|tag| device::tag(tag.to_owned()));
            device.tags = tags.collect::<Result<_, _>>()?;
            device::are_few(device.tags.len(), MAX_TAGS, "tags")?;
        }
        "registered_at" => {
            let value = number(text).unwrap_or_else(|| Value::from(text));
            device.registered_at = Some(device::registered_at(&value)?);
        }
        "app" => device::is_app(text, app)?,
        // The header has no other.
        _ => device::is_environment(text, app)?,
    }
    Ok(())
}

fn set_attribute(device: &mut Device, name: &str, text: &str) -> Result<(), FaultKind> {
    let value = match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::from(text)),
    };
    device::is_attribute(name, &value)?;
    device.attributes.insert(name.to_owned(), value);
    Ok(())
}

/// The number that a cell is, if a double can hold it.
fn number(text: &str) -> Option<Value> {
    let first = text.bytes().next()?;
    if !first.is_ascii_digit() && first != b'-' {
        return None;
    }
    let number: serde_json::Number = serde_json::from_str(text).ok()?;
    number.as_f64().filter(|number| number.is_finite())?;
    Some(Value::Number(number))
}

/// The problem of a table whose header has faults.
fn problem(line: u32, faults: &Faults) -> Problem {
    let mut lines = LineFaults::default();
    for Fault { pointer, kind } in faults.listed() {
        lines.push(
            line,
            Fault {
                pointer: pointer.clone(),
                kind: kind.clone(),
            },
        );
    }
    Problem::invalid_lines(Faults::default(), lines)
}

/// What a column may be called.
const COLUMNS: &[&str] = &[
    "token",
    "ref",
    "locale",
    "time_zone",
    "tags",
    "attributes.NAME",
    "registered_at",
    "app",
    "environment",
];

/// What stands before the name of an attribute.
const ATTRIBUTES: &str = "attributes.";

/// More columns than a device has fields and attributes.
const MAX_COLUMNS: usize = 128;

/// Room for the usual record; it grows to [`MAX_LINE`].
const FIRST_SIZE: usize = 1024;

/// Characters of an unknown name that its fault repeats.
const MAX_SHOWN_NAME: usize = 64;

#[cfg(test)]
mod tests;
