//! `GET /healthz`: whether the deployment's apps can send, judged by their settings.
//!
//! It needs no key and calls no object, so a load balancer can call it as often as needed. Anybody can read
//! it, so it names no app and no fault.

use super::Answer;
use crate::config::Config;

/// Returns the answer. `config` is `None` if the settings have faults that disable every app.
#[must_use]
pub fn answer(config: Option<&Config>) -> Answer {
    let (status, word) = match config {
        Some(config) if config.broken_apps.is_empty() => (200, "ok"),
        Some(_) => (200, "degraded"),
        None => (503, "unavailable"),
    };
    Answer {
        status,
        ..Answer::json(format!(r#"{{"status":"{word}"}}"#))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{config, with_broken_app};

    #[test]
    fn health_is_degraded_while_an_app_is_broken_and_names_none() {
        let told = |config: Option<&Config>| {
            let answer = answer(config);
            (answer.status, answer.body)
        };
        let ok = r#"{"status":"ok"}"#.to_owned();
        assert_eq!(told(Some(&config())), (200, ok));
        let degraded = r#"{"status":"degraded"}"#.to_owned();
        assert_eq!(told(Some(&with_broken_app())), (200, degraded));
        let unavailable = r#"{"status":"unavailable"}"#.to_owned();
        assert_eq!(told(None), (503, unavailable));
    }
}
