//! The fields of a campaign that belong to no other module.

use serde_json::{Map, Value};

use apns::fault::{self, FaultKind, Faults, Pointer};
use campaign::template;

/// Validates the campaign's name, which is required.
pub(super) fn name(map: &Map<String, Value>, at: &Pointer<'_>, faults: &mut Faults) {
    let at = at.key("name");
    let Some(value) = map.get("name") else {
        return faults.add(&at, FaultKind::Missing);
    };
    match fault::string(value, &at, faults) {
        Some("") => faults.add(&at, FaultKind::Invalid("is empty".to_owned())),
        Some(text) if text.len() > MAX_NAME => faults.add(&at, too_long(text.len(), MAX_NAME, "bytes")),
        Some(_) | None => {}
    }
}

/// Reads the defaults of variables, by name. Entries with faults are left out.
pub(super) fn defaults(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Map<String, Value> {
    let mut defaults = Map::new();
    let Some(map) = fault::open_object(value, at, faults) else {
        return defaults;
    };
    if map.len() > MAX_DEFAULTS {
        faults.add(at, too_long(map.len(), MAX_DEFAULTS, "names"));
        return defaults;
    }
    for (name, value) in map {
        let at = at.key(name);
        match value {
            Value::String(text) if text.len() > MAX_VALUE => {
                faults.add(&at, too_long(text.len(), MAX_VALUE, "bytes"));
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                defaults.insert(name.clone(), value.clone());
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                fault::wrong_type("a string, a number or a boolean", value, &at, faults);
            }
        }
    }
    defaults
}

/// Reads the merge patches, by locale. Entries with faults are left out.
pub(super) fn variants(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Map<String, Value> {
    let mut variants = Map::<String, Value>::new();
    let Some(map) = fault::open_object(value, at, faults) else {
        return variants;
    };
    if map.len() > MAX_VARIANTS {
        faults.add(at, too_long(map.len(), MAX_VARIANTS, "locales"));
        return variants;
    }
    for (locale, patch) in map {
        let at = at.key(locale);
        let other = variants.keys().find(|known| known.eq_ignore_ascii_case(locale));
        if let Some(other) = other {
            let text = format!("is there already, as `{other}`: the case of a locale does not matter");
            faults.add(&at, FaultKind::Conflict(text));
        } else if !template::is_locale(locale) {
            let text = "is no locale, such as `de` or `de-AT`";
            faults.add(&at, FaultKind::Invalid(text.to_owned()));
        } else if fault::open_object(patch, &at, faults).is_some() {
            variants.insert(locale.clone(), patch.clone());
        }
    }
    variants
}

const fn too_long(size: usize, limit: usize, unit: &'static str) -> FaultKind {
    FaultKind::TooLong { size, limit, unit }
}

/// The longest name in bytes: one line of a list.
pub(super) const MAX_NAME: usize = 200;

/// The most defaults: as many as a device may have attributes.
pub(super) const MAX_DEFAULTS: usize = 64;

/// The longest default in bytes: as long as an attribute.
pub(super) const MAX_VALUE: usize = 1024;

/// The most variants. Each is merged and checked when a campaign is written, and before each chunk is
/// rendered.
pub(super) const MAX_VARIANTS: usize = 100;
