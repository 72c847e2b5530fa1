//! Finds the URL and the key of the deployment: in the flags, else in the environment, else in a file.
//!
//! Each of the two is looked up separately, so that a flag can override the URL of a file but keep its key.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use toml::{Table, Value};
use ureq::http::{HeaderValue, Uri};

use crate::failure::Failure;

/// The flags about the deployment.
#[derive(Debug, Default, Args)]
pub(crate) struct Flags {
    /// The deployment, such as https://apns-edge.example.workers.dev [or APNS_EDGE_URL, or `url` in the config file]
    #[arg(long, global = true, help_heading = HEADING, value_name = "URL")]
    url: Option<String>,
    /// Your API key; others on this machine can read it off the command line, so prefer the other two [or
    /// APNS_EDGE_KEY, or `key` in the config file]
    #[arg(long, global = true, help_heading = HEADING, value_name = "KEY")]
    key: Option<String>,
    /// A TOML file with `url` and `key` [default: ~/.config/apns-edge/config.toml]
    #[arg(long, global = true, help_heading = HEADING, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The URL of a deployment, and its key.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The origin and the prefix of all paths, without a slash at the end.
    pub(crate) url: String,
    /// The API key.
    pub(crate) key: Key,
    /// Warnings about the settings.
    pub(crate) warnings: Vec<String>,
}

/// An API key. It is never shown.
#[derive(Clone)]
pub(crate) struct Key(HeaderValue);

impl Key {
    /// Returns the key as the value of `Authorization`.
    pub(crate) const fn authorization(&self) -> &HeaderValue {
        &self.0
    }

    fn read(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let value = HeaderValue::from_str(&format!("Bearer {text}"));
        match value {
            Ok(mut value) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                value.set_sensitive(true);
                Ok(Self(value))
            }
            _ => Err(Failure::Usage(
                "the API key must be visible ASCII characters without spaces".to_owned(),
            )),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Settings {
    /// Finds the settings. `variable` reads the environment, and `home` is the user's folder.
    ///
    /// # Errors
    /// A setting is missing or invalid, or the config file cannot be read.
    pub(crate) fn find(
        flags: &Flags,
        variable: impl Fn(&str) -> Option<String>,
        home: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let usual = set("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| home.map(|home| home.join(".config")))
            .map(|folder| folder.join(FILE));
        let stored = Stored::read(flags.config.as_deref(), usual.as_deref())?;
        let url = flags.url.clone().or_else(|| set(URL)).or(stored.url);
        let key = flags.key.clone().or_else(|| set(KEY)).or(stored.key);
        let file = flags.config.clone().or(usual).map_or_else(
            || "a config file".to_owned(),
            |path| format!("the file {}", path.display()),
        );
        let missing = |what: &str, flag: &str, variable: &str, field: &str| {
            Failure::Usage(format!(
                "{what} is missing: give the flag {flag}, the variable {variable}, or `{field} = \"…\"` in {file}"
            ))
        };
        let (url, plain) = origin(&url.ok_or_else(|| missing("the deployment's URL", "--url", URL, "url"))?)?;
        let key = Key::read(&key.ok_or_else(|| missing("the API key", "--key", KEY, "key"))?)?;
        let mut warnings = stored.warnings;
        if plain {
            warnings.push(format!(
                "{url} is not https: your key and your devices travel in the clear"
            ));
        }
        Ok(Self { url, key, warnings })
    }
}

/// Validates the URL. Also returns whether it leads over a network without TLS.
fn origin(text: &str) -> Result<(String, bool), Failure> {
    let unusable = |why: &str| Err(Failure::Usage(format!("the deployment's URL {why}")));
    let text = text.trim().trim_end_matches('/');
    let Ok(uri) = text.parse::<Uri>() else {
        return unusable("is not a URL");
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return unusable("must begin with https://");
    };
    if authority.as_str().contains('@') {
        return unusable("must not contain a user: the key goes into its own setting");
    }
    if uri.query().is_some() {
        return unusable("must not contain a query");
    }
    let host = authority.host();
    let is_here = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    match scheme {
        "https" => Ok((text.to_owned(), false)),
        "http" => Ok((text.to_owned(), !is_here)),
        _ => unusable("must begin with https://"),
    }
}

/// The contents of a config file.
#[derive(Debug, Default)]
struct Stored {
    url: Option<String>,
    key: Option<String>,
    warnings: Vec<String>,
}

impl Stored {
    /// Reads the named file, which must exist, or the usual one, which may be missing.
    fn read(named: Option<&Path>, usual: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = named.or(usual) else {
            return Ok(Self::default());
        };
        if named.is_none() && !path.exists() {
            return Ok(Self::default());
        }
        let at_fault = |fault| Failure::File {
            path: path.to_owned(),
            fault,
        };
        let mut file = File::open(path).map_err(at_fault)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(at_fault)?;
        let mut stored =
            Self::parse(&text).map_err(|problem| Failure::Usage(format!("{}: {problem}", path.display())))?;
        if stored.key.is_some() && file.metadata().is_ok_and(|metadata| is_open_to_others(&metadata)) {
            stored.warnings.push(format!(
                "{0} holds your key and others can read it: chmod 600 {0}",
                path.display()
            ));
        }
        Ok(stored)
    }

    /// Parses the text. Errors do not quote it, because it contains the key.
    fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            format!("line {line} is not TOML such as: url = \"https://…\"")
        })?;
        let mut stored = Self::default();
        for (name, value) in table {
            let slot = match name.as_str() {
                "url" => &mut stored.url,
                "key" => &mut stored.key,
                _ => return Err(format!("`{name}` is unknown; there are `url` and `key`")),
            };
            let Value::String(value) = value else {
                return Err(format!("`{name}` must be a string"));
            };
            *slot = Some(value);
        }
        Ok(stored)
    }
}

#[cfg(unix)]
fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & READABLE_BY_OTHERS != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &fs::Metadata) -> bool {
    false
}

/// The heading of the common options in the help.
pub(crate) const HEADING: &str = "Common options";

/// The environment variable with the deployment's URL.
const URL: &str = "APNS_EDGE_URL";

/// The environment variable with the API key.
const KEY: &str = "APNS_EDGE_KEY";

/// The config file, relative to the folder of config files.
const FILE: &str = "apns-edge/config.toml";

/// The permission bits with which the group and all others may read a file.
#[cfg(unix)]
const READABLE_BY_OTHERS: u32 = 0o044;

#[cfg(test)]
mod tests;
