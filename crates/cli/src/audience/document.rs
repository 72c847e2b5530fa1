//! The document of an audience, and its text for a person.

use documents::audience::Audience;
use serde::Deserialize;

/// An audience, with its numbers of devices if the server counted them.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Document(Audience);

impl Document {
    /// Parses the server's document.
    ///
    /// # Errors
    /// Why it is not an audience.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Returns a line of a list.
    pub(crate) fn to_line(&self) -> String {
        let Audience {
            name,
            app,
            shards,
            created_at,
            ..
        } = &self.0;
        format!("{name:<24}  {created_at}  {shards:>3} shards  {app}")
    }

    /// Returns the whole document as text for a person.
    pub(crate) fn to_text(&self) -> String {
        let mut lines = vec![format!(
            "audience {} of {}, created {}",
            self.0.name, self.0.app, self.0.created_at
        )];
        let numbers = [
            (self.0.devices, "devices"),
            (
                self.0.suspects,
                "of these suspect: APNs has called their tokens bad once",
            ),
            (self.0.time_zones, "time zones"),
            (Some(self.0.shards.into()), "shards"),
        ];
        let there = numbers
            .iter()
            .filter_map(|(number, what)| Some(format!("  {:>10}  {what}", (*number)?)));
        lines.extend(there);
        lines.join("\n")
    }
}

#[test]
fn an_audience_is_told_with_what_there_is() {
    let plain = r#"{"name":"customers","app":"shop","shards":8,"created_at":"2026-11-23T08:00:00.000Z"}"#;
    let full = plain.replace('}', r#","devices":1000,"suspects":3,"time_zones":12}"#);
    let audience = Document::read(plain).unwrap();
    assert_eq!(
        audience.to_text(),
        "audience customers of shop, created 2026-11-23T08:00:00.000Z\n\
         \x20          8  shards"
    );
    assert_eq!(
        audience.to_line(),
        "customers                 2026-11-23T08:00:00.000Z    8 shards  shop"
    );
    assert_eq!(
        Document::read(&full).unwrap().to_text(),
        "audience customers of shop, created 2026-11-23T08:00:00.000Z\n\
         \x20       1000  devices\n\
         \x20          3  of these suspect: APNs has called their tokens bad once\n\
         \x20         12  time zones\n\
         \x20          8  shards"
    );
}
