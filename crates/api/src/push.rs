//! `POST /v1/push`: the answer with a result per device.

use std::time::Duration;

use serde::Serialize;

use super::Answer;
use super::send_request::{Push, SendRequest, Unsent};
use crate::config::Transport;
use apns::Outcome;
use apns::fault::WarningSummary;
use batch::GaveUp;
use delivery::receipt::{Receipt, Status, Tally};
use delivery::verdict::Verdict;

/// Answers a send request whose pushes have ended with these receipts. Each receipt's `push` is an index in
/// the request.
#[must_use]
pub fn answer(send_request: &SendRequest<'_>, receipts: &[Receipt], transport: Transport) -> Answer {
    let mut by_place: Vec<Option<&Receipt>> = vec![None; send_request.pushes.len()];
    for receipt in receipts {
        if let Some(slot) = by_place.get_mut(receipt.push) {
            *slot = Some(receipt);
        }
    }
    let results: Vec<PushResult<'_>> = send_request
        .pushes
        .iter()
        .zip(by_place)
        .map(|(push, receipt)| PushResult::of(push, receipt))
        .collect();
    let mut counts = Counts::default();
    results.iter().for_each(|result| counts.add(result));
    let body = PushAnswer {
        app: &send_request.app.name,
        transport: transport.as_str(),
        counts,
        warnings: &send_request.warnings,
        results,
    };
    Answer::json(serde_json::to_string(&body).unwrap_or_default())
}

/// An answer in lines, written as the results become known.
#[derive(Debug, Default)]
pub struct Lines {
    text: Vec<u8>,
    counts: Counts,
}

impl Lines {
    /// Begins the answer with the devices to which nothing is sent.
    #[must_use]
    pub fn begin(send_request: &SendRequest<'_>) -> Self {
        let mut lines = Self::default();
        for (place, push) in send_request
            .pushes
            .iter()
            .enumerate()
            .filter(|(_, push)| push.request.is_err())
        {
            lines.write(place, &PushResult::of(push, None));
        }
        lines
    }

    /// Writes the result of a push.
    pub fn add(&mut self, send_request: &SendRequest<'_>, receipt: &Receipt) {
        if let Some(push) = send_request.pushes.get(receipt.push) {
            self.write(receipt.push, &PushResult::of(push, Some(receipt)));
        }
    }

    /// Writes the last line, after all pushes have ended.
    pub fn end(&mut self, send_request: &SendRequest<'_>, transport: Transport) {
        let last = LastLine {
            app: &send_request.app.name,
            transport: transport.as_str(),
            counts: self.counts,
            warnings: &send_request.warnings,
        };
        self.write_json(&last);
    }

    /// Returns the number of bytes that were written since the last [`Lines::take`].
    #[must_use]
    pub const fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there are no such bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the lines that were written since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }

    fn write(&mut self, index: usize, result: &PushResult<'_>) {
        self.counts.add(result);
        self.write_json(&Line { index, result });
    }

    fn write_json(&mut self, line: &impl Serialize) {
        // Serializing objects with text keys into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.text, line);
        self.text.push(b'\n');
    }
}

#[derive(Serialize)]
struct Line<'l, 'o> {
    index: usize,
    #[serde(flatten)]
    result: &'l PushResult<'o>,
}

#[derive(Serialize)]
struct LastLine<'o> {
    app: &'o str,
    transport: &'static str,
    counts: Counts,
    #[serde(flatten)]
    warnings: &'o WarningSummary,
}

/// Returns how long the caller is ready to wait: the preference `wait` of RFC 7240, in seconds, and at most
/// [`MAX_WAIT`].
///
/// An invalid preference is ignored, because a preference must never cause an error (section 2).
#[must_use]
pub fn wait(prefer: Option<&str>) -> Duration {
    split_outside_quotes(prefer.unwrap_or_default(), ',')
        .filter_map(|preference| split_outside_quotes(preference, ';').next())
        .map(|preference| preference.split_once('=').unwrap_or((preference, "")))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, value)| seconds(value.trim()))
        .map_or(DEFAULT_WAIT, |wait| wait.min(MAX_WAIT))
}

/// Whether the caller prefers an answer before the pushes are sent: the preference `respond-async` of RFC
/// 7240.
#[must_use]
pub fn respond_async(prefer: Option<&str>) -> bool {
    split_outside_quotes(prefer.unwrap_or_default(), ',')
        .filter_map(|preference| split_outside_quotes(preference, ';').next())
        .any(|name| name.trim().eq_ignore_ascii_case("respond-async"))
}

/// Parses digits, which may be quoted. A number that is too large becomes the largest one.
fn seconds(text: &str) -> Option<Duration> {
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let digits = inside.unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(digits.parse().unwrap_or(u64::MAX)))
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return character == separator && !quoted,
        }
        false
    })
}

#[derive(Serialize)]
struct PushAnswer<'o> {
    app: &'o str,
    transport: &'static str,
    counts: Counts,
    #[serde(flatten)]
    warnings: &'o WarningSummary,
    results: Vec<PushResult<'o>>,
}

/// The number of pushes per kind of result. `gone` is the part of `rejected` whose device APNs reports as
/// gone (410).
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Counts {
    devices: usize,
    #[serde(flatten)]
    tally: Tally,
    gone: usize,
}

impl Counts {
    fn add(&mut self, result: &PushResult<'_>) {
        self.devices += 1;
        self.tally.add(result.kind);
        self.gone += usize::from(result.is_gone);
    }
}

#[derive(Serialize)]
struct PushResult<'o> {
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'o str>,
    token_hint: &'o str,
    #[serde(skip)]
    kind: Status,
    #[serde(skip)]
    is_gone: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns_unique_id: Option<&'o str>,
    /// APNs' HTTP status. 0 if APNs did not answer this push.
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'o str>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The index of the device with the same content.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// Why it is not retried, although APNs did not accept it.
    #[serde(skip_serializing_if = "Option::is_none")]
    gave_up: Option<&'static str>,
    attempts: u8,
    ms: u64,
}

impl<'o> PushResult<'o> {
    fn of(push: &'o Push, receipt: Option<&'o Receipt>) -> Self {
        match &push.request {
            Ok(_) => Self::sent(push, receipt),
            Err(Unsent::Invalid(fault)) => Self::skipped(push, fault.to_string()),
            Err(Unsent::Duplicate { of }) => Self::duplicate(push, *of),
        }
    }

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
            is_gone: receipt.is_some_and(|receipt| receipt.verdict == Verdict::DropDevice),
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
            duplicate_of: None,
            retry_after: receipt
                .and_then(Receipt::advice)
                .map(|delay| delay.as_secs() + u64::from(delay.subsec_nanos() > 0)),
            gave_up: receipt
                .filter(|receipt| receipt.is_given_up())
                .map(|_| GaveUp::Expired.as_str()),
            attempts: receipt.map_or(0, |receipt| receipt.attempts),
            ms: receipt.map_or(0, |receipt| {
                u64::try_from(receipt.latency.as_millis()).unwrap_or(u64::MAX)
            }),
        }
    }

    fn duplicate(push: &'o Push, of: usize) -> Self {
        Self {
            kind: Status::Duplicate,
            status: Status::Duplicate.as_str(),
            reason: None,
            verdict: Verdict::Duplicate.as_str(),
            detail: None,
            duplicate_of: Some(of),
            ..Self::skipped(push, String::new())
        }
    }

    fn skipped(push: &'o Push, detail: String) -> Self {
        Self {
            reference: push.reference.as_deref(),
            token_hint: &push.token_hint,
            kind: Status::Rejected,
            is_gone: false,
            status: Status::Rejected.as_str(),
            apns_id: None,
            apns_unique_id: None,
            code: 0,
            reason: Some(SKIPPED),
            verdict: Verdict::FixRequest.as_str(),
            since: None,
            detail: Some(detail),
            duplicate_of: None,
            retry_after: None,
            gave_up: None,
            attempts: 0,
            ms: 0,
        }
    }
}

/// The reason for a device that `on_invalid: "skip"` left out.
const SKIPPED: &str = "InvalidDevice";

/// The default time for which retries may delay the answer: less than the timeout of most HTTP clients.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(20);

/// The longest wait that a caller may ask for: less than the life of a lease.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
