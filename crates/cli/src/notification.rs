//! The parts of a send request that flags and files describe.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::json_args::{inline, some, text};

/// What to send.
#[derive(Debug, Args)]
pub(crate) struct Notification {
    /// Apple's JSON, or a file that holds it
    #[arg(long, value_name = "FILE|JSON", required_unless_present_any = ["title", "body"], conflicts_with_all = ["title", "body"])]
    payload: Option<String>,
    /// The alert's title
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The alert's body
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Collapse id: a notification replaces an earlier one with the same id
    #[arg(long, value_name = "ID")]
    collapse_id: Option<String>,
    /// One of Apple's push types [default: by the payload]
    #[arg(long, value_name = "TYPE")]
    push_type: Option<String>,
    /// 10, 5 or 1 [default: by the push type]
    #[arg(long, value_name = "N", value_parser = priority)]
    priority: Option<u8>,
    /// Epoch seconds, RFC 3339, a duration such as 2h, or 0 for one attempt
    #[arg(long, value_name = "TIME")]
    expiration: Option<String>,
    /// The topic, if it is not the app's
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
}

fn priority(text: &str) -> Result<u8, &'static str> {
    match text {
        "10" => Ok(10),
        "5" => Ok(5),
        "1" => Ok(1),
        _ => Err("must be 10 (at once), 5 or 1; 10 is for `high`, 5 for `normal`"),
    }
}

impl Notification {
    /// Returns the notification as the server accepts it.
    ///
    /// # Errors
    /// The payload cannot be read, or is not a JSON object.
    pub(crate) fn to_json(&self) -> Result<Value, Failure> {
        let payload = match &self.payload {
            Some(payload) => not_whole(inline("--payload", payload)?)?,
            None => {
                json!({"aps": {"alert": some([("title", text(self.title.as_deref())), ("body", text(self.body.as_deref()))])}})
            }
        };
        // The server accepts times as text and epoch seconds as a number.
        let seconds = |time: &str| time.parse::<u64>().map_or_else(|_| json!(time), Value::from);
        Ok(some([
            ("payload", Some(payload)),
            ("push_type", text(self.push_type.as_deref())),
            ("priority", self.priority.map(Value::from)),
            ("expiration", self.expiration.as_deref().map(seconds)),
            ("collapse_id", text(self.collapse_id.as_deref())),
            ("topic", text(self.topic.as_deref())),
        ]))
    }
}

/// Rejects a payload that is a whole notification, because devices would not show it.
fn not_whole(payload: Value) -> Result<Value, Failure> {
    if payload.get("payload").is_none() || payload.get("aps").is_some() {
        return Ok(payload);
    }
    let text = "--payload: is a whole notification, as it has `payload` and no `aps`: give the value of its `payload` alone, \
                and the rest with --push-type, --priority, --expiration, --collapse-id and --topic";
    Err(Failure::Usage(text.to_owned()))
}

/// How a request with invalid devices is handled.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OnInvalid {
    /// Leave them out
    Skip,
    /// Send nothing at all
    Reject,
}

impl OnInvalid {
    /// Returns the server's name of the option.
    pub(crate) fn to_json(self) -> Value {
        json!(match self {
            Self::Skip => "skip",
            Self::Reject => "reject",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        notification: Notification,
    }

    fn parse(arguments: &[&str]) -> Result<Value, Failure> {
        let line = Line::try_parse_from([&["send"], arguments].concat()).unwrap();
        line.notification.to_json()
    }

    #[test]
    fn flags_become_the_fields_of_a_notification() {
        let flags = "--title Hi --body there --collapse-id c1 --push-type alert --priority 5 --expiration 2h --topic t";
        let notification = parse(&flags.split(' ').collect::<Vec<_>>()).unwrap();
        assert_eq!(
            notification.to_string(),
            r#"{"payload":{"aps":{"alert":{"title":"Hi","body":"there"}}},"push_type":"alert","priority":5,"expiration":"2h","collapse_id":"c1","topic":"t"}"#
        );
        let notification = parse(&["--body", "there", "--expiration", "0"]).unwrap();
        assert_eq!(
            notification.to_string(),
            r#"{"payload":{"aps":{"alert":{"body":"there"}}},"expiration":0}"#
        );
    }

    #[test]
    fn a_payload_is_sent_as_it_is_written() {
        let text = r#"{"b":1.50,"aps":{"alert":"x"},"a":2}"#;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let expected = format!("{{\"payload\":{text}}}");
        assert_eq!(parse(&["--payload", text]).unwrap().to_string(), expected);
        let path = file.path().to_str().unwrap();
        assert_eq!(parse(&["--payload", path]).unwrap().to_string(), expected);
    }

    #[test]
    fn a_payload_that_is_a_whole_notification_is_refused_here() {
        let whole = r#"{"payload":{"aps":{"alert":"x"}},"priority":5}"#;
        let error = parse(&["--payload", whole]).unwrap_err();
        assert!(error.to_string().contains("whole notification"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), whole).unwrap();
        assert!(parse(&["--payload", file.path().to_str().unwrap()]).is_err());
        assert!(parse(&["--payload", r#"{"aps":{"alert":"x"},"payload":1}"#]).is_ok());
    }

    #[test]
    fn a_payload_file_may_have_a_byte_order_mark() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\u{feff}{\"aps\":{}}\n").unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(
            parse(&["--payload", path]).unwrap().to_string(),
            r#"{"payload":{"aps":{}}}"#
        );
    }

    #[test]
    fn a_file_that_is_far_too_large_is_told_the_bytes_that_matter() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x".repeat(5 * 1024 * 1024)).unwrap();
        let error = parse(&["--payload", file.path().to_str().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("4,096 bytes"), "{error}");
    }

    #[test]
    fn a_payload_that_is_no_object_is_refused_here() {
        for text in ["{", "{\"aps\":}"] {
            let error = parse(&["--payload", text]).unwrap_err();
            assert!(matches!(error, Failure::Usage(_)), "{error}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[]").unwrap();
        assert!(parse(&["--payload", file.path().to_str().unwrap()]).is_err());
        assert!(matches!(
            parse(&["--payload", "/nowhere"]),
            Err(Failure::File { .. })
        ));
    }
}
