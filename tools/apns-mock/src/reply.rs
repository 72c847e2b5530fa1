//! An answer, before it is put into frames or lines.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};

/// The id of a notification, echoed or made by the server.
pub(crate) const APNS_ID: HeaderName = HeaderName::from_static("apns-id");

/// The id by which the sandbox's delivery log knows a notification.
pub(crate) const APNS_UNIQUE_ID: HeaderName = HeaderName::from_static("apns-unique-id");

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Reply {
    /// 200 with an empty body.
    pub(crate) fn accepted() -> Self {
        Self {
            status: StatusCode::OK,
            headers: Vec::with_capacity(2),
            body: Bytes::new(),
        }
    }

    /// Any other status, with Apple's JSON body.
    pub(crate) fn refused(status: u16, reason: &str, timestamp_ms: Option<i64>) -> Self {
        let mut body = format!(r#"{{"reason":{}"#, serde_json::Value::from(reason));
        if let Some(timestamp) = timestamp_ms {
            let _ = write!(body, r#","timestamp":{timestamp}"#);
        }
        body.push('}');
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            body: Bytes::from(body),
        }
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Splits into a response head and the body.
    pub(crate) fn into_parts(self) -> (Response<()>, Bytes) {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        (response, self.body)
    }
}

/// Makes ids that look like random UUIDs; a sequence per server, without a lock.
#[derive(Debug)]
pub(crate) struct Ids {
    next: AtomicU64,
    upper_case: bool,
}

impl Ids {
    pub(crate) fn new(seed: u64, upper_case: bool) -> Self {
        Self {
            next: AtomicU64::new(seed),
            upper_case,
        }
    }

    /// A new UUID, version 4 in shape.
    pub(crate) fn next(&self) -> HeaderValue {
        let step = self.next.fetch_add(2, Ordering::Relaxed);
        let (high, low) = (scramble(step), scramble(step.wrapping_add(1)));
        let digits: &[u8; 16] = if self.upper_case {
            b"0123456789ABCDEF"
        } else {
            b"0123456789abcdef"
        };
        let mut text = [b'-'; 36];
        let bits = (u128::from(high) << 64) | u128::from(low);
        let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let mut shift = 128;
        for (place, letter) in text.iter_mut().enumerate() {
            if !matches!(place, 8 | 13 | 18 | 23) {
                shift -= 4;
                if let Some(digit) = digits.get(((bits >> shift) & 0xf) as usize) {
                    *letter = *digit;
                }
            }
        }
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// SplitMix64: one number of a sequence, well mixed.
pub(crate) fn scramble(step: u64) -> u64 {
    let mut z = step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_id_is_a_version_4_uuid_in_the_chosen_case() {
        let ids = Ids::new(1, true);
        let (one, two) = (ids.next(), ids.next());
        assert_ne!(one, two);
        let text = one.to_str().unwrap();
        assert_eq!(text.len(), 36);
        assert_eq!(text, text.to_uppercase());
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'A' | b'B'));
        let lower = Ids::new(1, false).next();
        assert_eq!(lower.to_str().unwrap(), text.to_lowercase());
    }

    #[test]
    fn an_error_body_is_apples_json() {
        let reply = Reply::refused(410, "Unregistered", Some(12));
        assert_eq!(reply.body, r#"{"reason":"Unregistered","timestamp":12}"#);
        assert_eq!(
            Reply::refused(400, "BadTopic", None).body,
            r#"{"reason":"BadTopic"}"#
        );
    }
}
