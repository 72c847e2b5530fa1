//! The credential of a sender: team, key and environment. A provider token and a connection belong to one
//! credential.
//!
//! A gate has the name of its credential, so all senders with this credential use the same gate. In scope:
//! the two ids, the name, and the private key of a `.p8` file ([`SigningKey`]). Out of scope: the provider
//! token (`provider_token`), and the settings that hold ids and keys (`api::config`).
//!
//! Source: Apple, "Establishing a token-based connection to APNs".

mod signing_key;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Environment;
use super::environment::UnknownEnvironment;

pub use signing_key::{KeyError, SigningKey};

/// A developer account: the `iss` of a provider token, as in `DEF123GHIJ`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TeamId(String);

/// A signing key of a team: the `kid` of a provider token, as in `ABC123DEFG`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

impl TeamId {
    /// Returns the ten characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyId {
    /// Returns the ten characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TeamId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_id(text).map(Self)
    }
}

impl FromStr for KeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_id(text).map(Self)
    }
}

impl TryFrom<String> for TeamId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl TryFrom<String> for KeyId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<TeamId> for String {
    fn from(id: TeamId) -> Self {
        id.0
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

impl fmt::Display for TeamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a team id or key id. Never quotes the text: it may be a secret in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It is empty.
    #[error("is empty; it must be {ID_LEN} characters from A-Z and 0-9")]
    Empty,
    /// It is the file name of a `.p8` file.
    #[error("looks like a key's file name; the key id is the {ID_LEN} characters after `AuthKey_`")]
    LooksLikeKeyFile,
    /// It has dots, like a bundle id.
    #[error("looks like a bundle id; it must be {ID_LEN} characters from A-Z and 0-9")]
    LooksLikeBundleId,
    /// It has the wrong length.
    #[error("is {found} characters long; it must be {ID_LEN} characters from A-Z and 0-9")]
    Length {
        /// Its length in characters.
        found: usize,
    },
    /// It would be valid in upper case.
    #[error("has lower-case letters; Apple's ids are upper-case")]
    LowerCase,
    /// It has other characters.
    #[error("has characters other than A-Z and 0-9")]
    Characters,
}

/// Team, key and environment: what a provider token and a connection belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Credential {
    /// The developer account.
    pub team_id: TeamId,
    /// The team's signing key.
    pub key_id: KeyId,
    /// The APNs environment.
    pub environment: Environment,
}

impl Credential {
    /// Returns its name, as in `DEF123GHIJ/ABC123DEFG/production`. The gate of the credential has this name.
    #[must_use]
    pub fn name(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.team_id, self.key_id, self.environment)
    }
}

impl FromStr for Credential {
    type Err = CredentialError;

    fn from_str(name: &str) -> Result<Self, CredentialError> {
        let mut parts = name.split('/');
        let (Some(team_id), Some(key_id), Some(environment), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CredentialError::Parts);
        };
        Ok(Self {
            team_id: team_id.parse().map_err(CredentialError::TeamId)?,
            key_id: key_id.parse().map_err(CredentialError::KeyId)?,
            environment: environment.parse()?,
        })
    }
}

impl TryFrom<String> for Credential {
    type Error = CredentialError;

    fn try_from(name: String) -> Result<Self, CredentialError> {
        name.parse()
    }
}

impl From<Credential> for String {
    fn from(credential: Credential) -> Self {
        credential.name()
    }
}

/// Why a text is not a credential's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It does not have three parts.
    #[error("must be `team id/key id/environment`")]
    Parts,
    /// The first part is not a team id.
    #[error("the team id {0}")]
    TeamId(IdError),
    /// The second part is not a key id.
    #[error("the key id {0}")]
    KeyId(IdError),
    /// The third part is not an environment.
    #[error("the environment {0}")]
    Environment(#[from] UnknownEnvironment),
}

fn parse_id(text: &str) -> Result<String, IdError> {
    let length = text.chars().count();
    let has_extension = text
        .rsplit_once('.')
        .is_some_and(|(_, extension)| extension == "p8");
    if text.is_empty() {
        Err(IdError::Empty)
    } else if has_extension || text.starts_with("AuthKey_") {
        Err(IdError::LooksLikeKeyFile)
    } else if text.contains('.') {
        Err(IdError::LooksLikeBundleId)
    } else if length != ID_LEN {
        Err(IdError::Length { found: length })
    } else if text.chars().all(is_of_an_id) {
        Ok(text.to_owned())
    } else if text.to_ascii_uppercase().chars().all(is_of_an_id) {
        Err(IdError::LowerCase)
    } else {
        Err(IdError::Characters)
    }
}

const fn is_of_an_id(character: char) -> bool {
    character.is_ascii_uppercase() || character.is_ascii_digit()
}

/// The length of a team id and of a key id, in characters. Source: Apple, "Establishing a token-based
/// connection to APNs".
const ID_LEN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_read_back_from_its_name() {
        let name = "DEF123GHIJ/ABC123DEFG/production";
        let credential: Credential = name.parse().unwrap();
        assert_eq!(credential.name(), name);
        assert_eq!(credential.team_id.as_str(), "DEF123GHIJ");
        assert_eq!(credential.key_id.as_str(), "ABC123DEFG");
        assert_eq!(credential.environment, Environment::Production);
    }

    /// Gates are found by this text. If it changes, a deployment loses its provider tokens and leases.
    #[test]
    fn credential_name_format_unchanged() {
        let credential: Credential = "DEF123GHIJ/ABC123DEFG/sandbox".parse().unwrap();
        let json = serde_json::to_string(&credential).unwrap();
        assert_eq!(json, r#""DEF123GHIJ/ABC123DEFG/sandbox""#);
        assert_eq!(serde_json::from_str::<Credential>(&json).unwrap(), credential);
    }

    #[test]
    fn a_faulty_name_says_which_part_is_wrong() {
        let fault = |name: &str| name.parse::<Credential>().unwrap_err();
        assert_eq!(fault("DEF123GHIJ/ABC123DEFG"), CredentialError::Parts);
        assert_eq!(fault("a/b/c/d"), CredentialError::Parts);
        assert_eq!(
            fault("DEF/ABC123DEFG/sandbox"),
            CredentialError::TeamId(IdError::Length { found: 3 })
        );
        assert_eq!(
            fault("DEF123GHIJ//sandbox"),
            CredentialError::KeyId(IdError::Empty)
        );
        assert_eq!(
            fault("DEF123GHIJ/ABC123DEFG/dev").to_string(),
            "the environment must be `production` or `sandbox`"
        );
    }

    #[test]
    fn an_id_that_is_something_else_is_recognised() {
        let fault = |text: &str| text.parse::<KeyId>().unwrap_err();
        assert_eq!(fault(""), IdError::Empty);
        assert_eq!(fault("AuthKey_ABC123DEFG.p8"), IdError::LooksLikeKeyFile);
        assert_eq!(fault("AuthKey_ABC123DEFG"), IdError::LooksLikeKeyFile);
        assert_eq!(fault("com.example.App"), IdError::LooksLikeBundleId);
        assert_eq!(fault("ABC123DEF"), IdError::Length { found: 9 });
        assert_eq!(fault("ABC123DEFGH"), IdError::Length { found: 11 });
        assert_eq!(fault("abc123defg"), IdError::LowerCase);
        assert_eq!(fault("ABC-123DEF"), IdError::Characters);
        assert_eq!(fault("ÄBC123DEFG"), IdError::Characters);
    }

    #[test]
    fn the_fault_of_an_id_does_not_quote_it() {
        for text in ["secretsecret", "se.cret", "secretsecr", "SECRET!!!!"] {
            let message = text.parse::<TeamId>().unwrap_err().to_string();
            assert!(!message.contains(text), "{message}");
        }
    }
}
