use super::*;

/// SHA-256 of `other`.
const OTHER_HASH: &str = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

fn keys(entries: &[&str]) -> Config {
    let list = format!("[{}]", entries.join(","));
    load(&[(API_KEYS, &list)]).unwrap()
}

fn key_faults(config: &Config) -> Vec<String> {
    config
        .api_key_faults
        .iter()
        .map(|of_key| of_key.fault.to_string())
        .collect()
}

fn clashing(config: &Config) -> Vec<&str> {
    let keys = config.api_keys.iter().filter(|key| key.clashes());
    keys.map(|key| key.caller().name.as_str()).collect()
}

#[test]
fn keys_of_one_name_clash_and_the_others_work() {
    let config = keys(&[
        &format!(r#"{{"name": "backend", "sha256": "{HASH}", "apps": ["shop"]}}"#),
        &format!(r#"{{"name": " backend\n", "sha256": "{OTHER_HASH}", "apps": ["news"]}}"#),
        &format!(
            r#"{{"name": "ops", "sha256": "{}", "apps": "*"}}"#,
            "0".repeat(64)
        ),
    ]);
    assert_eq!(clashing(&config), ["backend", "backend"]);
    assert_eq!(
        key_faults(&config),
        [
            "/API_KEYS/0/name: `backend` is also the name of entry 1: give each key a name of its own. Until then both \
             keys are refused",
            "/API_KEYS/1/name: `backend` is also the name of entry 0: give each key a name of its own. Until then both \
             keys are refused",
        ]
    );
}

#[test]
fn a_key_has_one_hash_or_two_while_it_is_rotated() {
    let with = |hashes: &[&str]| {
        let list = serde_json::to_string(hashes).unwrap();
        let other = format!(
            r#"{{"name": "ops", "sha256": "{}", "apps": "*"}}"#,
            "1".repeat(64)
        );
        let entry = format!(r#"{{"name": "backend", "sha256": {list}, "apps": "*"}}"#);
        keys(&[&entry, &other])
    };
    for hashes in [&[HASH][..], &[HASH, OTHER_HASH]] {
        assert_eq!(key_faults(&with(hashes)), [""; 0]);
    }
    let third = "0".repeat(64);
    for (hashes, count) in [(&[][..], 0), (&[HASH, OTHER_HASH, &third], 3)] {
        let expected =
            format!("/API_KEYS/0/sha256: lists {count} hashes: it has 1, or 2 while the key is rotated");
        assert_eq!(key_faults(&with(hashes)), [expected]);
    }
}

#[test]
fn keys_of_one_hash_clash_and_the_others_work() {
    let config = keys(&[
        &format!(r#"{{"name": "one", "sha256": ["{HASH}", "{OTHER_HASH}"], "apps": ["shop"]}}"#),
        &format!(
            r#"{{"name": "other", "sha256": "{}", "apps": "*"}}"#,
            OTHER_HASH.to_uppercase()
        ),
        &format!(
            r#"{{"name": "ops", "sha256": "{}", "apps": "*"}}"#,
            "0".repeat(64)
        ),
    ]);
    assert_eq!(clashing(&config), ["one", "other"]);
    let found = key_faults(&config);
    assert!(
        found[0].starts_with("/API_KEYS/0/sha256: the key `one` has a hash that entry 1 has too"),
        "{found:?}"
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn a_key_that_is_rotated_has_two_hashes_and_is_one_caller() {
    let config = keys(&[&format!(
        r#"{{"name": "backend", "sha256": ["{HASH}", "{OTHER_HASH}"], "apps": ["shop"]}}"#
    )]);
    let key = &config.api_keys[0];
    assert!(key.matches("secret") && key.matches("other") && !key.matches("third") && !key.clashes());
    assert_eq!(key_faults(&config), Vec::<String>::new());
    let three = format!(r#"[{{"name": "a", "sha256": ["{HASH}", "{OTHER_HASH}", "{HASH}"], "apps": "*"}}]"#);
    assert_eq!(
        faults(&[(API_KEYS, &three)]),
        ["/API_KEYS/0/sha256: lists 3 hashes: it has 1, or 2 while the key is rotated"]
    );
}

#[test]
fn a_key_with_a_fault_stops_no_other_key() {
    let config = keys(&[
        r#"{"name": "broken", "sha256": "my-plain-key", "apps": "*"}"#,
        &format!(r#"{{"name": "backend", "sha256": "{HASH}", "apps": ["shop", "shp"]}}"#),
    ]);
    assert_eq!(
        key_faults(&config),
        [
            "/API_KEYS/0/sha256: must be the 64 hex digits of the key's SHA-256, not the key itself",
            "/API_KEYS/1/apps/1: is not one of the apps in APPS",
        ]
    );
    assert!(config.api_keys[0].matches("secret") && config.api_keys[0].caller().reaches("shop"));
}

#[test]
fn a_caller_is_shown_the_faults_of_keys_for_its_own_apps() {
    let config = keys(&[
        &format!(r#"{{"name": "backend", "sha256": "{HASH}", "apps": ["shop"]}}"#),
        &format!(r#"{{"name": "backend", "sha256": "{OTHER_HASH}", "apps": ["shop"]}}"#),
    ]);
    let of = |app: &str| Caller::of("other".to_owned(), vec![app.to_owned()]);
    let fault = &config.api_key_faults[0];
    assert!(fault.concerns(&of("shop")) && fault.concerns(&Caller::of_all("ops".to_owned())));
    assert!(!fault.concerns(&of("news")));
}

#[test]
fn the_hash_of_an_empty_key_lets_nobody_in() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let keys = format!(r#"[{{"name": "backend", "sha256": "{empty}", "apps": "*"}}]"#);
    let found = faults(&[(API_KEYS, &keys)]);
    assert!(
        found[0].contains("the key was empty when it was hashed"),
        "{found:?}"
    );
}
