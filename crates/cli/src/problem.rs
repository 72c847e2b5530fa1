//! The server's problem documents (RFC 9457).
//!
//! A proxy in front of the server may answer with its own page. Then only the status is known.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// A problem document of the server.
#[derive(Debug, Default)]
pub(crate) struct Problem {
    status: u16,
    retry_after: Option<Duration>,
    document: Option<Document>,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<Entry>,
    #[serde(default)]
    more_errors: u64,
}

#[derive(Debug, Deserialize)]
struct Entry {
    line: Option<u64>,
    #[serde(default)]
    pointer: String,
    detail: String,
}

impl Problem {
    /// Reads an answer whose status is not a success.
    pub(crate) fn read(status: u16, retry_after: Option<&str>, text: String) -> Self {
        Self {
            status,
            retry_after: retry_after.and_then(|text| text.trim().parse().ok().map(Duration::from_secs)),
            document: serde_json::from_str(&text).ok(),
            text,
        }
    }

    /// Returns the server's document, or `None` if the answer was something else.
    pub(crate) fn document(&self) -> Option<&str> {
        self.document.as_ref().map(|_| self.text.as_str())
    }

    /// Returns how long the server asks to wait.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        // 52x and 530 are Cloudflare's statuses for a Worker that did not answer.
        matches!(self.status, 429 | 502..=504 | 520..=530) || self.is(UPLOAD_IN_PROGRESS)
    }

    /// Whether the caller itself is refused, whatever it requests.
    pub(crate) const fn is_about_the_caller(&self) -> bool {
        matches!(self.status, 401 | 403)
    }

    /// Whether the requested object does not exist.
    pub(crate) const fn is_absence(&self) -> bool {
        self.status == 404
    }

    /// Returns the problem with its line numbers converted.
    pub(crate) fn with_lines(mut self, told: impl Fn(u64) -> u64) -> Self {
        for entry in self.document.iter_mut().flat_map(|document| &mut document.errors) {
            entry.line = entry.line.map(&told);
        }
        self
    }

    fn is(&self, slug: &str) -> bool {
        let kind = self.document.as_ref().map(|document| document.kind.as_str());
        kind.and_then(|kind| kind.strip_prefix(TYPE_PREFIX)) == Some(slug)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(document) = &self.document else {
            return write!(f, "HTTP status {}, without a reason", self.status);
        };
        write!(f, "{} {}", self.status, document.title)?;
        if document.errors.is_empty() && !document.detail.is_empty() {
            write!(f, ": {}", document.detail)?;
        }
        for entry in &document.errors {
            f.write_str("\n  ")?;
            if let Some(line) = entry.line {
                write!(f, "line {line}: ")?;
            }
            if !entry.pointer.is_empty() {
                write!(f, "{}: ", entry.pointer)?;
            }
            f.write_str(&entry.detail)?;
        }
        if document.more_errors > 0 {
            write!(f, "\n  and {} more", document.more_errors)?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, "\n  try again in {} s", wait.as_secs())?;
        }
        Ok(())
    }
}

/// The prefix of the slug in `type`.
const TYPE_PREFIX: &str = "urn:apns-edge:problem:";

/// The problem of an upload whose Idempotency-Key belongs to an upload in progress.
const UPLOAD_IN_PROGRESS: &str = "upload-in-progress";

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, slug: &str) -> Problem {
        let text = format!(
            r#"{{"type":"urn:apns-edge:problem:{slug}","title":"T","status":{status},"detail":"d"}}"#
        );
        Problem::read(status, None, text)
    }

    #[test]
    fn each_fault_is_a_line_with_its_place() {
        let text = r#"{"type":"urn:apns-edge:problem:invalid-request","title":"The request has faults","status":422,
            "detail":"all of it","errors":[{"line":18,"pointer":"/token","detail":"is required"},{"pointer":"/app","detail":"is odd"},
            {"detail":"is wrong"}],"more_errors":7}"#;
        let problem = Problem::read(422, None, text.to_owned());
        assert_eq!(
            problem.with_lines(|line| line - 1).to_string(),
            "422 The request has faults\n  line 17: /token: is required\n  /app: is odd\n  is wrong\n  and 7 more"
        );
    }

    #[test]
    fn a_page_of_a_proxy_is_a_status_without_a_reason() {
        let problem = Problem::read(502, Some("soon"), "<html>bad gateway</html>".to_owned());
        assert_eq!(problem.to_string(), "HTTP status 502, without a reason");
        assert_eq!((problem.document(), problem.retry_after()), (None, None));
        assert!(problem.is_passing());
    }

    #[test]
    fn what_passes_is_told_from_what_stays() {
        for (status, slug, passes) in [
            (503, "busy", true),
            (429, "busy", true),
            (409, "upload-in-progress", true),
            (409, "idempotency-conflict", false),
            (422, "invalid-request", false),
            (500, "misconfigured", false),
        ] {
            assert_eq!(problem(status, slug).is_passing(), passes, "{status} {slug}");
        }
    }

    #[test]
    fn the_wait_is_the_one_that_the_server_asks_for() {
        let problem = Problem::read(503, Some(" 7 "), String::new());
        assert_eq!(problem.retry_after(), Some(Duration::from_secs(7)));
    }
}
