//! What the deployment binds: settings, secrets and objects.

use std::sync::OnceLock;

use worker::Env;
use worker::js_sys::{JSON, Reflect};
use worker::wasm_bindgen::JsValue;

use super::log::Event;
use crate::api::Problem;
use crate::config::Config;
use crate::fault::Faults;

/// The configuration. It is read once in an isolate, as a deployment's settings do not change while it runs.
pub(super) fn config(env: &Env) -> Result<&'static Config, Problem> {
    static CONFIG: OnceLock<Result<Config, Faults>> = OnceLock::new();
    let loaded = CONFIG.get_or_init(|| {
        let loaded = Config::load(|name| setting(env, name));
        let faults = loaded.as_ref().map_or_else(Faults::clone, Config::faults);
        if !faults.is_empty() {
            Event::Misconfigured {
                faults: faults.to_string(),
            }
            .write();
        }
        loaded
    });
    loaded
        .as_ref()
        .map_err(|faults| Problem::misconfigured(faults.clone()))
}

/// A variable or secret as text; one that is a number or an object, as JSON.
fn setting(env: &Env, name: &str) -> Option<String> {
    let env: &JsValue = env.as_ref();
    let value = Reflect::get(env, &JsValue::from_str(name)).ok()?;
    match value.as_string() {
        Some(text) => Some(text),
        None if value.is_null() || value.is_undefined() => None,
        None => JSON::stringify(&value).ok()?.as_string(),
    }
}

/// The binding of the gates' namespace.
pub(super) const GATE: &str = "GATE";

/// The binding of the connections' namespace.
pub(super) const CONNECTION: &str = "CONNECTION";

/// The binding of the batches' namespace.
pub(super) const BATCH: &str = "BATCH";

/// The binding of the registries' namespace.
pub(super) const REGISTRY: &str = "REGISTRY";

/// The binding of the metrics' namespace.
pub(super) const METRICS: &str = "METRICS";

/// The binding of the namespace of audiences' shards.
pub(super) const AUDIENCE: &str = "AUDIENCE";

/// The binding of the calendar's namespace.
pub(super) const CALENDAR: &str = "CALENDAR";

/// The binding of queue number `shard`, from 0.
pub(super) fn queue(shard: u32) -> String {
    match shard {
        0 => "PUSHES".to_owned(),
        _ => format!("PUSHES_{}", shard + 1),
    }
}
