//! A segment: a filter over the devices of an audience.
//!
//! A caller writes it as JSON: `{"all": [{"eq": {"language": "de"}}, {"exists": "attributes.first_name"}]}`.
//! It is parsed with a pointed fault for everything that is wrong, kept as it was written, and compiled to a
//! SQL condition. The text of that condition contains only fixed words and placeholders. All values and
//! attribute names are bound as one JSON array, because a statement may have at most 100 placeholders.

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
    /// Reads the segment in `value`, which is found at `at`.
    #[must_use]
    pub fn read(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Self> {
        read::root(value, at, faults).map(|root| Self {
            written: value.clone(),
            root,
        })
    }

    /// Returns how many devices may be read for a cost of at most `cost`, and at least [`MIN_DEVICES`].
    ///
    /// The unit is the lowest cost of a device. If there is a condition on attributes or tags, all of them
    /// are read once per device, and each condition adds one test. If more tags are searched for than fit
    /// into one pass, each condition reads the tags again.
    #[must_use]
    pub fn devices_within(&self, cost: u32) -> u32 {
        let of_device = self.root.cost().saturating_add(1);
        cost.checked_div(of_device).unwrap_or(cost).max(MIN_DEVICES)
    }

    /// Returns the condition for a row of `devices`, and the value to bind at `?{place}`, or `None` if the
    /// condition has no placeholder.
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
        // A missing segment always has faults.
        segment.ok_or(faults)
    }
}

/// A condition, or a combination of several.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// Every condition is met.
    All(Vec<Self>),
    /// At least one condition is met.
    Any(Vec<Self>),
    /// The condition is not met.
    Not(Box<Self>),
    /// The field has one of these values.
    In(Field, Vec<Scalar>),
    /// The field has a value.
    Exists(Field),
    /// The field is before or after the bound.
    Beyond(Field, Side, Bound),
}

impl Node {
    /// Returns the cost per device, see [`Segment::devices_within`].
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

/// The property of a device that is compared.
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

/// A value that a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scalar {
    Text(String),
    Number(Number),
    Boolean(bool),
}

/// The side of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// The bound of a comparison. Texts are compared byte by byte, which orders ISO dates.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    Text(String),
    Number(Number),
    Moment(Timestamp),
}

/// The cost of a condition. The unit is the cost of reading a device: about a microsecond.
const COST_OF_TEST: u32 = 1;

/// The cost of reading all attributes or all tags of a device that has as many as it may.
const COST_OF_PASS: u32 = 15;

/// The fewest devices per page.
const MIN_DEVICES: u32 = 500;

/// The deepest nesting of conditions. A single condition has depth 1.
const MAX_DEPTH: usize = 8;

/// The most conditions of a segment. Each one adds to the time per device.
const MAX_NODES: usize = 64;

/// The most values of one `in`.
const MAX_VALUES: usize = 1000;

/// The longest value in bytes: the limit of a text attribute.
const MAX_VALUE: usize = 1024;

/// The most bytes of a segment's JSON: a thousand UUIDs fit. It is stored with each scan and bound to each of
/// its statements.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod cost_tests;
#[cfg(test)]
mod meaning_tests;
#[cfg(test)]
mod tests;
