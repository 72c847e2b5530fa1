//! The header of an upload: everything that its devices share.

use serde_json::{Value, json};

use super::MAX_HEAD;
use super::intake::Intake;
use crate::auth;
use crate::config::{App, Caller, Config};
use crate::format;
use crate::ndjson::Line;
use crate::problem::{Kind, Problem};
use crate::send_request::{LINE_FIELDS, Options, OrderHead};
use crate::webhook_url::WebhookUrl;
use apns::expiration::Expiration;
use apns::fault::{self, FaultKind, Faults, Pointer};
use apns::push_type::MergedBy;
use apns::time::Timestamp;
use apns::{Notification, PushType};

/// The header of an upload.
#[derive(Clone, Debug)]
pub struct BatchHeader<'c> {
    /// The sender.
    pub app: &'c App,
    /// `{"app","notification"}` as JSON in one line, which precedes a chunk's devices when it is sent.
    pub head: String,
    /// The options of the batch.
    pub options: Options,
    /// Until when APNs keeps the pushes.
    pub expiration: Option<Expiration>,
    /// Whether the caller chose a collapse id.
    pub collapses: bool,
    /// What makes devices merge two pushes of the notification.
    pub merged_by: MergedBy,
    /// Whether a push with a collapse id takes effect once even if it is sent twice.
    pub mergeable: bool,
}

impl<'c> BatchHeader<'c> {
    /// Creates the header of an upload for `app`. `notification` was parsed from `written`.
    pub(crate) fn new(
        app: &'c App,
        written: Option<&Value>,
        notification: &Notification,
        options: Options,
    ) -> Self {
        Self {
            app,
            head: json!({"app": app.name, "notification": written}).to_string(),
            options,
            expiration: notification.headers.expiration,
            collapses: notification.headers.collapse_id.is_some(),
            merged_by: notification.headers.push_type.rules().merged_by,
            mergeable: notification.is_mergeable(),
        }
    }
}

impl BatchHeader<'_> {
    /// Records that a device has its own payload, so that the event of a Live Activity may differ between
    /// pushes.
    pub(crate) fn note_own_payload(&mut self) {
        self.mergeable &= self.merged_by == MergedBy::CollapseId;
    }
}

/// The context in which an upload is parsed.
#[derive(Clone, Copy)]
pub(super) struct Context<'c> {
    pub(super) caller: &'c Caller,
    pub(super) config: &'c Config,
    pub(super) max_pushes: u32,
    pub(super) now: Timestamp,
}

/// Parses the header in the first line. Returns `None` if the line is blank.
pub(super) fn read_line<'c>(line: &Line<'_>, context: Context<'c>) -> Result<Option<Intake<'c>>, Problem> {
    let Some(text) = line.text else {
        return Err(too_long(line.size));
    };
    if text.is_empty() {
        return Ok(None);
    }
    let document =
        fault::json(text, &Pointer::Root).map_err(|faults| format::head_problem(line.number, faults))?;
    read(&document, LINE_FIELDS, Faults::default(), context).map(Some)
}

/// Parses a header whose members must be among `known`. `faults` are the faults of the body so far.
pub(super) fn read<'c>(
    document: &Value,
    known: &[&'static str],
    mut faults: Faults,
    context: Context<'c>,
) -> Result<Intake<'c>, Problem> {
    let app = choose_app(document, context)?;
    let root = Pointer::Root;
    let mut head = OrderHead::read(document, known, app, context.now, &mut faults);
    if let Some(notification) = head.as_ref().and_then(|head| head.notification.as_ref())
        && notification.apns_id.is_some()
    {
        let text = "is one push's id, and a batch may have any number: use `devices[].apns_id`";
        faults.add(
            &root.key("notification").key("apns_id"),
            FaultKind::Conflict(text.to_owned()),
        );
    }
    if let Some(webhook) = head.as_mut().and_then(|head| head.options.webhook.as_mut()) {
        let at = root.key("batch");
        let checked = check_webhook(webhook, &at.key("webhook"), context.config, &mut faults);
        *webhook = checked.unwrap_or_default();
    }
    // Without faults, all parts are present.
    let parts = head.and_then(|head| Some((head.notification?, (head.skip, head.is_strict), head.options)));
    let Some((notification, rules, options)) = faults.or(parts).map_err(Problem::invalid)? else {
        return Err(Problem::new(Kind::InvalidRequest, "the head cannot be read"));
    };
    let header = BatchHeader::new(app, document.get("notification"), &notification, options);
    Ok(Intake::new(header, notification, rules, context.max_pushes))
}

/// Checks the address of a webhook, and that the deployment can sign deliveries. Returns the address as the
/// parser writes it, so that the stored and called address is the one that was checked.
pub(crate) fn check_webhook(
    text: &str,
    at: &Pointer<'_>,
    config: &Config,
    faults: &mut Faults,
) -> Option<String> {
    match WebhookUrl::parse(text, config.origins.is_local()) {
        Err(error) => faults.add(at, FaultKind::Invalid(error.to_string())),
        Ok(_) if config.batches.webhook_secrets.is_empty() => {
            let text = "cannot be signed: the deployment has no secret WEBHOOK_SECRET";
            faults.add(at, FaultKind::Conflict(text.to_owned()));
        }
        Ok(url) => return Some(url.as_str().to_owned()),
    }
    None
}

fn choose_app<'c>(document: &Value, context: Context<'c>) -> Result<&'c App, Problem> {
    let root = Pointer::Root;
    let mut faults = Faults::default();
    let name = document
        .get("app")
        .and_then(|name| fault::string(name, &root.key("app"), &mut faults));
    let name = faults.or(name).map_err(Problem::invalid)?;
    auth::choose_app(name, context.caller, context.config)
}

/// Returns the problem of a header that is too long.
pub(super) fn too_long(size: usize) -> Problem {
    let mut faults = Faults::default();
    let text = format!(
        "has {size} bytes without its devices; the limit is {MAX_HEAD}. Of a payload, APNs takes {} bytes, and of a VoIP \
         payload {}",
        PushType::Alert.rules().max_payload,
        PushType::Voip.rules().max_payload,
    );
    faults.add(&Pointer::Root, FaultKind::Invalid(text));
    Problem::invalid(faults)
}
