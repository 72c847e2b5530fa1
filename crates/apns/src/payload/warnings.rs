//! Warnings about payloads that APNs accepts although the device ignores a part, or the whole notification.
//!
//! Unknown keys are kept, since Apple adds some every year, and values of any type are sent as written. A
//! mistake therefore reaches the device, and the device does not report it. These rules report it before.
//! Source: Apple, "Generating a remote notification", and what developers report about devices.

use serde_json::Value;

use super::{Payload, aps, keys, live_activity, purpose, shape};
use crate::fault::{Pointer, WarningCode, Warnings};
use crate::push_type::PushType;

impl Payload {
    /// Returns the warnings about this payload, which is at `at`, when it is sent with `push_type`.
    #[must_use]
    pub fn warnings(&self, push_type: PushType, at: &Pointer<'_>) -> Warnings {
        let mut warnings = Warnings::default();
        self.examine_nulls(at, &mut warnings);
        keys::examine(self, push_type, at, &mut warnings);
        self.examine_shapes(at, &mut warnings);
        purpose::examine(self, push_type, at, &mut warnings);
        if push_type == PushType::LiveActivity {
            live_activity::examine(self, at, &mut warnings);
        } else {
            live_activity::examine_elsewhere(self, push_type, at, &mut warnings);
        }
        warnings
    }

    fn examine_nulls(&self, at: &Pointer<'_>, warnings: &mut Warnings) {
        let Some(aps) = self.get("aps").and_then(Value::as_object) else {
            return examine_nulls(&self.root, at, warnings);
        };
        let at_aps = at.key("aps");
        for (key, value) in aps {
            // The app decodes these itself. It reads null as an absent optional value.
            let is_decoded = matches!(key.as_str(), "content-state" | "attributes");
            if !is_decoded || value.is_null() {
                examine_nulls(value, &at_aps.key(key), warnings);
            }
        }
        for (key, value) in self.custom() {
            examine_nulls(value, &at.key(key), warnings);
        }
    }

    fn examine_shapes(&self, at: &Pointer<'_>, warnings: &mut Warnings) {
        let at = at.key("aps");
        match self.get("aps") {
            None | Some(Value::Null) => {}
            Some(Value::Object(aps)) => shape::examine_members(aps, aps::MEMBERS, &at, warnings),
            Some(other) => shape::wrong_type("an object", other, &at, warnings),
        }
    }
}

/// Adds a warning for each null in `value`, however deep.
fn examine_nulls(value: &Value, at: &Pointer<'_>, warnings: &mut Warnings) {
    match value {
        Value::Null => {
            let text = "is null: devices drop a notification that has null in it; leave it out";
            warnings.add(at, WarningCode::NullValue, text);
        }
        Value::Object(map) => {
            for (key, value) in map {
                examine_nulls(value, &at.key(key), warnings);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                examine_nulls(value, &at.index(index), warnings);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
