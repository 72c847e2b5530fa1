//! The registries: one Durable Object per credential for its batches, and one for dead letters.

use std::cell::RefCell;

use crate::objects::batch;
use crate::platform::database::Database;
use crate::platform::log::Event;
use crate::platform::{bindings, clock};
use crate::stubs;
use ::batch::dead_letter::{self, DeadLetter};
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

/// Sends a command to a credential's registry.
pub(crate) async fn ask(
    env: &Env,
    credential: &Credential,
    command: &registry::Command,
) -> Result<registry::Reply> {
    stubs::ask(env, (bindings::REGISTRY, &credential.name()), BATCHES, command).await
}

/// Pauses the other batches of a credential that APNs refuses: those that were not notified yet, or all if
/// none was.
///
/// Stops when `goes_on` returns `false`. Returns the batches that were still not notified.
///
/// # Errors
/// Returns an error if the registry does not answer.
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
        None => match ask(env, credential, &registry::Command::Active).await? {
            registry::Reply::Active(ids) => ids,
            _ => return Err("the registry answered something else".into()),
        },
    };
    let refused = BatchCommand::CredentialRefused { reason };
    let round = RefCell::new(registry::RefusalRound::new(ids, from));
    let notify_some = || async {
        loop {
            let next = round.borrow_mut().next(goes_on());
            let Some(id) = next else { return };
            let result = batch::command(env, &id, &refused).await;
            round.borrow_mut().notified(id, result.is_ok());
        }
    };
    join_all((0..SIDE_BY_SIDE).map(|_| notify_some())).await;
    Ok(round.into_inner().unheard())
}

/// Stores a message that cannot be processed.
pub(crate) async fn add_dead_letter(
    env: &Env,
    id: &str,
    queue: &str,
    body: &str,
    problem: &str,
) -> std::result::Result<(), String> {
    Event::MessageFailed { queue, problem }.write();
    let now = clock::now();
    let letter = DeadLetter::new(id, queue, body, problem, now);
    for command in [
        dead_letter::Command::Add(letter),
        dead_letter::Command::sweep(now),
    ] {
        ask_letters(env, &command)
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Sends a command to the dead-letter store.
pub(crate) async fn ask_letters(env: &Env, command: &dead_letter::Command) -> Result<dead_letter::Reply> {
    stubs::ask(env, (bindings::REGISTRY, LETTERS_NAME), LETTERS, command).await
}

/// How many batches are paused at once: an invocation has six connections, and one is left for other
/// requests.
const SIDE_BY_SIDE: usize = 5;

const BATCHES: &str = "/batches";
const LETTERS: &str = "/letters";

/// The name of the object with the dead letters. No credential has this name.
const LETTERS_NAME: &str = "dead-letters";
