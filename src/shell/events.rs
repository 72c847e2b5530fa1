//! The platform's events.

use worker::{Context, Env, Request, Response, Result, event, wasm_bindgen};

use super::{bindings, doctor, http, push};
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

async fn answer(
    request: &mut Request,
    env: &Env,
    context: &Context,
) -> std::result::Result<Response, Problem> {
    let route = Route::find(request.method().as_ref(), &request.path())?;
    let answer = match route {
        Route::Healthz => Answer::json(r#"{"status":"ok"}"#.to_owned()),
        Route::Doctor | Route::Preview | Route::Push => {
            let config = bindings::config(env)?;
            let authorization = http::header(request, "authorization");
            let caller = auth::authenticate(authorization.as_deref(), config)?;
            match route {
                Route::Push => return push::answer(request, caller, config, env, context).await,
                Route::Preview => push::preview(request, caller, config).await?,
                Route::Healthz | Route::Doctor => doctor::examine(caller, config, env).await,
            }
        }
    };
    http::response(answer).map_err(|error| Problem::new(Kind::Unavailable, error.to_string()))
}
