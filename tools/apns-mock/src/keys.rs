//! The signing keys that the server knows: their teams, environments and topics.
//!
//! Source: Apple, "Establishing a token-based connection to APNs", and the key scopes announced in February
//! 2025.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;

/// The DER of a P-256 SubjectPublicKeyInfo before its 65-byte point (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The length of an uncompressed P-256 point.
const POINT_LENGTH: usize = 65;

/// A key, as a test or the control port describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeySpec {
    /// The team id: 10 characters.
    pub team_id: String,
    /// The key id: 10 characters.
    pub key_id: String,
    /// The public key: PEM of a P-256 SubjectPublicKeyInfo.
    pub public_key_pem: String,
    /// The environments in which it is valid: one, or both for keys created before 2025.
    #[serde(default = "both_environments")]
    pub environments: Vec<Environment>,
    /// The bundle ids for which it is valid. Absent for all of the team.
    #[serde(default)]
    pub topics: Option<Vec<String>>,
    /// The key that may share a connection with this topic-specific one.
    #[serde(default)]
    pub related_key_id: Option<String>,
}

fn both_environments() -> Vec<Environment> {
    Environment::ALL.to_vec()
}

/// A key with its decoded point.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) spec: KeySpec,
    pub(crate) point: Vec<u8>,
}

impl Key {
    fn parse(spec: KeySpec) -> Result<Self> {
        let body: String = spec
            .public_key_pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .map(str::trim)
            .collect();
        let der = STANDARD
            .decode(body)
            .context("the public key's PEM is not base64")?;
        let point = der
            .strip_prefix(&SPKI_PREFIX)
            .context("the public key is not a P-256 SubjectPublicKeyInfo")?;
        ensure!(
            point.len() == POINT_LENGTH,
            "the public key's point has {} bytes",
            point.len()
        );
        Ok(Self {
            point: point.to_vec(),
            spec,
        })
    }

    /// Whether the key is valid in this environment.
    pub(crate) fn is_for(&self, environment: Environment) -> bool {
        self.spec.environments.contains(&environment)
    }

    /// Whether the key is valid for this topic, given with and without its suffix.
    pub(crate) fn may_use(&self, topic: &str, bundle: &str) -> bool {
        self.spec
            .topics
            .as_ref()
            .is_none_or(|topics| topics.iter().any(|known| known == topic || known == bundle))
    }

    /// Whether `other` may be used after this key on one connection.
    pub(crate) fn is_related_to(&self, other: &Self) -> bool {
        let (one, two) = (&self.spec, &other.spec);
        one.key_id == two.key_id
            || (one.topics.is_none() && two.topics.is_none())
            || one.related_key_id.as_deref() == Some(&two.key_id)
            || two.related_key_id.as_deref() == Some(&one.key_id)
    }
}

/// All keys, by key id.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_id: RwLock<HashMap<String, Arc<Key>>>,
    /// Incremented with each change, so that connections verify their tokens again.
    generation: AtomicU64,
}

impl Keys {
    /// Adds or replaces a key.
    pub(crate) fn add(&self, spec: KeySpec) -> Result<()> {
        let key = Arc::new(Key::parse(spec)?);
        let mut keys = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.spec.key_id.clone(), key);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Revokes a key. Returns `false` if it is unknown.
    pub(crate) fn remove(&self, key_id: &str) -> bool {
        let mut keys = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        let removed = keys.remove(key_id).is_some();
        self.generation.fetch_add(1, Ordering::Release);
        removed
    }

    /// Returns the key with this id.
    pub(crate) fn find(&self, key_id: &str) -> Option<Arc<Key>> {
        self.by_id
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key_id)
            .cloned()
    }

    /// Returns a number that changes with every change of a key.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
