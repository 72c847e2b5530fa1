//! `GET /v1/batches` and `/v1/dead-letters`: sends commands to the registries, and queues dead letters again.

use crate::objects::registry;
use crate::platform::bindings;
use api::config::{Caller, Config};
use api::problem::{Kind, Problem};
use api::{Answer, listing};
use batch::dead_letter::{Command as DeadLetterCommand, DeadLetter, Reply as DeadLetterReply};
use batch::registry::{Command, Filter, Page, Reply};
use futures::future::try_join_all;
use worker::js_sys::JsString;
use worker::{Env, QueueContentType, RawMessageBuilder};

/// Lists the caller's batches, newest first.
pub(crate) async fn batches(
    query: &str,
    caller: &Caller,
    config: &Config,
    env: &Env,
) -> Result<Answer, Problem> {
    let filter = listing::batch_filter(query).map_err(Problem::invalid)?;
    Ok(listing::batches(&page(&filter, caller, config, env).await?))
}

/// Lists the newest of the caller's paused batches.
pub(crate) async fn paused(caller: &Caller, config: &Config, env: &Env) -> Result<Page, Problem> {
    let filter = listing::paused_filter();
    page(&filter, caller, config, env).await
}

async fn page(filter: &Filter, caller: &Caller, config: &Config, env: &Env) -> Result<Page, Problem> {
    let asked = listing::by_credential(filter, caller, config);
    let pages = asked.iter().map(|(credential, filter)| async {
        let list = Command::List(filter.clone());
        match registry::ask(env, credential, &list).await {
            Ok(Reply::Page(page)) => Ok(page),
            Ok(Reply::Done | Reply::Active(_) | Reply::Counted(_)) | Err(_) => Err(unavailable()),
        }
    });
    Ok(Page::merge(try_join_all(pages).await?, filter.limit))
}

/// Lists the dead letters, newest first.
pub(crate) async fn letters(query: &str, caller: &Caller, env: &Env) -> Result<Answer, Problem> {
    refuse_unless_operator(caller)?;
    let (limit, cursor) = listing::letter_range(query).map_err(Problem::invalid)?;
    match ask(env, &DeadLetterCommand::List { limit, cursor }).await? {
        DeadLetterReply::Page(page) => Ok(listing::dead_letters(&page)),
        DeadLetterReply::Done | DeadLetterReply::Missing | DeadLetterReply::DeadLetter(_) => {
            Err(unavailable())
        }
    }
}

/// Queues a dead letter again. It is deleted only after it was queued, so it cannot be lost in between.
pub(crate) async fn replay(id: &str, caller: &Caller, env: &Env) -> Result<Answer, Problem> {
    refuse_unless_operator(caller)?;
    let letter = match ask(env, &DeadLetterCommand::Read { id: id.to_owned() }).await? {
        DeadLetterReply::DeadLetter(letter) => letter,
        DeadLetterReply::Missing => return Err(no_letter()),
        DeadLetterReply::Done | DeadLetterReply::Page(_) => return Err(unavailable()),
    };
    if !letter.is_whole() {
        let detail = "the letter was longer than what is kept of one, and cannot be queued again";
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    queue(env, &letter).await.map_err(|_| unavailable())?;
    discard(id, caller, env).await
}

/// Removes a dead letter.
pub(crate) async fn discard(id: &str, caller: &Caller, env: &Env) -> Result<Answer, Problem> {
    refuse_unless_operator(caller)?;
    match ask(env, &DeadLetterCommand::Drop { id: id.to_owned() }).await? {
        DeadLetterReply::Done => Ok(Answer {
            status: 204,
            ..Answer::json(String::new())
        }),
        DeadLetterReply::Missing => Err(no_letter()),
        DeadLetterReply::DeadLetter(_) | DeadLetterReply::Page(_) => Err(unavailable()),
    }
}

/// Queues a letter's message in the first queue, which accepts the messages of all queues.
async fn queue(env: &Env, letter: &DeadLetter) -> worker::Result<()> {
    let body = JsString::from(letter.body.as_str());
    let message = RawMessageBuilder::new(body.into()).build_with_content_type(QueueContentType::Text);
    env.queue(&bindings::queue(0))?.send_raw(message).await
}

async fn ask(env: &Env, command: &DeadLetterCommand) -> Result<DeadLetterReply, Problem> {
    registry::ask_letters(env, command)
        .await
        .map_err(|_| unavailable())
}

/// Returns an error unless the caller may use all apps: dead letters belong to no app.
pub(crate) fn refuse_unless_operator(caller: &Caller) -> Result<(), Problem> {
    if caller.reaches_all() {
        return Ok(());
    }
    let detail = format!("the key `{}` does not reach all apps", caller.name);
    Err(Problem::new(Kind::Forbidden, detail))
}

fn no_letter() -> Problem {
    Problem::new(Kind::NotFound, "there is no such dead letter")
}

fn unavailable() -> Problem {
    Problem::new(Kind::Unavailable, "the registry did not answer").retry_after_ms(1000)
}
