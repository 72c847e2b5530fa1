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

use crate::delivery::sql;
use crate::fault::{Faults, Pointer};
use crate::time::Timestamp;

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

/// The deepest that conditions may stand in one another; a segment that is one condition has the depth 1.
const MAX_DEPTH: usize = 8;

/// The most conditions of a segment: with each of them, every device takes longer.
const MAX_NODES: usize = 64;

/// The most values of one `in`.
const MAX_VALUES: usize = 1000;

/// The longest value in bytes: as long as a text among a device's attributes.
const MAX_VALUE: usize = 1024;

/// The most bytes of a segment's JSON: a thousand UUIDs fit. It is kept with each walk and bound to each of its statements.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod meaning;
#[cfg(test)]
mod tests;
