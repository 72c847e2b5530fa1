//! The deployment's bindings: settings, secrets and objects.

use std::sync::OnceLock;

use crate::platform::log::Event;
use api::Problem;
use api::config::Config;
use apns::fault::Faults;
use worker::Env;
use worker::js_sys::{JSON, Reflect};
use worker::wasm_bindgen::JsValue;

/// Returns the configuration. It is read once per isolate, since settings do not change while a deployment
/// runs.
pub(crate) fn config(env: &Env) -> Result<&'static Config, Problem> {
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

/// Returns a variable or secret as text. A number or an object is returned as JSON.
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
pub(crate) const GATE: &str = "GATE";

/// The binding of the connections' namespace.
pub(crate) const CONNECTION: &str = "CONNECTION";

/// The binding of the batches' namespace.
pub(crate) const BATCH: &str = "BATCH";

/// The binding of the registries' namespace.
pub(crate) const REGISTRY: &str = "REGISTRY";

/// The binding of the metrics' namespace.
pub(crate) const METRICS: &str = "METRICS";

/// The binding of the namespace of audiences' shards.
pub(crate) const AUDIENCE: &str = "AUDIENCE";

/// The binding of the scheduler's namespace.
pub(crate) const SCHEDULER: &str = "SCHEDULER";

/// Returns the binding of queue number `shard`, from 0.
pub(crate) fn queue(shard: u32) -> String {
    match shard {
        0 => "PUSHES".to_owned(),
        _ => format!("PUSHES_{}", shard + 1),
    }
}
