//! The dictionary `aps`, which the system reads.
//!
//! Source: Apple, "Generating a remote notification" and the pages on ActivityKit, WidgetKit and Push to Talk
//! notifications. `url-args` belongs to Safari's own website push, which is older than Web Push.

use serde_json::{Map, Value};

use super::alert::{self, Alert};
use super::live_activity::Event;
use super::shape::{self, Members, Shape};
use super::sound::Sound;
use crate::time::Timestamp;

/// A payload's `aps`; empty if the payload has none.
#[derive(Clone, Copy)]
pub struct Aps<'p>(Option<&'p Map<String, Value>>);

impl<'p> Aps<'p> {
    pub(super) fn read(root: &'p Value) -> Self {
        Self(root.get("aps").and_then(Value::as_object))
    }

    /// Whether it has no keys.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_none_or(Map::is_empty)
    }

    /// Returns the alert, which the device shows.
    #[must_use]
    pub fn alert(self) -> Option<Alert<'p>> {
        Alert::read(self.get("alert")?)
    }

    /// Returns the number on the app's icon; 0 removes it.
    #[must_use]
    pub fn badge(self) -> Option<u64> {
        self.get("badge")?.as_u64()
    }

    /// Returns the sound, which the device plays.
    #[must_use]
    pub fn sound(self) -> Option<Sound<'p>> {
        self.get("sound").map(Sound::read)
    }

    /// Returns the thread id. Notifications with the same thread id are shown as a group.
    #[must_use]
    pub fn thread_id(self) -> Option<&'p str> {
        self.text("thread-id")
    }

    /// Returns the notification's category, which defines its actions.
    #[must_use]
    pub fn category(self) -> Option<&'p str> {
        self.text("category")
    }

    /// Whether the app is woken in the background.
    #[must_use]
    pub fn content_available(self) -> bool {
        self.is_on("content-available")
    }

    /// Whether the app's service extension may change the notification before it is shown.
    #[must_use]
    pub fn mutable_content(self) -> bool {
        self.is_on("mutable-content")
    }

    /// Returns the id of the window that is brought forward.
    #[must_use]
    pub fn target_content_id(self) -> Option<&'p str> {
        self.text("target-content-id")
    }

    /// Returns how much the notification may interrupt.
    #[must_use]
    pub fn interruption_level(self) -> Option<InterruptionLevel> {
        InterruptionLevel::from_word(self.text("interruption-level")?)
    }

    /// Returns the notification's rank in the summary, from 0 to 1. For a Live Activity, any number.
    #[must_use]
    pub fn relevance_score(self) -> Option<f64> {
        self.get("relevance-score")?.as_f64()
    }

    /// Returns the value that the app's Focus filters evaluate.
    #[must_use]
    pub fn filter_criteria(self) -> Option<&'p str> {
        self.text("filter-criteria")
    }

    /// Returns what happens to the Live Activity.
    #[must_use]
    pub fn event(self) -> Option<Event> {
        Event::from_word(self.text("event")?)
    }

    /// Returns the time of the Live Activity's state. The system ignores a state older than the current one.
    #[must_use]
    pub fn timestamp(self) -> Option<Timestamp> {
        self.seconds("timestamp")
    }

    /// Returns the Live Activity's state.
    #[must_use]
    pub fn content_state(self) -> Option<&'p Map<String, Value>> {
        self.get("content-state")?.as_object()
    }

    /// Returns when the Live Activity's state becomes stale.
    #[must_use]
    pub fn stale_date(self) -> Option<Timestamp> {
        self.seconds("stale-date")
    }

    /// Returns when an ended Live Activity leaves the Lock Screen.
    #[must_use]
    pub fn dismissal_date(self) -> Option<Timestamp> {
        self.seconds("dismissal-date")
    }

    /// Returns the type of the attributes of a Live Activity that starts.
    #[must_use]
    pub fn attributes_type(self) -> Option<&'p str> {
        self.text("attributes-type")
    }

    /// Returns the attributes of a Live Activity that starts.
    #[must_use]
    pub fn attributes(self) -> Option<&'p Map<String, Value>> {
        self.get("attributes")?.as_object()
    }

    /// Whether a Live Activity that starts asks for a token of its own.
    #[must_use]
    pub fn input_push_token(self) -> bool {
        self.is_on("input-push-token")
    }

    /// Returns the broadcast channel that updates a Live Activity that starts.
    #[must_use]
    pub fn input_push_channel(self) -> Option<&'p str> {
        self.text("input-push-channel")
    }

    /// Whether a widget or control has new content.
    #[must_use]
    pub fn content_changed(self) -> bool {
        self.is_on("content-changed")
    }

    /// Returns the kind of a Push to Talk notification, as in `service-update`.
    #[must_use]
    pub fn ptt_push_type(self) -> Option<&'p str> {
        self.text("ptt-push-type")
    }

    /// Iterates over the values for the placeholders of a Safari notification's URL; legacy.
    pub fn url_args(self) -> impl Iterator<Item = &'p str> {
        alert::texts(self.get("url-args"))
    }

    /// Returns the value of any key, known or not.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'p Value> {
        self.0?.get(key)
    }

    /// Whether the device shows or plays something by itself: an alert, a badge or a sound.
    #[must_use]
    pub fn is_visible(self) -> bool {
        ["alert", "badge", "sound"].into_iter().any(|key| self.has(key))
    }

    /// Whether the key has a value other than null.
    pub(super) fn has(self, key: &str) -> bool {
        self.get(key).is_some_and(|value| !value.is_null())
    }

    fn is_on(self, key: &str) -> bool {
        self.get(key).is_some_and(shape::is_on)
    }

    fn text(self, key: &str) -> Option<&'p str> {
        self.get(key)?.as_str()
    }

    fn seconds(self, key: &str) -> Option<Timestamp> {
        self.get(key)?.as_u64().map(Timestamp::from_secs)
    }
}

/// How much a notification may interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptionLevel {
    /// It is added to the list, and the screen stays dark.
    Passive,
    /// It is shown at once; the system's default.
    Active,
    /// It is shown despite a Focus, if the user allows it.
    TimeSensitive,
    /// It is shown and played even if the device is silent; needs Apple's entitlement.
    Critical,
}

impl InterruptionLevel {
    /// All levels, from least to most.
    pub const ALL: [Self; 4] = [Self::Passive, Self::Active, Self::TimeSensitive, Self::Critical];

    /// Returns the key's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Active => "active",
            Self::TimeSensitive => "time-sensitive",
            Self::Critical => "critical",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

/// Whether Apple's key at this JSON pointer of a payload takes a number.
#[must_use]
pub fn wants_number(pointer: &str) -> bool {
    if matches!(pointer, "/aps/sound/critical" | "/aps/sound/volume") {
        return true;
    }
    let key = pointer.strip_prefix("/aps/");
    let member = MEMBERS.iter().find(|(name, _)| Some(*name) == key);
    member.is_some_and(|(_, shape)| {
        matches!(
            shape,
            Shape::Count | Shape::Seconds | Shape::Number | Shape::Fraction | Shape::One | Shape::ZeroOrOne
        )
    })
}

/// The keys of the dictionary.
pub(super) const MEMBERS: Members = &[
    ("alert", Shape::Alert),
    ("badge", Shape::Count),
    ("sound", Shape::Sound),
    ("thread-id", Shape::Text),
    ("category", Shape::Text),
    ("content-available", Shape::One),
    ("mutable-content", Shape::One),
    ("target-content-id", Shape::Text),
    ("interruption-level", Shape::Word(INTERRUPTION_LEVELS)),
    ("relevance-score", Shape::Number),
    ("filter-criteria", Shape::Text),
    ("event", Shape::Word(EVENTS)),
    ("timestamp", Shape::Seconds),
    ("content-state", Shape::Dictionary),
    ("stale-date", Shape::Seconds),
    ("dismissal-date", Shape::Seconds),
    ("attributes-type", Shape::Text),
    ("attributes", Shape::Dictionary),
    ("input-push-token", Shape::One),
    ("input-push-channel", Shape::Text),
    ("content-changed", Shape::True),
    ("ptt-push-type", Shape::Text),
    ("url-args", Shape::Texts),
];

const INTERRUPTION_LEVELS: &[&str] = &[
    InterruptionLevel::Passive.as_str(),
    InterruptionLevel::Active.as_str(),
    InterruptionLevel::TimeSensitive.as_str(),
    InterruptionLevel::Critical.as_str(),
];

const EVENTS: &[&str] = &[Event::Start.as_str(), Event::Update.as_str(), Event::End.as_str()];
