//! The configuration of a deployment: the shared part from wrangler.toml and, after a mark, the deployment's
//! own part.

use std::path::PathBuf;

use apns::credential::{KeyId, TeamId};
use apns::environment::Environment;
use apns::topic::BundleId;
use toml::Table;

/// An app, as the user described it.
#[derive(Debug)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) team_id: TeamId,
    pub(super) key_id: KeyId,
    pub(super) topic: BundleId,
    pub(super) environment: Environment,
    /// The file of its key.
    pub(super) p8: PathBuf,
}

/// Returns the configuration with this app.
///
/// # Errors
/// `base` has settings of a deployment, or is not TOML.
pub(super) fn with_app(base: &str, app: &App) -> Result<String, String> {
    let own = format!(
        "[vars]\n# TRANSPORT = \"fetch\"\n\n[vars.APPS.{}]\nteam_id = \"{}\"\nkey_id = \"{}\"\ntopic = \"{}\"\nenvironment = \"{}\"\n",
        app.name,
        app.team_id,
        app.key_id,
        app.topic.as_str(),
        app.environment
    );
    joined(base, &own)
}

/// Returns the configuration `existing` with its shared part replaced by `base`.
///
/// # Errors
/// `existing` has no mark, or the result is not TOML.
pub(super) fn refreshed(base: &str, existing: &str) -> Result<String, String> {
    let (_, own) = existing
        .split_once(MARK)
        .ok_or("it has no line that says where your part begins: it was not written by `apns-edge init`")?;
    joined(base, own.trim_start_matches('\n'))
}

fn joined(base: &str, own: &str) -> Result<String, String> {
    let text = format!("{}\n\n{MARK}\n{own}", base.trim_end());
    match text.parse::<Table>() {
        Ok(_) => Ok(text),
        Err(error)
            if base
                .parse::<Table>()
                .is_ok_and(|table| table.contains_key("vars")) =>
        {
            Err(format!(
                "wrangler.toml has [vars] of its own, which would be there twice: move them to the end of the new file. {}",
                error.message()
            ))
        }
        Err(error) => Err(format!(
            "wrangler.toml and your part together are not TOML: {}",
            error.message()
        )),
    }
}

/// Validates the name of an app.
pub(super) fn name(text: &str) -> Result<String, &'static str> {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let is_name = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_allowed);
    is_name
        .then(|| text.to_owned())
        .ok_or("an app's name has 1 to 64 of a-z, 0-9, `-` and `_`")
}

/// Returns a name for the app, from the end of its bundle id.
pub(super) fn name_of(topic: &str) -> Option<String> {
    let end = topic.rsplit('.').next()?.to_ascii_lowercase();
    name(&end).ok()
}

/// The mark at which the deployment's own part begins.
const MARK: &str =
    "# Yours from here on. `apns-edge init --refresh` takes all above from wrangler.toml anew.";

/// The longest name of an app that a deployment accepts.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        App {
            name: "shop".to_owned(),
            team_id: "DEF123GHIJ".parse().unwrap(),
            key_id: "ABC123DEFG".parse().unwrap(),
            topic: BundleId::parse("com.example.shop").unwrap(),
            environment: Environment::Sandbox,
            p8: PathBuf::new(),
        }
    }

    /// Returns the file of this repository.
    fn base() -> String {
        std::fs::read_to_string(docs_reader::root().join("wrangler.toml")).unwrap()
    }

    #[test]
    fn the_configuration_is_that_of_all_with_the_app() {
        let text = with_app(&base(), &app()).unwrap();
        let mut written: Table = text.parse().unwrap();
        let vars = written.remove("vars").unwrap();
        assert_eq!(vars["APPS"]["shop"]["team_id"].as_str(), Some("DEF123GHIJ"));
        assert_eq!(vars["APPS"]["shop"]["environment"].as_str(), Some("sandbox"));
        assert_eq!(written, base().parse::<Table>().unwrap());
    }

    #[test]
    fn a_refresh_keeps_what_is_ones_own_and_takes_the_rest_anew() {
        let old = with_app("name = \"old\"\n", &app()).unwrap() + "\n[vars.APPS.news]\ntopic = \"x\"\n";
        let text = refreshed(&base(), &old).unwrap();
        assert!(text.contains("[vars.APPS.news]") && text.contains("[vars.APPS.shop]"));
        assert!(!text.contains("\"old\""));
        assert_eq!(refreshed(&base(), &text).unwrap(), text, "twice is as once");
        assert!(refreshed(&base(), "name = \"x\"\n").is_err());
    }

    #[test]
    fn settings_in_the_file_of_all_are_told() {
        let problem = with_app("[vars]\nTRANSPORT = \"socket\"\n", &app()).unwrap_err();
        assert!(problem.contains("[vars] of its own"), "{problem}");
    }

    #[test]
    fn a_name_is_suggested_by_the_end_of_the_topic() {
        assert_eq!(name_of("com.example.Shop").as_deref(), Some("shop"));
        assert_eq!(name_of("com.example."), None);
        assert!(name("a b").is_err() && name(&"a".repeat(65)).is_err() && name(&"a".repeat(64)).is_ok());
    }
}
