//! The caller of an authorized request, as the Worker passes it to objects.

use serde::{Deserialize, Serialize};

/// The identity of a caller and the apps of the API key that it presented.
///
/// The Worker creates it from the presented key. Objects receive it with each request and look up no key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The name of its API key, which is unique.
    pub name: String,
    /// The apps to which it has access. `None` means all apps.
    apps: Option<Vec<String>>,
}

impl Caller {
    /// Creates a caller with access to these apps.
    #[must_use]
    pub const fn of(name: String, apps: Vec<String>) -> Self {
        Self {
            name,
            apps: Some(apps),
        }
    }

    /// Creates a caller with access to all apps.
    #[must_use]
    pub const fn of_all(name: String) -> Self {
        Self { name, apps: None }
    }

    /// Whether it has access to all apps, including later ones.
    #[must_use]
    pub const fn reaches_all(&self) -> bool {
        self.apps.is_none()
    }

    /// Returns the apps to which it has access. `None` means all apps.
    #[must_use]
    pub fn apps(&self) -> Option<&[String]> {
        self.apps.as_deref()
    }

    /// Whether it has access to the app called `app`.
    #[must_use]
    pub fn reaches(&self, app: &str) -> bool {
        self.apps
            .as_ref()
            .is_none_or(|apps| apps.iter().any(|name| name == app))
    }

    /// Whether both have access to a common app.
    #[must_use]
    pub fn shares_app_with(&self, other: &Self) -> bool {
        match &self.apps {
            None => other.apps.as_ref().is_none_or(|apps| !apps.is_empty()),
            Some(apps) => apps.iter().any(|app| other.reaches(app)),
        }
    }

    /// Encodes the caller as a header between the Worker and an object: JSON in ASCII, whatever the name
    /// contains.
    #[must_use]
    pub fn to_header(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        let mut ascii = String::with_capacity(text.len());
        for character in text.chars() {
            if character.is_ascii() && character != '\u{7f}' {
                ascii.push(character);
            } else {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        ascii
    }

    /// Decodes the caller from a header. Returns `None` if the value is invalid.
    #[must_use]
    pub fn from_header(value: &str) -> Option<Self> {
        serde_json::from_str(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_travels_in_a_header_as_it_is() {
        for name in [
            "backend",
            " a\tb ",
            "Größe",
            "裏方\n",
            "🚀\u{7f}",
            "\"\\",
            "\u{feff}\r",
        ] {
            for caller in [
                Caller::of_all(name.to_owned()),
                Caller::of(name.to_owned(), vec!["shop".to_owned()]),
            ] {
                let header = caller.to_header();
                assert!(
                    header.bytes().all(|byte| (b' '..0x7f).contains(&byte)),
                    "{header}"
                );
                assert_eq!(header.trim(), header);
                assert_eq!(Caller::from_header(&header), Some(caller));
            }
        }
        assert_eq!(Caller::from_header("backend"), None);
    }

    #[test]
    fn a_caller_format_unchanged() {
        // Batches' objects get it in questions and uploads.
        let some = Caller::of("backend".to_owned(), vec!["shop".to_owned()]);
        assert_eq!(some.to_header(), r#"{"name":"backend","apps":["shop"]}"#);
        let all = Caller::of_all("ops".to_owned());
        assert_eq!(all.to_header(), r#"{"name":"ops","apps":null}"#);
    }

    #[test]
    fn a_caller_of_no_app_reaches_none() {
        let caller = Caller::of("intern".to_owned(), Vec::new());
        assert!(!caller.reaches("shop") && !caller.reaches("") && !caller.reaches_all());
        let all = Caller::of_all("ops".to_owned());
        assert!(!caller.shares_app_with(&all) && !all.shares_app_with(&caller));
    }

    #[test]
    fn callers_share_an_app_that_both_reach() {
        let of = |apps: &[&str]| {
            let apps = apps.iter().map(|app| (*app).to_owned()).collect();
            Caller::of("backend".to_owned(), apps)
        };
        let (both, shop, news) = (of(&["shop", "news"]), of(&["shop"]), of(&["news"]));
        assert!(both.shares_app_with(&shop) && news.shares_app_with(&both));
        assert!(!shop.shares_app_with(&news));
        let all = Caller::of_all("ops".to_owned());
        assert!(all.shares_app_with(&shop) && shop.shares_app_with(&all) && all.shares_app_with(&all));
    }
}
