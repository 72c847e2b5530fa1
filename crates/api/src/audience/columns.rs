//! The columns of a CSV table of devices: reads the header, and the device of each row.
//!
//! Columns have the names of a device's fields. Tags are separated by `;`, and an attribute is a column
//! `attributes.NAME`. An empty cell is an absent field, and so is one with just `NULL` or `\N`, as databases
//! export it. Cells are text, so that `01067` stays a postcode. Columns `attributes.NAME:number` and
//! `attributes.NAME:boolean` have the other types.

use serde_json::Value;

use super::device::FIELDS;
use super::fields::{self, MAX_ATTRIBUTES, MAX_TAGS, note};
use crate::config::App;
use crate::ndjson;
use apns::fault::{self, FaultKind, Faults, Pointer, nearest};
use campaign::audience::Device;

/// The columns, in the order of the header.
pub(super) struct Columns(Vec<Column>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    /// A field by its name.
    Field(&'static str),
    Attribute(String, Type),
}

/// The type of an attribute's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    Boolean,
}

impl Columns {
    /// Reads a header.
    pub(super) fn read(cells: &[&[u8]]) -> Result<Self, Faults> {
        if let Some(text) = no_header(cells) {
            return Err(ndjson::of_line(FaultKind::Invalid(text)));
        }
        let (root, mut faults) = (Pointer::Root, Faults::default());
        let mut columns = Vec::new();
        for cell in cells {
            let name = String::from_utf8_lossy(cell);
            let name = name.trim_start_matches('\u{feff}').trim();
            let column = match name.strip_prefix(ATTRIBUTES) {
                Some(attribute) => {
                    let (attribute, kind) = typed(attribute);
                    if let Some((_, unknown)) = attribute.rsplit_once(':').filter(|_| kind.is_none()) {
                        faults.add(&root.key(name), FaultKind::Invalid(unknown_type(unknown)));
                    }
                    let kind = kind.unwrap_or(Type::Text);
                    let checked = fields::is_attribute(attribute, &Value::Bool(true));
                    note(checked, &root.key(name), &mut faults);
                    Some(Column::Attribute(attribute.to_owned(), kind))
                }
                None => field(name).or_else(|| {
                    let nearest = nearest(name, COLUMNS);
                    let shown: String = name.chars().take(MAX_SHOWN_NAME).collect();
                    let kind = match nearest {
                        None if !shown.is_empty() => FaultKind::Invalid(format!(
                            "is not a known column; one of your own is named `attributes.{shown}`"
                        )),
                        nearest => FaultKind::UnknownField { nearest },
                    };
                    faults.add(&root.key(&shown), kind);
                    None
                }),
            };
            if column
                .as_ref()
                .is_some_and(|column| columns.iter().any(|known: &Column| known.is_same(column)))
            {
                faults.add(
                    &root.key(name),
                    FaultKind::Invalid("names a second column; keep one of them".to_owned()),
                );
            }
            columns.extend(column);
        }
        if !columns.contains(&Column::Field("token")) {
            faults.add(&root.key("token"), FaultKind::Missing);
        }
        let attributes = columns
            .iter()
            .filter(|column| matches!(column, Column::Attribute(..)));
        note(
            fields::are_few(attributes.count(), MAX_ATTRIBUTES, "attributes"),
            &root,
            &mut faults,
        );
        faults.or(Self(columns))
    }

    /// Reads the device of a row.
    pub(super) fn device(
        &self,
        cells: &[&[u8]],
        app: &App,
        warnings: &mut Vec<String>,
    ) -> Result<Device, Faults> {
        let Self(columns) = self;
        if cells.len() != columns.len() {
            let text = format!(
                "has another number of cells than the header: {}, and not {}",
                cells.len(),
                columns.len()
            );
            return Err(ndjson::of_line(FaultKind::Invalid(text)));
        }
        let (root, mut faults) = (Pointer::Root, Faults::default());
        let mut device = Device::new(String::new());
        for (column, cell) in columns.iter().zip(cells) {
            let (parent, name) = match column {
                Column::Field(name) => (root, *name),
                Column::Attribute(name, _) => (root.key("attributes"), name.as_str()),
            };
            let at = parent.key(name);
            let Ok(text) = std::str::from_utf8(cell) else {
                faults.add(&at, FaultKind::Invalid("is not UTF-8".to_owned()));
                continue;
            };
            // Concatenated tables have byte order marks inside.
            let text = text.trim_start_matches('\u{feff}');
            if NULLS.contains(&text.trim()) {
                warnings.push(format!(
                    "{at} is `{}`, which is taken for an empty cell",
                    text.trim()
                ));
                continue;
            }
            let read = match column {
                Column::Attribute(..) if text.is_empty() => Ok(()),
                Column::Attribute(name, kind) => match cell_value(*kind, text) {
                    Ok(value) => set_attribute(&mut device, name, value),
                    Err(rule) => {
                        warnings.push(format!("{at} is left out: it {rule}, as its column says"));
                        continue;
                    }
                },
                Column::Field(name) => match text.trim() {
                    "" => Ok(()),
                    text => set_field(&mut device, name, text, app, warnings),
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

/// Returns the fault of a first line that is not a header.
fn no_header(cells: &[&[u8]]) -> Option<String> {
    let mut parts = cells
        .iter()
        .flat_map(|cell| cell.split(|byte| matches!(byte, b';' | b'\t')));
    if parts.any(fault::is_like_token) {
        let text = "has a device token, and must have the names of the columns, such as `token,ref`";
        return Some(text.to_owned());
    }
    let [line] = cells else { return None };
    let separators = [(b';', "`;`"), (b'\t', "tabs")];
    let (_, name) = separators.iter().find(|(byte, _)| line.contains(byte))?;
    let text = format!("has columns that are separated by {name}; separate them by commas");
    Some(text)
}

fn field(name: &str) -> Option<Column> {
    let known = FIELDS
        .iter()
        .find(|field| field.eq_ignore_ascii_case(name) && **field != "attributes");
    known.map(|field| Column::Field(field))
}

impl Column {
    /// Whether both columns set the same field.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Attribute(name, _), Self::Attribute(other, _)) => name == other,
            _ => self == other,
        }
    }
}

/// Splits an attribute's column into its name and its type, if it has one.
fn typed(name: &str) -> (&str, Option<Type>) {
    let types = [
        (":number", Type::Number),
        (":integer", Type::Number),
        (":int", Type::Number),
        (":float", Type::Number),
        (":double", Type::Number),
        (":decimal", Type::Number),
        (":boolean", Type::Boolean),
        (":bool", Type::Boolean),
        (":text", Type::Text),
        (":string", Type::Text),
    ];
    let typed = types.iter().find_map(|(suffix, kind)| {
        let (attribute, end) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
        end.eq_ignore_ascii_case(suffix)
            .then_some((attribute, Some(*kind)))
    });
    typed.unwrap_or((name, None))
}

/// The fault of a column whose name ends in an unknown type.
fn unknown_type(name: &str) -> String {
    let shown: String = name.chars().take(MAX_SHOWN_NAME).collect();
    format!(
        "has the type `{shown}` behind its colon; there are `text`, `number` and `boolean`. Write dates as text or as \
         numbers, and `:text` at the end if the colon is a part of the name"
    )
}

fn set_field(
    device: &mut Device,
    name: &str,
    text: &str,
    app: &App,
    warnings: &mut Vec<String>,
) -> Result<(), FaultKind> {
    match name {
        "token" => device.token = fields::token(text)?,
        "ref" => device.reference = Some(fields::reference(text.to_owned())?),
        "locale" => device.locale = fields::tag_of_locale(text, warnings),
        "time_zone" => device.time_zone = fields::time_zone(text, warnings),
        "tags" => {
            let tags = fields::tags_of(text).map(|tag| fields::tag(tag.to_owned()));
            device.tags = tags.collect::<Result<_, _>>()?;
            fields::are_few(device.tags.len(), MAX_TAGS, "tags")?;
        }
        "registered_at" => {
            let value = number(text).unwrap_or_else(|| Value::from(text));
            device.registered_at = fields::registered_at(&value, warnings);
        }
        "app" => fields::is_app(text, app)?,
        // The header allows no other field.
        _ => fields::is_environment(text, app)?,
    }
    Ok(())
}

/// Reads a cell of the given type. The error says what it must be.
fn cell_value(kind: Type, text: &str) -> Result<Value, &'static str> {
    match kind {
        Type::Text => Ok(Value::from(text)),
        Type::Number => number(text.trim()).ok_or("must be a number"),
        Type::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err("must be `true` or `false`"),
        },
    }
}

fn set_attribute(device: &mut Device, name: &str, value: Value) -> Result<(), FaultKind> {
    fields::is_attribute(name, &value)?;
    device.attributes.insert(name.to_owned(), value);
    Ok(())
}

/// Reads a number, if a double can represent it.
fn number(text: &str) -> Option<Value> {
    let first = text.bytes().next()?;
    if !first.is_ascii_digit() && first != b'-' {
        return None;
    }
    let number: serde_json::Number = serde_json::from_str(text).ok()?;
    number.as_f64().filter(|number| number.is_finite())?;
    Some(Value::Number(number))
}

/// The names of columns.
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

/// The prefix of an attribute's column.
const ATTRIBUTES: &str = "attributes.";

/// The null values of databases.
const NULLS: [&str; 3] = ["NULL", "null", "\\N"];

/// The most characters of an unknown name that its fault repeats.
const MAX_SHOWN_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::audience::table::tests::{read, refused};

    #[test]
    fn a_row_is_a_device_and_an_empty_cell_is_nothing() {
        let text = "\u{feff}token,ref,locale,time_zone,tags,registered_at,app,environment,attributes.name,attributes.score:number\r\n\
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
    fn a_cell_is_text_unless_its_column_says_otherwise() {
        for (column, cell, value) in [
            ("a", "7", json!("7")),
            ("a", "01067", json!("01067")),
            ("a", "true", json!("true")),
            ("a", "1E5", json!("1E5")),
            ("a:text", "7", json!("7")),
            ("a:number", "7", json!(7)),
            ("a:number", " -0.5", json!(-0.5)),
            ("a:integer", "7", json!(7)),
            ("a:int", "-7", json!(-7)),
            ("a:INT", "7.5", json!(7.5)),
            ("a:boolean", "True", json!(true)),
            ("a:boolean", "0", json!(false)),
        ] {
            let rows = read(&format!("token,attributes.{column}\nabcd,{cell}\n"));
            assert_eq!(
                rows[0].1,
                json!({"token": "abcd", "attributes": {"a": value}}).to_string()
            );
        }
    }

    #[test]
    fn a_cell_that_is_not_what_its_column_says_is_left_out_and_its_device_stays() {
        for (column, cell) in [
            ("attributes.a:number", "x"),
            ("attributes.a:int", "1,5"),
            ("attributes.a:number", "1e999"),
            ("attributes.a:boolean", "maybe"),
            ("registered_at", "2026-11-23 08:00:00"),
            ("registered_at", "yesterday"),
        ] {
            let rows = read(&format!("token,{column}\nabcd,\"{cell}\"\n"));
            assert_eq!(rows[0].1, r#"{"token":"abcd"}"#, "{column} {cell}");
        }
    }

    #[test]
    fn a_column_of_an_unknown_type_is_refused_unless_the_colon_is_a_part_of_its_name() {
        for name in ["a:date", "a:datetime", "utm:source", "a:"] {
            let told = refused(&format!("token,attributes.{name}\nabcd,x\n"));
            let (_, shown) = name.split_once(':').unwrap();
            assert!(
                told.starts_with(&format!(
                    "line 1: /attributes.{name}: has the type `{shown}` behind its colon"
                )),
                "{told}"
            );
        }
        let rows = read("token,attributes.utm:source:text\nabcd,x\n");
        assert_eq!(rows[0].1, r#"{"token":"abcd","attributes":{"utm:source":"x"}}"#);
    }

    #[test]
    fn the_case_of_a_columns_name_does_not_matter() {
        let rows = read("Token,REF,Time_Zone\nabcd,a,UTC\n");
        assert_eq!(rows[0].1, r#"{"token":"abcd","ref":"a","time_zone":"UTC"}"#);
    }

    #[test]
    fn a_cell_that_is_just_null_is_empty() {
        let rows = read("token,ref,attributes.a\nabcd,NULL,\\N\nabce,NULLA,null\n");
        assert_eq!(rows[0].1, r#"{"token":"abcd"}"#);
        assert_eq!(rows[1].1, r#"{"token":"abce","ref":"NULLA"}"#);
    }
}
