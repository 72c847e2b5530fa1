//! The SHA-256 of a body, which identifies a repeated request.

use sha2::{Digest, Sha256};

/// The hash of the bytes so far. Also used for a body that is compared but not parsed.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Creates the hash of an empty body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the hash of the whole body.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
