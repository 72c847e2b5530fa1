//! A database for tests: SQLite itself, with numbers bound as doubles, as on the platform.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may end where its database is not as the platform's"
)]

use rusqlite::limits::Limit;
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, StatementStatus};

use super::{BadRow, Query, Row, Statement, Value};
use apns::time::Timestamp;

/// A database in memory.
pub struct Database(Connection);

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    /// Creates an empty database.
    pub fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        for (limit, most) in LIMITS {
            connection.set_limit(limit, most).unwrap();
        }
        Self(connection)
    }

    /// Creates a database with the tables of a query.
    pub fn of<Q: Query>() -> Self {
        let database = Self::new();
        for statement in [Q::schema(), Q::schema()].concat() {
            database.execute(&statement);
        }
        database
    }

    /// Executes a query.
    pub fn ask<Q: Query>(&self, query: &Q, now: Timestamp) -> Result<Q::Reply, BadRow> {
        let statements = query.statements(now);
        let rows: Vec<Vec<Row>> = statements
            .iter()
            .map(|statement| self.execute(statement))
            .collect();
        for change in query.changes(&rows)? {
            self.execute(&change);
        }
        query.reply(&rows)
    }

    /// Executes a statement. The number of its values must be exact, as the platform requires.
    pub fn execute(&self, statement: &Statement) -> Vec<Row> {
        let mut prepared = self.0.prepare(&statement.text).unwrap();
        let cells: Vec<Cell> = statement.values.iter().map(bound).collect();
        let mut rows = prepared.query(rusqlite::params_from_iter(cells)).unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let columns = row.as_ref().column_count();
            found.push(Row((0..columns)
                .map(|column| value(row.get_ref(column).unwrap()))
                .collect()));
        }
        found
    }

    /// Returns the number of SQLite virtual machine steps that a statement takes.
    pub fn steps(&self, statement: &Statement) -> i32 {
        let mut prepared = self.0.prepare(&statement.text).unwrap();
        let cells: Vec<Cell> = statement.values.iter().map(bound).collect();
        let mut rows = prepared.query(rusqlite::params_from_iter(cells)).unwrap();
        while rows.next().unwrap().is_some() {}
        drop(rows);
        prepared.get_status(StatementStatus::VmStep)
    }

    /// Returns how SQLite finds the rows of a statement.
    pub fn plan(&self, statement: &Statement) -> String {
        let text = format!("EXPLAIN QUERY PLAN {}", statement.text);
        let mut prepared = self.0.prepare(&text).unwrap();
        let cells: Vec<Cell> = statement.values.iter().map(bound).collect();
        let mut rows = prepared.query(rusqlite::params_from_iter(cells)).unwrap();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get::<_, String>(3).unwrap());
        }
        steps.join("; ")
    }
}

/// The platform's limits that a statement can exceed: `workerd`'s `sqlite.c++`, "setupSecurity".
const LIMITS: [(Limit, i32); 6] = [
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 5),
    (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 32),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 100),
];

#[expect(clippy::cast_precision_loss, reason = "it is what the platform does")]
fn bound(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Integer(number) => Cell::Real(*number as f64),
        Value::Text(text) => Cell::Text(text.clone()),
    }
}

fn value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).unwrap().to_owned()),
        ValueRef::Real(number) => panic!("a column keeps {number} as a double"),
        ValueRef::Blob(_) => panic!("a column keeps bytes"),
    }
}
