//! Parses a segment, with a fault for everything that is wrong.

use serde_json::{Map, Value};

use super::{Bound, Field, MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_VALUE, MAX_VALUES, Node, Scalar, Side};
use crate::audience::device::{MOMENT_RULE, moment};
use crate::audience::locale;
use apns::fault::{self, FaultKind, Faults, Pointer};

/// Parses a segment. Returns `None` if it has a fault.
pub(super) fn root(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Node> {
    let size = value.to_string().len();
    if size > MAX_BYTES {
        faults.add(at, too_long(size, MAX_BYTES, "bytes"));
        return None;
    }
    let mut own = Faults::default();
    let mut reader = Reader {
        nodes: 0,
        faults: &mut own,
    };
    let node = reader.node(value, at, 1);
    if reader.nodes > MAX_NODES {
        let nodes = reader.nodes;
        reader.faults.add(at, too_long(nodes, MAX_NODES, "conditions"));
    }
    faults.append(&own);
    node.filter(|_| own.is_empty())
}

struct Reader<'f> {
    /// The number of conditions so far.
    nodes: usize,
    faults: &'f mut Faults,
}

impl Reader<'_> {
    fn node(&mut self, value: &Value, at: &Pointer<'_>, depth: usize) -> Option<Node> {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            let text = format!("stands deeper than {MAX_DEPTH} conditions in one another");
            return self.invalid(at, text);
        }
        let map = fault::object(value, at, WORDS, self.faults)?;
        let mut members = map.iter();
        let (Some((word, value)), None) = (members.next(), members.next()) else {
            return self.invalid(at, format!("must have exactly one of {}", WORDS.join(", ")));
        };
        let at = at.key(word);
        match word.as_str() {
            "all" => self.nodes(value, &at, depth).map(Node::All),
            "any" => self.nodes(value, &at, depth).map(Node::Any),
            "not" => {
                let node = self.node(value, &at, depth + 1)?;
                Some(Node::Not(Box::new(node)))
            }
            "eq" => {
                let (name, value) = self.only_member(value, &at)?;
                let at = at.key(name);
                let field = self.compared(name, &at)?;
                let scalar = self.scalar(&field, value, &at)?;
                Some(Node::In(field, vec![scalar]))
            }
            "in" => {
                let (name, value) = self.only_member(value, &at)?;
                let at = at.key(name);
                let field = self.compared(name, &at)?;
                let scalars = self.scalars(&field, value, &at)?;
                Some(Node::In(field, scalars))
            }
            "exists" => {
                let name = fault::string(value, &at, self.faults)?;
                self.field(name, &at).map(Node::Exists)
            }
            "before" => self.beyond(Side::Before, value, &at),
            "after" => self.beyond(Side::After, value, &at),
            // An unknown word is a fault already.
            _ => None,
        }
    }

    fn nodes(&mut self, value: &Value, at: &Pointer<'_>, depth: usize) -> Option<Vec<Node>> {
        let values = fault::array(value, at, self.faults)?;
        let mut nodes = Vec::new();
        for (place, value) in values.iter().enumerate() {
            if self.nodes > MAX_NODES {
                // The fault is reported once, and the rest is skipped.
                return None;
            }
            nodes.extend(self.node(value, &at.index(place), depth + 1));
        }
        Some(nodes)
    }

    fn beyond(&mut self, side: Side, value: &Value, at: &Pointer<'_>) -> Option<Node> {
        let (name, value) = self.only_member(value, at)?;
        let at = &at.key(name);
        let field = self.field(name, at)?;
        let bound = match (&field, value) {
            (Field::RegisteredAt, value) => {
                let Some(moment) = moment(value) else {
                    return self.invalid(at, MOMENT_RULE);
                };
                Bound::Moment(moment)
            }
            (Field::Attribute(_), Value::Number(number)) => {
                fault::number(value, at, self.faults)?;
                Bound::Number(number.clone())
            }
            (Field::Attribute(_), Value::String(text)) => Bound::Text(self.text(text, at)?),
            (Field::Attribute(_), value) => {
                fault::wrong_type("a number or a string", value, at, self.faults);
                return None;
            }
            _ => return self.invalid(at, "has no order; only `registered_at` and attributes have one"),
        };
        Some(Node::Beyond(field, side, bound))
    }

    /// Returns the name and the value of an object's only member.
    fn only_member<'v>(&mut self, value: &'v Value, at: &Pointer<'_>) -> Option<(&'v str, &'v Value)> {
        let map: &Map<String, Value> = fault::open_object(value, at, self.faults)?;
        let mut members = map.iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            return self.invalid(at, "must name exactly one field");
        };
        Some((name.as_str(), value))
    }

    /// Returns a field that supports equality.
    fn compared(&mut self, name: &str, at: &Pointer<'_>) -> Option<Field> {
        match self.field(name, at)? {
            Field::RegisteredAt => self.invalid(at, "is compared with `before` and `after` alone"),
            field => Some(field),
        }
    }

    fn field(&mut self, name: &str, at: &Pointer<'_>) -> Option<Field> {
        if let Some(attribute) = name.strip_prefix(ATTRIBUTES) {
            return match attribute.len() {
                0 => self.invalid(at, "names no attribute"),
                _ => self.text(attribute, at).map(Field::Attribute),
            };
        }
        match name {
            "ref" => Some(Field::Reference),
            "locale" => Some(Field::Locale),
            "language" => Some(Field::Language),
            "time_zone" => Some(Field::TimeZone),
            "tags" => Some(Field::Tags),
            "registered_at" => Some(Field::RegisteredAt),
            _ => match fault::nearest(name, FIELDS) {
                None | Some(ANY_ATTRIBUTE) => self.invalid(at, attribute_hint(name)),
                nearest => {
                    self.faults.add(at, FaultKind::UnknownField { nearest });
                    None
                }
            },
        }
    }

    fn scalars(&mut self, field: &Field, value: &Value, at: &Pointer<'_>) -> Option<Vec<Scalar>> {
        let values = fault::array(value, at, self.faults)?;
        if values.len() > MAX_VALUES {
            self.faults.add(at, too_long(values.len(), MAX_VALUES, "values"));
            return None;
        }
        let read = values.iter().enumerate();
        Some(
            read.filter_map(|(place, value)| self.scalar(field, value, &at.index(place)))
                .collect(),
        )
    }

    fn scalar(&mut self, field: &Field, value: &Value, at: &Pointer<'_>) -> Option<Scalar> {
        match (field, value) {
            (Field::Attribute(_), Value::Bool(boolean)) => Some(Scalar::Boolean(*boolean)),
            (Field::Attribute(_), Value::Number(number)) => {
                fault::number(value, at, self.faults)?;
                Some(Scalar::Number(number.clone()))
            }
            (Field::Attribute(_), Value::String(text)) => self.text(text, at).map(Scalar::Text),
            (Field::Attribute(_), value) => {
                fault::wrong_type("a string, a number or a boolean", value, at, self.faults);
                None
            }
            (field, value) => {
                let text = fault::identifier(value, at, self.faults)?;
                if text.is_empty() {
                    return self.invalid(at, "is empty, which no device has");
                }
                let text = self.text(&text, at)?;
                let tag = matches!(field, Field::Locale | Field::Language)
                    .then(|| locale::canonical(&text))
                    .flatten();
                Some(Scalar::Text(tag.unwrap_or(text)))
            }
        }
    }

    fn text(&mut self, text: &str, at: &Pointer<'_>) -> Option<String> {
        if text.len() > MAX_VALUE {
            self.faults.add(at, too_long(text.len(), MAX_VALUE, "bytes"));
            return None;
        }
        if text.contains('\0') {
            return self.invalid(at, "has a NUL character, which no device has");
        }
        Some(text.to_owned())
    }

    fn invalid<T>(&mut self, at: &Pointer<'_>, text: impl Into<String>) -> Option<T> {
        self.faults.add(at, FaultKind::Invalid(text.into()));
        None
    }
}

/// Returns a suggestion for a name that is not a field. Most such names are attributes.
fn attribute_hint(name: &str) -> String {
    let last = name.rsplit(['.', '/']).next().unwrap_or(name);
    let shown: String = last.chars().take(MAX_SHOWN_NAME).collect();
    format!("is not a field of a device; an attribute is written `{ATTRIBUTES}{shown}`")
}

const fn too_long(size: usize, limit: usize, unit: &'static str) -> FaultKind {
    FaultKind::TooLong { size, limit, unit }
}

/// The kinds of conditions.
const WORDS: &[&str] = &["all", "any", "not", "eq", "in", "exists", "before", "after"];

/// The fields, besides attributes.
const FIELDS: &[&str] = &[
    "ref",
    "locale",
    "language",
    "time_zone",
    "tags",
    "registered_at",
    ANY_ATTRIBUTE,
];

/// The attributes in the list of fields.
const ANY_ATTRIBUTE: &str = "attributes.NAME";

/// The most characters of an unknown name that a fault repeats.
const MAX_SHOWN_NAME: usize = 64;

/// The prefix of an attribute's name.
const ATTRIBUTES: &str = "attributes.";
