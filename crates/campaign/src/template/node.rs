//! A JSON tree in which some strings are templates.

use serde_json::{Map, Number, Value};

use super::Unrendered;
use super::leaf::{Compiler, Leaf, is_one_expression, is_template};
use apns::fault::{FaultKind, Faults, Pointer};
use apns::payload::wants_number;

/// A value with templates, or the part of it that has templates.
pub(super) enum Node {
    /// A value without templates.
    Fixed(Value),
    /// A string that is a template.
    Text(Leaf),
    /// A number that is filled in, and its pointer in the payload.
    Number(Leaf, String),
    /// An array. It is always complete, because a merge patch cannot change part of an array.
    Array(Vec<Self>),
    /// An object, or some of its members.
    Object(Vec<(String, Self)>),
}

impl Node {
    /// Returns the smallest part of `value`, found at `at`, with all of its templates: a merge patch over the
    /// value. Returns `None` if it has none. `place` is the pointer in the payload.
    pub(super) fn part(
        value: &Value,
        compiler: &mut Compiler,
        at: &Pointer<'_>,
        place: &Pointer<'_>,
        faults: &mut Faults,
    ) -> Option<Self> {
        match value {
            Value::Object(map) => {
                let members: Vec<(String, Self)> = map
                    .iter()
                    .filter_map(|(key, value)| {
                        let part = Self::part(value, compiler, &at.key(key), &place.key(key), faults)?;
                        Some((key.clone(), part))
                    })
                    .collect();
                (!members.is_empty()).then_some(Self::Object(members))
            }
            _ => has_template(value).then(|| Self::whole(value, compiler, at, place, faults)),
        }
    }

    /// Compiles all of `value`.
    fn whole(
        value: &Value,
        compiler: &mut Compiler,
        at: &Pointer<'_>,
        place: &Pointer<'_>,
        faults: &mut Faults,
    ) -> Self {
        match value {
            Value::String(text) if is_template(text) => match compiler.compile(text) {
                Ok(leaf) => {
                    let place = place.to_string();
                    if is_one_expression(text) && wants_number(&place) {
                        Self::Number(leaf, place)
                    } else {
                        Self::Text(leaf)
                    }
                }
                Err(error) => {
                    faults.add(at, FaultKind::Invalid(error.to_string()));
                    Self::Fixed(value.clone())
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(index, item)| {
                    Self::whole(item, compiler, &at.index(index), &place.index(index), faults)
                });
                Self::Array(items.collect())
            }
            Value::Object(map) => {
                let members = map.iter();
                let members = members.map(|(key, value)| {
                    let node = Self::whole(value, compiler, &at.key(key), &place.key(key), faults);
                    (key.clone(), node)
                });
                Self::Object(members.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Self::Fixed(value.clone()),
        }
    }

    /// Combines the merge patch `patch` with templates: `part` is the part with templates of the payload
    /// after the patch.
    pub(super) fn over(patch: &Value, part: Option<Self>) -> Self {
        let (map, mut members) = match (patch, part) {
            (Value::Object(map), Some(Self::Object(members))) => (map, members),
            (_, Some(part)) => return part,
            (_, None) => return Self::Fixed(patch.clone()),
        };
        let mut over = Vec::with_capacity(map.len() + members.len());
        for (key, change) in map {
            let place = members.iter().position(|(name, _)| name == key);
            let part = place.map(|place| members.swap_remove(place).1);
            over.push((key.clone(), Self::over(change, part)));
        }
        over.extend(members);
        Self::Object(over)
    }

    /// Renders the value with the texts that `lookup` returns. Subtracts the length of all texts from `room`.
    /// If the text of a number is not a number, `sample` is used, if there is one.
    pub(super) fn render(
        &self,
        compiler: &Compiler,
        lookup: &dyn Fn(&str) -> Option<String>,
        room: &mut usize,
        sample: Option<u8>,
    ) -> Result<Value, Unrendered> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(leaf) => Value::String(compiler.render(leaf, lookup, room)?),
            Self::Number(leaf, place) => {
                let text = compiler.render(leaf, lookup, room)?;
                let number = serde_json::from_str::<Number>(text.trim()).map(Value::Number);
                let number = number.ok().or_else(|| sample.map(Value::from));
                number.ok_or_else(|| Unrendered::NoNumber(place.clone()))?
            }
            Self::Array(items) => {
                let items = items
                    .iter()
                    .map(|item| item.render(compiler, lookup, room, sample));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Self::Object(members) => {
                let members = members
                    .iter()
                    .map(|(key, node)| Ok((key.clone(), node.render(compiler, lookup, room, sample)?)));
                Value::Object(members.collect::<Result<Map<_, _>, _>>()?)
            }
        })
    }
}

fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => is_template(text),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(map) => map.values().any(has_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
