//! The signature that proves to a receiver that a webhook comes from us.
//!
//! Source: Standard Webhooks 1.0 (<https://www.standardwebhooks.com>): HMAC-SHA256 over
//! `{id}.{timestamp}.{body}`, as base64 after `v1,`. With several secrets there is one signature per secret,
//! separated by spaces, so that a receiver can change its secret without missing a webhook.

use std::fmt;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use apns::time::Timestamp;

/// A secret that the receivers of webhooks share with the deployment. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// Reads `whsec_` and the base64 of the secret's bytes.
    ///
    /// # Errors
    /// Returns what is wrong with it. Never quotes the secret.
    pub fn parse(text: &str) -> Result<Self, BadWebhookSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(BadWebhookSecret::Prefix)?;
        let bytes = Base64::decode_vec(encoded).map_err(|_| BadWebhookSecret::Base64)?;
        if !(MIN_SECRET..=MAX_SECRET).contains(&bytes.len()) {
            return Err(BadWebhookSecret::Length { len: bytes.len() });
        }
        Ok(Self(bytes))
    }

    fn sign(&self, id: &str, timestamp: u64, body: &str) -> Option<String> {
        // An HMAC accepts a key of any length, so this never fails.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        for part in [id, ".", &timestamp.to_string(), ".", body] {
            mac.update(part.as_bytes());
        }
        let digest = Base64::encode_string(&mac.finalize().into_bytes());
        Some(format!("{VERSION},{digest}"))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// Why a text is not a webhook secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWebhookSecret {
    /// It does not have the prefix.
    #[error("must begin with `{PREFIX}`")]
    Prefix,
    /// The rest is not base64.
    #[error("must be `{PREFIX}` and base64 with its padding")]
    Base64,
    /// It has too few or too many bytes.
    #[error(
        "has {len} bytes; it must have {MIN_SECRET} to {MAX_SECRET}, as `openssl rand -base64 32` makes them"
    )]
    Length {
        /// Its length in bytes.
        len: usize,
    },
}

/// Returns the value of `webhook-signature`: one signature per secret. Returns `None` if there is no secret,
/// because nothing is sent unsigned.
///
/// `timestamp` is the moment of the attempt in seconds since the epoch, the value of `webhook-timestamp`.
#[must_use]
pub fn sign(secrets: &[WebhookSecret], id: &str, timestamp: u64, body: &str) -> Option<String> {
    let signatures: Vec<String> = secrets
        .iter()
        .filter_map(|secret| secret.sign(id, timestamp, body))
        .collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

/// Returns the headers of an attempt at `now` to deliver `body`.
///
/// # Errors
/// Returns an error if there is no secret to sign with. The text is shown in the log of deliveries.
pub fn headers(
    secrets: &[WebhookSecret],
    id: &str,
    body: &str,
    now: Timestamp,
) -> Result<[(&'static str, String); 5], &'static str> {
    let timestamp = now.as_secs();
    let signature = sign(secrets, id, timestamp, body).ok_or(UNSIGNED)?;
    Ok([
        ("content-type", "application/json".to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature),
    ])
}

/// The sender's name in requests: many firewalls refuse requests without one.
const USER_AGENT: &str = concat!("apns-edge/", env!("CARGO_PKG_VERSION"));

/// The problem of an attempt that cannot be signed. The attempt is repeated like one that failed.
const UNSIGNED: &str = "not sent: it cannot be signed, as the deployment has no secret WEBHOOK_SECRET";

/// The prefix of every secret, so that a leaked one can be recognized.
const PREFIX: &str = "whsec_";

/// The version of the signature: HMAC-SHA256 with a shared secret.
const VERSION: &str = "v1";

/// The minimum length of a secret in bytes, from the specification.
const MIN_SECRET: usize = 24;

/// The maximum length of a secret in bytes, from the specification.
const MAX_SECRET: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(bytes: &[u8]) -> Result<WebhookSecret, BadWebhookSecret> {
        WebhookSecret::parse(&format!("whsec_{}", Base64::encode_string(bytes)))
    }

    #[test]
    fn a_signature_is_the_one_of_the_specifications_example() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            sign(&[secret], id, 1_614_265_330, body).as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn the_headers_carry_what_is_signed() {
        let secrets = [secret(&[1; 24]).unwrap()];
        let signature = sign(&secrets, "msg_1", 1_795_420_800, "{}").unwrap();
        let now = Timestamp::from_millis(1_795_420_800_999);
        let headers = headers(&secrets, "msg_1", "{}", now).unwrap();
        let expected = [
            ("content-type", "application/json"),
            ("user-agent", concat!("apns-edge/", env!("CARGO_PKG_VERSION"))),
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", "1795420800"),
            ("webhook-signature", &signature),
        ];
        assert_eq!(
            headers.each_ref().map(|(name, value)| (*name, value.as_str())),
            expected
        );
    }

    #[test]
    fn a_secret_has_as_many_bytes_as_documented() {
        for (bytes, is_taken) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(secret(&vec![1; bytes]).is_ok(), is_taken, "{bytes}");
        }
    }

    #[test]
    fn nothing_is_sent_without_a_signature() {
        assert_eq!(sign(&[], "msg_1", 7, "{}"), None);
        let problem = headers(&[], "msg_1", "{}", Timestamp::default()).unwrap_err();
        assert!(problem.contains("WEBHOOK_SECRET"), "{problem}");
    }

    #[test]
    fn while_secrets_change_each_signs() {
        let (old, new) = (secret(&[1; 24]).unwrap(), secret(&[2; 24]).unwrap());
        let both = sign(&[old.clone(), new.clone()], "msg_1", 7, "{}").unwrap();
        let alone = [old, new].map(|secret| sign(&[secret], "msg_1", 7, "{}").unwrap());
        assert_eq!(both, alone.join(" "));
        assert_ne!(alone[0], alone[1]);
    }

    #[test]
    fn a_secret_has_as_many_bytes_as_the_specification_allows() {
        for (len, good) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            let parsed = secret(&vec![7; len]);
            assert_eq!(parsed.is_ok(), good, "{len}");
            if !good {
                assert_eq!(parsed, Err(BadWebhookSecret::Length { len }));
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_quoted() {
        let encoded = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for (text, error) in [
            (encoded.to_owned(), BadWebhookSecret::Prefix),
            (format!("WHSEC_{encoded}"), BadWebhookSecret::Prefix),
            (format!("whsec_{encoded}="), BadWebhookSecret::Base64),
            (format!("whsec_{encoded}\n"), BadWebhookSecret::Base64),
            (format!("whsec_-_{encoded}"), BadWebhookSecret::Base64),
        ] {
            assert_eq!(WebhookSecret::parse(&text), Err(error), "{text}");
            assert!(!error.to_string().contains("MfKQ"));
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        assert_eq!(format!("{:?}", secret(&[7; 24]).unwrap()), "WebhookSecret(…)");
    }

    proptest! {
        #[test]
        fn a_signature_is_what_another_implementation_makes(
            key in prop::collection::vec(any::<u8>(), 24..=64),
            id in "msg_[0-9a-f]{1,40}",
            timestamp: u64,
            body in ".{0,200}",
        ) {
            let signed = ring::hmac::sign(
                &ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key),
                format!("{id}.{timestamp}.{body}").as_bytes(),
            );
            let expected = format!("v1,{}", Base64::encode_string(signed.as_ref()));
            prop_assert_eq!(sign(&[secret(&key).unwrap()], &id, timestamp, &body), Some(expected));
        }

        #[test]
        fn parsing_a_secret_never_panics(text in "(whsec_)?.{0,100}") {
            let _ = WebhookSecret::parse(&text);
        }
    }
}
