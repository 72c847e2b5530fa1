//! The `/3/device` endpoint: checks a notification to one device, in a fixed order.
//!
//! Apple documents no order. Its servers have been observed to check the provider token before the device
//! token.

use std::sync::PoisonError;

use http::{HeaderMap, Method};

use crate::auth::Refusal;
use crate::devices::{Standing, TokenBytes};
use crate::environment::Environment;
use crate::head::Head;
use crate::link::Link;
use crate::options::Unknown;
use crate::reason::Reason;
use crate::simulation::{Body, Simulation};
use crate::topic::{self, PushType};

/// The prefix of the path.
pub(crate) const PATH: &str = "/3/device";

/// A notification that passed all checks.
#[derive(Debug)]
pub(crate) struct Notification<'a> {
    /// The device. `None` for an unknown device that counts as registered and is not recorded.
    pub(crate) device: Option<u32>,
    pub(crate) topic: &'a str,
    pub(crate) push_type: Option<PushType>,
    pub(crate) priority: u8,
    pub(crate) expiration: Option<u64>,
    pub(crate) collapse_id: Option<&'a [u8]>,
}

/// A refusal, with the time since when the device is gone.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) timestamp_ms: Option<i64>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            timestamp_ms: None,
        }
    }
}

/// Returns a refusal that is a fault of the client, described by `detail`.
fn fault(reason: Reason, detail: &str) -> Refused {
    Refusal::fault(reason, format!("{}: {detail}", reason.as_str())).into()
}

/// Checks a request.
pub(crate) fn check<'a>(
    simulation: &Simulation,
    link: &Link,
    method: &Method,
    path: &str,
    head: &Head<'a>,
    body: &Body,
) -> Result<Notification<'a>, Refused> {
    if method != Method::POST {
        return Err(fault(Reason::MethodNotAllowed, method.as_str()));
    }
    let token = token_in(path)?;
    if let Some(name) = head.repeated {
        return Err(fault(Reason::DuplicateHeaders, name.as_str()));
    }
    let key = {
        let mut session = link.session();
        let known = simulation.authority.authenticate(
            &mut session,
            head.authorization,
            link.environment,
            &simulation.clock,
        )?;
        std::sync::Arc::clone(&known.key)
    };
    link.raise(simulation.streams());
    head.check_id()?;
    let expiration = head.expiration()?;
    let priority = head.priority()?;
    let collapse_id = head.collapse_id()?;
    let push_type = head.push_type()?;
    let topic = head.topic.ok_or_else(|| fault(Reason::MissingTopic, path))?;
    let topic = topic.to_str().map_err(|_| fault(Reason::BadTopic, "not ASCII"))?;
    let bundle = topic::check(topic, push_type).map_err(|reason| fault(reason, topic))?;
    if !key.may_use(topic, bundle) {
        return Err(fault(Reason::TopicDisallowed, topic));
    }
    check_payload(body, push_type)?;
    if push_type == Some(PushType::Background) && priority == 10 {
        let how = if head.has_priority() {
            "10 with background"
        } else {
            "absent, which is 10, with background"
        };
        return Err(fault(Reason::BadPriority, how));
    }
    note_habits(simulation, head, push_type, path);
    let device = check_device(simulation, link.environment, token, topic)?;
    Ok(Notification {
        device,
        topic,
        push_type,
        priority,
        expiration,
        collapse_id,
    })
}

/// Returns the device token in a path.
fn token_in(path: &str) -> Result<&str, Refused> {
    let rest = path
        .strip_prefix(PATH)
        .ok_or_else(|| fault(Reason::BadPath, path))?;
    match rest.strip_prefix('/') {
        None if rest.is_empty() => Err(fault(Reason::MissingDeviceToken, path)),
        None => Err(fault(Reason::BadPath, path)),
        Some("") => Err(fault(Reason::MissingDeviceToken, path)),
        Some(token) if token.contains('/') => Err(fault(Reason::BadPath, path)),
        Some(token) => Ok(token),
    }
}

/// Checks that a payload is a JSON object within the limit. Apple's answer to invalid JSON is not known. This
/// server answers `PayloadEmpty`.
fn check_payload(body: &Body, push_type: Option<PushType>) -> Result<(), Refused> {
    if body.length == 0 {
        return Err(fault(Reason::PayloadEmpty, "no body"));
    }
    let max = PushType::max_payload(push_type);
    if body.length > max {
        return Err(fault(
            Reason::PayloadTooLarge,
            &format!("{} bytes where {max} are allowed", body.length),
        ));
    }
    let object = std::str::from_utf8(&body.bytes).ok().filter(|text| {
        text.trim_ascii_start().starts_with('{')
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    });
    if object.is_none() {
        return Err(fault(Reason::PayloadEmpty, "the body is not a JSON object"));
    }
    Ok(())
}

/// Logs violations of rules that Apple documents but does not enforce.
fn note_habits(simulation: &Simulation, head: &Head<'_>, push_type: Option<PushType>, path: &str) {
    if push_type.is_none() {
        simulation
            .violations
            .log(|| format!("apns-push-type is missing: {path}"));
    }
    if head.has_upper_case_id() {
        simulation
            .violations
            .log(|| "apns-id is not in lower case".to_owned());
    }
    if head.has_absurd_expiration() {
        simulation
            .violations
            .log(|| "apns-expiration looks like milliseconds".to_owned());
    }
    if head.content_encoding.is_some() {
        simulation
            .violations
            .log(|| "the body is said to be compressed (content-encoding)".to_owned());
    }
}

/// Finds the device, and checks its topic, state and rate.
fn check_device(
    simulation: &Simulation,
    environment: Environment,
    token: &str,
    topic: &str,
) -> Result<Option<u32>, Refused> {
    let bad = || Refused::from(Refusal::plain(Reason::BadDeviceToken));
    let token = TokenBytes::parse(token).ok_or_else(bad)?;
    let devices = simulation
        .devices
        .of(environment)
        .read()
        .unwrap_or_else(PoisonError::into_inner);
    let Some(device) = devices.find(token.as_slice()) else {
        drop(devices);
        return match simulation.unknown {
            Unknown::Bad => Err(bad()),
            Unknown::Registered => Ok(simulation.adopt(environment, token.as_slice())),
        };
    };
    if let Some(registered) = device.topic.filter(|registered| *registered != topic) {
        let is_bare_topic_of_voip = topic::split(registered) == (topic, Some(PushType::Voip));
        let reason = if is_bare_topic_of_voip {
            Reason::TopicDisallowed
        } else {
            Reason::DeviceTokenNotForTopic
        };
        return Err(Refusal::plain(reason).into());
    }
    let gone = match device.standing {
        Standing::Registered => None,
        Standing::Unregistered => Some(Reason::Unregistered),
        Standing::Expired => Some(Reason::ExpiredToken),
    };
    if let Some(reason) = gone {
        simulation.note_gone(environment, device.index);
        return Err(Refused {
            refusal: Refusal::plain(reason),
            timestamp_ms: Some(device.since_ms),
        });
    }
    if !simulation.admit_to_device(environment, device.index) {
        return Err(Refusal::plain(Reason::TooManyRequests).into());
    }
    Ok(Some(device.index))
}

/// Whether headers have no credentials, which makes the request a probe and not a push.
pub(crate) fn is_probe(headers: &HeaderMap) -> bool {
    !headers.contains_key(http::header::AUTHORIZATION)
}
