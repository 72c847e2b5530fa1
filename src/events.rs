//! The platform's entry points.

use crate::objects::{metrics, scheduler};
use crate::platform::log::Event;
use crate::platform::{bindings, http};
use crate::routes::campaigns::{self, RequestContext};
use crate::routes::{audiences, batches, directory, doctor, push};
use crate::sending::consumer;
use api::problem::Kind;
use api::route::HEAD;
use api::{Problem, Route, auth, health};
use worker::{
    Context, Env, MessageBatch, Request, Response, Result, ScheduleContext, ScheduledEvent, event,
    wasm_bindgen,
};

/// Runs once per isolate, before its first event.
#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// Handles an HTTP request.
#[event(fetch)]
async fn fetch(mut request: Request, env: Env, context: Context) -> Result<Response> {
    let is_head = request.method().as_ref() == HEAD;
    let response = match answer(&mut request, &env, &context).await {
        Ok(response) => response,
        Err(problem) => http::response(problem.answer())?,
    };
    Ok(if is_head {
        http::without_body(response)
    } else {
        response
    })
}

/// Handles the messages of a queue.
#[event(queue)]
async fn queue(messages: MessageBatch<()>, env: Env, context: Context) -> Result<()> {
    consumer::consume(messages, &env, &context).await;
    Ok(())
}

/// Handles a cron trigger, which fires every minute.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    // The platform does not repeat a failed trigger. The next one does its work.
    if let Err(error) = scheduler::tick(&env).await {
        let problem = error.to_string();
        Event::TickFailed { problem: &problem }.write();
    }
}

async fn answer(
    request: &mut Request,
    env: &Env,
    context: &Context,
) -> std::result::Result<Response, Problem> {
    let path = request.path();
    let route = Route::find(request.method().as_ref(), &path)?;
    if route == Route::Healthz {
        let config = bindings::config(env).ok();
        return http::response(health::answer(config)).map_err(unanswered);
    }
    let config = bindings::config(env)?;
    let authorization = http::header(request, "authorization");
    let caller = auth::authenticate(authorization.as_deref(), config)?;
    let visit = RequestContext {
        caller,
        config,
        env,
        context,
    };
    let answer = match route {
        Route::Push => return push::answer(request, caller, config, env, context).await,
        Route::Batch { id, endpoint } => return batches::answer(request, id, endpoint, caller, env).await,
        Route::Preview => push::preview(request, caller, config).await?,
        Route::Batches => directory::batches(&http::query(request), caller, config, env).await?,
        Route::DeadLetters => directory::letters(&http::query(request), caller, env).await?,
        Route::ReplayDeadLetter { id } => directory::replay(id, caller, env).await?,
        Route::DropDeadLetter { id } => directory::discard(id, caller, env).await?,
        Route::Metrics => metrics::answer(caller, config, env).await?,
        Route::Audiences => audiences::list(visit).await?,
        Route::Audience { name, endpoint } => return audiences::answer(request, name, endpoint, visit).await,
        Route::Campaigns => campaigns::list(&http::query(request), visit).await?,
        Route::CreateCampaign => campaigns::create(request, visit).await?,
        Route::Campaign { id, endpoint } => return campaigns::answer(request, id, endpoint, visit).await,
        // Answered above, before the caller is known.
        Route::Healthz => health::answer(Some(config)),
        Route::Doctor => doctor::examine(caller, config, env).await?,
    };
    http::response(answer).map_err(unanswered)
}

fn unanswered(error: worker::Error) -> Problem {
    Problem::new(Kind::Unavailable, error.to_string())
}
