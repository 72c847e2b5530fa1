//! The headers of a request that APNs reads, collected in one pass, and the checks that need only them.
//!
//! Source: Apple, "Sending notification requests to APNs".

use http::header::HeaderMap;
use http::{HeaderName, HeaderValue};

use crate::auth::Refusal;
use crate::reason::Reason;
use crate::topic::PushType;

/// The longest collapse id in bytes.
const MAX_COLLAPSE_ID: usize = 64;

/// An expiration above this number of seconds (the year 5138) was probably meant as milliseconds.
const ABSURD_EXPIRATION: u64 = 100_000_000_000;

/// The default priority.
const DEFAULT_PRIORITY: u8 = 10;

/// The relevant headers.
#[derive(Debug, Default)]
pub(crate) struct Head<'a> {
    pub(crate) authorization: Option<&'a HeaderValue>,
    pub(crate) apns_id: Option<&'a HeaderValue>,
    pub(crate) topic: Option<&'a HeaderValue>,
    pub(crate) collapse_id: Option<&'a HeaderValue>,
    expiration: Option<&'a HeaderValue>,
    priority: Option<&'a HeaderValue>,
    push_type: Option<&'a HeaderValue>,
    pub(crate) content_encoding: Option<&'a HeaderValue>,
    pub(crate) repeated: Option<&'a HeaderName>,
    /// A header whose value begins or ends with white space, which RFC 9113 section 8.2.1 forbids.
    pub(crate) padded: Option<&'a HeaderName>,
}

impl<'a> Head<'a> {
    /// Collects the headers.
    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        let mut head = Self::default();
        for (name, value) in headers {
            if is_padded(value.as_bytes()) {
                head.padded = Some(name);
            }
            let field = match name.as_str() {
                "authorization" => &mut head.authorization,
                "apns-id" => &mut head.apns_id,
                "apns-topic" => &mut head.topic,
                "apns-collapse-id" => &mut head.collapse_id,
                "apns-expiration" => &mut head.expiration,
                "apns-priority" => &mut head.priority,
                "apns-push-type" => &mut head.push_type,
                "content-encoding" => &mut head.content_encoding,
                _ => continue,
            };
            *field = Some(value);
        }
        if headers.len() != headers.keys_len() {
            head.repeated = headers
                .keys()
                .find(|name| headers.get_all(*name).iter().nth(1).is_some());
        }
        head
    }

    /// Returns the `apns-id` if it is valid, so that the answer can repeat it.
    pub(crate) fn echo(&self) -> Option<&'a HeaderValue> {
        self.apns_id.filter(|value| is_uuid(value.as_bytes()))
    }

    /// Whether the id is a UUID with upper-case letters. Apple documents lower case.
    pub(crate) fn has_upper_case_id(&self) -> bool {
        self.apns_id
            .is_some_and(|value| value.as_bytes().iter().any(u8::is_ascii_uppercase))
    }

    /// Whether the expiration looks like milliseconds.
    pub(crate) fn has_absurd_expiration(&self) -> bool {
        self.expiration()
            .is_ok_and(|seconds| seconds.is_some_and(|seconds| seconds > ABSURD_EXPIRATION))
    }

    /// Checks `apns-id`.
    pub(crate) fn check_id(&self) -> Result<(), Refusal> {
        match self.apns_id {
            Some(value) if !is_uuid(value.as_bytes()) => {
                Err(malformed(Reason::BadMessageId, "apns-id", value))
            }
            _ => Ok(()),
        }
    }

    /// Returns `apns-expiration` in seconds.
    pub(crate) fn expiration(&self) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.expiration else {
            return Ok(None);
        };
        let digits = value
            .to_str()
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let seconds = digits.and_then(|text| text.parse().ok());
        seconds
            .map(Some)
            .ok_or_else(|| malformed(Reason::BadExpirationDate, "apns-expiration", value))
    }

    /// Returns `apns-priority`: 10, 5 or 1.
    pub(crate) fn priority(&self) -> Result<u8, Refusal> {
        match self.priority.map(|value| (value, value.as_bytes())) {
            None => Ok(DEFAULT_PRIORITY),
            Some((_, b"10")) => Ok(10),
            Some((_, b"5")) => Ok(5),
            Some((_, b"1")) => Ok(1),
            Some((value, _)) => Err(malformed(Reason::BadPriority, "apns-priority", value)),
        }
    }

    /// Whether there is a priority header.
    pub(crate) fn has_priority(&self) -> bool {
        self.priority.is_some()
    }

    /// Returns `apns-collapse-id`. An empty one counts as absent.
    pub(crate) fn collapse_id(&self) -> Result<Option<&'a [u8]>, Refusal> {
        match self.collapse_id {
            Some(value) if value.len() > MAX_COLLAPSE_ID => {
                Err(malformed(Reason::BadCollapseId, "apns-collapse-id", value))
            }
            Some(value) if !value.is_empty() => Ok(Some(value.as_bytes())),
            _ => Ok(None),
        }
    }

    /// Returns `apns-push-type`.
    pub(crate) fn push_type(&self) -> Result<Option<PushType>, Refusal> {
        let Some(value) = self.push_type else {
            return Ok(None);
        };
        let known = PushType::parse(value.as_bytes());
        known
            .map(Some)
            .ok_or_else(|| malformed(Reason::InvalidPushType, "apns-push-type", value))
    }
}

/// Returns a refusal because of a header's value, as a fault of the client.
fn malformed(reason: Reason, name: &str, value: &HeaderValue) -> Refusal {
    Refusal::fault(reason, format!("{}: {name} was {value:?}", reason.as_str()))
}

/// Whether a value begins or ends with a space or a tab.
fn is_padded(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}

/// 8-4-4-4-12 hex digits of either case.
fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn an_expiration_is_an_integer_and_not_negative() {
        let expiration = |text: &str| {
            let headers = with("apns-expiration", text);
            Head::read(&headers)
                .expiration()
                .map_err(|refusal| refusal.reason)
        };
        assert_eq!(expiration("0"), Ok(Some(0)));
        assert_eq!(expiration("1700000000"), Ok(Some(1_700_000_000)));
        for bad in ["", "-1", "+1", "1.5", "soon", "99999999999999999999"] {
            assert_eq!(expiration(bad), Err(Reason::BadExpirationDate), "{bad}");
        }
    }

    #[test]
    fn a_collapse_id_has_64_bytes_at_most_whatever_its_characters() {
        let length = |text: &str| {
            let headers = with("apns-collapse-id", text);
            Head::read(&headers)
                .collapse_id()
                .map(|id| id.map(<[u8]>::len))
                .map_err(|refusal| refusal.reason)
        };
        assert_eq!(length(&"a".repeat(64)), Ok(Some(64)));
        assert_eq!(length(&"a".repeat(65)), Err(Reason::BadCollapseId));
        assert_eq!(length(&"é".repeat(33)), Err(Reason::BadCollapseId));
    }

    #[test]
    fn a_value_with_an_outer_space_is_named() {
        for value in ["sale ", " sale", " ", "sale\t"] {
            let headers = with("apns-collapse-id", value);
            let padded = Head::read(&headers).padded;
            assert_eq!(
                padded.map(HeaderName::as_str),
                Some("apns-collapse-id"),
                "{value:?}"
            );
        }
        assert_eq!(Head::read(&with("apns-collapse-id", "a sale")).padded, None);
    }

    #[test]
    fn a_repeated_header_is_named() {
        let mut headers = with("apns-topic", "a");
        headers.append("apns-topic", HeaderValue::from_static("b"));
        assert_eq!(
            Head::read(&headers).repeated.map(HeaderName::as_str),
            Some("apns-topic")
        );
        assert_eq!(Head::read(&with("apns-topic", "a")).repeated, None);
    }
}
