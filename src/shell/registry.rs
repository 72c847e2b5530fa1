//! The registries: one Durable Object a credential that knows its batches, and one that keeps dead letters.

use worker::{
    DurableObject, Env, Method, Request, RequestInit, Response, Result, State, durable_object, wasm_bindgen,
};

use super::database::Database;
use super::log::Event;
use super::{batch, bindings, clock};
use crate::apns::credential::Credential;
use crate::delivery::batch::Command as BatchCommand;
use crate::delivery::dead_letter::{self, Letter};
use crate::delivery::registry;
use crate::delivery::sql::Query;

/// The Durable Object of a registry.
#[durable_object]
pub struct RegistryObject {
    state: State,
}

impl DurableObject for RegistryObject {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let text = request.text().await?;
        let reply = match request.path().as_str() {
            BATCHES => self.answer::<registry::Command>(&text)?,
            _ => self.answer::<dead_letter::Command>(&text)?,
        };
        Response::ok(reply)
    }
}

impl RegistryObject {
    fn answer<Q: Query + serde::de::DeserializeOwned>(&self, text: &str) -> Result<String> {
        let query: Q = serde_json::from_str(text)?;
        let database = Database::of(&self.state);
        for statement in Q::schema() {
            database.execute(statement)?;
        }
        let rows = database.rows(query.statement())?;
        let reply = query.reply(&rows).map_err(|error| error.to_string())?;
        Ok(serde_json::to_string(&reply)?)
    }
}
