//! The form and the signature of provider tokens.
//!
//! Source: Apple, "Establishing a token-based connection to APNs"; RFC 7515 (JWS), RFC 7518 section 3.4
//! (ES256).

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;

/// The length of key ids and team ids.
const ID_LENGTH: usize = 10;

/// The length of a signature by RFC 7518: R and S with 32 bytes each. DER would have 70 to 72 bytes.
const SIGNATURE_LENGTH: usize = 64;

/// base64url with or without padding.
const PADDED_OR_NOT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The accepted encodings of a token's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// base64url without padding, as RFC 7515 requires.
    Strict,
    /// Also with padding and with base64's own alphabet. Apple accepts it: the crate a2 encodes its tokens
    /// like this.
    Any,
}

impl Encoding {
    fn decode(self, part: &str) -> Option<Vec<u8>> {
        match self {
            Self::Strict => URL_SAFE_NO_PAD.decode(part).ok(),
            Self::Any => PADDED_OR_NOT
                .decode(part.replace('+', "-").replace('/', "_"))
                .ok(),
        }
    }
}

/// A well-formed token whose signature is not verified yet.
#[derive(Debug)]
pub(crate) struct ProviderToken<'a> {
    pub(crate) key_id: String,
    pub(crate) team_id: String,
    /// Seconds since the epoch.
    pub(crate) issued_at: i64,
    signed: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
}

impl<'a> ProviderToken<'a> {
    /// Parses a token. The error says what is wrong with it.
    pub(crate) fn parse(token: &'a str, encoding: Encoding) -> Result<Self, &'static str> {
        let (signed, signature) = token.rsplit_once('.').ok_or("it has no parts")?;
        let (header, claims) = signed.split_once('.').ok_or("it has two parts")?;
        let header = encoding
            .decode(header)
            .ok_or("its header is not base64url without padding")?;
        let claims = encoding
            .decode(claims)
            .ok_or("its claims are not base64url without padding")?;
        let signature = encoding
            .decode(signature)
            .ok_or("its signature is not base64url")?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| "its header lacks alg or kid")?;
        let claims: Claims =
            serde_json::from_slice(&claims).map_err(|_| "its claims lack iss or a numeric iat")?;
        if header.alg != "ES256" {
            return Err("its alg is not ES256");
        }
        if header.kid.len() != ID_LENGTH {
            return Err("its kid has not 10 characters");
        }
        if claims.iss.len() != ID_LENGTH {
            return Err("its iss has not 10 characters");
        }
        if signature.len() != SIGNATURE_LENGTH {
            return Err("its signature has not 64 bytes");
        }
        Ok(Self {
            key_id: header.kid,
            team_id: claims.iss,
            issued_at: claims.iat,
            signed,
            signature,
        })
    }

    /// Whether the key with this uncompressed point has signed it.
    pub(crate) fn is_signed_by(&self, point: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(self.signed.as_bytes(), &self.signature)
            .is_ok()
    }
}
