//! The settings of the Worker: apps, signing keys, API keys.

use apns_mock::{Environment, KeySpec, Server};
use serde_json::{Value, json};
use testbed::keys::SigningKey;
use testbed::settings::{self, Settings};

pub(crate) use testbed::keys::sha256_hex as digest;
pub(crate) use testbed::settings::origins as origins_at;

/// An app with its own team and signing key.
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

/// A caller of the Worker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    /// Has access to both apps.
    Both,
    /// Has access to the shop.
    Shop,
    /// Has access to the news.
    News,
}

impl Caller {
    /// All callers.
    pub(crate) const ALL: [Self; 3] = [Self::Both, Self::Shop, Self::News];

    /// Returns its API key.
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
    /// Returns the private key as in Apple's `.p8` files.
    pub(crate) fn private_pem(&self) -> String {
        SigningKey::from_seed(self.key_id).unwrap().private_pem
    }

    /// Returns the registration of the key at the server.
    pub(crate) fn key(&self) -> KeySpec {
        self.key_made_from(self.key_id)
    }

    /// Returns the registration of a different key with the same id.
    pub(crate) fn wrong_key(&self) -> KeySpec {
        self.key_made_from("another key")
    }

    fn key_made_from(&self, seed: &str) -> KeySpec {
        KeySpec {
            team_id: self.team_id.to_owned(),
            key_id: self.key_id.to_owned(),
            public_key_pem: SigningKey::from_seed(seed).unwrap().public_pem,
            environments: vec![self.environment],
            topics: Some(vec![self.topic.to_owned()]),
            related_key_id: None,
        }
    }

    /// Returns the app as it is in the variable `APPS`.
    pub(crate) fn setting(&self) -> Value {
        self.deployed().document()
    }

    fn deployed(&self) -> settings::App<'_> {
        settings::App {
            name: self.name,
            topic: self.topic,
            environment: self.environment.as_str(),
            team_id: self.team_id,
            key_id: self.key_id,
        }
    }
}

/// Returns the variables and secrets of a Worker that sends to `server`.
pub(crate) fn settings(server: &Server) -> Settings {
    let apps = [&SHOP, &NEWS].map(|app| (app.deployed(), app.private_pem()));
    let callers = Caller::ALL.map(|caller| settings::Caller {
        name: format!("{caller:?}"),
        key: caller.key(),
        apps: caller.apps(),
    });
    settings::settings(&apps, &callers, origins(server))
}

/// Returns the origins of `server` for the Worker.
pub(crate) fn origins(server: &Server) -> String {
    let port = |environment| server.addr(environment).port();
    origins_at(port(Environment::Production), port(Environment::Sandbox))
}

/// Returns the parts of the settings that must never be in a log.
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
