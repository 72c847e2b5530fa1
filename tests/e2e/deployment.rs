//! What the Worker is deployed with: apps, signing keys, callers' keys.

use apns_mock::{Environment, KeySpec, Server};
use serde_json::{Value, json};
use testbed::keys::SigningKey;
use testbed::settings::{self, Settings};

pub(crate) use testbed::keys::sha256_hex as digest;
pub(crate) use testbed::settings::origins as origins_at;

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
        SigningKey::from_seed(self.key_id).unwrap().private_pem
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
        KeySpec {
            team_id: self.team_id.to_owned(),
            key_id: self.key_id.to_owned(),
            public_key_pem: SigningKey::from_seed(seed).unwrap().public_pem,
            environments: vec![self.environment],
            topics: Some(vec![self.topic.to_owned()]),
            related_key_id: None,
        }
    }

    /// What the variable `APPS` says of it.
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

/// The variables and secrets of a Worker that sends to `server`.
pub(crate) fn settings(server: &Server) -> Settings {
    let apps = [&SHOP, &NEWS].map(|app| (app.deployed(), app.private_pem()));
    let callers = Caller::ALL.map(|caller| settings::Caller {
        name: format!("{caller:?}"),
        key: caller.key(),
        apps: caller.apps(),
    });
    settings::settings(&apps, &callers, origins(server))
}

/// Where a Worker finds `server`.
pub(crate) fn origins(server: &Server) -> String {
    let port = |environment| server.addr(environment).port();
    origins_at(port(Environment::Production), port(Environment::Sandbox))
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
