//! What a Live Activity's payload needs, and what only it may have.
//!
//! Source: Apple, "Starting and updating Live Activities with ActivityKit push notifications".

use serde::Serialize;
use serde_json::Value;

use super::{Payload, PayloadBuilder};
use crate::apns::push_type::PushType;
use crate::fault::{FaultKind, Faults, Pointer};
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
    /// All of them, in the order of a Live Activity's life.
    pub const ALL: [Self; 3] = [Self::Start, Self::Update, Self::End];

    /// The key's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Update => "update",
            Self::End => "end",
        }
    }

    /// Pointers of the keys that must be there, besides those of [`PushType::rules`].
    ///
    /// An end without a state is allowed: the last one stays.
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
    /// A Live Activity starts. The alert, which it needs too, is set with [`Self::title`] and [`Self::body`].
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

    /// A Live Activity's state changes.
    pub fn live_activity_update(self, timestamp: Timestamp, content_state: impl Serialize) -> Self {
        self.event(Event::Update)
            .timestamp(timestamp)
            .content_state(content_state)
    }

    /// A Live Activity ends with this state.
    pub fn live_activity_end(self, timestamp: Timestamp, content_state: impl Serialize) -> Self {
        self.event(Event::End)
            .timestamp(timestamp)
            .content_state(content_state)
    }

    /// What happens to the Live Activity.
    pub fn event(self, event: Event) -> Self {
        self.aps("event", event.as_str())
    }

    /// When the Live Activity's state was right, in whole seconds; an older one loses against a newer one.
    pub fn timestamp(self, timestamp: Timestamp) -> Self {
        self.aps("timestamp", timestamp.as_secs())
    }

    /// The Live Activity's state: an object.
    pub fn content_state(self, state: impl Serialize) -> Self {
        self.aps("content-state", state)
    }

    /// When the Live Activity's state is out of date, in whole seconds.
    pub fn stale_date(self, date: Timestamp) -> Self {
        self.aps("stale-date", date.as_secs())
    }

    /// When an ended Live Activity leaves the Lock Screen, in whole seconds.
    pub fn dismissal_date(self, date: Timestamp) -> Self {
        self.aps("dismissal-date", date.as_secs())
    }

    /// The type of the attributes of a Live Activity that starts.
    pub fn attributes_type(self, name: impl Into<String>) -> Self {
        self.aps("attributes-type", name.into())
    }

    /// The attributes of a Live Activity that starts: an object.
    pub fn attributes(self, attributes: impl Serialize) -> Self {
        self.aps("attributes", attributes)
    }

    /// A Live Activity that starts asks for a token of its own.
    pub fn input_push_token(self) -> Self {
        self.aps("input-push-token", 1)
    }

    /// The broadcast channel that a Live Activity that starts is updated over.
    pub fn input_push_channel(self, channel_id: impl Into<String>) -> Self {
        self.aps("input-push-channel", channel_id.into())
    }
}

/// Adds the faults of `payload` as one of a push type other than `liveactivity`: the keys that it may not have.
pub(super) fn refuse_keys(payload: &Payload, push_type: PushType, at: &Pointer<'_>, faults: &mut Faults) {
    let mut refuse = |pointer: &str, what: &str| {
        faults.add_below(
            at,
            pointer,
            FaultKind::Conflict(format!(
                "{what} to push type liveactivity, but this is {push_type}"
            )),
        );
    };
    for pointer in KEYS.iter().filter(|pointer| payload.has(pointer)) {
        refuse(pointer, "belongs");
    }
    for pointer in LOCALIZED_IN_PLACE {
        if payload.at(pointer).is_some_and(Value::is_object) {
            refuse(pointer, "as an object belongs");
        }
    }
}

/// Pointers of the keys that only Live Activities have.
const KEYS: [&str; 10] = [
    "/aps/event",
    "/aps/timestamp",
    "/aps/content-state",
    "/aps/stale-date",
    "/aps/dismissal-date",
    "/aps/attributes-type",
    "/aps/attributes",
    "/aps/input-push-token",
    "/aps/input-push-channel",
    "/aps/alert/sound",
];

/// Pointers of the texts that only Live Activities may localize in place.
const LOCALIZED_IN_PLACE: [&str; 2] = ["/aps/alert/title", "/aps/alert/body"];

#[cfg(test)]
mod tests {
    use super::*;
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
                Faults::default()
            );
        }
        assert_eq!(
            update.build().unwrap().to_json(),
            r#"{"aps":{"event":"update","timestamp":1795420800,"content-state":{"score":3},"stale-date":1795420800}}"#
        );
    }
}
