//! Compiles a segment to a SQL condition.
//!
//! Every part of the condition is 0 or 1 and never null, so that `not` is exact. Several conditions become a
//! `CASE`, which stops at the first one that decides. Unlike a chain of `AND`, it does not grow deeper with
//! their number: the platform limits the depth of expressions to 100.
//!
//! A device's attributes are JSON, and are parsed once for all conditions. Each condition on attributes has a
//! bit; one pass over the attributes sums the bits that are met, and the condition tests its bit. Tags work
//! in the same way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Bound, Field, Node, Scalar, Side};
use delivery::sql;

/// Returns the condition and the value of its placeholder.
pub(super) fn condition(root: &Node, place: usize) -> (String, Option<sql::Value>) {
    let mut compiler = Compiler {
        place,
        values: Vec::new(),
        tests: BTreeMap::new(),
        bits: 0,
        tags: tags(root),
    };
    let mut text = compiler.node(root);
    let mut passes = Vec::new();
    let tests: Vec<(String, String)> = std::mem::take(&mut compiler.tests)
        .into_iter()
        .map(|(name, tests)| (name, sum(&tests)))
        .collect();
    if !tests.is_empty() {
        let sum = compiler.found("key", &tests);
        passes.push(format!(
            "(SELECT coalesce(sum({sum}), 0) AS bits FROM json_each(attributes))"
        ));
    }
    let tags: Vec<(String, String)> = std::mem::take(&mut compiler.tags)
        .into_iter()
        .zip(0..)
        .map(|(tag, bit)| (tag, (1_u64 << bit).to_string()))
        .collect();
    if !tags.is_empty() {
        // `DISTINCT`, because a device may have a tag twice.
        let sum = compiler.found("value", &tags);
        passes.push(format!(
            "(SELECT coalesce(sum(DISTINCT {sum}), 0) AS marks FROM json_each(tags))"
        ));
    }
    if !passes.is_empty() {
        text = format!("(SELECT {text} FROM {})", passes.join(", "));
    }
    let values = (!compiler.values.is_empty()).then(|| Value::Array(compiler.values).to_string());
    (text, values.map(sql::Value::from))
}

struct Compiler {
    place: usize,
    /// All bound values, as one array.
    values: Vec<Value>,
    /// The tests by attribute name. Each test returns its bit or 0.
    tests: BTreeMap<String, Vec<String>>,
    /// The number of tests. It stays below the number of bits, because a segment has fewer conditions.
    bits: u32,
    /// The tags that are searched for. A tag's bit is its index. Empty if there are more tags than bits.
    tags: BTreeSet<String>,
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

    /// Returns `found` at the first condition that decides, or else the opposite.
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
            Field::Tags => self.has_tag(scalars),
            Field::Reference | Field::Locale | Field::Language | Field::TimeZone | Field::RegisteredAt => {
                let test = self.one_of(column(field), scalars.iter().map(json).collect());
                format!("({test} IS TRUE)")
            }
        }
    }

    fn exists(&mut self, field: &Field) -> String {
        match field {
            Field::Attribute(name) => self.attribute(name, "1"),
            // A device without a time zone has the empty one.
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
            // The parser rejects an order of other fields.
            _ => "0".to_owned(),
        }
    }

    /// Tests an attribute.
    fn attribute(&mut self, name: &str, test: &str) -> String {
        let bit = 1_u64 << self.bits.min(62);
        self.bits += 1;
        let tests = self.tests.entry(name.to_owned()).or_default();
        tests.push(format!("({test}) * {bit}"));
        format!("(bits & {bit} <> 0)")
    }

    /// Returns the number of the text that equals `what`, or 0. `numbers` is sorted, and searched by
    /// bisection: a device may have 64 attributes, and a segment as many names.
    fn found(&mut self, what: &str, numbers: &[(String, String)]) -> String {
        match numbers {
            [] => "0".to_owned(),
            [(text, number)] => {
                let text = self.value(json!(text));
                format!("CASE WHEN {what} = {text} THEN {number} ELSE 0 END")
            }
            _ => {
                let (before, from) = numbers.split_at(numbers.len() / 2);
                let middle = from.first().map(|(text, _)| json!(text)).unwrap_or_default();
                let middle = self.value(middle);
                let (before, from) = (self.found(what, before), self.found(what, from));
                format!("CASE WHEN {what} < {middle} THEN {before} ELSE {from} END")
            }
        }
    }

    /// Whether a device has one of these tags.
    fn has_tag(&mut self, scalars: &[Scalar]) -> String {
        if self.tags.is_empty() {
            let test = self.one_of("value", scalars.iter().map(json).collect());
            return format!("EXISTS (SELECT 1 FROM json_each(tags) WHERE {test})");
        }
        let is_wanted = |tag: &String| scalars.contains(&Scalar::Text(tag.clone()));
        let bits = self.tags.iter().zip(0..).filter(|(tag, _)| is_wanted(tag));
        let mask = bits.fold(0, |mask, (_, bit)| mask | 1_u64 << bit);
        format!("(marks & {mask} <> 0)")
    }

    /// Whether an attribute has one of these values. `1`, `"1"` and `true` are different.
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

    /// Whether `what` is one of the values.
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

    /// Binds a value. Returns its SQL expression.
    fn value(&mut self, value: Value) -> String {
        let place = self.bind(value);
        format!("?{} ->> {place}", self.place)
    }

    fn bind(&mut self, value: Value) -> usize {
        self.values.push(value);
        self.values.len() - 1
    }
}

/// Returns the tags that a segment searches for. Empty if there are more than [`MAX_BITS`].
pub(super) fn tags(root: &Node) -> BTreeSet<String> {
    let (mut tags, mut nodes) = (BTreeSet::new(), vec![root]);
    while let Some(node) = nodes.pop() {
        match node {
            Node::All(inner) | Node::Any(inner) => nodes.extend(inner),
            Node::Not(inner) => nodes.push(inner),
            Node::In(Field::Tags, scalars) => tags.extend(scalars.iter().filter_map(|scalar| match scalar {
                Scalar::Text(text) => Some(text.clone()),
                Scalar::Number(_) | Scalar::Boolean(_) => None,
            })),
            Node::In(..) | Node::Exists(_) | Node::Beyond(..) => {}
        }
    }
    if tags.len() > MAX_BITS {
        BTreeSet::new()
    } else {
        tags
    }
}

/// Returns the sum of the expressions. Its depth is the logarithm of their number.
fn sum(texts: &[String]) -> String {
    match texts {
        [] => "0".to_owned(),
        [text] => text.clone(),
        _ => {
            let (before, from) = texts.split_at(texts.len() / 2);
            format!("({} + {})", sum(before), sum(from))
        }
    }
}

/// Returns the column of a field.
const fn column(field: &Field) -> &'static str {
    match field {
        Field::Reference => "ref",
        Field::Locale => "locale",
        Field::Language => "substr(locale, 1, instr(locale || '-', '-') - 1)",
        Field::TimeZone => "time_zone",
        Field::RegisteredAt => "coalesce(registered_at, added_at)",
        // Tags and attributes are JSON, and have no column to compare.
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

/// The bits of a positive number in SQLite.
const MAX_BITS: usize = 63;

const TEXT: &str = "type = 'text'";
const NUMBER: &str = "type IN ('integer', 'real')";
