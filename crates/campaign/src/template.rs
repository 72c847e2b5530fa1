//! Texts that differ by device: `{{ first_name }}` in the strings of a payload, and variants by locale.
//!
//! A payload and its variants are compiled once. Each device then has a merge patch (RFC 7396) over the
//! payload, or none if it gets the payload unchanged. Templates are filled in within a JSON tree, which is
//! then written as JSON. So a value cannot escape its string, and is never read as a template. In scope: the
//! expressions `{{ name }}` and `{{ name | default: "x" }}` of the crate `upon`. A key that requires a number
//! accepts a single expression as well. Out of scope: blocks, which are rejected, and what a payload may
//! contain.

mod leaf;
mod locale;
mod node;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use leaf::{BadTemplate, MAX_DEPTH};
pub use locale::is_locale;

use super::audience::Device;
use apns::fault::{Faults, Pointer};
use apns::payload::Payload;
use leaf::{Compiler, is_blank};
use node::Node;

/// The properties of a device that templates can use.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'d> {
    /// Its device token.
    pub token: &'d str,
    /// The caller's own name for the device: the variable `ref`.
    pub reference: Option<&'d str>,
    /// Its locale, such as `de-AT`: the variable `locale`. The part before the first `-` is the variable
    /// `language`.
    pub locale: Option<&'d str>,
    /// Its IANA time zone: the variable `time_zone`.
    pub time_zone: Option<&'d str>,
    /// All other variables: texts, numbers and booleans.
    pub attributes: &'d Map<String, Value>,
}

impl<'d> Recipient<'d> {
    /// Returns the properties of a device of an audience.
    #[must_use]
    pub fn of(device: &'d Device) -> Self {
        Self {
            token: &device.token,
            reference: device.reference.as_deref(),
            locale: device.locale.as_deref(),
            time_zone: device.time_zone.as_deref(),
            attributes: &device.attributes,
        }
    }
}

/// A compiled payload with its variants.
pub struct Templates {
    compiler: Compiler,
    /// The part of the payload with templates, if it has any.
    base: Option<Node>,
    /// The patches over the payload, by locale.
    variants: Vec<(String, Node)>,
    /// The defaults of variables that a device does not have, or whose value is blank.
    defaults: BTreeMap<String, String>,
    variables: BTreeSet<String>,
}

/// Why a device has no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrendered {
    /// The device has no such variable, and there is no default.
    #[error("there is no `{0}`, and no default for it")]
    Missing(String),
    /// The text is not a number, but the key at this pointer of the payload requires one.
    #[error("the text for `{0}` is not a number")]
    NoNumber(String),
    /// The texts are longer than [`MAX_RENDERED`].
    #[error("its texts are more than {MAX_RENDERED} bytes long when they are filled in")]
    TooLong,
    /// An expression could not be evaluated.
    #[error("{0}")]
    Expression(String),
}

impl Templates {
    /// Compiles `payload`, found at `at`, and the `variants` by locale, found at `variants_at`.
    ///
    /// Each variant is a merge patch over the payload. An invalid template is added to `faults` and left as
    /// it is.
    #[must_use]
    pub fn compile(
        (payload, at): (&Value, &Pointer<'_>),
        (variants, variants_at): (&Map<String, Value>, &Pointer<'_>),
        defaults: &Map<String, Value>,
        faults: &mut Faults,
    ) -> Self {
        let mut compiler = Compiler::new();
        let base = Node::part(payload, &mut compiler, at, &Pointer::Root, faults);
        let mut compiled = Vec::new();
        for (locale, patch) in variants {
            // Reports the faults of the patch's templates. Those of the payload were reported above.
            Node::part(
                patch,
                &mut compiler,
                &variants_at.key(locale),
                &Pointer::Root,
                faults,
            );
            let whole = Payload::merge(payload, patch);
            let part = Node::part(
                &whole,
                &mut compiler,
                &Pointer::Root,
                &Pointer::Root,
                &mut Faults::default(),
            );
            compiled.push((locale.clone(), Node::over(patch, part)));
        }
        let defaults = defaults
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), text(value)?)));
        Self {
            base,
            variants: compiled,
            defaults: defaults.collect(),
            variables: compiler.take_variables(),
            compiler,
        }
    }

    /// Whether all devices get the same payload.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.base.is_none() && self.variants.is_empty()
    }

    /// Returns the names of all variables in the payload and its variants.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(String::as_str)
    }

    /// Returns the merge patch for a device. Returns `None` if the payload has no templates and no variant
    /// matches the device's locale.
    ///
    /// # Errors
    /// A variable has no value, or the texts are too long.
    pub fn patch(&self, recipient: &Recipient<'_>) -> Result<Option<Value>, Unrendered> {
        let own = |name: &str| match (value_of(recipient, name), self.defaults.get(name)) {
            (Some(value), Some(default)) if is_blank(&value) => Some(default.clone()),
            (value, default) => value.or_else(|| default.cloned()),
        };
        let variant = recipient.locale.and_then(|locale| self.variant(locale));
        self.render(variant.or(self.base.as_ref()), &own, None)
    }

    /// Renders samples, in which each variable has its default or [`SAMPLE`]: first without a variant, then
    /// with each variant, by its locale.
    pub fn samples(&self) -> impl Iterator<Item = (Option<&str>, Result<Option<Value>, Unrendered>)> {
        let sample = |name: &str| Some(self.defaults.get(name).map_or(SAMPLE, String::as_str).to_owned());
        let variants = self.variants.iter();
        let variants = variants.map(|(locale, node)| (Some(locale.as_str()), Some(node)));
        std::iter::once((None, self.base.as_ref()))
            .chain(variants)
            .map(move |(locale, node)| (locale, self.render(node, &sample, Some(SAMPLE_NUMBER))))
    }

    fn variant(&self, locale: &str) -> Option<&Node> {
        let keys = self.variants.iter().map(|(key, node)| (key.as_str(), node));
        locale::longest_prefix(locale, keys)
    }

    fn render(
        &self,
        node: Option<&Node>,
        lookup: &dyn Fn(&str) -> Option<String>,
        sample: Option<u8>,
    ) -> Result<Option<Value>, Unrendered> {
        let mut room = MAX_RENDERED;
        node.map(|node| node.render(&self.compiler, lookup, &mut room, sample))
            .transpose()
    }
}

/// Returns the value of a variable as text.
fn value_of(recipient: &Recipient<'_>, name: &str) -> Option<String> {
    match name {
        "ref" => recipient.reference.map(str::to_owned),
        "locale" => recipient.locale.map(str::to_owned),
        "language" => recipient.locale.map(|locale| locale::language(locale).to_owned()),
        "time_zone" => recipient.time_zone.map(str::to_owned),
        _ => text(recipient.attributes.get(name)?),
    }
}

/// Returns a value as text. A number keeps its digits.
fn text(value: &Value) -> Option<String> {
    let text: Cow<'_, str> = match value {
        Value::String(text) => text.into(),
        Value::Number(number) => number.to_string().into(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(text.into_owned())
}

/// The most bytes of all filled-in texts of a device.
///
/// APNs accepts payloads of up to 5,120 bytes, and a body that will be truncated may be longer. Without a
/// limit, a few kilobytes of expressions could produce megabytes per device.
pub const MAX_RENDERED: usize = 32 * 1024;

/// The value of a variable in a sample.
pub const SAMPLE: &str = "x";

/// The value of a number in a sample.
const SAMPLE_NUMBER: u8 = 1;

#[cfg(test)]
mod tests;
