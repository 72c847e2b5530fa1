//! What the deployment binds: settings, secrets and objects.

use std::sync::OnceLock;

use worker::Env;
use worker::js_sys::{JSON, Reflect};
use worker::wasm_bindgen::JsValue;

use super::log::Event;
use crate::api::Problem;
use crate::config::Config;

/// The configuration. It is read once in an isolate, as a deployment's settings do not change while it runs.
pub(super) fn config(env: &Env) -> Result<&'static Config, Problem> {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config);
    }
    match Config::load(|name| setting(env, name)) {
        Ok(config) => Ok(CONFIG.get_or_init(|| config)),
        Err(faults) => {
            Event::Misconfigured {
                faults: faults.to_string(),
            }
            .write();
            Err(Problem::misconfigured(faults))
        }
    }
}

/// A variable or secret as text; one that is an object, as JSON.
fn setting(env: &Env, name: &str) -> Option<String> {
    let env: &JsValue = env.as_ref();
    let value = Reflect::get(env, &JsValue::from_str(name)).ok()?;
    match value.as_string() {
        Some(text) => Some(text),
        None if value.is_object() => JSON::stringify(&value).ok()?.as_string(),
        None => None,
    }
}

/// The binding of the gates' namespace.
pub(super) const GATE: &str = "GATE";

/// The binding of the connections' namespace.
pub(super) const CONNECTION: &str = "CONNECTION";
