//! The gates: one Durable Object per credential.

use std::cell::Cell;

use crate::objects::host::Host;
use crate::objects::metrics;
use crate::platform::bindings;
use crate::stubs;
use api::config::SigningKeyText;
use apns::credential::Credential;
use apns::time::Timestamp;
use delivery::gate::{Command, Context, Gate, Reply};
use delivery::metrics::MetricsDelta;
use worker::wasm_bindgen_futures::spawn_local;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

/// The Durable Object that hosts a [`Gate`].
#[durable_object]
pub struct GateObject {
    host: Host<Gate>,
    env: Env,
    /// When the newest provider token that this object has granted was issued.
    newest: Cell<Timestamp>,
}

impl DurableObject for GateObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            host: Host::new(state, "gate"),
            env,
            newest: Cell::default(),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let command = request.text().await?;
        let path = request.path();
        let Ok(credential) = path.trim_start_matches('/').parse::<Credential>() else {
            return Response::error("no credential's name", 400);
        };
        let config = match bindings::config(&self.env) {
            Ok(config) => config,
            Err(problem) => return Response::error(problem.answer().body, 500),
        };
        let key = config
            .signing_key(&credential)
            .ok_or("no app has this credential");
        let context = Context {
            credential: &credential,
            key: key.map(SigningKeyText::reveal),
            ceiling: config.permits,
            pool_config: config.sockets.pool,
        };
        match self.host.handle(&command, &context).await {
            Ok(reply) => {
                if self.is_signed_for(&reply) {
                    let mut delta = MetricsDelta::default();
                    delta.provider_token(&metrics::name(&self.env, &credential));
                    spawn_local(metrics::add(self.env.clone(), delta));
                }
                Response::ok(reply)
            }
            Err(problem) => Response::error(problem, 400),
        }
    }
}

impl GateObject {
    /// Whether a reply grants a provider token that was just signed: APNs has accepted nothing under it, and
    /// this object has not granted it before.
    fn is_signed_for(&self, reply: &str) -> bool {
        let Ok(Reply::Granted(lease)) = serde_json::from_str(reply) else {
            return false;
        };
        let issued_at = lease.provider_token.issued_at();
        let is_newer = issued_at > self.newest.get();
        self.newest.set(issued_at.max(self.newest.get()));
        is_newer && !lease.proven
    }
}

/// Sends a command to the gate of a credential.
pub(crate) async fn ask(
    env: &Env,
    credential: &Credential,
    command: &Command,
) -> std::result::Result<Reply, String> {
    let text = serde_json::to_string(command).map_err(|error| error.to_string())?;
    let reply = exchange(env, credential, text)
        .await
        .map_err(|error| error.to_string())?;
    serde_json::from_str(&reply).map_err(|error| format!("the gate's reply cannot be read: {error}"))
}

async fn exchange(env: &Env, credential: &Credential, command: String) -> Result<String> {
    let name = credential.name();
    let (status, body) = stubs::send(env, (bindings::GATE, &name), &format!("/{name}"), command).await?;
    let text = String::from_utf8(body).map_err(|error| error.to_string())?;
    match status {
        200 => Ok(text),
        _ => Err(text.into()),
    }
}
