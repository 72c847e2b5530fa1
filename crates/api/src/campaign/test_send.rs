//! `POST /v1/campaigns/{id}/test` and `/preview`: the campaign for a few devices, named by `ref`.
//!
//! Both create a send request, which is sent or previewed like any other.

use serde_json::{Value, json};

use super::compiled::CompiledCampaign;
use crate::Answer;
use crate::config::App;
use crate::format;
use crate::problem::Problem;
use crate::send_request::MAX_REF;
use apns::DeviceToken;
use apns::fault::{self, FaultKind, Faults, Pointer};
use apns::time::Timestamp;
use campaign::audience::MAX_FOUND;
use campaign::scheduler::Campaign;
use campaign::template::Recipient;

/// Reads the body `{"refs":["user-1"]}`. Returns each name once.
///
/// # Errors
/// 400 if it is not JSON, 422 if it does not name 1 to [`MAX_REFS`] devices.
pub fn refs(body: &[u8]) -> Result<Vec<String>, Problem> {
    let document = format::document(body)?;
    let mut faults = Faults::default();
    let refs = read_refs(&document, &mut faults);
    faults.or(refs.unwrap_or_default()).map_err(Problem::invalid)
}

fn read_refs(document: &Value, faults: &mut Faults) -> Option<Vec<String>> {
    let root = Pointer::Root;
    let map = fault::object(document, &root, &["refs"], faults)?;
    let at = root.key("refs");
    let Some(value) = map.get("refs") else {
        faults.add(&at, FaultKind::Missing);
        return None;
    };
    let list = fault::texts(value, &at, faults)?;
    if !(1..=MAX_REFS).contains(&list.len()) {
        let text = format!("must name 1 to {MAX_REFS} devices, but names {}", list.len());
        faults.add(&at, FaultKind::Invalid(text));
        return None;
    }
    let mut refs: Vec<String> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let at = at.index(index);
        let Some(text) = fault::identifier(value, &at, faults) else {
            continue;
        };
        if text.len() > MAX_REF {
            let (size, limit, unit) = (text.len(), MAX_REF, "bytes");
            faults.add(&at, FaultKind::TooLong { size, limit, unit });
        } else if !refs.iter().any(|known| *known == text) {
            refs.push(text.into_owned());
        }
    }
    Some(refs)
}

/// Checks that not too many devices were found, so that the remaining shards need not be asked.
///
/// # Errors
/// 422 if they are more than [`MAX_DEVICES`].
pub fn check_found(devices: usize) -> Result<(), Problem> {
    if devices <= MAX_DEVICES {
        return Ok(());
    }
    let mut faults = Faults::default();
    let text = format!("names more than {MAX_DEVICES} devices");
    faults.add(&Pointer::Root.key("refs"), FaultKind::Invalid(text));
    Err(Problem::invalid(faults))
}

/// Returns the send request to `recipients`, the devices with these `refs`, as the body of `POST /v1/push`.
///
/// # Errors
/// 422 if a name belongs to no device, if a device has no value for a variable, or if nothing can be sent any
/// more.
pub fn send_request(
    campaign: &Campaign,
    app: &App,
    refs: &[String],
    recipients: &[Recipient<'_>],
    now: Timestamp,
) -> Result<String, Problem> {
    let test_send = TestSend::of(campaign, app, refs, recipients, now)?;
    let root = Pointer::Root;
    let mut faults = Faults::default();
    let at = root.key("refs");
    for (index, name) in refs.iter().enumerate() {
        let at = at.index(index);
        if test_send.unknown.contains(&index) {
            faults.add(&at, FaultKind::Invalid(UNKNOWN.to_owned()));
        }
        for (place, reason) in &test_send.unrendered {
            let reference = recipients.get(*place).and_then(|recipient| recipient.reference);
            if reference == Some(name.as_str()) {
                faults.add(&at, FaultKind::Invalid(reason.clone()));
            }
        }
    }
    faults.or(test_send.send_request).map_err(Problem::invalid)
}

/// A campaign for a few devices.
pub struct TestSend {
    /// The send request to the devices for which it could be rendered.
    pub send_request: String,
    /// The indices of those devices among the recipients.
    pub rendered: Vec<usize>,
    /// The indices of the other devices, with the reasons.
    pub unrendered: Vec<(usize, String)>,
    /// The indices of the names that belong to no device.
    unknown: Vec<usize>,
}

impl TestSend {
    /// Renders the campaign for `recipients`, the devices with these `refs`.
    ///
    /// # Errors
    /// 422 if nothing can be sent any more.
    pub fn of(
        campaign: &Campaign,
        app: &App,
        refs: &[String],
        recipients: &[Recipient<'_>],
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let root = Pointer::Root;
        let mut faults = Faults::default();
        let document = super::document_of(campaign);
        let map = fault::open_object(&document, &root, &mut faults);
        let compiled = map.and_then(|map| CompiledCampaign::read(map, app, now, &mut faults));
        let Some(compiled) = faults.or(compiled).map_err(Problem::invalid)? else {
            return Err(Problem::invalid(Faults::default()));
        };
        let (mut lines, mut rendered, mut unrendered) = (Vec::new(), Vec::new(), Vec::new());
        let mut unknown = Vec::new();
        for (index, name) in refs.iter().enumerate() {
            let named = recipients.iter().enumerate();
            let named = named.filter(|(_, recipient)| recipient.reference == Some(name.as_str()));
            let before = rendered.len() + unrendered.len();
            for (place, recipient) in named {
                match compiled.line(recipient) {
                    Ok(line) => {
                        lines.push(line);
                        rendered.push(place);
                    }
                    Err(error) => unrendered.push((place, error.to_string())),
                }
            }
            if before == rendered.len() + unrendered.len() {
                unknown.push(index);
            }
        }
        let head = compiled.header.head.strip_suffix('}').unwrap_or_default();
        let lines = serde_json::to_string(&lines).unwrap_or_default();
        // With `strict`, warnings reject a test just as they leave devices out of a run.
        let strict = if compiled.is_strict {
            ",\"strict\":true"
        } else {
            ""
        };
        let send_request = format!("{head}{strict},\"devices\":{lines}}}");
        Ok(Self {
            send_request,
            rendered,
            unrendered,
            unknown,
        })
    }

    /// Checks that each name belongs to a device.
    ///
    /// # Errors
    /// 422 with the names that do not.
    pub fn check_names(&self) -> Result<(), Problem> {
        let root = Pointer::Root;
        let (at, mut faults) = (root.key("refs"), Faults::default());
        for index in &self.unknown {
            faults.add(&at.index(*index), FaultKind::Invalid(UNKNOWN.to_owned()));
        }
        faults.or(()).map_err(Problem::invalid)
    }

    /// Adds `would_send` to each push of the preview `shown`, and the reason if a run would not send it.
    ///
    /// A push that could not be rendered has only these. `reasons` says why a run would not reach a
    /// recipient.
    #[must_use]
    pub fn judged(&self, shown: &str, recipients: &[Recipient<'_>], reasons: &[Option<&str>]) -> Answer {
        let mut body: Value = serde_json::from_str(shown).unwrap_or_default();
        let Some(pushes) = body.get_mut("pushes").and_then(Value::as_array_mut) else {
            return Answer::json(body.to_string());
        };
        for (push, place) in pushes.iter_mut().zip(&self.rendered) {
            let problem = push
                .pointer("/problem/detail")
                .and_then(Value::as_str)
                .map(str::to_owned);
            let reason = reasons
                .get(*place)
                .copied()
                .flatten()
                .map(str::to_owned)
                .or(problem);
            if let Some(push) = push.as_object_mut() {
                push.insert("would_send".to_owned(), reason.is_none().into());
                if let Some(reason) = reason {
                    push.insert("reason".to_owned(), reason.into());
                }
            }
        }
        let unrendered = self.unrendered.iter().filter_map(|(place, reason)| {
            let recipient = recipients.get(*place)?;
            let hint = DeviceToken::parse(recipient.token).map(|token| token.hint()).ok();
            Some(json!({"ref": recipient.reference, "token_hint": hint, "would_send": false, "reason": reason}))
        });
        pushes.extend(unrendered);
        Answer::json(body.to_string())
    }
}

/// The fault of a name that belongs to no device.
const UNKNOWN: &str = "names no device of the audience";

/// The reason for a device that is not in the campaign's segment.
pub const OUTSIDE: &str = "it is not in the campaign's segment";

/// The reason for a device that has reached the frequency cap.
pub const CAPPED: &str = "it has been sent as much as the campaign's frequency allows";

/// The most names of a test: as many as a person reads.
pub const MAX_REFS: usize = 100;

/// The most devices of a test, because several may have the same name. Every transport carries as many, and
/// each device may have 16 KB of the isolate's 128 MB.
pub const MAX_DEVICES: usize = 200;

// Otherwise a shard could leave out devices although there are too many, and the check would not notice.
const _: () = assert!(MAX_FOUND as usize > MAX_DEVICES);
