//! Authenticates the caller.
//!
//! `Authorization: Bearer <API key>`, RFC 6750. Every configured key is compared, so that the time does not
//! reveal which one was similar.

use super::problem::{Kind, Problem};
use crate::config::{App, Caller, Config, NoApp};
use apns::fault::{FaultKind, Faults, Pointer};

/// Finds the caller by the value of `Authorization`.
///
/// # Errors
/// 401 with a challenge if the key is missing or unknown, or if its entry conflicts with another one.
pub fn authenticate<'c>(authorization: Option<&str>, config: &'c Config) -> Result<&'c Caller, Problem> {
    let refuse =
        |detail: &str| Problem::new(Kind::Unauthenticated, detail).with_header("www-authenticate", "Bearer");
    let Some(value) = authorization else {
        return Err(refuse("send your key as `Authorization: Bearer <API key>`"));
    };
    let key = match value.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
        _ => return Err(refuse("the scheme of `Authorization` must be `Bearer`")),
    };
    if key.len() > MAX_KEY_LEN {
        return Err(refuse(UNKNOWN));
    }
    let mut found = None;
    for candidate in &config.api_keys {
        if candidate.matches(key) {
            found = Some(candidate);
        }
    }
    match found {
        Some(key) if key.clashes() => Err(refuse(CLASHING)),
        Some(key) => Ok(key.caller()),
        None => Err(refuse(UNKNOWN)),
    }
}

/// Returns the app that a request names, or the caller's only app if it names none.
///
/// # Errors
/// 403 if the caller has no access to it; 422 if none is named and the caller has several; 500 if its
/// settings have faults. An app that does not exist is also 403, so that a caller learns nothing about apps
/// beyond its access.
pub fn choose_app<'c>(name: Option<&str>, caller: &Caller, config: &'c Config) -> Result<&'c App, Problem> {
    let reached: Vec<&str> = config.app_names().filter(|app| caller.reaches(app)).collect();
    let name = match (name, reached.as_slice()) {
        (_, []) => {
            let detail = format!("the key `{}` can send for no app", caller.name);
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        (Some(name), _) if reached.contains(&name) => name,
        (Some(name), _) => return Err(unknown_app(name, &reached, caller)),
        (None, [only]) => only,
        (None, _) => return Err(several_apps(&reached)),
    };
    find_app(name, config)
}

/// Returns the app called `name`, to which the caller has access.
///
/// # Errors
/// 500 if its settings have faults, 503 if it is not configured any more.
pub fn find_app<'c>(name: &str, config: &'c Config) -> Result<&'c App, Problem> {
    config.find_app(name).map_err(|error| match error {
        NoApp::Broken(app) => Problem::misconfigured(app.faults),
        NoApp::Unknown(_) => Problem::new(Kind::Unavailable, error.to_string()),
    })
}

fn unknown_app(name: &str, reached: &[&str], caller: &Caller) -> Problem {
    let shown: String = name.chars().take(MAX_SHOWN).collect();
    let detail = format!(
        "unknown app `{shown}`; the key `{}` can send for: {}",
        caller.name,
        reached.join(", ")
    );
    Problem::new(Kind::Forbidden, detail)
}

fn several_apps(reached: &[&str]) -> Problem {
    let mut faults = Faults::default();
    let text = format!("is required: the key reaches {}", reached.join(", "));
    faults.add(&Pointer::Root.key("app"), FaultKind::Invalid(text));
    Problem::invalid(faults)
}

const UNKNOWN: &str = "the key is not known";

/// Safe to reveal, because the reader has presented the key.
const CLASHING: &str = "the key's entry in API_KEYS has the name or the hash of another entry: each needs its own. The \
     Worker's log names the entries, and so does `apns-edge doctor` with a key that works";

/// The most characters of an app's name that a problem repeats: the longest valid name.
const MAX_SHOWN: usize = 64;

/// Longer texts are not hashed. Keys have at most a hundred characters.
const MAX_KEY_LEN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{caller, config};

    fn who(authorization: Option<&str>) -> Result<String, Problem> {
        let config = config();
        authenticate(authorization, &config).map(|key| key.name.clone())
    }

    #[test]
    fn a_caller_is_known_by_its_key_whatever_the_case_of_the_scheme() {
        for value in [
            "Bearer editor-key",
            "bearer editor-key",
            "BEARER editor-key",
            "Bearer   editor-key ",
        ] {
            assert_eq!(who(Some(value)), Ok("editor".to_owned()), "{value}");
        }
    }

    #[test]
    fn whoever_has_no_known_key_is_challenged() {
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        for value in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("editor-key"),
            Some("Basic editor-key"),
            Some("Bearer\teditor-key"),
            Some("Bearer Editor-key"),
            Some("Bearer editor-key2"),
            Some("Bearer editor-key, Bearer editor-key"),
            Some(&format!("Bearer {hash}")),
        ] {
            let answer = who(value).unwrap_err().answer();
            assert_eq!(answer.status, 401, "{value:?}");
            assert_eq!(answer.headers, [("www-authenticate", "Bearer".to_owned())]);
            assert!(!answer.body.contains("editor"), "{}", answer.body);
        }
    }

    #[test]
    fn a_key_is_not_told_apart_from_one_that_is_too_long() {
        let of_length = |length: usize| who(Some(&format!("Bearer {}", "k".repeat(length)))).unwrap_err();
        assert_eq!(of_length(MAX_KEY_LEN), of_length(MAX_KEY_LEN + 1));
        assert_eq!(of_length(MAX_KEY_LEN), of_length(1_000_000));
    }

    #[test]
    fn an_app_is_chosen_among_those_that_the_caller_reaches() {
        let config = config();
        let choose = |name: &str, app: Option<&str>| {
            choose_app(app, caller(&config, name), &config)
                .map(|app| app.name.as_str())
                .map_err(|problem| problem.kind())
        };
        assert_eq!(choose("backend", None), Ok("shop"));
        assert_eq!(choose("backend", Some("shop")), Ok("shop"));
        assert_eq!(choose("backend", Some("news")), Err(Kind::Forbidden));
        assert_eq!(choose("backend", Some("none")), Err(Kind::Forbidden));
        assert_eq!(choose("editor", Some("news")), Ok("news"));
        assert_eq!(choose("editor", None), Err(Kind::InvalidRequest));
        assert_eq!(choose("intern", None), Err(Kind::Forbidden));
        assert_eq!(choose("intern", Some("shop")), Err(Kind::Forbidden));
    }
}
