//! Decides about a request: the endpoint's answer, or the fault that applies.

use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::auth::Refusal;
use crate::device::{self, Notification, Refused};
use crate::environment::Environment;
use crate::fault::{Fault, FaultBody, FaultKind};
use crate::head::Head;
use crate::link::Link;
use crate::options::Record;
use crate::reason::Reason;
use crate::reply::{APNS_ID, APNS_UNIQUE_ID, Reply};
use crate::screens::Shown;
use crate::simulation::{Body, RecordedRequest, Simulation};
use crate::topic::PushType;

/// The default error code of RST_STREAM: CANCEL.
const DEFAULT_RESET: u32 = 8;

/// What happens to a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The answer is sent.
    Answer(Reply),
    /// The headers are sent, and the body never ends.
    HeadersOnly(Reply),
    /// The stream is reset with this code.
    Reset(u32),
    /// No answer is ever sent.
    Silence,
    /// The connection is closed.
    Close,
}

/// An outcome and its delay.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    pub(crate) outcome: Outcome,
}

/// A request and its context.
struct Exchange<'a> {
    simulation: &'a Simulation,
    link: &'a Link,
    stream: Option<u32>,
    head: Head<'a>,
    body: &'a Body,
    verdict: Result<Notification<'a>, Refused>,
}

/// Decides what happens to a request. `stream` is its HTTP/2 stream id.
pub(crate) fn exchange(
    simulation: &Simulation,
    link: &Link,
    stream: Option<u32>,
    request: &Parts,
    body: &Body,
) -> Plan {
    simulation.counters.requests.add(1);
    simulation.counters.body_bytes.add(body.length as u64);
    let is_probe = device::is_probe(&request.headers);
    if is_probe {
        simulation.counters.probes.add(1);
    }
    let path = request.uri.path_and_query().map_or("", |path| path.as_str());
    let head = Head::read(&request.headers);
    let verdict = device::check(simulation, link, &request.method, path, &head, body);
    if let Err(Refused {
        refusal: Refusal {
            violation: Some(violation),
            ..
        },
        ..
    }) = &verdict
        && !is_probe
    {
        simulation.violations.log(|| violation.clone());
    }
    if let Some(name) = head.padded {
        simulation
            .violations
            .log(|| format!("{name} begins or ends with a space"));
    }
    let exchange = Exchange {
        simulation,
        link,
        stream,
        head,
        body,
        verdict,
    };
    if matches!(simulation.record, Record::Last | Record::All) && simulation.requests_kept > 0 {
        simulation.remember(exchange.recorded(request, path));
    }
    let fault = simulation.faults.meet(link.environment, path);
    let delay = simulation.next_latency();
    match fault {
        None => Plan {
            delay,
            outcome: Outcome::Answer(exchange.settle()),
        },
        Some(fault) => exchange.fail(&fault, delay),
    }
}

impl Exchange<'_> {
    /// Returns the true answer, and delivers an accepted notification.
    fn settle(&self) -> Reply {
        let reply = match &self.verdict {
            Ok(notification) => {
                let id = self.id();
                self.deliver(notification, &id);
                self.simulation.counters.answered_ok.add(1);
                Reply::accepted().with(APNS_ID, id)
            }
            Err(Refused {
                refusal,
                timestamp_ms,
            }) => {
                let reason = match refusal.reason {
                    Reason::BadEnvironmentKey if self.simulation.documented_environment_reason => {
                        "BadEnvironmentKeyIdInToken"
                    }
                    reason => reason.as_str(),
                };
                let status = refusal.reason.status();
                self.simulation.counters.refused(status, reason);
                Reply::refused(status, reason, *timestamp_ms).with(APNS_ID, self.id())
            }
        };
        self.throttle(reply.status);
        if self.link.environment == Environment::Sandbox {
            return reply.with(APNS_UNIQUE_ID, self.simulation.ids.next());
        }
        reply
    }

    /// Adjusts the stream limit to the answer, if that is configured.
    fn throttle(&self, status: StatusCode) {
        if self.simulation.throttle_on_error && self.link.is_raised() {
            self.link.wire().set_limit(if status == StatusCode::OK {
                self.simulation.streams()
            } else {
                1
            });
        }
    }

    /// Returns what a fault does instead of the true answer.
    fn fail(self, fault: &Fault, delay: Duration) -> Plan {
        let plan = |outcome| Plan { delay, outcome };
        match fault.kind {
            FaultKind::Answer => {
                self.deliver_despite(fault);
                plan(Outcome::Answer(self.forced(fault)))
            }
            FaultKind::GoAway => {
                self.link.say_farewell(fault, self.stream);
                if self
                    .stream
                    .is_some_and(|stream| self.link.wire().has_dropped(stream))
                {
                    return plan(Outcome::Silence);
                }
                let reply = self.settle();
                plan(Outcome::Answer(match self.stream {
                    Some(_) => reply,
                    None => reply.with(CONNECTION, HeaderValue::from_static("close")),
                }))
            }
            FaultKind::Reset => {
                self.deliver_despite(fault);
                plan(Outcome::Reset(fault.code.unwrap_or(DEFAULT_RESET)))
            }
            FaultKind::Stall => Plan {
                delay: delay + fault.delay(),
                outcome: Outcome::Answer(self.settle()),
            },
            FaultKind::Silence => {
                self.deliver_despite(fault);
                plan(Outcome::Silence)
            }
            FaultKind::HeadersOnly => plan(Outcome::HeadersOnly(self.settle())),
            FaultKind::Close => {
                self.deliver_despite(fault);
                plan(Outcome::Close)
            }
            FaultKind::StreamLimit => {
                if let Some(streams) = fault.streams {
                    self.link.wire().set_limit(streams);
                }
                plan(Outcome::Answer(self.settle()))
            }
            FaultKind::RefuseConnections => {
                self.simulation.refuse_connections_for(fault.delay());
                plan(Outcome::Answer(self.settle()))
            }
        }
    }

    /// Delivers a valid notification whose answer is lost, if the fault says so.
    fn deliver_despite(&self, fault: &Fault) {
        if let (true, Ok(notification)) = (fault.delivered, &self.verdict) {
            self.deliver(notification, &self.id());
        }
    }

    fn deliver(&self, notification: &Notification<'_>, id: &HeaderValue) {
        let simulation = self.simulation;
        simulation.counters.accepted.add(1);
        self.link.bind();
        if let Some(device) = notification.device {
            simulation.screens.of(self.link.environment).show(
                device,
                simulation.record,
                notification.collapse_id,
                || Shown {
                    apns_id: text(id.as_bytes()),
                    collapse_id: notification.collapse_id.map(text),
                    priority: notification.priority,
                    push_type: notification
                        .push_type
                        .map(PushType::as_str)
                        .unwrap_or_default()
                        .to_owned(),
                    topic: notification.topic.to_owned(),
                    expiration: notification.expiration,
                    replaced: 0,
                    payload: text(&self.body.bytes),
                },
            );
        }
    }

    /// Returns the answer that a fault defines.
    fn forced(&self, fault: &Fault) -> Reply {
        let status = fault.status.unwrap_or(503);
        let reason = fault
            .reason
            .as_deref()
            .unwrap_or(if status == 503 { "ServiceUnavailable" } else { "" });
        let mut reply = match fault.body {
            FaultBody::Reason if status == 200 => Reply::accepted().with(APNS_ID, self.id()),
            FaultBody::Reason => Reply::refused(status, reason, fault.timestamp).with(APNS_ID, self.id()),
            FaultBody::BrokenJson => {
                let mut reply = Reply::refused(status, reason, fault.timestamp).with(APNS_ID, self.id());
                reply.body.truncate(reply.body.len() / 2);
                reply
            }
            FaultBody::Html => {
                let mut reply = Reply::refused(status, reason, None);
                reply.headers = vec![(CONTENT_TYPE, HeaderValue::from_static("text/html"))];
                reply.body = format!("<html><body><h1>{status} {reason}</h1></body></html>\r\n").into();
                reply
            }
            FaultBody::Empty => {
                let mut reply = Reply::refused(status, reason, None).with(APNS_ID, self.id());
                reply.body.clear();
                reply
            }
        };
        for (name, value) in &fault.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                reply.headers.push((name, value));
            }
        }
        self.throttle(reply.status);
        if status == 200 {
            self.simulation.counters.answered_ok.add(1);
        } else {
            self.simulation.counters.refused(status, reason);
        }
        reply
    }

    /// Returns the client's apns-id, or a new one.
    fn id(&self) -> HeaderValue {
        let mut id = self
            .head
            .echo()
            .cloned()
            .unwrap_or_else(|| self.simulation.ids.next());
        // Each id occurs once, so it should not enter the peer's small HPACK table.
        id.set_sensitive(true);
        id
    }

    fn recorded(&self, request: &Parts, path: &str) -> RecordedRequest {
        let (status, reason) = match &self.verdict {
            Ok(_) => (200, ""),
            Err(refused) => (refused.refusal.reason.status(), refused.refusal.reason.as_str()),
        };
        let headers = request.headers.iter();
        RecordedRequest {
            environment: self.link.environment,
            protocol: self.link.protocol,
            connection: self.link.number,
            method: request.method.to_string(),
            path: path.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            body: text(&self.body.bytes),
            status,
            reason: reason.to_owned(),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
