//! Builds a payload in Rust, key by key.
//!
//! Keys are sent in the order in which they were first set, `aps` first. Values are accepted without checks,
//! like those of a payload that arrived as JSON. Only a value that JSON cannot hold is a fault. The keys of
//! Live Activities are set in [`super::live_activity`].

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{InterruptionLevel, Payload, TooLarge};
use crate::fault::{FaultKind, Faults, Pointer};

/// Builds a [`Payload`]. If a key is set twice, the later value wins.
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct PayloadBuilder {
    aps: Map<String, Value>,
    custom: Map<String, Value>,
    faults: Faults,
}

impl PayloadBuilder {
    /// Returns the payload.
    ///
    /// # Errors
    /// Returns an error if a value has no form in JSON, or if `aps` was set with [`Self::custom`].
    pub fn build(self) -> Result<Payload, BuildError> {
        let Self {
            aps,
            custom,
            mut faults,
        } = self;
        let mut root = Map::with_capacity(custom.len() + 1);
        root.insert("aps".to_owned(), Value::Object(aps));
        root.extend(custom);
        match Payload::parse(&Value::Object(root), &Pointer::Root, &mut faults) {
            Some(payload) if faults.is_empty() => Ok(payload),
            _ => Err(BuildError::Invalid(faults)),
        }
    }

    /// Returns the payload with its alert's body shortened as in [`Payload::fit`].
    ///
    /// # Errors
    /// Returns the errors of [`Self::build`], and an error if the payload does not fit even with an empty
    /// body.
    pub fn build_within(self, limit: usize) -> Result<Payload, BuildError> {
        Ok(self.build()?.fit(limit)?)
    }

    /// Sets the alert to a text, which becomes its body.
    pub fn alert(self, body: impl Into<String>) -> Self {
        self.aps("alert", body.into())
    }

    /// Sets the alert's title.
    pub fn title(self, title: impl Into<String>) -> Self {
        self.in_alert("title", title.into())
    }

    /// Sets the alert's subtitle, which is shown between title and body.
    pub fn subtitle(self, subtitle: impl Into<String>) -> Self {
        self.in_alert("subtitle", subtitle.into())
    }

    /// Sets the alert's body.
    pub fn body(self, body: impl Into<String>) -> Self {
        self.in_alert("body", body.into())
    }

    /// Sets the image or storyboard that is shown while the app launches.
    pub fn launch_image(self, name: impl Into<String>) -> Self {
        self.in_alert("launch-image", name.into())
    }

    /// Sets the title to a localized text of the app.
    pub fn localized_title<A: Into<String>>(
        self,
        key: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        self.localized("title-loc-key", key, "title-loc-args", args)
    }

    /// Sets the subtitle to a localized text of the app.
    pub fn localized_subtitle<A: Into<String>>(
        self,
        key: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        self.localized("subtitle-loc-key", key, "subtitle-loc-args", args)
    }

    /// Sets the body to a localized text of the app.
    pub fn localized_body<A: Into<String>>(
        self,
        key: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        self.localized("loc-key", key, "loc-args", args)
    }

    /// Sets any key of the alert, such as one that Apple added later. Keeps a body that was set with
    /// [`Self::alert`].
    pub fn in_alert(mut self, key: &str, value: impl Serialize) -> Self {
        let value = self.value(&["aps", "alert", key], value);
        let alert = self.aps.entry("alert").or_insert_with(|| json!({}));
        if let Value::String(body) = alert {
            *alert = json!({ "body": body });
        }
        if let Value::Object(alert) = alert {
            alert.insert(key.to_owned(), value);
        }
        self
    }

    /// Sets the number on the app's icon; 0 removes it.
    pub fn badge(self, badge: u64) -> Self {
        self.aps("badge", badge)
    }

    /// Sets the sound: a file of the app, or `default`.
    pub fn sound(self, name: impl Into<String>) -> Self {
        self.aps("sound", name.into())
    }

    /// Sets a sound that plays even if the device is silent, with a volume from 0 to 1; needs Apple's
    /// entitlement.
    pub fn critical_sound(mut self, name: impl Into<String>, volume: f64) -> Self {
        let volume = self.number(&["aps", "sound", "volume"], volume);
        let sound = json!({"critical": 1, "name": name.into(), "volume": volume});
        self.aps("sound", sound)
    }

    /// Sets the thread id. Notifications with the same thread id are shown as a group.
    pub fn thread_id(self, id: impl Into<String>) -> Self {
        self.aps("thread-id", id.into())
    }

    /// Sets the notification's category, which defines its actions.
    pub fn category(self, category: impl Into<String>) -> Self {
        self.aps("category", category.into())
    }

    /// Wakes the app in the background.
    pub fn content_available(self) -> Self {
        self.aps("content-available", 1)
    }

    /// Lets the app's service extension change the notification before it is shown.
    pub fn mutable_content(self) -> Self {
        self.aps("mutable-content", 1)
    }

    /// Sets the id of the window that is brought forward.
    pub fn target_content_id(self, id: impl Into<String>) -> Self {
        self.aps("target-content-id", id.into())
    }

    /// Sets how much the notification may interrupt.
    pub fn interruption_level(self, level: InterruptionLevel) -> Self {
        self.aps("interruption-level", level.as_str())
    }

    /// Sets the notification's rank in the summary, from 0 to 1. For a Live Activity, any number.
    pub fn relevance_score(mut self, score: f64) -> Self {
        let score = self.number(&["aps", "relevance-score"], score);
        self.aps("relevance-score", score)
    }

    /// Sets the value that the app's Focus filters evaluate.
    pub fn filter_criteria(self, criteria: impl Into<String>) -> Self {
        self.aps("filter-criteria", criteria.into())
    }

    /// Says that a widget or control has new content.
    pub fn content_changed(self) -> Self {
        self.aps("content-changed", true)
    }

    /// Sets the values for the placeholders of a Safari notification's URL; legacy.
    pub fn url_args<A: Into<String>>(self, args: impl IntoIterator<Item = A>) -> Self {
        self.aps("url-args", strings(args))
    }

    /// Sets the push magic with which a device management server calls its device.
    pub fn mdm(self, push_magic: impl Into<String>) -> Self {
        self.custom("mdm", push_magic.into())
    }

    /// Sets an app's own key, beside `aps`.
    pub fn custom(mut self, key: &str, value: impl Serialize) -> Self {
        let value = self.value(&[key], value);
        if key == "aps" {
            let text = "is not a key of the app's own".to_owned();
            self.faults
                .add(&Pointer::Root.key(key), FaultKind::Conflict(text));
        } else {
            self.custom.insert(key.to_owned(), value);
        }
        self
    }

    /// Sets any key of `aps`, such as one that Apple added later.
    pub fn aps(mut self, key: &str, value: impl Serialize) -> Self {
        let value = self.value(&["aps", key], value);
        self.aps.insert(key.to_owned(), value);
        self
    }

    /// Removes the key `key` from `aps`.
    pub fn without(mut self, key: &str) -> Self {
        self.aps.shift_remove(key);
        self
    }

    fn localized<A: Into<String>>(
        self,
        key_key: &str,
        key: impl Into<String>,
        args_key: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let args = strings(args);
        let keyed = self.in_alert(key_key, key.into());
        if args.is_empty() {
            keyed
        } else {
            keyed.in_alert(args_key, args)
        }
    }

    /// Converts `value` to JSON. Adds a fault at `path` if it has no form in JSON.
    fn value(&mut self, path: &[&str], value: impl Serialize) -> Value {
        serde_json::to_value(value).unwrap_or_else(|error| {
            self.refuse(path, &format!("cannot be written as JSON: {error}"));
            Value::Null
        })
    }

    /// Converts `number` to JSON. A whole number gets no fraction, as in Apple's examples.
    fn number(&mut self, path: &[&str], number: f64) -> Value {
        if !number.is_finite() {
            self.refuse(path, "cannot be written as JSON: it is not a finite number");
        }
        let whole = format!("{number:.0}");
        match whole.parse::<i64>() {
            Ok(whole) if number.fract() == 0.0 => whole.into(),
            _ => number.into(),
        }
    }

    fn refuse(&mut self, path: &[&str], text: &str) {
        let pointer: String = path
            .iter()
            .map(|key| Pointer::Root.key(key).to_string())
            .collect();
        let kind = FaultKind::Invalid(text.to_owned());
        self.faults.add_below(&Pointer::Root, &pointer, kind);
    }
}

/// Why no payload was built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A value that was set is invalid.
    #[error("{0}")]
    Invalid(Faults),
    /// The payload is too large, and a shorter body does not help.
    #[error("the payload {0}")]
    TooLarge(#[from] TooLarge),
}

fn strings<A: Into<String>>(texts: impl IntoIterator<Item = A>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_reads_as_it_was_built() {
        let payload = Payload::builder()
            .title("Ann")
            .subtitle("in Rust")
            .body("Hello")
            .badge(1)
            .sound("default")
            .thread_id("t")
            .category("c")
            .mutable_content()
            .interruption_level(InterruptionLevel::TimeSensitive)
            .relevance_score(0.5)
            .custom("id", 7)
            .build()
            .unwrap();
        assert_eq!(
            payload.to_json(),
            r#"{"aps":{"alert":{"title":"Ann","subtitle":"in Rust","body":"Hello"},"badge":1,"sound":"default","thread-id":"t","category":"c","mutable-content":1,"interruption-level":"time-sensitive","relevance-score":0.5},"id":7}"#
        );
    }

    #[test]
    fn a_title_beside_an_alert_keeps_the_body() {
        let payload = Payload::builder().alert("body").title("title").build().unwrap();
        assert_eq!(
            payload.to_json(),
            r#"{"aps":{"alert":{"body":"body","title":"title"}}}"#
        );
    }

    #[test]
    fn arguments_that_are_none_leave_no_key() {
        let payload = Payload::builder()
            .localized_title("T", ["1"])
            .localized_body("B", [""; 0])
            .build()
            .unwrap();
        assert_eq!(
            payload.to_json(),
            r#"{"aps":{"alert":{"title-loc-key":"T","title-loc-args":["1"],"loc-key":"B"}}}"#
        );
    }

    #[test]
    fn what_devices_ignore_is_built_and_what_json_cannot_hold_is_not() {
        let odd = Payload::builder().content_state([1, 2]).critical_sound("s", 1.5);
        assert_eq!(
            odd.build().unwrap().to_json(),
            r#"{"aps":{"content-state":[1,2],"sound":{"critical":1,"name":"s","volume":1.5}}}"#
        );
        let error = Payload::builder()
            .critical_sound("s", f64::INFINITY)
            .relevance_score(f64::NAN)
            .custom("aps", 1)
            .build()
            .unwrap_err();
        let BuildError::Invalid(faults) = error else {
            panic!("{error}");
        };
        let pointers: Vec<&str> = faults
            .listed()
            .iter()
            .map(|fault| fault.pointer.as_str())
            .collect();
        assert_eq!(pointers, ["/aps/sound/volume", "/aps/relevance-score", "/aps"]);
    }

    #[test]
    fn what_json_cannot_hold_is_a_fault_of_its_key() {
        let keys_are_lists = std::collections::BTreeMap::from([(vec![1], 1)]);
        let error = Payload::builder()
            .custom("a/b", keys_are_lists)
            .build()
            .unwrap_err();
        assert!(
            error.to_string().starts_with("/a~1b: cannot be written as JSON"),
            "{error}"
        );
    }

    #[test]
    fn a_body_is_shortened_to_the_limit_and_nothing_else_is() {
        let builder = Payload::builder().title("t").body("b".repeat(5000));
        let payload = builder.clone().build_within(4096).unwrap();
        assert_eq!(payload.size(), 4096);
        let error = builder
            .custom("data", "x".repeat(4096))
            .build_within(4096)
            .unwrap_err();
        assert!(matches!(error, BuildError::TooLarge(_)), "{error}");
    }
}
