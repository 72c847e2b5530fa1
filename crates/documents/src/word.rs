//! Enums of the contract's words, each with a place for words that a reader does not know yet.

macro_rules! words {
    ($(#[$doc:meta])+ $name:ident { $($(#[$word_doc:meta])+ $word:ident = $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$word_doc])+ $word,)+
            /// A word that this version does not know.
            Other(String),
        }

        impl $name {
            /// Returns the word as it is in the document.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$word,)+
                    _ => Self::Other(text.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::from(text.as_ref()))
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::batch::BatchState;

    #[test]
    fn an_unknown_word_is_kept_as_text() {
        for (text, word) in [
            ("\"running\"", BatchState::Running),
            ("\"archived\"", BatchState::Other("archived".to_owned())),
        ] {
            assert_eq!(serde_json::from_str::<BatchState>(text).unwrap(), word);
            assert_eq!(serde_json::to_string(&word).unwrap(), text);
        }
    }
}
