//! Where the code is, and a deployment to read documents with.

use std::fmt::Write;

use p256::pkcs8::{EncodePrivateKey, LineEnding};

pub(crate) use api::audience::{Form, Intake};
pub(crate) use api::call_limit::Call;
pub(crate) use api::config::{ApiKey, Caller, Config};
pub(crate) use api::format::Format;
pub(crate) use api::problem::{Kind, Problem, TYPE_PREFIX};
pub(crate) use api::upload::Upload;
pub(crate) use api::{Route, SendRequest, audience, campaign, listing, route};
pub(crate) use apns::reason::Reason;
pub(crate) use apns::time::Timestamp;
pub(crate) use batch::webhook;
pub(crate) use delivery::verdict;

/// The settings of a deployment with one app, `shop`, and one API key, for all apps. `own` comes before them.
pub(crate) fn setting(name: &str, own: impl Fn(&str) -> Option<String>) -> Option<String> {
    let usual = match name {
        "APPS" => {
            r#"{"shop": {"team_id": "TEAM123456", "key_id": "KEY1234567", "topic": "com.example.shop"}}"#
        }
        "API_KEYS" => {
            r#"[{"name": "docs", "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "apps": "*"}]"#
        }
        _ if name.starts_with("APNS_KEY_") => return own(name).or_else(|| Some(p8())),
        _ => return own(name),
    };
    own(name).or_else(|| Some(usual.to_owned()))
}

/// That deployment.
pub(crate) fn config() -> Config {
    Config::load(|name| setting(name, |_| None)).unwrap()
}

/// The one caller of that deployment.
pub(crate) fn caller(config: &Config) -> &Caller {
    config.api_keys.first().map(ApiKey::caller).unwrap()
}

/// When the documentation's requests come: before the times that it names.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

fn p8() -> String {
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

/// Many problems as one text.
pub(crate) fn list(problems: &[String]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        let _ = write!(text, "\n  {problem}");
        text
    })
}
