//! The server's problem documents (RFC 9457).
//!
//! A proxy in front of the server may answer with its own page. Then only the status is known.

use std::fmt;
use std::time::Duration;

use documents::problem::ProblemEntry;

use crate::invalid;

/// A problem document of the server.
#[derive(Debug, Default)]
pub(crate) struct Problem {
    status: u16,
    retry_after: Option<Duration>,
    document: Option<documents::Problem>,
    text: String,
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
        if let Some(document) = &mut self.document {
            for entry in &mut document.errors {
                entry.line = entry.line.map(&told);
            }
            for line in document.invalid_kinds.iter_mut().flat_map(|kind| &mut kind.lines) {
                *line = told(*line);
            }
        }
        self
    }

    fn is(&self, slug: &str) -> bool {
        self.document.as_ref().and_then(documents::Problem::slug) == Some(slug)
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
        // If not all lines are listed, their faults are more useful in sum.
        let kinds = if document.more_errors > 0 {
            document.invalid_kinds.as_slice()
        } else {
            &[]
        };
        let is_listed = |entry: &&ProblemEntry| kinds.is_empty() || entry.line.is_none();
        let mut more = document.errors.len() as u64 + document.more_errors;
        for entry in document.errors.iter().filter(is_listed) {
            f.write_str("\n  ")?;
            if let Some(line) = entry.line {
                write!(f, "line {line}: ")?;
            }
            if let Some(pointer) = &entry.pointer {
                write!(f, "{pointer}: ")?;
            }
            f.write_str(&entry.detail)?;
            more = more.saturating_sub(1);
        }
        for line in invalid::to_lines(kinds, |line| line) {
            write!(f, "\n{line}")?;
        }
        more = more.saturating_sub(invalid::count(kinds));
        if more > 0 {
            write!(f, "\n  and {more} more")?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, "\n  try again in {} s", wait.as_secs())?;
        }
        Ok(())
    }
}

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
    fn faults_of_more_lines_than_are_listed_are_summed_up() {
        let text = r#"{"type":"urn:apns-edge:problem:invalid-request","title":"Invalid request","status":422,
            "detail":"all of it","errors":[{"pointer":"/app","detail":"is odd"},{"line":3,"pointer":"/token","detail":"is required"},
            {"line":4,"pointer":"/token","detail":"is required"}],"more_errors":7,
            "invalid_kinds":[{"pointer":"/token","detail":"is required","count":8,"lines":[3,4,5,6,7]}]}"#;
        let problem = Problem::read(422, None, text.to_owned());
        assert_eq!(
            problem.with_lines(|line| line - 1).to_string(),
            "422 Invalid request\n  /app: is odd\n  8 lines: /token: is required (lines 2, 3, 4, 5, 6, ...)\n  and 1 more"
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
