//! The gates: one Durable Object a credential, and how to ask it.

use worker::{
    DurableObject, Env, Method, Request, RequestInit, Response, Result, State, durable_object, wasm_bindgen,
};

use super::bindings;
use super::objects::Host;
use crate::apns::credential::Credential;
use crate::config::SigningKeyText;
use crate::delivery::gate::{Command, Context, Gate, Reply};

/// The Durable Object that hosts a [`Gate`].
#[durable_object]
pub struct GateObject {
    host: Host<Gate>,
    env: Env,
}

impl DurableObject for GateObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            host: Host::new(state, "gate"),
            env,
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
            shape: config.sockets.shape,
        };
        match self.host.handle(&command, &context).await {
            Ok(reply) => Response::ok(reply),
            Err(problem) => Response::error(problem, 400),
        }
    }
}

/// Asks the gate of a credential.
pub(super) async fn ask(
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
    let stub = env.durable_object(bindings::GATE)?.get_by_name(&name)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(command.into()));
    let request = Request::new_with_init(&format!("https://gate/{name}"), &init)?;
    let mut response = stub.fetch_with_request(request).await?;
    let text = response.text().await?;
    match response.status_code() {
        200 => Ok(text),
        _ => Err(text.into()),
    }
}
