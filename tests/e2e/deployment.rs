//! What the Worker is deployed with: apps, signing keys, callers' keys.

use std::collections::BTreeMap;

use apns_mock::{Environment, KeySpec, Server};
use p256::SecretKey;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An app, with a team and a key of its own.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: &'static str,
    pub(crate) topic: &'static str,
    pub(crate) environment: Environment,
    pub(crate) team_id: &'static str,
    pub(crate) key_id: &'static str,
}

/// The app in production.
pub(crate) const SHOP: App = App {
    name: "shop",
    topic: "com.example.shop",
    environment: Environment::Production,
    team_id: "SHOPTEAM01",
    key_id: "SHOPKEY001",
};

/// The app in the sandbox, of another team.
pub(crate) const NEWS: App = App {
    name: "news",
    topic: "com.example.news",
    environment: Environment::Sandbox,
    team_id: "NEWSTEAM01",
    key_id: "NEWSKEY001",
};

/// A caller that the Worker knows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    /// It reaches both apps.
    Both,
    /// It reaches the shop alone.
    Shop,
    /// It reaches the news alone.
    News,
}

impl Caller {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Both, Self::Shop, Self::News];

    /// What it sends as its key.
    pub(crate) fn key(self) -> String {
        digest(&format!("the key of {self:?}"))
    }

    fn apps(self) -> Value {
        match self {
            Self::Both => json!("*"),
            Self::Shop => json!([SHOP.name]),
            Self::News => json!([NEWS.name]),
        }
    }
}

impl App {
    /// The private key as Apple's `.p8` files have it.
    pub(crate) fn private_pem(&self) -> String {
        let pem = secret_key(self.key_id).to_pkcs8_pem(LineEnding::LF).unwrap();
        pem.to_string()
    }

    /// The key as the server has to know it.
    pub(crate) fn key(&self) -> KeySpec {
        self.key_made_from(self.key_id)
    }

    /// A key by the same name that is not the app's.
    pub(crate) fn wrong_key(&self) -> KeySpec {
        self.key_made_from("another key")
    }

    fn key_made_from(&self, seed: &str) -> KeySpec {
        let public = secret_key(seed).public_key();
        KeySpec {
            team_id: self.team_id.to_owned(),
            key_id: self.key_id.to_owned(),
            public_key_pem: public.to_public_key_pem(LineEnding::LF).unwrap(),
            environments: vec![self.environment],
            topics: Some(vec![self.topic.to_owned()]),
            related_key_id: None,
        }
    }

    /// What the variable `APPS` says of it.
    pub(crate) fn setting(&self) -> Value {
        json!({
            "team_id": self.team_id,
            "key_id": self.key_id,
            "topic": self.topic,
            "environment": self.environment,
        })
    }
}

/// The variables and secrets of a Worker that sends to `server`.
pub(crate) fn settings(server: &Server) -> BTreeMap<String, String> {
    let apps = json!({ SHOP.name: SHOP.setting(), NEWS.name: NEWS.setting() });
    let callers = Caller::ALL.map(
        |caller| json!({ "name": format!("{caller:?}"), "sha256": digest(&caller.key()), "apps": caller.apps() }),
    );
    let mut settings = BTreeMap::from([
        ("APPS".to_owned(), apps.to_string()),
        ("API_KEYS".to_owned(), Value::from(callers.to_vec()).to_string()),
        ("APNS_ORIGINS".to_owned(), origins(server)),
    ]);
    for app in [SHOP, NEWS] {
        settings.insert(format!("APNS_KEY_{}", app.key_id), app.private_pem());
    }
    settings
}

/// Where a Worker finds `server`.
pub(crate) fn origins(server: &Server) -> String {
    let port = |environment| server.addr(environment).port();
    origins_at(port(Environment::Production), port(Environment::Sandbox))
}

/// Origins on this machine, by name, because the server's certificate is for `localhost`.
pub(crate) fn origins_at(production: u16, sandbox: u16) -> String {
    json!({
        "production": format!("https://localhost:{production}"),
        "sandbox": format!("https://localhost:{sandbox}"),
    })
    .to_string()
}

/// What of the settings must never be seen in a log.
pub(crate) fn secrets() -> Vec<String> {
    let keys = Caller::ALL
        .into_iter()
        .flat_map(|caller| [digest(&caller.key()), caller.key()]);
    let pems = [SHOP, NEWS].map(|app| app.private_pem());
    let lines = pems
        .iter()
        .flat_map(|pem| pem.lines())
        .filter(|line| !line.starts_with("-----"));
    keys.chain(lines.map(str::to_owned)).collect()
}

/// 64 hex digits that belong to a text.
pub(crate) fn digest(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The same text gives the same key; the keys are good for nothing but tests.
fn secret_key(seed: &str) -> SecretKey {
    SecretKey::from_slice(&Sha256::digest(seed)).unwrap()
}
