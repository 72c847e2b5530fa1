//! The columns of a table of devices: what its header names, and the device that a row then is.
//!
//! They have the names of a device's fields. Tags are separated by `;`, and an attribute is a column `attributes.NAME`. A cell
//! with nothing in it is a field that is not there. A cell of an attribute that is a JSON number, `true` or `false` is
//! that, and any other is text.

use serde_json::Value;

use super::device::FIELDS;
use super::fields::{self, MAX_ATTRIBUTES, MAX_TAGS, note};
use crate::api::lines;
use crate::config::App;
use crate::delivery::audience::Device;
use crate::fault::{FaultKind, Faults, Pointer, nearest};

/// The columns, in the order of the header.
pub(super) struct Columns(Vec<Column>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    /// A field by its name.
    Field(&'static str),
    Attribute(String),
}

impl Columns {
    /// Reads a header.
    pub(super) fn read(cells: &[&[u8]]) -> Result<Self, Faults> {
        let (root, mut faults) = (Pointer::Root, Faults::default());
        let mut columns = Vec::new();
        for cell in cells {
            let name = String::from_utf8_lossy(cell);
            let name = name.trim_start_matches('\u{feff}').trim();
            let column = match name.strip_prefix(ATTRIBUTES) {
                Some(attribute) => {
                    let checked = fields::is_attribute(attribute, &Value::Bool(true));
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
            fields::are_few(attributes.count(), MAX_ATTRIBUTES, "attributes"),
            &root,
            &mut faults,
        );
        faults.or(Self(columns))
    }

    /// The device in a row.
    pub(super) fn device(&self, cells: &[&[u8]], app: &App) -> Result<Device, Faults> {
        let Self(columns) = self;
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
}

fn field(name: &str) -> Option<Column> {
    let known = FIELDS
        .iter()
        .find(|field| **field == name && name != "attributes");
    known.map(|field| Column::Field(field))
}

fn set_field(device: &mut Device, name: &str, text: &str, app: &App) -> Result<(), FaultKind> {
    match name {
        "token" => device.token = fields::token(text)?,
        "ref" => device.reference = Some(fields::reference(text.to_owned())?),
        "locale" => device.locale = Some(fields::tag_of_locale(text)?),
        "time_zone" => device.time_zone = Some(fields::time_zone(text.to_owned())?),
        "tags" => {
            let tags = text.split(';').map(str::trim).filter(|tag| !tag.is_empty());
            let tags = tags.map(|tag| fields::tag(tag.to_owned()));
            device.tags = tags.collect::<Result<_, _>>()?;
            fields::are_few(device.tags.len(), MAX_TAGS, "tags")?;
        }
        "registered_at" => {
            let value = number(text).unwrap_or_else(|| Value::from(text));
            device.registered_at = Some(fields::registered_at(&value)?);
        }
        "app" => fields::is_app(text, app)?,
        // The header has no other.
        _ => fields::is_environment(text, app)?,
    }
    Ok(())
}

fn set_attribute(device: &mut Device, name: &str, text: &str) -> Result<(), FaultKind> {
    let value = match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::from(text)),
    };
    fields::is_attribute(name, &value)?;
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

/// Characters of an unknown name that its fault repeats.
const MAX_SHOWN_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::audience::table::tests::read;

    #[test]
    fn a_row_is_a_device_and_an_empty_cell_is_nothing() {
        let text = "\u{feff}token,ref,locale,time_zone,tags,registered_at,app,environment,attributes.name,attributes.score\r\n\
                ABCD,user-1,de_AT,Europe/Vienna, vip ; beta;,1795420800,shop,production,\"Ada, \"\"Countess\"\"\nof Lovelace\",1.50\r\n\
                abcd,,,,,2026-11-23T08:00:00Z,,,,\r\n";
        assert_eq!(
            read(text),
            [
                (2, r#"{"token":"abcd","ref":"user-1","locale":"de-AT","time_zone":"Europe/Vienna","tags":["vip","beta"],"attributes":{"name":"Ada, \"Countess\"\nof Lovelace","score":1.50},"registered_at":1795420800000}"#.to_owned()),
                (4, r#"{"token":"abcd","registered_at":1795420800000}"#.to_owned()),
            ]
        );
    }

    #[test]
    fn a_cell_of_an_attribute_is_a_number_or_a_boolean_if_it_looks_like_one() {
        for (cell, value) in [
            ("7", json!(7)),
            ("-0.5", json!(-0.5)),
            ("true", json!(true)),
            ("false", json!(false)),
            ("True", json!("True")),
            ("007", json!("007")),
            ("+49", json!("+49")),
            ("1e999", json!("1e999")),
            ("null", json!("null")),
            (" 7", json!(" 7")),
        ] {
            let rows = read(&format!("token,attributes.a\nabcd,{cell}\n"));
            assert_eq!(
                rows[0].1,
                json!({"token": "abcd", "attributes": {"a": value}}).to_string()
            );
        }
    }
}
