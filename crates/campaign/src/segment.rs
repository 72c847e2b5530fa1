//! A segment: which devices of an audience are meant.
//!
//! A caller writes it as JSON, `{"all": [{"eq": {"language": "de"}}, {"exists": "attributes.first_name"}]}`. It is read with a
//! pointed fault for all that is wrong, kept as it was written, and compiled to a condition of SQL. In that condition
//! stand our own words and places alone: every value and every name of an attribute is bound, all of them in one JSON
//! array, since a statement has no more than 100 places.

mod compile;
mod read;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use apns::fault::{Faults, Pointer};
use apns::time::Timestamp;
use delivery::sql;

/// A filter over devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct Segment {
    /// As the caller wrote it.
    written: Value,
    root: Node,
}

impl Segment {
    /// Reads the segment that `value` writes, which is found at `at`.
    #[must_use]
    pub fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        read::root(value, at, faults).map(|root| Self {
            written: value.clone(),
            root,
        })
    }

    /// How many devices may be looked at so that it costs no more than `cost` in all; at least [`MIN_DEVICES`].
    ///
    /// The unit is what a device costs at least. Conditions on attributes or tags have all of them read once, and each condition
    /// is one more test. More tags than are found at once are looked for by each condition anew.
    #[must_use]
    pub fn devices_within(&self, cost: u32) -> u32 {
        let of_device = self.root.cost().saturating_add(1);
        cost.checked_div(of_device).unwrap_or(cost).max(MIN_DEVICES)
    }

    /// The condition that a row of `devices` has to meet, and what is to be bound at `?{place}`: one value, or nothing if the
    /// condition has no place.
    #[must_use]
    pub fn condition(&self, place: usize) -> (String, Option<sql::Value>) {
        compile::condition(&self.root, place)
    }
}

impl From<Segment> for Value {
    fn from(segment: Segment) -> Self {
        segment.written
    }
}

impl TryFrom<Value> for Segment {
    type Error = Faults;

    fn try_from(value: Value) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let segment = Self::read(&value, &Pointer::Root, &mut faults);
        // Without faults there is one.
        segment.ok_or(faults)
    }
}

/// One condition, or several together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// Each of them is met.
    All(Vec<Self>),
    /// One of them is met.
    Any(Vec<Self>),
    /// It is not met.
    Not(Box<Self>),
    /// The field is one of these.
    In(Field, Vec<Scalar>),
    /// The field is there.
    Exists(Field),
    /// The field lies before or after the bound.
    Beyond(Field, Side, Bound),
}

impl Node {
    /// What it costs per device, see [`Segment::devices_within`].
    fn cost(&self) -> u32 {
        let (mut tests, mut passes, mut nodes) = (0_u32, [0, 0], vec![self]);
        let has_tags_at_once = !compile::tags(self).is_empty();
        while let Some(node) = nodes.pop() {
            tests = tests.saturating_add(COST_OF_TEST);
            match node {
                Self::All(inner) | Self::Any(inner) => nodes.extend(inner),
                Self::Not(inner) => nodes.push(inner),
                Self::In(field, _) | Self::Exists(field) | Self::Beyond(field, ..) => match field {
                    Field::Attribute(_) => passes = [COST_OF_PASS, passes[1]],
                    Field::Tags if has_tags_at_once => passes = [passes[0], COST_OF_PASS],
                    Field::Tags => tests = tests.saturating_add(COST_OF_PASS),
                    Field::Reference
                    | Field::Locale
                    | Field::Language
                    | Field::TimeZone
                    | Field::RegisteredAt => {}
                },
            }
        }
        tests.saturating_add(passes.iter().sum())
    }
}

/// What of a device is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Reference,
    Locale,
    Language,
    TimeZone,
    Tags,
    RegisteredAt,
    Attribute(String),
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scalar {
    Text(String),
    Number(Number),
    Boolean(bool),
}

/// Which side of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// What a field is before or after. Texts are compared byte by byte, so that ISO dates are in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    Text(String),
    Number(Number),
    Moment(Timestamp),
}

/// What a condition costs, in units of what it costs to read a device: about a microsecond.
const COST_OF_TEST: u32 = 1;

/// What it costs to read all attributes or all tags of a device, of the most that it may have.
const COST_OF_PASS: u32 = 15;

/// The fewest devices that are looked at for a page.
const MIN_DEVICES: u32 = 500;

/// The deepest that conditions may stand in one another; a segment that is one condition has the depth 1.
const MAX_DEPTH: usize = 8;

/// The most conditions of a segment: with each of them, every device takes longer.
const MAX_NODES: usize = 64;

/// The most values of one `in`.
const MAX_VALUES: usize = 1000;

/// The longest value in bytes: as long as a text among a device's attributes.
const MAX_VALUE: usize = 1024;

/// The most bytes of a segment's JSON: a thousand UUIDs fit. It is kept with each scan and bound to each of its statements.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod cost_tests;
#[cfg(test)]
mod meaning_tests;
#[cfg(test)]
mod tests;
