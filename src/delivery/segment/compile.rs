//! Compiles a segment to a condition of SQL.
//!
//! Every part of the condition is 0 or 1 and never null, so that `not` means what it says. Several conditions are a `CASE`,
//! which stops at the first that decides, and unlike a chain of `AND` does not grow deeper with their number: the platform
//! takes expressions of a depth of 100.

use serde_json::{Value, json};

use super::{Bound, Field, Node, Scalar, Side};
use crate::delivery::sql;

/// The condition, with the value of its place.
pub(super) fn condition(root: &Node, place: usize) -> (String, Option<sql::Value>) {
    let mut compiler = Compiler {
        place,
        values: Vec::new(),
    };
    let text = compiler.node(root);
    let values = (!compiler.values.is_empty()).then(|| Value::Array(compiler.values).to_string());
    (text, values.map(sql::Value::from))
}

struct Compiler {
    place: usize,
    /// All that is bound, as one array.
    values: Vec<Value>,
}

impl Compiler {
    fn node(&mut self, node: &Node) -> String {
        match node {
            Node::All(nodes) => self.first_of(nodes, "NOT ", 0),
            Node::Any(nodes) => self.first_of(nodes, "", 1),
            Node::Not(node) => format!("(NOT {})", self.node(node)),
            Node::In(field, scalars) => self.is_in(field, scalars),
            Node::Exists(field) => self.exists(field),
            Node::Beyond(field, side, bound) => self.beyond(field, *side, bound),
        }
    }

    /// `found` for the first that decides, else the other.
    fn first_of(&mut self, nodes: &[Node], decides: &str, found: u8) -> String {
        let otherwise = 1 - found;
        if nodes.is_empty() {
            return otherwise.to_string();
        }
        let mut text = "(CASE".to_owned();
        for node in nodes {
            text.push_str(&format!(" WHEN {decides}{} THEN {found}", self.node(node)));
        }
        text.push_str(&format!(" ELSE {otherwise} END)"));
        text
    }

    fn is_in(&mut self, field: &Field, scalars: &[Scalar]) -> String {
        match field {
            Field::Attribute(name) => {
                let test = self.is_scalar(scalars);
                self.attribute(name, &test)
            }
            Field::Tags => {
                let test = self.one_of("value", scalars.iter().map(json).collect());
                format!("EXISTS (SELECT 1 FROM json_each(tags) WHERE {test})")
            }
            Field::Reference | Field::Locale | Field::Language | Field::TimeZone | Field::RegisteredAt => {
                let test = self.one_of(column(field), scalars.iter().map(json).collect());
                format!("({test} IS TRUE)")
            }
        }
    }

    fn exists(&mut self, field: &Field) -> String {
        match field {
            Field::Attribute(name) => self.attribute(name, "1"),
            // Without one, it is empty.
            Field::TimeZone => "(time_zone <> '')".to_owned(),
            Field::Tags => "(tags IS NOT NULL)".to_owned(),
            Field::Reference | Field::Locale | Field::Language | Field::RegisteredAt => {
                format!("({} IS NOT NULL)", column(field))
            }
        }
    }

    fn beyond(&mut self, field: &Field, side: Side, bound: &Bound) -> String {
        let sign = match side {
            Side::Before => "<",
            Side::After => ">",
        };
        let (kind, value) = match bound {
            Bound::Text(text) => (TEXT, json!(text)),
            Bound::Number(number) => (NUMBER, json!(number)),
            Bound::Moment(moment) => {
                let value = self.value(json!(moment.as_millis()));
                return format!("({} {sign} {value})", column(field));
            }
        };
        let value = self.value(value);
        match field {
            Field::Attribute(name) => self.attribute(name, &format!("{kind} AND value {sign} {value}")),
            // No other has an order, but what is not an attribute has no type either.
            _ => "0".to_owned(),
        }
    }

    /// Whether there is an attribute of that name that passes.
    fn attribute(&mut self, name: &str, test: &str) -> String {
        let name = self.value(json!(name));
        format!("EXISTS (SELECT 1 FROM json_each(attributes) WHERE key = {name} AND ({test}))")
    }

    /// Whether an attribute is one of these: `1`, `"1"` and `true` are three.
    fn is_scalar(&mut self, scalars: &[Scalar]) -> String {
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        for scalar in scalars {
            match scalar {
                Scalar::Text(text) => texts.push(json!(text)),
                Scalar::Number(number) => numbers.push(json!(number)),
                Scalar::Boolean(_) => {}
            }
        }
        let mut tests = Vec::new();
        for (boolean, test) in [(true, "type = 'true'"), (false, "type = 'false'")] {
            if scalars.contains(&Scalar::Boolean(boolean)) {
                tests.push(test.to_owned());
            }
        }
        for (kind, values) in [(TEXT, texts), (NUMBER, numbers)] {
            if !values.is_empty() {
                tests.push(format!("{kind} AND {}", self.one_of("value", values)));
            }
        }
        if tests.is_empty() {
            return "0".to_owned();
        }
        tests.join(" OR ")
    }

    /// Whether something is one of the values.
    fn one_of(&mut self, what: &str, mut values: Vec<Value>) -> String {
        if values.len() == 1 {
            let value = self.value(values.pop().unwrap_or_default());
            return format!("{what} = {value}");
        }
        let place = self.bind(Value::Array(values));
        format!(
            "{what} IN (SELECT value FROM json_each(?{}, '$[{place}]'))",
            self.place
        )
    }

    /// A value in SQL.
    fn value(&mut self, value: Value) -> String {
        let place = self.bind(value);
        format!("?{} ->> {place}", self.place)
    }

    fn bind(&mut self, value: Value) -> usize {
        self.values.push(value);
        self.values.len() - 1
    }
}

/// The column of a field that has one.
const fn column(field: &Field) -> &'static str {
    match field {
        Field::Reference => "ref",
        Field::Locale => "locale",
        Field::Language => "substr(locale, 1, instr(locale || '-', '-') - 1)",
        Field::TimeZone => "time_zone",
        Field::RegisteredAt => "coalesce(registered_at, added_at)",
        // These have rows of JSON, and no column to compare.
        Field::Tags | Field::Attribute(_) => "NULL",
    }
}

fn json(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Text(text) => json!(text),
        Scalar::Number(number) => json!(number),
        Scalar::Boolean(boolean) => json!(boolean),
    }
}

const TEXT: &str = "type = 'text'";
const NUMBER: &str = "type IN ('integer', 'real')";
