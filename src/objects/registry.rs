//! The registries: one Durable Object a credential that knows its batches, and one that keeps dead letters.

use std::cell::RefCell;
use std::time::Duration;

use crate::objects::batch;
use crate::platform::database::Database;
use crate::platform::log::Event;
use crate::platform::{bindings, clock};
use crate::stubs;
use ::batch::dead_letter::{self, Letter};
use ::batch::registry;
use ::batch::{Command as BatchCommand, Refusal};
use apns::credential::Credential;
use delivery::sql::Query;
use futures::future::join_all;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

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
        let statements = query.statements(clock::now()).into_iter();
        let rows = statements
            .map(|statement| database.rows(statement))
            .collect::<Result<Vec<_>>>()?;
        let reply = query.reply(&rows).map_err(|error| error.to_string())?;
        Ok(serde_json::to_string(&reply)?)
    }
}

/// Tells a credential's registry something, or asks it.
pub(crate) async fn tell(
    env: &Env,
    credential: &Credential,
    command: &registry::Command,
) -> Result<registry::Reply> {
    stubs::ask(env, (bindings::REGISTRY, &credential.name()), BATCHES, command).await
}

/// Pauses the other batches of a credential that APNs refuses: those that have not heard, or all if nobody was told, as
/// long as `goes_on` says so. Returns those that have still not heard.
///
/// # Errors
/// The registry does not answer.
pub(crate) async fn pause_others(
    env: &Env,
    credential: &Credential,
    from: &str,
    refusal: Refusal,
    goes_on: impl Fn() -> bool,
) -> Result<Vec<String>> {
    let Refusal { reason, unheard } = refusal;
    let ids = match unheard {
        Some(ids) => ids,
        None => match tell(env, credential, &registry::Command::Active).await? {
            registry::Reply::Active(ids) => ids,
            _ => return Err("the registry answered something else".into()),
        },
    };
    let refused = BatchCommand::CredentialRefused { reason };
    let round = RefCell::new(registry::RefusalRound::new(ids, from));
    let tell_some = || async {
        loop {
            let next = round.borrow_mut().next(goes_on());
            let Some(id) = next else { return };
            let told = batch::command(env, &id, &refused).await;
            round.borrow_mut().told(id, told.is_ok());
        }
    };
    join_all((0..SIDE_BY_SIDE).map(|_| tell_some())).await;
    Ok(round.into_inner().unheard())
}

/// Keeps a message that nothing can be done with.
pub(crate) async fn bury(
    env: &Env,
    id: &str,
    queue: &str,
    body: &str,
    problem: &str,
) -> std::result::Result<(), String> {
    Event::MessageFailed { queue, problem }.write();
    let now = clock::now();
    let letter = Letter::new(id, queue, body, problem, now);
    let sweep = dead_letter::Command::Sweep {
        before: now - LETTERS_KEPT,
    };
    for command in [dead_letter::Command::Bury(letter), sweep] {
        ask_letters(env, &command)
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Asks the keeper of dead letters.
pub(crate) async fn ask_letters(env: &Env, command: &dead_letter::Command) -> Result<dead_letter::Reply> {
    stubs::ask(env, (bindings::REGISTRY, LETTERS_NAME), LETTERS, command).await
}

/// How many batches are paused at a time: an invocation has six connections, and one is left for others.
const SIDE_BY_SIDE: usize = 5;

/// How long dead letters are kept: as long as a batch can live that they may be of.
const LETTERS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const BATCHES: &str = "/batches";
const LETTERS: &str = "/letters";

/// The name of the one object that keeps dead letters; no credential has it.
const LETTERS_NAME: &str = "dead-letters";
