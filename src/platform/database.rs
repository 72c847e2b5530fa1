//! Executes statements on the SQLite database of a Durable Object.

use std::cell::Cell;
use std::rc::Rc;

use worker::{Result, SqlCursor, SqlStorage, SqlStorageValue, State};

use delivery::sql::{Row, Statement, Value};

/// The database of an object.
pub(crate) struct Database {
    sql: SqlStorage,
    rows: Rc<Rows>,
}

/// The number of rows that statements have read and written, as the platform bills them.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) read: Cell<u64>,
    pub(crate) written: Cell<u64>,
}

impl Database {
    /// Returns the database of the object with this state.
    pub(crate) fn of(state: &State) -> Self {
        Self::counting(state, Rc::default())
    }

    /// Returns the database of an object. Its rows are added to a count.
    pub(crate) fn counting(state: &State, rows: Rc<Rows>) -> Self {
        Self {
            sql: state.storage().sql(),
            rows,
        }
    }

    /// Returns its size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.sql.database_size()
    }

    /// Executes a statement and returns its rows.
    pub(crate) fn rows(&self, statement: Statement) -> Result<Vec<Row>> {
        let values: Vec<SqlStorageValue> = statement.values.into_iter().map(bound).collect();
        let cursor = self.sql.exec(&statement.text, values)?;
        let rows = cursor
            .raw()
            .map(|row| Ok(Row(row?.into_iter().map(column).collect())))
            .collect();
        self.count(&cursor);
        rows
    }

    /// Executes a statement and ignores its rows.
    pub(crate) fn execute(&self, statement: Statement) -> Result<()> {
        let values: Vec<SqlStorageValue> = statement.values.into_iter().map(bound).collect();
        self.count(&self.sql.exec(&statement.text, values)?);
        Ok(())
    }

    /// Returns the text in the first column of the first row. Returns `None` if there is no row.
    pub(crate) fn text(&self, statement: Statement) -> Result<Option<String>> {
        let rows = self.rows(statement)?;
        let text = rows.first().map(|row| row.text(0).map(str::to_owned));
        text.transpose().map_err(|error| error.to_string().into())
    }

    fn count(&self, cursor: &SqlCursor) {
        let add = |count: &Cell<u64>, rows: usize| {
            count.set(count.get() + u64::try_from(rows).unwrap_or_default());
        };
        add(&self.rows.read, cursor.rows_read());
        add(&self.rows.written, cursor.rows_written());
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
        // Our statements store none of these.
        SqlStorageValue::Null
        | SqlStorageValue::Boolean(_)
        | SqlStorageValue::Float(_)
        | SqlStorageValue::Blob(_) => Value::Null,
    }
}
