//! Statements for the SQLite database of a Durable Object, and the rows that it returns.
//!
//! A machine whose state is stored in rows keeps its statements beside its decisions. The Worker executes
//! them. In scope: the shared types. Out of scope: any one table.
//!
//! The platform binds every number as a double and returns every number as one. A column of numbers must
//! therefore be declared `INTEGER`, so that SQLite stores integers, and no number may exceed [`MAX_INTEGER`].

#[cfg(any(test, feature = "fixture"))]
pub mod fixture;

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use apns::time::Timestamp;

/// A command that consists of statements.
///
/// The host executes all of them without waiting in between. The object's input gate lets no other event see
/// a partial state, and its output gate lets no answer leave before everything is stored.
pub trait Query: DeserializeOwned {
    /// The reply, as JSON text.
    type Reply: Serialize;

    /// Returns the statements that create missing tables.
    fn schema() -> Vec<Statement>;

    /// Returns the statements, in the order of execution.
    fn statements(&self, now: Timestamp) -> Vec<Statement>;

    /// Returns further statements, computed from the rows of the first ones; usually none.
    ///
    /// # Errors
    /// Returns an error if a row does not have the stored form.
    fn changes(&self, _rows: &[Vec<Row>]) -> Result<Vec<Statement>, BadRow> {
        Ok(Vec::new())
    }

    /// Returns the reply, computed from the rows of each statement.
    ///
    /// # Errors
    /// Returns an error if a row does not have the stored form.
    fn reply(&self, rows: &[Vec<Row>]) -> Result<Self::Reply, BadRow>;
}

/// One SQL statement with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The SQL, with `?` for each value, or `?1` and so on if a value occurs several times.
    pub text: Cow<'static, str>,
    /// The values, in the order of their placeholders.
    pub values: Vec<Value>,
}

/// The value of a placeholder or of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL's null.
    Null,
    /// A number.
    Integer(i64),
    /// A text.
    Text(String),
}

impl Statement {
    /// Creates a statement without values.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            values: Vec::new(),
        }
    }

    /// Creates a statement from a composed text, which must not contain any outside input.
    #[must_use]
    pub const fn composed(text: String) -> Self {
        Self {
            text: Cow::Owned(text),
            values: Vec::new(),
        }
    }

    /// Binds the value of the next placeholder.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }
}

impl Value {
    /// Returns the name of its type, with its article.
    const fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "a number",
            Self::Text(_) => "a text",
        }
    }
}

impl From<u64> for Value {
    /// Converts a number, limited to [`MAX_INTEGER`].
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
    /// Converts to milliseconds since the epoch.
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
    /// Converts `None` to null.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of a result. Its columns are in the order of the statement, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// Returns the size of its texts in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let text = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::Null | Value::Integer(_) => 0,
        };
        self.0.iter().map(text).sum()
    }

    /// Returns the number in a column. Stored numbers are never negative.
    ///
    /// # Errors
    /// Returns an error if the column holds something else.
    pub fn number(&self, column: usize) -> Result<u64, BadRow> {
        self.maybe_number(column)?.ok_or(BadRow {
            column,
            expected: "a number",
            found: "null",
        })
    }

    /// Returns the number in a column that may be null.
    ///
    /// # Errors
    /// Returns an error if the column holds something else.
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

    /// Returns the moment in a column.
    ///
    /// # Errors
    /// Returns an error if the column holds something else.
    pub fn moment(&self, column: usize) -> Result<Timestamp, BadRow> {
        self.number(column).map(Timestamp::from_millis)
    }

    /// Returns the moment in a column that may be null.
    ///
    /// # Errors
    /// Returns an error if the column holds something else.
    pub fn maybe_moment(&self, column: usize) -> Result<Option<Timestamp>, BadRow> {
        Ok(self.maybe_number(column)?.map(Timestamp::from_millis))
    }

    /// Returns the text in a column.
    ///
    /// # Errors
    /// Returns an error if the column holds something else.
    pub fn text(&self, column: usize) -> Result<&str, BadRow> {
        self.maybe_text(column)?.ok_or(BadRow {
            column,
            expected: "a text",
            found: "null",
        })
    }

    /// Returns the text in a column that may be null.
    ///
    /// # Errors
    /// Returns an error if the column holds something else.
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

/// A row does not have the form that its statement selects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of a stored row must be {expected}, but is {found}")]
pub struct BadRow {
    /// The column, from 0.
    pub column: usize,
    /// The expected type.
    pub expected: &'static str,
    /// The type that was found.
    pub found: &'static str,
}

/// Returns the first row of a statement.
///
/// # Errors
/// Returns an error if there is no row.
pub fn only(rows: &[Row]) -> Result<&Row, BadRow> {
    rows.first().ok_or(BadRow {
        column: 0,
        expected: "in a row",
        found: "in none",
    })
}

/// The largest integer up to which a double holds every integer exactly, 2^53 - 1; the platform's limit.
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
