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
