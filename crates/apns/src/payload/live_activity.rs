//! The required keys of a Live Activity's payload, and the keys that no other payload may have.
//!
//! Source: Apple, "Starting and updating Live Activities with ActivityKit push notifications".

use serde::Serialize;
use serde_json::Value;

use super::shape::FAR_SECONDS;
use super::{Payload, PayloadBuilder};
use crate::fault::{Pointer, WarningCode, Warnings};
use crate::push_type::PushType;
use crate::time::Timestamp;

/// What happens to a Live Activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It starts.
    Start,
    /// Its state changes.
    Update,
    /// It ends.
    End,
}

impl Event {
    /// All events, in the order of a Live Activity's life.
    pub const ALL: [Self; 3] = [Self::Start, Self::Update, Self::End];

    /// Returns the key's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Update => "update",
            Self::End => "end",
        }
    }

    /// Returns pointers to the required keys, in addition to those of [`PushType::rules`].
    ///
    /// An end without a state is allowed: the last state stays.
    #[must_use]
    pub const fn required(self) -> &'static [&'static str] {
        match self {
            Self::Start => &[
                "/aps/attributes-type",
                "/aps/attributes",
                "/aps/content-state",
                "/aps/alert/title",
                "/aps/alert/body",
            ],
            Self::Update => &["/aps/content-state"],
            Self::End => &[],
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == word)
    }
}

/// The keys of Live Activities.
impl PayloadBuilder {
    /// Starts a Live Activity. It also needs an alert; set it with [`Self::title`] and [`Self::body`].
    pub fn live_activity_start(
        self,
        timestamp: Timestamp,
        attributes_type: impl Into<String>,
        attributes: impl Serialize,
        content_state: impl Serialize,
    ) -> Self {
        self.event(Event::Start)
            .timestamp(timestamp)
            .attributes_type(attributes_type)
            .attributes(attributes)
            .content_state(content_state)
    }

    /// Changes a Live Activity's state.
    pub fn live_activity_update(self, timestamp: Timestamp, content_state: impl Serialize) -> Self {
        self.event(Event::Update)
            .timestamp(timestamp)
            .content_state(content_state)
    }

    /// Ends a Live Activity with this state.
    pub fn live_activity_end(self, timestamp: Timestamp, content_state: impl Serialize) -> Self {
        self.event(Event::End)
            .timestamp(timestamp)
            .content_state(content_state)
    }

    /// Sets what happens to the Live Activity.
    pub fn event(self, event: Event) -> Self {
        self.aps("event", event.as_str())
    }

    /// Sets the time of the Live Activity's state, in whole seconds. The system ignores a state older than
    /// the current one.
    pub fn timestamp(self, timestamp: Timestamp) -> Self {
        self.aps("timestamp", timestamp.as_secs())
    }

    /// Sets the Live Activity's state, an object.
    pub fn content_state(self, state: impl Serialize) -> Self {
        self.aps("content-state", state)
    }

    /// Sets when the Live Activity's state becomes stale, in whole seconds.
    pub fn stale_date(self, date: Timestamp) -> Self {
        self.aps("stale-date", date.as_secs())
    }

    /// Sets when an ended Live Activity leaves the Lock Screen, in whole seconds.
    pub fn dismissal_date(self, date: Timestamp) -> Self {
        self.aps("dismissal-date", date.as_secs())
    }

    /// Sets the type of the attributes of a Live Activity that starts.
    pub fn attributes_type(self, name: impl Into<String>) -> Self {
        self.aps("attributes-type", name.into())
    }

    /// Sets the attributes of a Live Activity that starts, an object.
    pub fn attributes(self, attributes: impl Serialize) -> Self {
        self.aps("attributes", attributes)
    }

    /// Requests a push token for a Live Activity that starts.
    pub fn input_push_token(self) -> Self {
        self.aps("input-push-token", 1)
    }

    /// Sets the broadcast channel that updates a Live Activity that starts.
    pub fn input_push_channel(self, channel_id: impl Into<String>) -> Self {
        self.aps("input-push-channel", channel_id.into())
    }
}

/// Adds a warning for each part of a Live Activity's payload that a device ignores.
pub(super) fn examine(payload: &Payload, at: &Pointer<'_>, warnings: &mut Warnings) {
    let aps = payload.aps();
    let at_aps = at.key("aps");
    let event = aps.event();
    for (key, of) in KEYS_OF_EVENTS {
        if event.is_some_and(|event| event != of) && aps.has(key) {
            let text = format!("is read only with event {}", of.as_str());
            warnings.add(&at_aps.key(key), WarningCode::IgnoredKey, text);
        }
    }
    if event == Some(Event::Start) && aps.input_push_token() && aps.input_push_channel().is_some() {
        let text = "does nothing beside input-push-token: a Live Activity is updated by one of them";
        warnings.add(&at_aps.key("input-push-channel"), WarningCode::IgnoredKey, text);
    }
    if event == Some(Event::End) && aps.content_state().is_none() {
        let text = "is missing: the Live Activity ends without a final state, and shows its last one";
        warnings.add(&at_aps.key("content-state"), WarningCode::EndWithoutState, text);
    }
    if aps.get("alert").is_some_and(Value::is_string) {
        let text = "should be an object with title and body, but is a string";
        warnings.add(&at_aps.key("alert"), WarningCode::WrongType, text);
    }
    if aps.has("sound") {
        let text = "does nothing here; did you mean `aps.alert.sound`?";
        warnings.add(&at_aps.key("sound"), WarningCode::MisplacedKey, text);
    }
    examine_dates(payload, &at_aps, warnings);
}

fn examine_dates(payload: &Payload, at_aps: &Pointer<'_>, warnings: &mut Warnings) {
    // A date in milliseconds has a warning of its own and is not compared with the others.
    let date = |key| {
        let seconds = payload.aps().get(key).and_then(Value::as_f64);
        seconds.filter(|seconds| seconds.abs() < FAR_SECONDS)
    };
    let Some(timestamp) = date("timestamp") else {
        return;
    };
    if timestamp < FIRST_TIMESTAMP {
        let text = "is before 2022: should be seconds since 1970 and now, as devices ignore a state that is older than theirs";
        warnings.add(&at_aps.key("timestamp"), WarningCode::OldTimestamp, text);
    }
    if date("stale-date").is_some_and(|stale| stale < timestamp) {
        let text = "is before the timestamp: the state is out of date from the beginning";
        warnings.add(&at_aps.key("stale-date"), WarningCode::StaleBeforeTimestamp, text);
    }
    let is_end = payload.aps().event() == Some(Event::End);
    if is_end && date("dismissal-date").is_some_and(|dismissal| dismissal > timestamp + LONGEST_SHOWN) {
        let text = "is more than four hours after the timestamp: the system removes the Live Activity after four hours";
        warnings.add(&at_aps.key("dismissal-date"), WarningCode::LateDismissal, text);
    }
}

/// Adds a warning for each Live Activity key in a payload of another push type.
pub(super) fn examine_elsewhere(
    payload: &Payload,
    push_type: PushType,
    at: &Pointer<'_>,
    warnings: &mut Warnings,
) {
    let at_aps = at.key("aps");
    let at_alert = at_aps.key("alert");
    let mut ignored = |at: &Pointer<'_>, what: &str| {
        let text = format!("{what} only with push type liveactivity, but this is {push_type}");
        warnings.add(at, WarningCode::IgnoredKey, text);
    };
    for key in KEYS.into_iter().filter(|key| payload.aps().has(key)) {
        ignored(&at_aps.key(key), "is read");
    }
    if payload.has("/aps/alert/sound") {
        ignored(&at_alert.key("sound"), "is read");
    }
    for (pointer, key) in LOCALIZED_IN_PLACE {
        if payload.at(pointer).is_some_and(Value::is_object) {
            ignored(&at_alert.key(key), "is read as an object");
        }
    }
}

/// Keys of `aps` that are read with one event only.
const KEYS_OF_EVENTS: [(&str, Event); 5] = [
    ("attributes-type", Event::Start),
    ("attributes", Event::Start),
    ("input-push-token", Event::Start),
    ("input-push-channel", Event::Start),
    ("dismissal-date", Event::End),
];

/// 2022-01-01 in seconds since 1970: Live Activities appeared later that year. A date counted from 2001 is
/// smaller.
const FIRST_TIMESTAMP: f64 = 1_640_995_200.0;

/// How long the system shows an ended Live Activity, in seconds.
const LONGEST_SHOWN: f64 = 4.0 * 60.0 * 60.0;

/// Keys of `aps` that only Live Activities have.
const KEYS: [&str; 9] = [
    "event",
    "timestamp",
    "content-state",
    "stale-date",
    "dismissal-date",
    "attributes-type",
    "attributes",
    "input-push-token",
    "input-push-channel",
];

/// The texts that only Live Activities may localize in place.
const LOCALIZED_IN_PLACE: [(&str, &str); 2] = [("/aps/alert/title", "title"), ("/aps/alert/body", "body")];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Faults;
    use serde_json::json;

    #[test]
    fn a_live_activity_starts_changes_and_ends_with_all_that_it_needs() {
        #[derive(Serialize)]
        struct State {
            score: u32,
        }
        let now = Timestamp::from_millis(1_795_420_800_999);
        let state = State { score: 3 };
        let start = Payload::builder()
            .live_activity_start(now, "Match", json!({"home": "A"}), &state)
            .title("Kick-off")
            .body("It has begun")
            .input_push_token();
        let update = Payload::builder()
            .live_activity_update(now, &state)
            .stale_date(now);
        let end = Payload::builder()
            .live_activity_end(now, &state)
            .dismissal_date(now);
        for builder in [start, update.clone(), end] {
            let mut faults = Faults::default();
            let payload = builder.build().unwrap();
            payload.check(PushType::LiveActivity, &Pointer::Root, &mut faults);
            assert_eq!(faults, Faults::default());
            assert_eq!(
                payload.warnings(PushType::LiveActivity, &Pointer::Root),
                Warnings::default()
            );
        }
        assert_eq!(
            update.build().unwrap().to_json(),
            r#"{"aps":{"event":"update","timestamp":1795420800,"content-state":{"score":3},"stale-date":1795420800}}"#
        );
    }
}
