//! The API keys: who may call, and for which apps.
//!
//! The name of a key is the caller's identity, and the key's SHA-256 proves it. Names and hashes must be
//! unique: entries that share one are rejected, and all other keys work. Only the hash of a key is stored, so
//! that a reader of the deployment's secrets cannot call with it. Keys are random and long, so a fast hash is
//! enough.

use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Caller, text};
use apns::fault::{self, Fault, FaultKind, Faults, Pointer};

/// A readable entry of `API_KEYS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    caller: Caller,
    /// One hash, or two while the key is rotated.
    hashes: Vec<[u8; 32]>,
    index: usize,
    clashes: bool,
}

impl ApiKey {
    /// Returns the caller that presents this key.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether another entry has the same name or hash. Such a key authenticates nobody.
    #[must_use]
    pub const fn clashes(&self) -> bool {
        self.clashes
    }

    /// Whether `presented` is the text of this key, in constant time.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        let hash = sha256(presented);
        let matches = |known: &[u8; 32]| bool::from(hash.ct_eq(known));
        // All hashes are compared, so that the time does not reveal which one was similar.
        self.hashes
            .iter()
            .fold(false, |found, known| found | matches(known))
    }
}

/// A fault of an entry of `API_KEYS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyFault {
    /// The fault, with its path in the secret.
    pub fault: Fault,
    /// The callers of the keys concerned. Empty if the entry cannot be read.
    callers: Vec<Caller>,
}

impl ApiKeyFault {
    /// Whether a caller may see the fault: it has access to all apps, or to an app of a key concerned.
    #[must_use]
    pub fn concerns(&self, caller: &Caller) -> bool {
        caller.reaches_all() || self.callers.iter().any(|other| other.shares_app_with(caller))
    }
}

/// Reads the secret `API_KEYS`. Its apps must be members of `apps`, the value of `APPS`.
///
/// A fault of an entry is added to `faults` and disables only that entry. A fault of the whole secret is
/// added to `fatal`.
pub(super) fn read_all(
    value: &Value,
    apps: &Value,
    fatal: &mut Faults,
    faults: &mut Vec<ApiKeyFault>,
) -> Vec<ApiKey> {
    let root = Pointer::Root;
    let at = root.key(super::API_KEYS);
    // A single entry without brackets is unambiguous.
    let list = if value.is_object() {
        std::slice::from_ref(value)
    } else {
        match fault::array(value, &at, fatal) {
            Some(list) => list,
            None => return Vec::new(),
        }
    };
    if list.is_empty() {
        fatal.add(
            &at,
            FaultKind::Invalid("names no key: nobody could call".to_owned()),
        );
    }
    let mut keys: Vec<ApiKey> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let mut of_entry = Faults::default();
        let key = read(value, apps, index, &at.index(index), &mut of_entry);
        faults.extend(of_entry.listed().iter().map(|fault| ApiKeyFault {
            fault: fault.clone(),
            callers: key.iter().map(|key| key.caller.clone()).collect(),
        }));
        keys.extend(key);
    }
    refuse_clashes(&mut keys, &at, faults);
    keys
}

/// Marks entries that share a name or a hash.
fn refuse_clashes(keys: &mut [ApiKey], at: &Pointer<'_>, faults: &mut Vec<ApiKeyFault>) {
    let entries = keys.to_vec();
    for key in keys {
        let mut others = entries.iter().filter(|other| other.index != key.index);
        let shares_hash = |other: &&ApiKey| other.hashes.iter().any(|hash| key.hashes.contains(hash));
        let same_name = others.clone().find(|other| other.caller.name == key.caller.name);
        let same_hash = others.find(shares_hash);
        let entry = at.index(key.index);
        let name = text::shown(&key.caller.name);
        let mut clash = |field: &str, other: &ApiKey, text: String| {
            faults.push(ApiKeyFault {
                fault: Fault::at(&entry.key(field), FaultKind::Conflict(text)),
                callers: vec![key.caller.clone(), other.caller.clone()],
            });
        };
        if let Some(other) = same_name {
            let text = format!(
                "`{name}` is also the name of entry {}: give each key a name of its own. Until then both keys are \
                 refused",
                other.index
            );
            clash("name", other, text);
        }
        if let Some(other) = same_hash {
            let text = format!(
                "the key `{name}` has a hash that entry {} has too: give each entry a key of its own. Until then \
                 both keys are refused",
                other.index
            );
            clash("sha256", other, text);
        }
        key.clashes = same_name.is_some() || same_hash.is_some();
    }
}

fn read(value: &Value, apps: &Value, index: usize, at: &Pointer<'_>, faults: &mut Faults) -> Option<ApiKey> {
    let map = fault::object(value, at, FIELDS, faults)?;
    for field in FIELDS.iter().filter(|field| !map.contains_key(**field)) {
        faults.add(&at.key(field), FaultKind::Missing);
    }
    let name = map
        .get("name")
        .and_then(|name| read_name(name, &at.key("name"), faults));
    let hashes = map
        .get("sha256")
        .and_then(|value| read_hashes(value, &at.key("sha256"), faults));
    let apps = map
        .get("apps")
        .and_then(|value| reach(value, apps, &at.key("apps"), faults));
    let caller = match apps? {
        Reach::All => Caller::of_all(name?),
        Reach::Only(apps) => Caller::of(name?, apps),
    };
    Some(ApiKey {
        caller,
        hashes: hashes?,
        index,
        clashes: false,
    })
}

fn read_name(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<String> {
    let name = text::unquoted(fault::string(value, at, faults)?);
    if name.is_empty() {
        let text = "is blank: the name tells callers apart";
        faults.add(at, FaultKind::Invalid(text.to_owned()));
        return None;
    }
    if name.len() > MAX_NAME {
        faults.add(
            at,
            FaultKind::TooLong {
                size: name.len(),
                limit: MAX_NAME,
                unit: "bytes",
            },
        );
        return None;
    }
    Some(name.to_owned())
}

/// Reads one hash, or the list of an old and a new one. An invalid hash is reported, and the other one works.
fn read_hashes(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Vec<[u8; 32]>> {
    let Value::Array(list) = value else {
        return Some(vec![read_hash(value, at, faults)?]);
    };
    if list.is_empty() || list.len() > MAX_HASHES {
        let text = format!(
            "lists {} hashes: it has 1, or {MAX_HASHES} while the key is rotated",
            list.len()
        );
        faults.add(at, FaultKind::Invalid(text));
        return None;
    }
    let hashes: Vec<[u8; 32]> = list
        .iter()
        .enumerate()
        .filter_map(|(index, value)| read_hash(value, &at.index(index), faults))
        .collect();
    (!hashes.is_empty()).then_some(hashes)
}

fn read_hash(value: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<[u8; 32]> {
    let written = text::unquoted(fault::string(value, at, faults)?);
    // The output of `sha256sum` has the file name after the hash.
    let digits = written.split_whitespace().next().unwrap_or_default();
    let fault = match hash(digits) {
        Some(hash) if hash == sha256("") => {
            "is the SHA-256 of nothing: the key was empty when it was hashed, so make a new one"
        }
        Some(hash) => return Some(hash),
        None => "must be the 64 hex digits of the key's SHA-256, not the key itself",
    };
    faults.add(at, FaultKind::Invalid(fault.to_owned()));
    None
}

enum Reach {
    All,
    Only(Vec<String>),
}

/// Reads the apps of a key. An unknown app is reported, and the key has access to the others.
fn reach(value: &Value, apps: &Value, at: &Pointer<'_>, faults: &mut Faults) -> Option<Reach> {
    let list = if value.is_string() {
        std::slice::from_ref(value)
    } else {
        fault::array(value, at, faults)?
    };
    let mut names = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let place = at.index(index);
        let at = if value.is_string() { at } else { &place };
        let Some(name) = fault::string(item, at, faults).map(text::unquoted) else {
            continue;
        };
        if name == ALL {
            return Some(Reach::All);
        }
        // If `APPS` itself cannot be read, that is the only fault.
        if apps.is_object() && apps.get(name).is_none() {
            faults.add(
                at,
                FaultKind::Invalid(format!("is not one of the apps in {}", super::APPS)),
            );
        }
        names.push(name.to_owned());
    }
    Some(Reach::Only(names))
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
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

/// The fields of an entry.
const FIELDS: &[&str] = &["name", "sha256", "apps"];

/// The value that means all apps.
const ALL: &str = "*";

/// The longest name in bytes. It is part of logs and of the state of batches.
const MAX_NAME: usize = 256;

/// The most hashes of an entry: the old key's and the new one's.
const MAX_HASHES: usize = 2;
