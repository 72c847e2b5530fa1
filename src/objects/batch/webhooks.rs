//! Delivers a batch's webhooks: finds the gone devices when the batch has ended, and makes one attempt per
//! call.

use std::pin::pin;

use futures::future::{Either, select};
use worker::{AbortController, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Response};

use super::batch_state::BatchState;
use super::{internal, not_found};
use crate::platform::{clock, http};
use api::Problem;
use api::batch::DeviceList;
use api::batch::receipts::{self, RefusedDevice};
use api::config::Config;
use batch::outbox::{Answered, Body, Delivery, Outbox, TIMEOUT};
use batch::webhook;
use batch::{Outcome, Record};

/// Returns the log of deliveries.
pub(super) fn log(core: &BatchState) -> Result<Response, Problem> {
    let log = core.with_outbox(Outbox::log).ok_or_else(not_found)?;
    http::response(api::Answer::json(log)).map_err(internal)
}

/// Finds the chunks with gone devices in the page of chunks from `from` on.
pub(super) fn find_gone(core: &BatchState, config: &Config, from: u32) -> Result<Outcome, String> {
    let app = core.with(|batch| batch.record().app.clone()).unwrap_or_default();
    let status = core.document(config.app(&app));
    let status = status.map_err(|problem| problem.detail().to_owned())?;
    let record = core.with(|batch| batch.record().clone());
    let record = record.ok_or("the batch was forgotten")?;
    let (page, next) = core.progress_page(from)?;
    let counted = page.iter().filter_map(|(number, progress)| {
        let gone = core.look_at(&record, (*number, progress), |chunk| {
            chunk.count(DeviceList::Gone)
        })?;
        Some((*number, gone)).filter(|(_, gone)| *gone > 0)
    });
    Ok(Outcome::FoundGone {
        gone: counted.collect(),
        next,
        status,
    })
}

/// Makes an attempt. Its outcome is the endpoint's answer, or why there was none.
pub(super) async fn deliver(
    core: &BatchState,
    config: &Config,
    record: &Record,
    delivery: &Delivery,
) -> Result<Answered, String> {
    let Some(url) = &record.terms.webhook else {
        return Err("the batch has no webhook".to_owned());
    };
    let body = render(core, record, delivery)?;
    let headers = webhook::headers(&config.batches.webhook_secrets, &delivery.id, &body, clock::now())?;
    send(url, &headers, &body).await
}

/// Renders the body of a delivery.
fn render(core: &BatchState, record: &Record, delivery: &Delivery) -> Result<String, String> {
    let chunks = match &delivery.body {
        Body::Text(text) => return Ok(text.clone()),
        Body::Gone { chunks } => chunks,
    };
    let mut devices: Vec<RefusedDevice> = Vec::new();
    for number in chunks {
        let read = core.read_chunk(record, *number, |chunk| {
            receipts::devices(chunk, DeviceList::Gone, 0, u64::MAX)
        });
        let read = read.map_err(|problem| {
            internal(problem);
            "the body could not be made".to_owned()
        })?;
        devices.extend(read.into_iter().flatten());
    }
    let mut gone = devices.iter().map(|device| webhook::GoneDevice {
        token: &device.token,
        reference: device.reference.as_deref(),
        since: device.since,
        reason: &device.reason,
    });
    webhook::devices_gone(&record.id, &record.app, &mut gone, delivery.created_at)
        .ok_or_else(|| "no device is gone any more".to_owned())
}

async fn send(url: &str, signed: &[(&str, String)], body: &str) -> Result<Answered, String> {
    let headers = Headers::new();
    for (name, value) in signed {
        headers.set(name, value).map_err(|error| error.to_string())?;
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
    match select(sending, pin!(clock::at(clock::now() + TIMEOUT))).await {
        Either::Left((Ok(response), _)) => {
            let wait = response.headers().get("retry-after").ok().flatten();
            Ok(Answered::read(
                response.status_code(),
                wait.as_deref(),
                clock::now(),
            ))
        }
        // The platform's error text could contain the URL, which may hold a secret.
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
