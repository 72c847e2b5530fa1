//! `POST /v1/push`: the answer with a result for every device.

use std::time::Duration;

use serde::Serialize;

use super::Answer;
use super::order::{Order, Push};
use super::problem::{Kind, Problem};
use crate::apns::Outcome;
use crate::delivery::receipt::{Receipt, Status, Tally};
use crate::delivery::verdict::Verdict;

/// The answer to an order whose pushes have ended as `receipts` say; each receipt's `push` counts the devices that are
/// sent to, in order.
#[must_use]
pub fn answer(order: &Order<'_>, receipts: &[Receipt], transport: &'static str) -> Answer {
    let mut by_push: Vec<Option<&Receipt>> = vec![None; receipts.len()];
    for receipt in receipts {
        if let Some(slot) = by_push.get_mut(receipt.push) {
            *slot = Some(receipt);
        }
    }
    let mut sent = by_push.into_iter();
    let results: Vec<PushResult<'_>> = order
        .pushes
        .iter()
        .map(|push| match &push.request {
            Ok(_) => PushResult::sent(push, sent.next().flatten()),
            Err(fault) => PushResult::skipped(push, fault.to_string()),
        })
        .collect();
    let body = PushAnswer {
        app: &order.app.name,
        transport,
        counts: Counts::of(&results),
        results,
    };
    Answer::json(serde_json::to_string(&body).unwrap_or_default())
}

/// How long the caller is ready to wait: `Prefer: wait=N` of RFC 7240, in seconds.
///
/// # Errors
/// 422 if the wait is no number of seconds within [`MAX_WAIT`].
pub fn wait(prefer: Option<&str>) -> Result<Duration, Problem> {
    let preferences = prefer.unwrap_or_default().split(',').map(str::trim);
    let Some(wait) = preferences
        .filter_map(|preference| preference.strip_prefix("wait="))
        .next()
    else {
        return Ok(DEFAULT_WAIT);
    };
    match wait.trim_matches('"').parse::<u64>().map(Duration::from_secs) {
        Ok(wait) if wait <= MAX_WAIT => Ok(wait),
        _ => {
            let detail = format!("`Prefer: wait=` takes 0 to {} seconds", MAX_WAIT.as_secs());
            Err(Problem::new(Kind::InvalidRequest, detail))
        }
    }
}

#[derive(Serialize)]
struct PushAnswer<'o> {
    app: &'o str,
    transport: &'static str,
    counts: Counts,
    results: Vec<PushResult<'o>>,
}

/// How many pushes ended how; `gone` are those of `rejected` whose device is no longer registered.
#[derive(Serialize)]
struct Counts {
    devices: usize,
    #[serde(flatten)]
    tally: Tally,
    gone: usize,
}

impl Counts {
    fn of(results: &[PushResult<'_>]) -> Self {
        Self {
            devices: results.len(),
            tally: results.iter().map(|result| result.kind).collect(),
            gone: results.iter().filter(|result| result.code == GONE).count(),
        }
    }
}

#[derive(Serialize)]
struct PushResult<'o> {
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'o str>,
    token_hint: &'o str,
    #[serde(skip)]
    kind: Status,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns_unique_id: Option<&'o str>,
    /// APNs' HTTP status; 0 if APNs did not answer this push.
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'o str>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    attempts: u8,
    ms: u64,
}

impl<'o> PushResult<'o> {
    fn sent(push: &'o Push, receipt: Option<&'o Receipt>) -> Self {
        let kind = receipt.map_or(Status::Failed, Receipt::status);
        let answered = receipt
            .filter(|receipt| receipt.attempts > 0)
            .and_then(|receipt| match &receipt.outcome {
                Outcome::Answered(reply) => Some(reply),
                Outcome::NotSent(_) | Outcome::Lost(_) => None,
            });
        Self {
            reference: push.reference.as_deref(),
            token_hint: &push.token_hint,
            kind,
            status: kind.as_str(),
            apns_id: push
                .request
                .as_ref()
                .ok()
                .map(|request| request.apns_id.to_string()),
            apns_unique_id: answered.and_then(|reply| reply.apns_unique_id.as_deref()),
            code: answered.map_or(0, |reply| reply.status),
            reason: receipt.and_then(Receipt::reason),
            verdict: receipt
                .map_or(Verdict::Unknown, |receipt| receipt.verdict)
                .as_str(),
            since: answered
                .and_then(|reply| reply.since)
                .map(|since| since.to_string()),
            detail: None,
            retry_after: receipt
                .and_then(|receipt| receipt.retry_after)
                .map(|delay| delay.as_secs() + u64::from(delay.subsec_nanos() > 0)),
            attempts: receipt.map_or(0, |receipt| receipt.attempts),
            ms: receipt.map_or(0, |receipt| {
                u64::try_from(receipt.latency.as_millis()).unwrap_or(u64::MAX)
            }),
        }
    }

    fn skipped(push: &'o Push, detail: String) -> Self {
        Self {
            reference: push.reference.as_deref(),
            token_hint: &push.token_hint,
            kind: Status::Rejected,
            status: Status::Rejected.as_str(),
            apns_id: None,
            apns_unique_id: None,
            code: 0,
            reason: Some(SKIPPED),
            verdict: Verdict::FixRequest.as_str(),
            since: None,
            detail: Some(detail),
            retry_after: None,
            attempts: 0,
            ms: 0,
        }
    }
}

/// The reason of a device that `on_invalid: "skip"` left out.
const SKIPPED: &str = "InvalidDevice";

/// APNs' status for a device token that is no longer valid.
const GONE: u16 = 410;

/// How long resends may hold the answer up if the caller says nothing: below the timeout of most HTTP clients.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(20);

/// The longest wait that a caller may ask for: within the life of a lease.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
