//! Keys for one run: signing keys as Apple's `.p8` files have them, and API keys.

use anyhow::{Result, anyhow};
use p256::SecretKey;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use sha2::{Digest, Sha256};

/// The length of a P-256 secret key, and of an API key, in bytes.
const KEY_BYTES: usize = 32;

/// A key pair for signing provider tokens.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The private key as PKCS #8 in PEM: the form of Apple's `.p8` files.
    pub private_pem: String,
    /// The public key as SPKI in PEM, for the server that checks the signatures.
    pub public_pem: String,
}

impl SigningKey {
    /// Generates a pair.
    pub fn generate() -> Result<Self> {
        Self::from_bytes(&random()?)
    }

    /// Derives a pair from a text. Only for tests.
    pub fn from_seed(seed: &str) -> Result<Self> {
        Self::from_bytes(&Sha256::digest(seed))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        // The bytes are out of range with a probability of 1 in 2^32, so this is an error and not a loop.
        let secret = SecretKey::from_slice(bytes).map_err(|_| anyhow!("these bytes make no key"))?;
        let private_pem = secret
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| anyhow!("the private key has no PEM: {error}"))?
            .to_string();
        let public_pem = secret
            .public_key()
            .to_public_key_pem(LineEnding::LF)
            .map_err(|error| anyhow!("the public key has no PEM: {error}"))?;
        Ok(Self {
            private_pem,
            public_pem,
        })
    }
}

/// Generates an API key.
pub fn random_hex() -> Result<String> {
    Ok(hex(&random()?))
}

/// Returns the SHA-256 of a text as 64 hex digits: the form in which the Worker stores an API key.
pub fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn random() -> Result<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system has no random bytes: {error}"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{SigningKey, random_hex, sha256_hex};
    use p256::SecretKey;
    use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};

    #[test]
    fn the_two_halves_of_a_signing_key_belong_together() {
        let key = SigningKey::generate().unwrap();
        let secret = SecretKey::from_pkcs8_pem(&key.private_pem).unwrap();
        assert_eq!(
            secret.public_key(),
            p256::PublicKey::from_public_key_pem(&key.public_pem).unwrap()
        );
    }

    #[test]
    fn callers_keys_differ() {
        assert_ne!(random_hex().unwrap(), random_hex().unwrap());
    }

    #[test]
    fn a_key_is_known_by_its_sha_256() {
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex("abc"), of_abc);
    }
}
