//! The platform's events.

use worker::{Context, Env, Request, Response, Result, event, wasm_bindgen};

use super::{bindings, clock, doctor, http, push};
use crate::api::{Answer, Problem, Route, auth, preview};
use crate::config::{ApiKey, Config};

/// Runs once in each isolate, before its first event.
#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// An HTTP request.
#[event(fetch)]
async fn fetch(mut request: Request, env: Env, context: Context) -> Result<Response> {
    let answer = match answer(&mut request, &env, &context).await {
        Ok(answer) => answer,
        Err(problem) => problem.answer(),
    };
    http::response(answer)
}

async fn answer(request: &mut Request, env: &Env, context: &Context) -> std::result::Result<Answer, Problem> {
    let route = Route::find(request.method().as_ref(), &request.path())?;
    if route == Route::Healthz {
        return Ok(Answer::json(r#"{"status":"ok"}"#.to_owned()));
    }
    let config = bindings::config(env)?;
    let caller = authenticate(request, config)?;
    match route {
        Route::Healthz | Route::Doctor => Ok(doctor::examine(caller, config, env).await),
        Route::Preview => {
            let body = http::read_body(request).await?;
            let order = push::parse(&body, caller, config)?;
            Ok(preview::answer(&order, config))
        }
        Route::Push => {
            let wait = crate::api::push::wait(http::header(request, "prefer").as_deref())?;
            let body = http::read_body(request).await?;
            let order = push::parse(&body, caller, config)?;
            push::send(&order, wait, config, env, context).await
        }
    }
}

fn authenticate<'c>(request: &Request, config: &'c Config) -> std::result::Result<&'c ApiKey, Problem> {
    auth::authenticate(http::header(request, "authorization").as_deref(), config)
}
