//! What a machine says to the SQLite database of its Durable Object: statements with bound values, and rows.
//!
//! The machines whose state is rows keep their statements beside their decisions and hand them to the shell, which
//! executes them. In scope: the shared words. Out of scope: any one table.
//!
//! The platform binds every number as a double and gives every number back as one. That is why a column that holds
//! numbers must be declared `INTEGER`, so that SQLite keeps what comes as an integer, and why no number may lie beyond
//! [`MAX_INTEGER`].

#[cfg(any(test, feature = "fixture"))]
pub mod fixture;

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use apns::time::Timestamp;

/// A command that is statements.
///
/// One host runs all of them, with no wait in between, so that the object's input gate lets nothing else see the half of
/// it, and its output gate lets no answer leave before all of it is stored.
pub trait Query: DeserializeOwned {
    /// What is answered, as JSON text.
    type Reply: Serialize;

    /// The statements that make the tables, if they are not there.
    fn schema() -> Vec<Statement>;

    /// The statements to execute, in their order.
    fn statements(&self, now: Timestamp) -> Vec<Statement>;

    /// What is to be executed after the statements, from the rows that each of them gave; mostly nothing.
    ///
    /// # Errors
    /// A row is not as it was stored.
    fn changes(&self, _rows: &[Vec<Row>]) -> Result<Vec<Statement>, BadRow> {
        Ok(Vec::new())
    }

    /// The reply, from the rows that each of the statements gave.
    ///
    /// # Errors
    /// A row is not as it was stored.
    fn reply(&self, rows: &[Vec<Row>]) -> Result<Self::Reply, BadRow>;
}

/// One SQL statement, ready to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The SQL, with `?` for each value, or `?1` and on where one stands in several places.
    pub text: Cow<'static, str>,
    /// The values, in the order of their places.
    pub values: Vec<Value>,
}

/// What a place in a statement or a column of a row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// A text.
    Text(String),
}

impl Statement {
    /// A statement whose values are still to be bound.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            values: Vec::new(),
        }
    }

    /// A statement whose text was put together; nothing from outside may stand in it.
    #[must_use]
    pub const fn composed(text: String) -> Self {
        Self {
            text: Cow::Owned(text),
            values: Vec::new(),
        }
    }

    /// The same statement with the value of its next place.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }
}

impl Value {
    /// What it is, with its article.
    const fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "a number",
            Self::Text(_) => "a text",
        }
    }
}

impl From<u64> for Value {
    /// The number, held to [`MAX_INTEGER`].
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(MAX_INTEGER).min(MAX_INTEGER))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<Timestamp> for Value {
    /// Milliseconds since the epoch.
    fn from(moment: Timestamp) -> Self {
        moment.as_millis().into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    /// The value, or null.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, its columns in the order in which the statement names them, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The bytes of its texts.
    #[must_use]
    pub fn size(&self) -> usize {
        let text = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::Null | Value::Integer(_) => 0,
        };
        self.0.iter().map(text).sum()
    }

    /// The number in a column; none of ours is negative.
    ///
    /// # Errors
    /// The column holds something else.
    pub fn number(&self, column: usize) -> Result<u64, BadRow> {
        self.maybe_number(column)?.ok_or(BadRow {
            column,
            expected: "a number",
            found: "null",
        })
    }

    /// The number in a column that may be null.
    ///
    /// # Errors
    /// The column holds something else.
    pub fn maybe_number(&self, column: usize) -> Result<Option<u64>, BadRow> {
        let bad = |found| BadRow {
            column,
            expected: "a number",
            found,
        };
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            Some(Value::Integer(number)) => {
                let number = u64::try_from(*number).map_err(|_| bad("a negative number"))?;
                Ok(Some(number))
            }
            Some(value @ Value::Text(_)) => Err(bad(value.name())),
            None => Err(bad("no such column")),
        }
    }

    /// The moment in a column.
    ///
    /// # Errors
    /// The column holds something else.
    pub fn moment(&self, column: usize) -> Result<Timestamp, BadRow> {
        self.number(column).map(Timestamp::from_millis)
    }

    /// The moment in a column that may be null.
    ///
    /// # Errors
    /// The column holds something else.
    pub fn maybe_moment(&self, column: usize) -> Result<Option<Timestamp>, BadRow> {
        Ok(self.maybe_number(column)?.map(Timestamp::from_millis))
    }

    /// The text in a column.
    ///
    /// # Errors
    /// The column holds something else.
    pub fn text(&self, column: usize) -> Result<&str, BadRow> {
        self.maybe_text(column)?.ok_or(BadRow {
            column,
            expected: "a text",
            found: "null",
        })
    }

    /// The text in a column that may be null.
    ///
    /// # Errors
    /// The column holds something else.
    pub fn maybe_text(&self, column: usize) -> Result<Option<&str>, BadRow> {
        let bad = |found| BadRow {
            column,
            expected: "a text",
            found,
        };
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(value @ Value::Integer(_)) => Err(bad(value.name())),
            None => Err(bad("no such column")),
        }
    }
}

/// A row that is not as its statement says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of a stored row must be {expected}, but is {found}")]
pub struct BadRow {
    /// Which column, from 0.
    pub column: usize,
    /// What it must hold.
    pub expected: &'static str,
    /// What it holds.
    pub found: &'static str,
}

/// The first row of a statement that gives one.
///
/// # Errors
/// There is none.
pub fn only(rows: &[Row]) -> Result<&Row, BadRow> {
    rows.first().ok_or(BadRow {
        column: 0,
        expected: "in a row",
        found: "in none",
    })
}

/// The largest integer that a double holds exactly with all below it, 2^53 - 1: what the platform's numbers can carry.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_in_the_order_of_their_places() {
        let statement = Statement::new("VALUES (?, ?, ?, ?, ?)")
            .bind("a")
            .bind(7_u32)
            .bind(Timestamp::from_millis(8))
            .bind(None::<&str>)
            .bind(Some("b".to_owned()));
        assert_eq!(
            statement.values,
            [
                Value::Text("a".to_owned()),
                Value::Integer(7),
                Value::Integer(8),
                Value::Null,
                Value::Text("b".to_owned()),
            ]
        );
    }

    #[test]
    fn no_number_is_bound_that_a_double_would_change() {
        assert_eq!(Value::from((1_u64 << 53) - 1), Value::Integer(MAX_INTEGER));
        assert_eq!(Value::from((1_u64 << 53) + 1), Value::Integer(MAX_INTEGER));
        assert_eq!(Value::from(u64::MAX), Value::Integer(MAX_INTEGER));
    }

    #[test]
    fn a_row_gives_what_its_columns_hold() {
        let row = Row(vec![Value::Integer(7), Value::Text("a".to_owned()), Value::Null]);
        assert_eq!((row.number(0), row.text(1)), (Ok(7), Ok("a")));
        assert_eq!(row.moment(0), Ok(Timestamp::from_millis(7)));
        assert_eq!(row.maybe_moment(0), Ok(Some(Timestamp::from_millis(7))));
        assert_eq!((row.maybe_number(2), row.maybe_text(2)), (Ok(None), Ok(None)));
    }

    #[test]
    fn a_row_that_is_not_as_it_must_be_says_what_is_wrong() {
        let row = Row(vec![Value::Integer(-1), Value::Text("a".to_owned()), Value::Null]);
        let texts = [
            row.number(0).unwrap_err(),
            row.number(1).unwrap_err(),
            row.number(2).unwrap_err(),
            row.maybe_number(3).unwrap_err(),
            row.text(0).unwrap_err(),
            row.text(2).unwrap_err(),
            row.maybe_text(3).unwrap_err(),
        ]
        .map(|error| error.to_string());
        assert_eq!(
            texts,
            [
                "column 0 of a stored row must be a number, but is a negative number",
                "column 1 of a stored row must be a number, but is a text",
                "column 2 of a stored row must be a number, but is null",
                "column 3 of a stored row must be a number, but is no such column",
                "column 0 of a stored row must be a text, but is a number",
                "column 2 of a stored row must be a text, but is null",
                "column 3 of a stored row must be a text, but is no such column",
            ]
        );
    }
}
