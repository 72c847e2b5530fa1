//! The JSON Web Token by which APNs knows a sender.
//!
//! It is a function of the credential, the key and the bucket of time that it is issued in: the claims hold nothing
//! else, and the signature is RFC 6979. So all who sign in a bucket make the same bytes, and APNs sees one token
//! however many of them there are. In scope: the token and the buckets. Out of scope: who gets which token when
//! (`delivery::gate`).
//!
//! Source: Apple, "Establishing a token-based connection to APNs"; RFC 7515, RFC 7518 section 3.4, RFC 6979.
//!
//! # Why half an hour
//!
//! APNs refuses a token that is older than an hour, and a sender that shows a new one more than once in 20 minutes.
//! With [`CLOCK_SKEW`] between any two clocks, in minutes:
//!
//! - *No future*: a bucket is entered 2 after it begins, so that a clock that is 2 fast does not show a token from the
//!   future.
//! - *Not too often*: senders that are busy show each token for the first time within 4 of its beginning, and the next
//!   no earlier than its own beginning, 26 later or more.
//! - *Not too old*: a sender that was idle may show a token for the first time as late as 32 after its beginning. It
//!   must then keep it for 20 more, and does for 25, so that the clock may change by 4: 57. Another 2 if its clock is
//!   slow and 1 on the way are an hour. Half an hour is the longest round bucket with this room: with 35 minutes, such a
//!   token would be refused as too old.

use std::fmt;
use std::time::Duration;

use jwt_compact::alg::Es256;
use jwt_compact::{AlgorithmExt, Claims, Header};
use serde::{Deserialize, Serialize};

use super::credential::{Credential, SigningKey};
use crate::time::Timestamp;

/// A signed token. It prints without its text, which is as good as a password for an hour.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderToken {
    text: String,
    issued_at: Timestamp,
}

impl ProviderToken {
    /// The token, for the header `authorization: bearer ...`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its `iat`, by which tokens of one credential are told apart.
    #[must_use]
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// The bucket that it was issued in.
    #[must_use]
    pub const fn bucket(&self) -> Bucket {
        Bucket::containing(self.issued_at)
    }

    /// When to stop sending it, by any clock that is within [`CLOCK_SKEW`].
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

/// A span of [`BUCKET`] on a grid that all clocks share: midnight, half past midnight, and so on, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u64);

impl Bucket {
    /// The bucket whose token is the one to send at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self::containing(now - CLOCK_SKEW)
    }

    /// Its beginning, the `iat` of its token.
    #[must_use]
    pub const fn issued_at(self) -> Timestamp {
        Timestamp::from_secs(self.0.saturating_mul(BUCKET.as_secs()))
    }

    /// When the next bucket's token takes over.
    #[must_use]
    pub fn ends_at(self) -> Timestamp {
        self.issued_at() + BUCKET + CLOCK_SKEW
    }

    /// The bucket before it.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    const fn containing(moment: Timestamp) -> Self {
        Self(moment.as_secs() / BUCKET.as_secs())
    }
}

/// Signs the token of `bucket`. The same arguments give the same bytes, wherever and whenever.
///
/// # Errors
/// Never in practice: the claims are two values that JSON can always hold.
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

/// A token that could not be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider token could not be written")]
pub struct MintError;

#[derive(Serialize)]
struct ProviderClaims<'c> {
    iss: &'c str,
    iat: u64,
}

/// How long each token is the one to send; see the module's text.
pub const BUCKET: Duration = Duration::from_mins(30);

/// How far a clock may be from the right time.
///
/// The platform's clocks are within milliseconds of it; two minutes leave room for a machine that has lost its time
/// server. More room would need shorter buckets.
pub const CLOCK_SKEW: Duration = Duration::from_mins(2);

/// A token that was shown to APNs for the first time is kept at least so long: Apple's 20 minutes, twice
/// [`CLOCK_SKEW`], as the next clock to judge may be another one, and a minute on the way.
pub const REST: Duration = Duration::from_mins(25);

/// Age past which a token is not sent: Apple's hour less [`CLOCK_SKEW`] and a minute on the way.
pub const USABLE: Duration = Duration::from_mins(57);

/// The private key of RFC 6979, appendix A.2.5, as PKCS#8: public, and so good for nothing but tests.
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

    /// Deployments of different versions sign the same bytes in one bucket: if these move, APNs sees two tokens while
    /// one version replaces another. The parts decode to `{"alg":"ES256","kid":"ABC123DEFG"}` and
    /// `{"iss":"DEF123GHIJ","iat":1795420800}`.
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

    /// The gate stores it so.
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
