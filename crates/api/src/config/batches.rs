//! The settings of batches: storage, queues, safeguards, and the signing of webhooks.

use std::time::Duration;

use super::{duration, number, text};
use apns::fault::{FaultKind, Faults, Pointer};
use batch::webhook::WebhookSecret;

/// The settings of batches for the whole deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batches {
    /// The number of queues that share the chunks.
    pub queues: u32,
    /// How long a consumer has a chunk before another one may claim it.
    pub claim: Duration,
    /// How long an ended batch is kept, with its `Idempotency-Key`.
    pub retention: Duration,
    /// The share of `BadDeviceToken` at a batch's start, in percent, above which the batch is paused. 100
    /// means never.
    pub bad_token_percent: u32,
    /// The most pushes that a crash of a consumer can repeat.
    pub checkpoint: u32,
    /// The secrets that sign webhooks. Each delivery has a signature per secret. Without a secret, webhooks
    /// are not available.
    pub webhook_secrets: Vec<WebhookSecret>,
}

impl Batches {
    pub(super) fn load(
        setting: &impl Fn(&str) -> Option<String>,
        attempt_timeout: Duration,
        faults: &mut Faults,
    ) -> Self {
        let queues = number(setting, QUEUES, 1, 1..=8, faults);
        let claim = number(setting, CHUNK_CLAIM_MS, 120_000, 5_000..=600_000, faults);
        let percent = number(setting, BAD_TOKEN_PAUSE_PERCENT, 20, 0..=100, faults);
        let checkpoint = number(setting, CHECKPOINT_PUSHES, 100, 1..=500, faults);
        let claim = Duration::from_millis(claim);
        if claim < attempt_timeout + LAUNCH_TIME + SETTLE_TIME {
            let more = (LAUNCH_TIME + SETTLE_TIME).as_millis();
            let text =
                format!("leaves no time to send: it must be at least ATTEMPT_TIMEOUT_MS and {more} more");
            faults.add(&Pointer::Root.key(CHUNK_CLAIM_MS), FaultKind::Conflict(text));
        }
        Self {
            queues: u32::try_from(queues).unwrap_or(1),
            claim,
            retention: retention(setting, faults),
            bad_token_percent: u32::try_from(percent).unwrap_or(100),
            checkpoint: u32::try_from(checkpoint).unwrap_or(1),
            webhook_secrets: webhook_secrets(setting, faults),
        }
    }
}

fn retention(setting: &impl Fn(&str) -> Option<String>, faults: &mut Faults) -> Duration {
    duration(
        setting,
        BATCH_RETENTION,
        DEFAULT_RETENTION,
        MIN_RETENTION..=MAX_RETENTION,
        "must be a duration from 1 hour to 90 days, such as `7d` or `36h`",
        faults,
    )
}

fn webhook_secrets(setting: &impl Fn(&str) -> Option<String>, faults: &mut Faults) -> Vec<WebhookSecret> {
    let Some(written) = setting(WEBHOOK_SECRET) else {
        return Vec::new();
    };
    let root = Pointer::Root;
    let at = root.key(WEBHOOK_SECRET);
    let mut secrets = Vec::new();
    for (place, secret) in text::unquoted(&written).split_whitespace().enumerate() {
        match WebhookSecret::parse(text::unquoted(secret)) {
            Ok(secret) => secrets.push(secret),
            Err(error) => faults.add(&at.index(place), FaultKind::Invalid(error.to_string())),
        }
    }
    if text::unquoted(&written).is_empty() {
        faults.add(&at, FaultKind::Invalid("holds no secret".to_owned()));
    }
    secrets
}

/// The variable with the number of queues.
const QUEUES: &str = "QUEUES";
/// The variable with the time of a consumer's claim, in milliseconds.
const CHUNK_CLAIM_MS: &str = "CHUNK_CLAIM_MS";
/// The variable with the time for which an ended batch is kept: a duration.
const BATCH_RETENTION: &str = "BATCH_RETENTION";
/// The variable with the share of bad device tokens that pauses a batch.
const BAD_TOKEN_PAUSE_PERCENT: &str = "BAD_TOKEN_PAUSE_PERCENT";
/// The variable with the most pushes that a crash can repeat.
const CHECKPOINT_PUSHES: &str = "CHECKPOINT_PUSHES";
/// The secret that signs webhooks. During a rotation there are several, separated by spaces.
const WEBHOOK_SECRET: &str = "WEBHOOK_SECRET";

/// The time that a consumer needs between its last attempt and the end of its claim, to report the chunk's
/// results.
pub const SETTLE_TIME: Duration = Duration::from_secs(2);

/// The shortest time in which a consumer launches pushes. Without any, it would send nothing of a claimed
/// chunk.
const LAUNCH_TIME: Duration = Duration::from_millis(500);

/// Longer than a backend needs to come back and read how its batch went.
const DEFAULT_RETENTION: Duration = Duration::from_hours(7 * 24);

/// A caller that repeats a request after a network error must still find its batch.
const MIN_RETENTION: Duration = Duration::from_hours(1);

/// Storage is billed by the month. Nobody reads receipts for longer than three.
const MAX_RETENTION: Duration = Duration::from_hours(90 * 24);
