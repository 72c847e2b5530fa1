//! Tells a batch's endpoint what has happened: when the batch ends, that it has, and which devices are gone.

use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use worker::{AbortController, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Response};

use super::core::Core;
use super::pages::Visit;
use super::{internal, not_found};
use crate::api::Problem;
use crate::api::batch::receipts::{self, GoneDevice};
use crate::config::Config;
use crate::delivery::outbox::{Answered, Body, Delivery, Outbox, TIMEOUT};
use crate::delivery::webhook::{self, Event};
use crate::shell::{clock, http};
use crate::time::Timestamp;

/// The outbox, once it is read.
#[derive(Default)]
pub(super) struct Webhooks(RefCell<Option<Outbox>>);

impl Webhooks {
    /// When the next delivery is due.
    pub(super) fn wake(&self) -> Option<Timestamp> {
        self.0.borrow().as_ref().and_then(Outbox::wake)
    }

    /// The rows are gone.
    pub(super) fn forget(&self) {
        self.0.replace(None);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Outbox) -> T) -> Option<T> {
        self.0.borrow_mut().as_mut().map(act)
    }
}

/// The log of deliveries.
pub(super) fn log(core: &Core) -> Result<Response, Problem> {
    load(core)?;
    let log = core.outbox.with(|outbox| outbox.log()).ok_or_else(not_found)?;
    http::response(crate::api::Answer::json(log)).map_err(internal)
}

/// Makes the deliveries that are due, one after the other.
pub(super) async fn work(core: &Core, config: &'static Config) -> Result<(), ()> {
    let record = core.with(|batch| batch.record().clone());
    let Some(record) = record.filter(|record| record.state.has_ended()) else {
        return Ok(());
    };
    let Some(url) = &record.terms.webhook else {
        return Ok(());
    };
    load(core).map_err(drop)?;
    if core.outbox.with(|outbox| outbox.deliveries().next().is_none()) == Some(true) {
        announce(core, config).map_err(drop)?;
    }
    while let Some(delivery) = core
        .outbox
        .with(|outbox| outbox.due(clock::now()).cloned())
        .flatten()
    {
        save(core).map_err(drop)?;
        let outcome = match render(core, &record.app, &delivery) {
            Ok(Some(body)) => send(url, &delivery.id, &body, config).await,
            Ok(None) => Err("no device is gone any more".to_owned()),
            Err(_) => Err("the body could not be made".to_owned()),
        };
        core.outbox.with(|outbox| {
            let outcome = outcome.as_ref().map(|answered| *answered).map_err(String::as_str);
            outbox.attempted(&delivery.id, outcome, clock::now());
        });
        save(core).map_err(drop)?;
    }
    Ok(())
}

/// Adds what is to be told of a batch that has just ended.
fn announce(core: &Core, config: &Config) -> Result<(), Problem> {
    let now = clock::now();
    let app = core.with(|batch| batch.record().app.clone()).unwrap_or_default();
    let document = core.document(config.app(&app))?;
    let mut chunks = Vec::new();
    core.visit(0, u64::MAX, |chunk| {
        let first = u64::from(chunk.size.first);
        let pushes = u64::try_from(chunk.size.pushes).unwrap_or_default();
        chunks.push((first, first + pushes.saturating_sub(1), chunk.gone()));
        Visit::Next
    })?;
    let ranges = webhook::gone_ranges(chunks);
    core.outbox.with(|outbox| {
        for (first, last) in ranges {
            outbox.add(Event::DevicesGone, Body::Gone { first, last }, now);
        }
        outbox.add(
            Event::BatchEnded,
            Body::Text(webhook::batch_ended(&document, now)),
            now,
        );
    });
    save(core)
}

/// The body of a delivery; nothing if there is nothing to tell.
fn render(core: &Core, app: &str, delivery: &Delivery) -> Result<Option<String>, Problem> {
    let (first, last) = match &delivery.body {
        Body::Text(text) => return Ok(Some(text.clone())),
        Body::Gone { first, last } => (*first, *last),
    };
    let mut devices: Vec<GoneDevice> = Vec::new();
    core.visit(first, last, |chunk| {
        if chunk.lines.is_empty() {
            return if chunk.gone() > 0 {
                Visit::Lines
            } else {
                Visit::Next
            };
        }
        devices.extend(receipts::gone(chunk, first, last));
        Visit::Next
    })?;
    let id = core.with(|batch| batch.record().id.clone()).unwrap_or_default();
    let mut told = devices.iter().map(|device| webhook::GoneDevice {
        token: &device.token,
        reference: device.reference.as_deref(),
        since: device.since,
        reason: &device.reason,
    });
    Ok(webhook::devices_gone(&id, app, &mut told, delivery.created_at))
}

async fn send(url: &str, id: &str, body: &str, config: &Config) -> Result<Answered, String> {
    let now = clock::now();
    let headers = Headers::new();
    let signed = webhook::headers(&config.batches.webhook_secrets, id, body, now);
    let content_type = ("content-type", "application/json".to_owned());
    for (name, value) in signed.into_iter().chain([content_type]) {
        headers.set(name, &value).map_err(|error| error.to_string())?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(Some(body.into()));
    let request = Request::new_with_init(url, &init).map_err(|error| error.to_string())?;
    let controller = AbortController::default();
    let signal = controller.signal();
    let fetch = Fetch::Request(request);
    let sending = pin!(fetch.send_with_signal(&signal));
    match select(sending, pin!(clock::at(now + TIMEOUT))).await {
        Either::Left((Ok(response), _)) => Ok(Answered {
            code: response.status_code(),
            retry_after: retry_after(&response),
        }),
        // The platform's words could hold the address, which may hold a secret.
        Either::Left((Err(_), _)) => Err("the endpoint could not be reached".to_owned()),
        Either::Right(_) => {
            controller.abort();
            Err(format!(
                "the endpoint did not answer within {} s",
                TIMEOUT.as_secs()
            ))
        }
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get("retry-after").ok().flatten()?;
    crate::time::retry_after(&value, clock::now())
}

fn load(core: &Core) -> Result<(), Problem> {
    if core.outbox.0.borrow().is_some() {
        return Ok(());
    }
    let id = core
        .with(|batch| batch.record().id.clone())
        .ok_or_else(not_found)?;
    let database = core.database();
    database.execute(Outbox::schema()).map_err(internal)?;
    let rows = database.rows(Outbox::select()).map_err(internal)?;
    let loaded = Outbox::load(&id, &rows);
    if let Some(fault) = loaded.fault {
        internal(fault);
    }
    core.outbox.0.replace(Some(loaded.machine));
    Ok(())
}

fn save(core: &Core) -> Result<(), Problem> {
    let changes = core.outbox.with(Outbox::take_changes).unwrap_or_default();
    let database = core.database();
    for change in changes {
        database.execute(change).map_err(internal)?;
    }
    Ok(())
}
