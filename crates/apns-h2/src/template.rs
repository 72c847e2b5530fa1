//! The header fields of a push, built once per notification and copied for each device.
//!
//! Fields that all pushes of a notification share are in the server's dynamic table after the first push, and
//! then take one byte each. A push's own fields - its `apns-id`, and a collapse id that differs from the
//! notification's - are marked as never indexed. `h2` never indexes `:path` and `authorization`, whatever
//! their mark: its encoder leaves out what nghttp2 leaves out. This is right for the path. The provider token
//! could be indexed; instead it is Huffman-coded for each push: some 160 bytes, and a seventh of the
//! instructions that a push costs on a connection.
//!
//! Source: RFC 7541 sections 6.2.3 and 7.1; Apple, "Sending notification requests to APNs", on HPACK.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use apns::Request;
use apns::collapse_id::CollapseId;
use apns::request::Headers;

/// The header fields of a notification, including the provider token.
#[derive(Clone, Debug)]
pub struct Template {
    headers: Arc<Headers>,
    fields: HeaderMap,
}

/// A header field cannot have this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` has a character that a header field cannot have")]
pub struct BadHeader {
    name: &'static str,
}

impl Template {
    /// Creates the fields for pushes with `headers` under the provider token `token`.
    ///
    /// # Errors
    /// Returns an error if a value has a character that a header field cannot have.
    pub fn new(headers: &Arc<Headers>, token: &str) -> Result<Self, BadHeader> {
        let value = |name, value: &str| HeaderValue::from_str(value).map_err(|_| BadHeader { name });
        let mut fields = HeaderMap::with_capacity(FIELDS);
        fields.insert(&APNS_ID, HeaderValue::from_static(""));
        for (name, text) in headers.list() {
            fields.insert(HeaderName::from_static(name), value(name, &text)?);
        }
        let mut authorization = value("authorization", &format!("bearer {token}"))?;
        authorization.set_sensitive(true);
        fields.insert(AUTHORIZATION, authorization);
        Ok(Self {
            headers: Arc::clone(headers),
            fields,
        })
    }

    /// Creates the fields of a request without credentials. APNs refuses such a request before it reads the
    /// rest.
    ///
    /// # Errors
    /// Returns an error if a value has a character that a header field cannot have.
    pub fn without_credentials(headers: &Arc<Headers>) -> Result<Self, BadHeader> {
        let mut template = Self::new(headers, "")?;
        template.fields.remove(AUTHORIZATION);
        Ok(template)
    }

    /// Returns the fields of one push.
    ///
    /// # Errors
    /// Returns an error if the push has its own headers and one has a character that a header field cannot
    /// have.
    pub(super) fn fill(&self, request: &Request) -> Result<HeaderMap, BadHeader> {
        let mut fields = self.fields.clone();
        if !Arc::ptr_eq(&self.headers, &request.headers) {
            self.overrule(&mut fields, &request.headers)?;
        }
        if let Some(id) = fields.get_mut(&APNS_ID) {
            *id = own("apns-id", &request.apns_id.to_ascii())?;
        }
        Ok(fields)
    }

    /// Replaces the fields that differ from the notification's headers.
    fn overrule(&self, fields: &mut HeaderMap, headers: &Headers) -> Result<(), BadHeader> {
        if self.headers.collapse_id != headers.collapse_id {
            match headers.collapse_id.as_ref().map(CollapseId::as_str) {
                Some(id) => fields.insert(&APNS_COLLAPSE_ID, own("apns-collapse-id", id.as_bytes())?),
                None => fields.remove(&APNS_COLLAPSE_ID),
            };
        }
        let same_but_for_collapse_id = Headers {
            collapse_id: self.headers.collapse_id.clone(),
            ..headers.clone()
        };
        if same_but_for_collapse_id != *self.headers {
            for name in [&APNS_PUSH_TYPE, &APNS_TOPIC, &APNS_PRIORITY, &APNS_EXPIRATION] {
                fields.remove(name);
            }
            for (name, text) in same_but_for_collapse_id.list() {
                if name != APNS_COLLAPSE_ID.as_str() {
                    let value = HeaderValue::from_str(&text).map_err(|_| BadHeader { name })?;
                    fields.insert(HeaderName::from_static(name), value);
                }
            }
        }
        Ok(())
    }
}

/// Creates a value that no party on the way may index.
fn own(name: &'static str, value: &[u8]) -> Result<HeaderValue, BadHeader> {
    let mut value = HeaderValue::from_bytes(value).map_err(|_| BadHeader { name })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The number of fields of a push, with one to spare.
const FIELDS: usize = 8;

static APNS_ID: HeaderName = HeaderName::from_static("apns-id");
static APNS_COLLAPSE_ID: HeaderName = HeaderName::from_static("apns-collapse-id");
static APNS_PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
static APNS_TOPIC: HeaderName = HeaderName::from_static("apns-topic");
static APNS_PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
static APNS_EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");

#[cfg(test)]
mod tests {
    use super::*;
    use apns::time::Timestamp;
    use apns::topic::BundleId;
    use apns::{ApnsId, DeviceToken, Expiration, Priority, PushType};
    use bytes::Bytes;
    use proptest::prelude::*;

    const NOW: u64 = 1_795_420_800;

    fn headers(expiration: Option<u64>, collapse_id: Option<&str>) -> Arc<Headers> {
        Arc::new(Headers {
            push_type: PushType::Alert,
            topic: BundleId::parse("com.example.app").unwrap().topic(PushType::Alert),
            priority: Priority::Five,
            expiration: expiration
                .map(|secs| Expiration::parse(&(NOW + secs).into(), Timestamp::from_secs(NOW)).unwrap()),
            collapse_id: collapse_id.map(|id| CollapseId::parse(id).unwrap()),
        })
    }

    fn request(headers: &Arc<Headers>, index: u32) -> Request {
        Request {
            device_token: DeviceToken::parse("ab01").unwrap(),
            apns_id: ApnsId::derive([3; 16], index),
            headers: Arc::clone(headers),
            body: Bytes::new(),
        }
    }

    fn sorted(fields: &HeaderMap) -> Vec<(String, String)> {
        let mut list: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        list.sort();
        list
    }

    #[test]
    fn what_is_a_pushs_own_is_never_indexed() {
        let template = Template::new(&headers(Some(9), Some("all")), "token").unwrap();
        let own = template
            .fill(&request(&headers(Some(9), Some("one")), 1))
            .unwrap();
        let sensitive = |name: &str| own.get(name).unwrap().is_sensitive();
        assert!(sensitive("apns-id") && sensitive("apns-collapse-id") && sensitive("authorization"));
        assert!(!sensitive("apns-topic") && !sensitive("apns-priority") && !sensitive("apns-expiration"));
    }

    #[test]
    fn a_token_with_a_line_break_is_refused_and_not_shown() {
        let error = Template::new(&headers(None, None), "secret\r\nx: y").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`authorization` has a character that a header field cannot have"
        );
    }

    proptest! {
        #[test]
        fn a_push_has_the_headers_of_its_request_whatever_the_template(
            of_template in (prop::option::of(1u64..4), prop::option::of("[ab]")),
            of_request in (prop::option::of(1u64..4), prop::option::of("[ab]")),
            index: u32,
        ) {
            let made = |(expiration, id): &(Option<u64>, Option<String>)| headers(*expiration, id.as_deref());
            let template = Template::new(&made(&of_template), "token").unwrap();
            let request = request(&made(&of_request), index);
            let mut expected: Vec<_> =
                request.header_list().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            expected.push(("authorization".to_owned(), "bearer token".to_owned()));
            expected.sort();
            prop_assert_eq!(sorted(&template.fill(&request).unwrap()), expected);
        }
    }
}
