use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::run::{Run, bare};

/// Runs the command, which needs no settings.
fn key(arguments: &[&str]) -> Run {
    let arguments = [["key", "new"].as_slice(), arguments].concat();
    Run::of(bare(&arguments).output().unwrap()).with_code(0)
}

fn hash(key: &str) -> String {
    let hash = Sha256::digest(key.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_machine_gets_the_key_and_its_entry() {
    let run = key(&["--name", "backend", "--app", "shop", "--app", "news", "--json"]);
    let document: Value = serde_json::from_str(&run.out).unwrap();
    let text = document["key"].as_str().unwrap();
    assert!(
        text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{text}"
    );
    let entry = json!({"name": "backend", "sha256": hash(text), "apps": ["shop", "news"]});
    assert_eq!(run.out, format!("{}\n", json!({"key": text, "entry": entry})));
    assert_eq!(run.err, "");
}

#[test]
fn a_person_sees_the_key_once_and_the_entry_for_the_deployment() {
    let run = key(&[]);
    let is_key = |line: &&str| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let keys: Vec<&str> = run.out.lines().filter(is_key).collect();
    assert_eq!(keys.len(), 1, "{}", run.out);
    let entry: Value = serde_json::from_str(run.out.lines().last().unwrap()).unwrap();
    let name = entry["name"].as_str().unwrap();
    assert!(name.starts_with("all-"), "{name}");
    assert_eq!(entry, json!({"name": name, "sha256": hash(keys[0]), "apps": "*"}));
}

#[test]
fn keys_that_nobody_named_have_distinct_names() {
    let names = [(); 2].map(|()| {
        let run = key(&["--app", "shop", "--json"]);
        let document: Value = serde_json::from_str(&run.out).unwrap();
        document["entry"]["name"].as_str().unwrap().to_owned()
    });
    assert_ne!(names[0], names[1]);
}

#[test]
fn the_deployment_knows_the_caller_by_the_entry() {
    let run = key(&["--app", "shop", "--json"]);
    let document: Value = serde_json::from_str(&run.out).unwrap();
    let settings = |name: &str| match name {
        "APPS" => Some(
            r#"{"shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"}}"#
                .to_owned(),
        ),
        "API_KEYS" => Some(json!([document["entry"]]).to_string()),
        _ => None,
    };
    // The signing key is missing and is the only fault: the entry is as it must be.
    let faults = api::config::Config::load(settings).unwrap_err();
    assert!(faults.to_string().starts_with("/APNS_KEY_KEY1234567"), "{faults}");
    assert_eq!(faults.len(), 1, "{faults}");
}
