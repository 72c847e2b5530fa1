//! The value of `alert`.
//!
//! Source: Apple, "Generating a remote notification", alert dictionary keys. For Live Activities: "Starting
//! and updating Live Activities with ActivityKit push notifications"; their texts may be localized in place,
//! and their sound is in the alert. The last four keys are for older systems. Devices still read them.

use serde_json::{Map, Value};

use super::shape::{Members, Shape};
use super::sound::Sound;

/// What the device shows.
#[derive(Clone, Copy)]
pub enum Alert<'p> {
    /// Only a body.
    Text(&'p str),
    /// The parts of the alert.
    Dictionary(AlertDictionary<'p>),
}

impl<'p> Alert<'p> {
    /// Reads a value of [`Shape::Alert`].
    pub(super) fn read(value: &'p Value) -> Option<Self> {
        match value {
            Value::String(body) => Some(Self::Text(body)),
            Value::Object(map) => Some(Self::Dictionary(AlertDictionary(map))),
            _ => None,
        }
    }

    /// Returns the parts of the alert. Returns `None` if the alert is a text.
    #[must_use]
    pub const fn dictionary(self) -> Option<AlertDictionary<'p>> {
        match self {
            Self::Text(_) => None,
            Self::Dictionary(dictionary) => Some(dictionary),
        }
    }

    /// Returns the title.
    #[must_use]
    pub fn title(self) -> Option<AlertText<'p>> {
        self.dictionary()?.title()
    }

    /// Returns the body, in either form of the alert.
    #[must_use]
    pub fn body(self) -> Option<AlertText<'p>> {
        match self {
            Self::Text(body) => Some(AlertText::Plain(body)),
            Self::Dictionary(dictionary) => dictionary.body(),
        }
    }
}

/// The alert's dictionary.
#[derive(Clone, Copy)]
pub struct AlertDictionary<'p>(&'p Map<String, Value>);

impl<'p> AlertDictionary<'p> {
    /// Returns the title.
    #[must_use]
    pub fn title(self) -> Option<AlertText<'p>> {
        AlertText::read(self.get("title")?)
    }

    /// Returns the subtitle, shown between title and body.
    #[must_use]
    pub fn subtitle(self) -> Option<&'p str> {
        self.text("subtitle")
    }

    /// Returns the body.
    #[must_use]
    pub fn body(self) -> Option<AlertText<'p>> {
        AlertText::read(self.get("body")?)
    }

    /// Returns the image or storyboard that is shown while the app launches.
    #[must_use]
    pub fn launch_image(self) -> Option<&'p str> {
        self.text("launch-image")
    }

    /// Returns the key of the title's text in the app.
    #[must_use]
    pub fn title_loc_key(self) -> Option<&'p str> {
        self.text("title-loc-key")
    }

    /// Iterates over the values for the title's placeholders.
    pub fn title_loc_args(self) -> impl Iterator<Item = &'p str> {
        texts(self.get("title-loc-args"))
    }

    /// Returns the key of the subtitle's text in the app.
    #[must_use]
    pub fn subtitle_loc_key(self) -> Option<&'p str> {
        self.text("subtitle-loc-key")
    }

    /// Iterates over the values for the subtitle's placeholders.
    pub fn subtitle_loc_args(self) -> impl Iterator<Item = &'p str> {
        texts(self.get("subtitle-loc-args"))
    }

    /// Returns the key of the body's text in the app.
    #[must_use]
    pub fn loc_key(self) -> Option<&'p str> {
        self.text("loc-key")
    }

    /// Iterates over the values for the body's placeholders.
    pub fn loc_args(self) -> impl Iterator<Item = &'p str> {
        texts(self.get("loc-args"))
    }

    /// Returns the sound of a Live Activity's alert.
    #[must_use]
    pub fn sound(self) -> Option<Sound<'p>> {
        self.get("sound").map(Sound::read)
    }

    /// Returns the label of the action button of a Safari notification; legacy.
    #[must_use]
    pub fn action(self) -> Option<&'p str> {
        self.text("action")
    }

    /// Returns the key of the action button's text in the app; legacy.
    #[must_use]
    pub fn action_loc_key(self) -> Option<&'p str> {
        self.text("action-loc-key")
    }

    /// Returns this notification's text in a group summary; legacy.
    #[must_use]
    pub fn summary_arg(self) -> Option<&'p str> {
        self.text("summary-arg")
    }

    /// Returns the number that the notification counts for in its group's summary; legacy.
    #[must_use]
    pub fn summary_arg_count(self) -> Option<u64> {
        self.get("summary-arg-count")?.as_u64()
    }

    /// Returns the value of any key, known or not.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'p Value> {
        self.0.get(key)
    }

    fn text(self, key: &str) -> Option<&'p str> {
        self.get(key)?.as_str()
    }
}

/// A text of the alert.
#[derive(Clone, Copy)]
pub enum AlertText<'p> {
    /// The text itself.
    Plain(&'p str),
    /// A localized text of the app; only Live Activities accept one here.
    Localized(LocalizedText<'p>),
}

impl<'p> AlertText<'p> {
    fn read(value: &'p Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Plain(text)),
            Value::Object(map) => Some(Self::Localized(LocalizedText(map))),
            _ => None,
        }
    }

    /// Returns the text if the payload contains it.
    #[must_use]
    pub const fn plain(self) -> Option<&'p str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Localized(_) => None,
        }
    }
}

/// `{loc-key, loc-args}`.
#[derive(Clone, Copy)]
pub struct LocalizedText<'p>(&'p Map<String, Value>);

impl<'p> LocalizedText<'p> {
    /// Returns the key of the text in the app.
    #[must_use]
    pub fn loc_key(self) -> Option<&'p str> {
        self.0.get("loc-key")?.as_str()
    }

    /// Iterates over the values for the text's placeholders.
    pub fn loc_args(self) -> impl Iterator<Item = &'p str> {
        texts(self.0.get("loc-args"))
    }
}

/// Iterates over the strings of an array.
pub(super) fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let array = value.and_then(Value::as_array);
    array.into_iter().flatten().filter_map(Value::as_str)
}

/// The keys of the dictionary.
pub(super) const MEMBERS: Members = &[
    ("title", Shape::AlertText),
    ("subtitle", Shape::Text),
    ("body", Shape::AlertText),
    ("launch-image", Shape::Text),
    ("title-loc-key", Shape::Text),
    ("title-loc-args", Shape::Texts),
    ("subtitle-loc-key", Shape::Text),
    ("subtitle-loc-args", Shape::Texts),
    ("loc-key", Shape::Text),
    ("loc-args", Shape::Texts),
    ("sound", Shape::Sound),
    ("action", Shape::Text),
    ("action-loc-key", Shape::Text),
    ("summary-arg", Shape::Text),
    ("summary-arg-count", Shape::Count),
];

/// The keys of a localized text.
pub(super) const LOCALIZED: Members = &[("loc-key", Shape::Text), ("loc-args", Shape::Texts)];
