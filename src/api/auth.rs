//! Who is calling.
//!
//! `Authorization: Bearer <API key>`, RFC 6750. Every configured key is compared, so that the time tells nothing about
//! which one came close.

use super::problem::{Kind, Problem};
use crate::config::{ApiKey, App, Config};

/// Finds the caller by the value of `Authorization`.
///
/// # Errors
/// 401 with a challenge if there is no known key.
pub fn authenticate<'c>(authorization: Option<&str>, config: &'c Config) -> Result<&'c ApiKey, Problem> {
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
        return Err(refuse("the key is not known"));
    }
    let mut found = None;
    for candidate in &config.api_keys {
        if candidate.matches(key) {
            found = Some(candidate);
        }
    }
    found.ok_or_else(|| refuse("the key is not known"))
}

/// The app that a request names, or the only one that its caller reaches.
///
/// # Errors
/// 403 if the caller does not reach it; 422 if none is named and there is a choice. A caller learns nothing about apps
/// beyond its reach: one that is not there is 403 as well.
pub fn choose_app<'c>(name: Option<&str>, caller: &ApiKey, config: &'c Config) -> Result<&'c App, Problem> {
    let mut reachable = config.apps.iter().filter(|app| caller.reaches(&app.name));
    match name {
        Some(name) => reachable.find(|app| app.name == name).ok_or_else(|| {
            Problem::new(
                Kind::Forbidden,
                format!("the key `{}` does not reach an app of that name", caller.name),
            )
        }),
        None => match (reachable.next(), reachable.next()) {
            (Some(app), None) => Ok(app),
            (None, _) => Err(Problem::new(
                Kind::Forbidden,
                format!("the key `{}` reaches no app", caller.name),
            )),
            (Some(_), Some(_)) => Err(several_apps(caller, config)),
        },
    }
}

fn several_apps(caller: &ApiKey, config: &Config) -> Problem {
    let names: Vec<&str> = config
        .apps
        .iter()
        .map(|app| app.name.as_str())
        .filter(|name| caller.reaches(name))
        .collect();
    let mut faults = crate::fault::Faults::default();
    let text = format!("is required: the key reaches {}", names.join(", "));
    faults.add(
        &crate::fault::Pointer::Root.key("app"),
        crate::fault::FaultKind::Invalid(text),
    );
    Problem::invalid(faults)
}

/// Longer texts are not hashed: no key of ours has more than a hundred characters.
const MAX_KEY_LEN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fixture::{caller, config};

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
