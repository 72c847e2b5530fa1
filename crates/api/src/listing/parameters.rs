//! The parameters of a query string. Each fault is at its name, as in `?since`.

use url::form_urlencoded;

use apns::fault::{Fault, FaultKind, Faults, nearest};
use apns::time::Timestamp;

/// The parameters of a request. One with nothing after its `=` counts as absent.
pub(crate) struct Parameters {
    given: Vec<(&'static str, String)>,
    faults: Faults,
}

impl Parameters {
    /// Parses what follows the `?`. A parameter that is not in `known`, or occurs twice, is a fault.
    pub(crate) fn read(query: &str, known: &[&'static str]) -> Self {
        let mut parameters = Self {
            given: Vec::new(),
            faults: Faults::default(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(found) = known.iter().find(|known| **known == name) else {
                let nearest = nearest(&name, known);
                let shown: String = name.chars().take(MAX_SHOWN_NAME).collect();
                parameters.fault(&shown, FaultKind::UnknownField { nearest });
                continue;
            };
            if value.is_empty() {
                continue;
            }
            if parameters.text(found).is_some() {
                parameters.invalid(found, "is given twice");
                continue;
            }
            parameters.given.push((found, value.into_owned()));
        }
        parameters
    }

    /// Returns the value of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let given = self.given.iter().find(|(given, _)| *given == name);
        given.map(|(_, value)| value.as_str())
    }

    /// Returns the value of a parameter, parsed by `read`. If that fails, adds a fault with the text `rule`.
    pub(crate) fn value<T>(
        &mut self,
        name: &str,
        rule: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.text(name)?);
        if value.is_none() {
            self.invalid(name, rule);
        }
        value
    }

    /// Returns the parameter `limit`, from 1 to `most`.
    pub(crate) fn limit(&mut self, default: u32, most: u32) -> u32 {
        let rule = format!("must be an integer from 1 to {most}");
        let within = |limit: &u32| (1..=most).contains(limit);
        self.value("limit", &rule, |text| text.parse().ok().filter(within))
            .unwrap_or(default)
    }

    /// Returns a parameter that is a moment.
    pub(crate) fn moment(&mut self, name: &str) -> Option<Timestamp> {
        let rule = "must be an RFC 3339 time such as `2026-11-23T08:00:00Z`; a `+` is written `%2B` in a query string";
        self.value(name, rule, |text| {
            let moment: jiff::Timestamp = text.parse().ok()?;
            let millis = u64::try_from(moment.as_millisecond()).ok()?;
            Some(Timestamp::from_millis(millis))
        })
    }

    /// Adds a fault of a parameter.
    pub(crate) fn invalid(&mut self, name: &str, rule: &str) {
        self.fault(name, FaultKind::Invalid(rule.to_owned()));
    }

    fn fault(&mut self, name: &str, kind: FaultKind) {
        self.faults.push(Fault {
            pointer: format!("?{name}"),
            kind,
        });
    }

    /// Returns `value` if there was no fault.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Faults> {
        self.faults.or(value)
    }
}

/// The most characters of an unknown name that its fault repeats.
const MAX_SHOWN_NAME: usize = 40;
