//! The platform's events.

use worker::{Context, Env, MessageBatch, Request, Response, Result, event, wasm_bindgen};

use super::{batches, bindings, consumer, directory, doctor, http, metrics, push};
use crate::api::problem::Kind;
use crate::api::{Answer, Problem, Route, auth};

/// Runs once in each isolate, before its first event.
#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// An HTTP request.
#[event(fetch)]
async fn fetch(mut request: Request, env: Env, context: Context) -> Result<Response> {
    match answer(&mut request, &env, &context).await {
        Ok(response) => Ok(response),
        Err(problem) => http::response(problem.answer()),
    }
}

/// Messages of a queue.
#[event(queue)]
async fn queue(messages: MessageBatch<()>, env: Env, context: Context) -> Result<()> {
    consumer::consume(messages, &env, &context).await;
    Ok(())
}

async fn answer(
    request: &mut Request,
    env: &Env,
    context: &Context,
) -> std::result::Result<Response, Problem> {
    let path = request.path();
    let route = Route::find(request.method().as_ref(), &path)?;
    if route == Route::Healthz {
        return http::response(Answer::json(r#"{"status":"ok"}"#.to_owned())).map_err(unanswered);
    }
    let config = bindings::config(env)?;
    let authorization = http::header(request, "authorization");
    let caller = auth::authenticate(authorization.as_deref(), config)?;
    let answer = match route {
        Route::Push => return push::answer(request, caller, config, env, context).await,
        Route::Batch { id, action } => return batches::answer(request, id, action, caller, env).await,
        Route::Preview => push::preview(request, caller, config).await?,
        Route::Batches => directory::batches(&http::query(request), caller, config, env).await?,
        Route::DeadLetters => directory::letters(&http::query(request), caller, env).await?,
        Route::ReplayDeadLetter { id } => directory::replay(id, caller, env).await?,
        Route::DropDeadLetter { id } => directory::discard(id, caller, env).await?,
        Route::Metrics => metrics::answer(caller, config, env).await?,
        Route::Audiences
        | Route::Audience { .. }
        | Route::Campaigns
        | Route::CreateCampaign
        | Route::Campaign { .. } => {
            return Err(Problem::new(Kind::NotFound, "see the README for the paths"));
        }
        Route::Healthz | Route::Doctor => doctor::examine(caller, config, env).await,
    };
    http::response(answer).map_err(unanswered)
}

fn unanswered(error: worker::Error) -> Problem {
    Problem::new(Kind::Unavailable, error.to_string())
}
