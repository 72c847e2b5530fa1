//! APNs' answer to one push, in APNs' words.
//!
//! `delivery::verdict` decides what it means. Source: Apple, "Handling notification responses from APNs".

use std::time::Duration;

use serde_json::Value;

use super::reason::Reason;
use crate::time::{Timestamp, retry_after};

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// APNs' reason, if the body has one.
    pub reason: Option<Reason>,
    /// The time from which the device token is known to be invalid; only with status 410.
    pub since: Option<Timestamp>,
    /// The push's id as APNs returned it.
    pub apns_id: Option<String>,
    /// The id in the delivery log. Only the sandbox sends it.
    pub apns_unique_id: Option<String>,
    /// How long to wait, if the answer says so. Apple documents no such header; if one arrives it is obeyed.
    pub retry_after: Option<Duration>,
}

impl Reply {
    /// Reads an answer that arrived at `now` from its status, its headers (by lower-case name) and its body.
    ///
    /// A body that is not APNs' JSON has no reason. This is not an error: the answer may come from a proxy.
    #[must_use]
    pub fn read<'h>(
        status: u16,
        header: impl Fn(&str) -> Option<&'h str>,
        body: &[u8],
        now: Timestamp,
    ) -> Self {
        let id = |name| {
            header(name)
                .filter(|value| value.len() <= MAX_ID_LEN)
                .map(str::to_owned)
        };
        let mut reply = Self {
            status,
            reason: None,
            since: None,
            apns_id: id("apns-id"),
            apns_unique_id: id("apns-unique-id"),
            retry_after: header("retry-after").and_then(|value| retry_after(value, now)),
        };
        if status != 200 && body.len() <= MAX_BODY {
            reply.read_body(body);
        }
        reply
    }

    fn read_body(&mut self, body: &[u8]) {
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
            return;
        };
        self.reason = body.get("reason").and_then(Value::as_str).map(Reason::new);
        if self.status == 410 {
            self.since = body
                .get("timestamp")
                .and_then(Value::as_u64)
                .map(Timestamp::from_millis);
        }
    }

    /// Whether the answer comes from APNs itself, and not from something in between.
    #[must_use]
    pub const fn is_from_apns(&self) -> bool {
        self.status == 200 || self.reason.is_some() || self.apns_id.is_some()
    }
}

/// The largest error body that is read as APNs' JSON. Apple's have fewer than 100 bytes.
pub const MAX_BODY: usize = 4096;

/// The longest id that is kept. A UUID has 36 characters.
const MAX_ID_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-10-21T07:27:00Z.
    const NOW: Timestamp = Timestamp::from_secs(1_792_567_620);

    fn none(_: &str) -> Option<&'static str> {
        None
    }

    #[test]
    fn an_accepted_push_has_an_id_and_no_reason() {
        let header = |name: &str| (name == "apns-id").then_some("EC1BF194-B3B2-424A-89A9-5A918A6E6B5D");
        let reply = Reply::read(200, header, b"", NOW);
        assert_eq!((reply.status, reply.reason.clone()), (200, None));
        assert_eq!(
            reply.apns_id.as_deref(),
            Some("EC1BF194-B3B2-424A-89A9-5A918A6E6B5D")
        );
        assert!(reply.is_from_apns());
    }

    #[test]
    fn a_410_says_since_when() {
        let reply = Reply::read(
            410,
            none,
            br#"{"reason":"Unregistered","timestamp":1454402113000}"#,
            NOW,
        );
        assert_eq!(reply.reason, Some(Reason::UNREGISTERED));
        assert_eq!(reply.since, Some(Timestamp::from_millis(1_454_402_113_000)));
    }

    #[test]
    fn a_timestamp_counts_with_410_alone() {
        let reply = Reply::read(
            400,
            none,
            br#"{"reason":"BadDeviceToken","timestamp":1454402113000}"#,
            NOW,
        );
        assert_eq!(reply.since, None);
    }

    #[test]
    fn a_proxys_error_page_is_not_from_apns() {
        for body in [&b"<html>502</html>"[..], b"", b"[]", b"{}", b"{\"reason\":7}"] {
            let reply = Reply::read(502, none, body, NOW);
            assert!(!reply.is_from_apns(), "{body:?}");
        }
    }

    #[test]
    fn a_retry_after_is_read_in_seconds_and_as_a_date() {
        let header = |name: &str| (name == "retry-after").then_some("30");
        assert_eq!(
            Reply::read(503, header, b"", NOW).retry_after,
            Some(Duration::from_secs(30))
        );
        let date = |name: &str| (name == "retry-after").then_some("Wed, 21 Oct 2026 07:28:00 GMT");
        assert_eq!(
            Reply::read(503, date, b"", NOW).retry_after,
            Some(Duration::from_secs(60))
        );
    }

    #[test]
    fn an_error_body_over_the_limit_is_not_parsed() {
        let at_limit = format!("{{\"reason\":\"Shutdown\"}}{}", " ".repeat(MAX_BODY - 21));
        assert_eq!(at_limit.len(), MAX_BODY);
        assert_eq!(
            Reply::read(503, none, at_limit.as_bytes(), NOW).reason,
            Some(Reason::SHUTDOWN)
        );
        assert_eq!(
            Reply::read(503, none, format!("{at_limit} ").as_bytes(), NOW).reason,
            None
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(status: u16, text in ".{0,40}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let reply = Reply::read(status, |_| Some(&text), &body, NOW);
            prop_assert!(reply.apns_id.is_none_or(|id| id.len() <= MAX_ID_LEN));
        }
    }
}
