//! Executes the statements that machines with rows hand out, on the SQLite database of a Durable Object.

use worker::{Result, SqlStorage, SqlStorageValue, State};

use crate::delivery::sql::{Row, Statement, Value};

/// The database of an object.
pub(super) struct Database(SqlStorage);

impl Database {
    /// The database of the object with this state.
    pub(super) fn of(state: &State) -> Self {
        Self(state.storage().sql())
    }

    /// Executes a statement and gives its rows.
    pub(super) fn rows(&self, statement: Statement) -> Result<Vec<Row>> {
        let values: Vec<SqlStorageValue> = statement.values.into_iter().map(bound).collect();
        let cursor = self.0.exec(statement.text, values)?;
        cursor
            .raw()
            .map(|row| Ok(Row(row?.into_iter().map(column).collect())))
            .collect()
    }

    /// Executes a statement that has no rows, or of which nobody wants them.
    pub(super) fn execute(&self, statement: Statement) -> Result<()> {
        let values: Vec<SqlStorageValue> = statement.values.into_iter().map(bound).collect();
        self.0.exec(statement.text, values)?;
        Ok(())
    }

    /// The text in the first column of the first row, if there is one.
    pub(super) fn text(&self, statement: Statement) -> Result<Option<String>> {
        let rows = self.rows(statement)?;
        let text = rows.first().map(|row| row.text(0).map(str::to_owned));
        text.transpose().map_err(|error| error.to_string().into())
    }
}

fn bound(value: Value) -> SqlStorageValue {
    match value {
        Value::Null => SqlStorageValue::Null,
        Value::Integer(number) => SqlStorageValue::Integer(number),
        Value::Text(text) => SqlStorageValue::String(text),
    }
}

fn column(value: SqlStorageValue) -> Value {
    match value {
        SqlStorageValue::Integer(number) => Value::Integer(number),
        SqlStorageValue::String(text) => Value::Text(text),
        // No statement of ours stores any of these.
        SqlStorageValue::Null
        | SqlStorageValue::Boolean(_)
        | SqlStorageValue::Float(_)
        | SqlStorageValue::Blob(_) => Value::Null,
    }
}
