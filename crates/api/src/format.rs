//! The two forms of a send request and of its answer: one JSON document, or lines of JSON.
//!
//! In lines (`application/x-ndjson`), the first line is the request without `devices`, and each following
//! line is one device. An answer in lines has a line per push, written when its result is known, and the
//! counts in the last line.

use std::borrow::Cow;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::media::Media;
use super::ndjson;
use super::problem::{Kind, Problem};
use crate::config::Transport;
use apns::fault::{self, Faults, Pointer};

/// The form of a send request and of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Whether the request is in lines.
    pub lines_in: bool,
    /// Whether the answer is in lines.
    pub lines_out: bool,
}

impl Format {
    /// One JSON document in, one out.
    pub const JSON: Self = Self {
        lines_in: false,
        lines_out: false,
    };

    /// Returns the form that the headers `Content-Type` and `Accept` ask for.
    #[must_use]
    pub fn of(content_type: Option<&str>, accept: Option<&str>) -> Self {
        let is_lines = |media: &str| Media::of(media) == Media::Lines;
        Self {
            lines_in: content_type.is_some_and(is_lines),
            lines_out: accept.is_some_and(|accept| accept.split(',').any(is_lines)),
        }
    }
}

/// The facts about a send request that are needed before it is parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestProbe {
    /// The app that it names.
    pub app: Option<String>,
    /// The number of devices.
    pub devices: usize,
    /// Whether it has the field `batch`, which makes it a durable batch.
    pub batch: bool,
}

impl RequestProbe {
    /// Reads these facts from a body. This is cheap, because only the app's name is kept.
    ///
    /// # Errors
    /// 413 if it has too many values; 400 if it is not JSON; 422 if `app` is not a string. Other faults are
    /// found when the request is parsed.
    pub fn read(body: &[u8], format: Format) -> Result<Self, Problem> {
        check_values(body, MAX_VALUES)?;
        let (number, head, lines) = if format.lines_in {
            split_lines(body)
        } else {
            (1, fault::without_mark(body), 0)
        };
        let skimmed = match serde_json::from_slice::<Skimmed>(head) {
            Ok(skimmed) => skimmed,
            // JSON of another shape: its faults are found when it is parsed.
            Err(_) => serde_json::from_slice::<IgnoredAny>(head)
                .map(|_| Skimmed::default())
                .map_err(|error| {
                    let faults = fault::not_json(head, &error, &Pointer::Root);
                    if format.lines_in {
                        head_problem(number, faults)
                    } else {
                        problem(faults)
                    }
                })?,
        };
        let mut faults = Faults::default();
        let root = Pointer::Root;
        let app = skimmed
            .app
            .as_ref()
            .filter(|app| !app.is_null())
            .and_then(|app| fault::string(app, &root.key("app"), &mut faults));
        let devices = if format.lines_in { lines } else { skimmed.devices.0 };
        let head = Self {
            app: app.map(str::to_owned),
            devices,
            batch: skimmed.batch,
        };
        faults.or(head).map_err(Problem::invalid)
    }
}

/// Rejects a body with too many values for the isolate's memory: a value with two bytes of JSON takes fifty
/// as a tree.
pub(super) fn check_values(body: &[u8], limit: usize) -> Result<(), Problem> {
    let (mut values, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            // Each of these is followed by a value, and the root is one more.
            b',' | b':' | b'[' | b'\n' | b'\r' if !quoted => values += 1,
            _ => {}
        }
    }
    if values <= limit {
        return Ok(());
    }
    let detail = format!("the body has {values} JSON values; the limit is {limit}");
    Err(Problem::new(Kind::BodyTooLarge, detail))
}

/// Returns the first line that is not blank, its number, and the number of further lines.
fn split_lines(body: &[u8]) -> (u32, &[u8], usize) {
    let mut lines = ndjson::whole(body);
    let (number, first) = lines.next().unwrap_or((1, &[]));
    (number, first, lines.count())
}

/// Parses a body that is one JSON document.
///
/// # Errors
/// 400 if it is not JSON, 422 if a name occurs twice in an object.
pub(super) fn document(body: &[u8]) -> Result<Value, Problem> {
    fault::json(body, &Pointer::Root).map_err(problem)
}

/// Returns the problem of a body that cannot be parsed as JSON.
pub(super) fn problem(faults: Faults) -> Problem {
    match faults.not_json() {
        Some(_) => Problem::new(Kind::NotJson, faults.to_string()),
        None => Problem::invalid(faults),
    }
}

/// Returns the problem of a body whose first line, line `line`, cannot be parsed as JSON.
pub(super) fn head_problem(line: u32, faults: Faults) -> Problem {
    match faults.not_json() {
        Some(why) => {
            let detail = format!("line {line} of the body, which says what is sent, is not JSON: {why}");
            Problem::new(Kind::NotJson, detail)
        }
        None => Problem::invalid(faults),
    }
}

/// The limits of a send request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most devices.
    pub devices: usize,
    /// The largest body in bytes.
    pub body: usize,
}

impl Limits {
    /// Returns the limits of requests that are sent by `transport`.
    #[must_use]
    pub const fn of(transport: Transport) -> Self {
        match transport {
            Transport::Fetch => FETCH,
            Transport::Socket => SOCKET,
        }
    }
}

/// The parser rejects a duplicate field, and says where it is.
#[derive(Default)]
struct Skimmed {
    app: Option<Value>,
    devices: Count,
    batch: bool,
}

impl<'de> Deserialize<'de> for Skimmed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SkimVisitor)
    }
}

struct SkimVisitor;

impl<'de> Visitor<'de> for SkimVisitor {
    type Value = Skimmed;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Skimmed, A::Error> {
        let mut skimmed = Skimmed::default();
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            match &*name {
                "app" => skimmed.app = Some(members.next_value()?),
                "devices" => skimmed.devices = members.next_value()?,
                "batch" => skimmed.batch |= members.next_value::<Option<IgnoredAny>>()?.is_some(),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(skimmed)
    }
}

/// The number of an array's elements. 0 for any other value.
#[derive(Default)]
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Count, A::Error> {
        let mut count = 0;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Count(count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Count, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count(0))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Count, E> {
        Ok(Count(0))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Count, E> {
        Ok(Count(0))
    }

    fn visit_unit<E: Error>(self) -> Result<Count, E> {
        Ok(Count(0))
    }
}

/// The media type of JSON in lines.
pub const LINES: &str = "application/x-ndjson";

/// What six requests in flight send in some twenty seconds at APNs' usual speed. The body has room for 500
/// devices, each with a payload of the largest size, escaped.
const FETCH: Limits = Limits {
    devices: 500,
    body: 4 * 1024 * 1024,
};

/// What a connection sends within a second or two. The body is limited by the isolate's 128 MB, which hold it
/// several times: as it was received, as JSON values, as pushes.
const SOCKET: Limits = Limits {
    devices: 10_000,
    body: 16 * 1024 * 1024,
};

/// The most JSON values of a body: fifty per device in the largest request. They take some 50 MB of the
/// isolate's 128.
pub const MAX_VALUES: usize = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_what_the_headers_ask_for() {
        assert_eq!(Format::of(None, None), Format::JSON);
        assert_eq!(
            Format::of(Some("application/json; charset=utf-8"), Some("*/*")),
            Format::JSON
        );
        let lines = Format {
            lines_in: true,
            lines_out: true,
        };
        assert_eq!(
            Format::of(
                Some("application/x-ndjson; charset=utf-8"),
                Some("text/html, Application/X-NDJSON;q=0.9")
            ),
            lines
        );
    }

    #[test]
    fn skimming_finds_the_app_and_counts_the_devices() {
        let body = br#"{"devices": [{"token": "a"}, 1, [2]], "app": "shop", "x": {"devices": []}}"#;
        let head = RequestProbe {
            app: Some("shop".to_owned()),
            devices: 3,
            batch: false,
        };
        assert_eq!(RequestProbe::read(body, Format::JSON), Ok(head));
        let lines = Format {
            lines_in: true,
            lines_out: false,
        };
        let body = b"{\"app\": \"shop\"}\n{\"token\": \"a\"}\n\n{\"token\": \"b\"}\r\n";
        assert_eq!(
            RequestProbe::read(body, lines),
            Ok(RequestProbe {
                app: Some("shop".to_owned()),
                devices: 2,
                batch: false
            })
        );
    }

    #[test]
    fn skimming_finds_the_options_of_a_batch_whatever_they_are() {
        for (body, batch) in [
            (r#"{"batch": {"rate": 7}, "app": "a"}"#, true),
            (r#"{"app": "a", "batch": null}"#, false),
            (r#"{"app": null, "batch": {}}"#, true),
            (r#"{"app": "a", "b\u0061tch": {}}"#, true),
            (r#"{"app": "a", "notification": {"batch": {}}}"#, false),
            (r#"{"app": "batch"}"#, false),
        ] {
            for lines_in in [false, true] {
                let format = Format {
                    lines_in,
                    lines_out: false,
                };
                let head = RequestProbe::read(body.as_bytes(), format).unwrap();
                assert_eq!(head.batch, batch, "{body}");
            }
        }
    }

    #[test]
    fn the_limit_of_values_is_exact() {
        let body = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
        assert!(RequestProbe::read(body(MAX_VALUES).as_bytes(), Format::JSON).is_ok());
        let problem = RequestProbe::read(body(MAX_VALUES + 1).as_bytes(), Format::JSON).unwrap_err();
        assert_eq!(problem.kind(), Kind::BodyTooLarge);
        let quoted = format!("[\"{}\\\",\"]", ",".repeat(MAX_VALUES + 1));
        assert!(
            RequestProbe::read(quoted.as_bytes(), Format::JSON).is_ok(),
            "commas in a text are no values"
        );
    }

    #[test]
    fn skimming_leaves_other_faults_to_the_parser() {
        for body in [
            r#"{"devices": 1}"#,
            r#"{"devices": "x"}"#,
            r#"{"devices": {"a": 1}}"#,
            "[]",
            "null",
            "7",
            "{}",
        ] {
            assert_eq!(
                RequestProbe::read(body.as_bytes(), Format::JSON),
                Ok(RequestProbe::default()),
                "{body}"
            );
        }
    }

    #[test]
    fn a_field_that_stands_there_twice_does_not_hide_the_app() {
        for (body, app, devices) in [
            (r#"{"app": "a", "devices": [1], "devices": [1, 2]}"#, "a", 2),
            (r#"{"app": "a", "devices": [1], "app": "b"}"#, "b", 1),
            (
                r#"{"\u0061pp": "a", "notification": 1, "notification": 2}"#,
                "a",
                0,
            ),
        ] {
            let app = Some(app.to_owned());
            assert_eq!(
                RequestProbe::read(body.as_bytes(), Format::JSON),
                Ok(RequestProbe {
                    app,
                    devices,
                    batch: false
                }),
                "{body}"
            );
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_located() {
        let problem = RequestProbe::read(b"{\n\"app\": }", Format::JSON).unwrap_err();
        assert_eq!(problem.kind(), Kind::NotJson);
        assert!(problem.answer().body.contains("line 2 column 8"), "{problem:?}");
    }
}
