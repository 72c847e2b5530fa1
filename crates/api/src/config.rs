//! The configuration of a deployment: variables and secrets, which are read once and checked together.
//!
//! All faults are reported at once, each with the path of its variable (`/APPS/shop/team_id`) and never with
//! a secret's value. A fault of one app, or of one API key, disables only that one. In scope: what the
//! settings mean. Out of scope: where they are stored. The caller passes a function that looks one up.

mod api_key;
mod app;
mod batches;
mod caller;
mod campaigns;
mod text;
mod transport;

use std::time::Duration;

use serde_json::Value;

use apns::Environment;
use apns::credential::Credential;
use apns::fault::{self, FaultKind, Faults, Pointer};

pub use api_key::{ApiKey, ApiKeyFault};
pub use app::{App, BrokenApp, SigningKeyText};
pub use batches::{Batches, SETTLE_TIME};
pub use caller::Caller;
pub use campaigns::Campaigns;
pub use transport::{Sockets, Transport};

/// The configuration of a deployment in which at least one app works.
#[derive(Clone, Debug)]
pub struct Config {
    /// The working apps, in the order of the variable.
    pub apps: Vec<App>,
    /// The apps whose settings have faults.
    pub broken_apps: Vec<BrokenApp>,
    /// The API keys.
    pub api_keys: Vec<ApiKey>,
    /// The faults of entries in `API_KEYS`. The other keys work.
    pub api_key_faults: Vec<ApiKeyFault>,
    /// The timeout of one attempt to send a push.
    pub attempt_timeout: Duration,
    /// The most pushes in flight per credential, over all isolates.
    pub permits: u32,
    /// The settings of the socket transport.
    pub sockets: Sockets,
    /// The settings of batches.
    pub batches: Batches,
    /// The settings of campaigns.
    pub campaigns: Campaigns,
    /// The number of objects that share the metrics.
    pub metrics_shards: u32,
    /// The origins of APNs: Apple's, or others for local runs.
    pub origins: Origins,
}

/// The origins that replace Apple's hosts in local runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    production: Option<String>,
    sandbox: Option<String>,
}

impl Config {
    /// Reads the settings that `setting` finds by name. Objects are JSON text.
    ///
    /// # Errors
    /// All faults, each at its variable, if no app can work: a shared setting has a fault, every app has one,
    /// or no API key can be read.
    pub fn load(setting: impl Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let named = json(&setting, APPS, &mut faults).unwrap_or_default();
        let transport = transport::load(&setting, &mut faults);
        let apps = app::read_all(&named, transport, &setting, &mut faults);
        let mut api_key_faults = Vec::new();
        let api_keys = json(&setting, API_KEYS, &mut faults)
            .map(|value| api_key::read_all(&value, &named, &mut faults, &mut api_key_faults))
            .unwrap_or_default();
        let timeout = number(
            &setting,
            ATTEMPT_TIMEOUT_MS,
            DEFAULT_ATTEMPT_TIMEOUT_MS,
            100..=60_000,
            &mut faults,
        );
        let permits = number(&setting, PERMITS, DEFAULT_PERMITS, 1..=MAX_PERMITS, &mut faults);
        let sockets = Sockets::load(&setting, &mut faults);
        let attempt_timeout = Duration::from_millis(timeout);
        let batches = Batches::load(&setting, attempt_timeout, &mut faults);
        let campaigns = Campaigns::load(&setting, &mut faults);
        let shards = number(
            &setting,
            METRICS_SHARDS,
            DEFAULT_METRICS_SHARDS,
            1..=64,
            &mut faults,
        );
        let origins = Origins::load(&setting, &mut faults);
        let config = Self {
            apps: apps.apps,
            broken_apps: apps.broken,
            api_keys,
            api_key_faults,
            attempt_timeout,
            permits: u32::try_from(permits).unwrap_or(u32::MAX),
            sockets,
            batches,
            campaigns,
            metrics_shards: u32::try_from(shards).unwrap_or(1),
            origins,
        };
        if faults.is_empty() && !config.apps.is_empty() && !config.api_keys.is_empty() {
            return Ok(config);
        }
        let mut all = config.faults();
        all.append(&faults);
        Err(all)
    }

    /// Returns the faults of single apps and API keys, each at its variable.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let mut all = Faults::default();
        for app in &self.broken_apps {
            all.append(&app.faults);
        }
        for of_key in &self.api_key_faults {
            all.push(of_key.fault.clone());
        }
        all
    }

    /// Returns the names of all apps, the working ones first.
    pub fn app_names(&self) -> impl Iterator<Item = &str> {
        let working = self.apps.iter().map(|app| app.name.as_str());
        working.chain(self.broken_apps.iter().map(|app| app.name.as_str()))
    }

    /// Returns the app called `name`, if it works.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.name == name)
    }

    /// Returns the app called `name`.
    ///
    /// # Errors
    /// Why it cannot send.
    pub fn find_app(&self, name: &str) -> Result<&App, NoApp> {
        self.app(name).ok_or_else(|| {
            let broken = self.broken_apps.iter().find(|app| app.name == name);
            broken.map_or_else(
                || NoApp::Unknown(name.to_owned()),
                |app| NoApp::Broken(app.clone()),
            )
        })
    }

    /// Returns the private key of a credential that one of the apps has.
    #[must_use]
    pub fn signing_key(&self, credential: &Credential) -> Option<&SigningKeyText> {
        self.first_app(credential).map(|app| &app.signing_key)
    }

    /// Returns the first app with this credential, whose name is shown in place of the credential's ids.
    #[must_use]
    pub fn first_app(&self, credential: &Credential) -> Option<&App> {
        self.apps.iter().find(|app| app.credential == *credential)
    }

    /// Returns the origin, without a path, to which an environment's pushes are sent.
    #[must_use]
    pub fn origin(&self, environment: Environment) -> String {
        let local = self.origins.of(environment).map(str::to_owned);
        local.unwrap_or_else(|| format!("https://{}", environment.host()))
    }
}

/// Why an app cannot send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoApp {
    /// The settings do not contain it, or no longer.
    #[error("no app is called `{0}` any more")]
    Unknown(String),
    /// Its settings have faults.
    #[error("the settings of the app `{}` have faults: {}", .0.name, .0.faults)]
    Broken(BrokenApp),
}

/// The address of a socket to APNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host, for the connection and for `:authority`.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether TLS is used. It is only off in local runs.
    pub tls: bool,
}

impl Config {
    /// Returns the address for an environment.
    #[must_use]
    pub fn address(&self, environment: Environment) -> Address {
        let local = self.origins.of(environment).and_then(|origin| {
            let (scheme, authority) = origin.split_once("://")?;
            let (host, port) = authority.rsplit_once(':')?;
            Some(Address {
                host: host.to_owned(),
                port: port.parse().ok()?,
                tls: scheme == "https",
            })
        });
        local.unwrap_or_else(|| Address {
            host: environment.host().to_owned(),
            port: self.sockets.port,
            tls: true,
        })
    }
}

impl Config {
    /// Returns the addresses that the doctor probes: both of Apple's ports, or the one address of a local
    /// run.
    #[must_use]
    pub fn probed(&self, environment: Environment) -> Vec<Address> {
        let usual = self.address(environment);
        if self.origins.of(environment).is_some() {
            return vec![usual];
        }
        transport::PORTS
            .iter()
            .map(|port| Address {
                port: *port,
                ..usual.clone()
            })
            .collect()
    }
}

impl Origins {
    fn of(&self, environment: Environment) -> Option<&str> {
        match environment {
            Environment::Production => self.production.as_deref(),
            Environment::Sandbox => self.sandbox.as_deref(),
        }
    }

    /// Whether pushes are sent to an address other than Apple's.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.production.is_some() || self.sandbox.is_some()
    }

    fn load(setting: &impl Fn(&str) -> Option<String>, faults: &mut Faults) -> Self {
        let mut origins = Self::default();
        if given(setting, APNS_ORIGINS).is_none() {
            return origins;
        }
        let Some(value) = json(setting, APNS_ORIGINS, faults) else {
            return origins;
        };
        let at = Pointer::Root;
        let at = at.key(APNS_ORIGINS);
        let Some(map) = fault::object(&value, &at, &["production", "sandbox"], faults) else {
            return origins;
        };
        for (name, value) in map {
            let at = at.key(name);
            let Some(text) = fault::string(value, &at, faults) else {
                continue;
            };
            if !is_loopback_origin(text) {
                let text = "must be an origin on this machine, such as `https://localhost:8443`: provider tokens go to \
                            Apple's hosts alone";
                faults.add(&at, FaultKind::Invalid(text.to_owned()));
                continue;
            }
            match name.as_str() {
                "production" => origins.production = Some(text.to_owned()),
                _ => origins.sandbox = Some(text.to_owned()),
            }
        }
        origins
    }
}

/// Whether `text` is `http(s)://` and a loopback host with a port, without anything after it.
fn is_loopback_origin(text: &str) -> bool {
    let Some(authority) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return false;
    };
    let Some((host, port)) = authority.rsplit_once(':') else {
        return false;
    };
    matches!(host, "localhost" | "127.0.0.1" | "[::1]") && port.parse::<u16>().is_ok()
}

fn json(setting: &impl Fn(&str) -> Option<String>, name: &str, faults: &mut Faults) -> Option<Value> {
    let at = Pointer::Root;
    let at = at.key(name);
    let Some(text) = given(setting, name) else {
        faults.add(&at, FaultKind::Missing);
        return None;
    };
    match parse(&text, &at) {
        Ok(value) => Some(value),
        Err(own) => {
            faults.append(&own);
            None
        }
    }
}

/// Returns the text of a setting, unless it is missing or blank.
fn given(setting: &impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    setting(name).filter(|text| !text::trim(text).is_empty())
}

/// Parses JSON. Also accepts JSON that a shell or a console has quoted or made into a string.
fn parse(text: &str, at: &Pointer<'_>) -> Result<Value, Faults> {
    let text = text::trim(text);
    let value = match fault::json(text.as_bytes(), at) {
        Err(faults) if faults.not_json().is_some() => {
            fault::json(text::unquoted(text).as_bytes(), at).map_err(|_| faults)?
        }
        read => read?,
    };
    match value {
        Value::String(inner) => fault::json(text::trim(&inner).as_bytes(), at),
        value => Ok(value),
    }
}

fn number(
    setting: &impl Fn(&str) -> Option<String>,
    name: &str,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
    faults: &mut Faults,
) -> u64 {
    let Some(text) = given(setting, name) else {
        return default;
    };
    match text::unquoted(&text).parse() {
        Ok(number) if range.contains(&number) => number,
        _ => {
            let text = format!("must be an integer from {} to {}", range.start(), range.end());
            faults.add(&Pointer::Root.key(name), FaultKind::Invalid(text));
            default
        }
    }
}

/// Parses a duration such as `7d`, `1d 12h` or `PT36H`, in which a day has 24 hours. `rule` says what is
/// allowed.
fn duration(
    setting: &impl Fn(&str) -> Option<String>,
    name: &str,
    default: Duration,
    range: std::ops::RangeInclusive<Duration>,
    rule: &str,
    faults: &mut Faults,
) -> Duration {
    let Some(text) = given(setting, name) else {
        return default;
    };
    match span(text::unquoted(&text)) {
        Some(duration) if range.contains(&duration) => duration,
        _ => {
            faults.add(&Pointer::Root.key(name), FaultKind::Invalid(rule.to_owned()));
            default
        }
    }
}

fn span(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.parse().ok()?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    span.to_duration(relative).ok()?.try_into().ok()
}

/// The variable with the apps: a JSON object by name.
pub const APPS: &str = "APPS";
/// The secret with the API keys: a JSON array.
pub const API_KEYS: &str = "API_KEYS";
/// The variable with the origins of local runs: a JSON object by environment.
pub const APNS_ORIGINS: &str = "APNS_ORIGINS";
/// The variable with the timeout of one attempt, in milliseconds.
pub const ATTEMPT_TIMEOUT_MS: &str = "ATTEMPT_TIMEOUT_MS";
/// The variable with the most pushes in flight per credential.
pub const PERMITS: &str = "PERMITS";

/// The variable with the number of objects that share the metrics.
const METRICS_SHARDS: &str = "METRICS_SHARDS";

/// Each send request and each chunk writes to one of them. Cloudflare suggests 200 to 500 writes per second
/// per object.
const DEFAULT_METRICS_SHARDS: u64 = 4;

/// APNs answers within a fraction of a second. After ten seconds an answer is unlikely.
const DEFAULT_ATTEMPT_TIMEOUT_MS: u64 = 10_000;

/// Apple's engineers consider 3000 parallel requests no problem (developer forums, thread 778909).
const DEFAULT_PERMITS: u64 = 3000;

/// More than the connections of one object pool can carry.
const MAX_PERMITS: u64 = 100_000;

#[cfg(test)]
mod tests;
