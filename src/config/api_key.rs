//! Who may call, and for which apps.
//!
//! A key is kept as its SHA-256 alone, so that whoever reads the deployment's secrets cannot call with it. Keys are
//! random and long, so that a fast hash is enough.

use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::fault::{self, FaultKind, Faults, Pointer};

/// A caller that the deployment knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// What the operator calls it.
    pub name: String,
    sha256: [u8; 32],
    apps: Apps,
}

/// The apps that a key reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apps {
    /// All that are configured.
    All,
    /// These.
    Only(Vec<String>),
}

impl ApiKey {
    /// Whether this is the key with that text, in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        hash.ct_eq(&self.sha256).into()
    }

    /// Whether it reaches all apps, those that are yet to come included.
    #[must_use]
    pub fn reaches_all(&self) -> bool {
        self.apps == Apps::All
    }

    /// Whether it reaches the app called `app`.
    #[must_use]
    pub fn reaches(&self, app: &str) -> bool {
        match &self.apps {
            Apps::All => true,
            Apps::Only(names) => names.iter().any(|name| name == app),
        }
    }
}

/// Reads the secret `API_KEYS`; the apps must be among the names in `apps`, the value of `APPS`.
pub(super) fn read_all(value: &Value, apps: &Value, faults: &mut Faults) -> Vec<ApiKey> {
    let root = Pointer::Root;
    let at = root.key(super::API_KEYS);
    let Some(list) = fault::array(value, &at, faults) else {
        return Vec::new();
    };
    if list.is_empty() {
        faults.add(
            &at,
            FaultKind::Invalid("names no key: nobody could call".to_owned()),
        );
    }
    list.iter()
        .enumerate()
        .filter_map(|(index, value)| read(value, apps, &at.index(index), faults))
        .collect()
}

fn read(value: &Value, apps: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<ApiKey> {
    let map = fault::object(value, at, FIELDS, faults)?;
    for field in FIELDS.iter().filter(|field| !map.contains_key(**field)) {
        faults.add(&at.key(field), FaultKind::Missing);
    }
    let name = fault::string(map.get("name")?, &at.key("name"), faults);
    let sha256 = fault::string(map.get("sha256")?, &at.key("sha256"), faults).and_then(|text| {
        let bytes = hash(text);
        if bytes.is_none() {
            let text = "must be the 64 hex digits of the key's SHA-256, not the key itself";
            faults.add(&at.key("sha256"), FaultKind::Invalid(text.to_owned()));
        }
        bytes
    });
    let apps = reach(map.get("apps")?, apps, &at.key("apps"), faults);
    Some(ApiKey {
        name: name?.to_owned(),
        sha256: sha256?,
        apps: apps?,
    })
}

fn reach(value: &Value, apps: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Apps> {
    if value.as_str() == Some(ALL) {
        return Some(Apps::All);
    }
    let list = fault::array(value, at, faults)?;
    let mut names = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let at = at.index(index);
        let Some(name) = fault::string(value, &at, faults) else {
            continue;
        };
        if name == ALL {
            return Some(Apps::All);
        }
        if apps.get(name).is_none() {
            faults.add(
                &at,
                FaultKind::Invalid(format!("is not one of the apps in {}", super::APPS)),
            );
        }
        names.push(name.to_owned());
    }
    Some(Apps::Only(names))
}

fn hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

/// What a key is configured with.
const FIELDS: &[&str] = &["name", "sha256", "apps"];

/// The word for all apps.
const ALL: &str = "*";
