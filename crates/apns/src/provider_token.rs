//! The JSON Web Token that identifies a sender to APNs.
//!
//! A provider token depends only on the credential, the key and the half-hour bucket in which it is issued.
//! The signature follows RFC 6979. All signers therefore produce the same bytes in one bucket, and APNs sees
//! one token however many signers there are. In scope: the token and the buckets. Out of scope: which token
//! is sent when (`delivery::gate`).
//!
//! Source: Apple, "Establishing a token-based connection to APNs"; RFC 7515, RFC 7518 section 3.4, RFC 6979.
//!
//! # Why half an hour
//!
//! APNs refuses a token that is older than an hour. It also refuses a sender that shows a new token more than
//! once in 20 minutes. Any two clocks may differ by [`CLOCK_SKEW`]. All figures are minutes:
//!
//! - *No future*: a bucket's token is first used 2 after the bucket begins. A clock that is 2 fast then does
//!   not show a token from the future.
//! - *Not too often*: busy senders show each token for the first time within 4 of its beginning. They show
//!   the next one no earlier than its own beginning, at least 26 later.
//! - *Not too old*: a sender that was idle may show a token for the first time as late as 32 after its
//!   beginning. It must then keep it for 20 more. It keeps it for 25, which allows for a clock difference of
//!   4 and for 1 on the way: 57. A slow clock adds 2, and the way to APNs 1: one hour. Half an hour is the
//!   longest round bucket that leaves this room. With 35 minutes such a token would be refused as too old.

use std::fmt;
use std::time::Duration;

use jwt_compact::alg::Es256;
use jwt_compact::{AlgorithmExt, Claims, Header};
use serde::{Deserialize, Serialize};

use super::credential::{Credential, SigningKey};
use crate::time::Timestamp;

/// A signed token. Its `Debug` omits the text, which works like a password for an hour.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderToken {
    text: String,
    issued_at: Timestamp,
}

impl ProviderToken {
    /// Returns the token for the header `authorization: bearer ...`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns its `iat`, which distinguishes the tokens of one credential.
    #[must_use]
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// Returns the bucket in which it was issued.
    #[must_use]
    pub const fn bucket(&self) -> Bucket {
        Bucket::containing(self.issued_at)
    }

    /// Returns when to stop sending it, by any clock within [`CLOCK_SKEW`].
    #[must_use]
    pub fn usable_until(&self) -> Timestamp {
        self.issued_at + USABLE
    }
}

impl fmt::Debug for ProviderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderToken(issued {})", self.issued_at)
    }
}

/// An interval of [`BUCKET`] on a grid that all clocks share: midnight, half past midnight, and so on, in
/// UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u64);

impl Bucket {
    /// Returns the bucket whose token is sent at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self::containing(now - CLOCK_SKEW)
    }

    /// Returns its beginning, the `iat` of its token.
    #[must_use]
    pub const fn issued_at(self) -> Timestamp {
        Timestamp::from_secs(self.0.saturating_mul(BUCKET.as_secs()))
    }

    /// Returns when the next bucket's token replaces this one.
    #[must_use]
    pub fn ends_at(self) -> Timestamp {
        self.issued_at() + BUCKET + CLOCK_SKEW
    }

    /// Returns the previous bucket.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    const fn containing(moment: Timestamp) -> Self {
        Self(moment.as_secs() / BUCKET.as_secs())
    }
}

/// Signs the token of `bucket`. The same arguments always give the same bytes.
///
/// # Errors
/// Returns an error if the claims cannot be written as JSON, which does not happen in practice.
pub fn mint(credential: &Credential, key: &SigningKey, bucket: Bucket) -> Result<ProviderToken, MintError> {
    let issued_at = bucket.issued_at();
    let header = Header::empty().with_key_id(credential.key_id.as_str());
    let claims = Claims::new(ProviderClaims {
        iss: credential.team_id.as_str(),
        iat: issued_at.as_secs(),
    });
    let text = Es256
        .token(&header, &claims, key.es256())
        .map_err(|_| MintError)?;
    Ok(ProviderToken { text, issued_at })
}

/// The token could not be serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider token could not be written")]
pub struct MintError;

#[derive(Serialize)]
struct ProviderClaims<'c> {
    iss: &'c str,
    iat: u64,
}

/// The length of a bucket; the module header says why.
pub const BUCKET: Duration = Duration::from_mins(30);

/// The largest assumed difference between a clock and the right time.
///
/// The platform's clocks are accurate to milliseconds. Two minutes leave room for a machine that has lost its
/// time server. More room would need shorter buckets.
pub const CLOCK_SKEW: Duration = Duration::from_mins(2);

/// The minimum time that a token is kept after APNs first saw it: Apple's 20 minutes, twice [`CLOCK_SKEW`]
/// because another clock may decide next, and a minute on the way.
pub const REST: Duration = Duration::from_mins(25);

/// The age past which a token is not sent: Apple's hour less [`CLOCK_SKEW`] and a minute on the way.
pub const USABLE: Duration = Duration::from_mins(57);

/// The private key of RFC 6979, appendix A.2.5, as PKCS#8. It is public and used only in tests.
#[cfg(test)]
pub(crate) const RFC_6979_KEY: &str = include_str!("../tests/rfc_6979.p8");

#[cfg(test)]
mod tests {
    use super::*;
    use jwt_compact::{Algorithm, AlgorithmSignature};
    use proptest::prelude::*;

    #[test]
    fn signatures_are_those_of_rfc_6979() {
        let signature = Es256.sign(key().es256(), b"sample");
        let hex: String = AlgorithmSignature::as_bytes(&signature)
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        assert_eq!(
            hex,
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716\
             F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
        );
    }

    /// Deployments of different versions sign the same bytes in one bucket.
    ///
    /// If these bytes change, APNs sees two tokens during a deployment. The parts decode to
    /// `{"alg":"ES256","kid":"ABC123DEFG"}` and `{"iss":"DEF123GHIJ","iat":1795420800}`.
    #[test]
    fn provider_token_format_unchanged() {
        let token = mint(
            &credential(),
            &key(),
            Bucket::at(Timestamp::from_secs(1_795_422_000)),
        )
        .unwrap();
        assert_eq!(token.issued_at(), Timestamp::from_secs(1_795_420_800));
        assert_eq!(
            token.as_str(),
            "eyJhbGciOiJFUzI1NiIsImtpZCI6IkFCQzEyM0RFRkcifQ.\
             eyJpc3MiOiJERUYxMjNHSElKIiwiaWF0IjoxNzk1NDIwODAwfQ.\
             ILhw3tAPXmML-fzw5SgTteVhTb1MSzVYpCm3Hi8uHjvWxbJxLFFYAUBQNyK1RUCM4VESZePuCgAJHGOY_A74Mw"
        );
    }

    /// The gate stores tokens in this form.
    #[test]
    fn stored_provider_token_format_unchanged() {
        let token = ProviderToken {
            text: "a.b.c".to_owned(),
            issued_at: Timestamp::from_secs(1_795_420_800),
        };
        let json = r#"{"text":"a.b.c","issued_at":1795420800000}"#;
        assert_eq!(serde_json::to_string(&token).unwrap(), json);
        assert_eq!(serde_json::from_str::<ProviderToken>(json).unwrap(), token);
    }

    #[test]
    fn another_implementation_verifies_the_signature() {
        let token = mint(&credential(), &key(), Bucket(59_847_000)).unwrap();
        let (signed, signature) = token.as_str().rsplit_once('.').unwrap();
        let public = key().es256().verifying_key().to_encoded_point(false);
        let public = ring::signature::UnparsedPublicKey::new(
            &ring::signature::ECDSA_P256_SHA256_FIXED,
            public.as_bytes(),
        );
        let signature = base64url(signature);
        assert_eq!(signature.len(), 64);
        public.verify(signed.as_bytes(), &signature).unwrap();
        let other = signed.replacen('e', "f", 1);
        assert!(public.verify(other.as_bytes(), &signature).is_err());
    }

    #[test]
    fn all_who_sign_in_a_bucket_sign_the_same_bytes() {
        let bucket = Bucket::at(Timestamp::from_secs(1_795_420_920));
        let moments = [0, 1, 1799].map(|secs| bucket.issued_at() + CLOCK_SKEW + Duration::from_secs(secs));
        let tokens = moments.map(|now| mint(&credential(), &key(), Bucket::at(now)).unwrap());
        assert!(tokens.iter().all(|token| *token == tokens[0]));
        let next = mint(&credential(), &key(), Bucket::at(bucket.ends_at())).unwrap();
        assert_ne!(next, tokens[0]);
    }

    #[test]
    fn a_token_does_not_print_its_text() {
        let token = mint(&credential(), &key(), Bucket(59_847_360)).unwrap();
        assert!(!format!("{token:?}").contains(token.as_str()));
    }

    #[test]
    fn the_numbers_leave_room_for_two_clocks_that_differ() {
        let apples_hour = Duration::from_hours(1);
        let apples_rest = Duration::from_mins(20);
        let on_the_way = Duration::from_mins(1);
        assert!(BUCKET - CLOCK_SKEW * 2 > apples_rest);
        assert!(REST - CLOCK_SKEW * 2 > apples_rest);
        assert!(BUCKET + CLOCK_SKEW + REST <= USABLE);
        assert!(USABLE + CLOCK_SKEW + on_the_way <= apples_hour);
    }

    proptest! {
        #[test]
        fn a_bucket_is_never_in_the_future_of_a_clock_that_is_right(
            right in 10_000_000_000_u64..4_000_000_000_000,
            skew in -120_000_i64..=120_000,
        ) {
            let shown = Timestamp::from_millis(right.checked_add_signed(skew).unwrap());
            let bucket = Bucket::at(shown);
            prop_assert!(bucket.issued_at() <= Timestamp::from_millis(right));
            prop_assert!(shown < bucket.ends_at());
            prop_assert_eq!(Bucket::at(bucket.ends_at()).previous(), bucket);
        }
    }

    fn credential() -> Credential {
        "DEF123GHIJ/ABC123DEFG/production".parse().unwrap()
    }

    fn key() -> SigningKey {
        RFC_6979_KEY.parse().unwrap()
    }

    fn base64url(text: &str) -> Vec<u8> {
        let digit = |character: char| {
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                .find(character)
                .unwrap()
        };
        let bits: String = text
            .chars()
            .map(|character| format!("{:06b}", digit(character)))
            .collect();
        bits.as_bytes()
            .chunks_exact(8)
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
            .collect()
    }
}
