//! Warns about variables that devices do not have, by checking a campaign against the first devices of its
//! audience.

use std::collections::BTreeMap;

use super::compiled::CompiledCampaign;
use super::run;
use crate::config::App;
use crate::problem::Problem;
use apns::fault::{self, FaultKind, Faults, Pointer, WarningCode, Warnings};
use apns::time::Timestamp;
use campaign::audience::StoredDevice;
use campaign::scan::{Judge, Judged};
use campaign::scheduler::Campaign;
use campaign::template::{Recipient, Unrendered};

/// Adds a warning to the campaign for each variable that some of these devices do not have and that has no
/// default.
///
/// # Errors
/// 422 with the warnings if the campaign is `strict`.
pub fn warn(
    campaign: &mut Campaign,
    app: &App,
    members: &[StoredDevice],
    now: Timestamp,
) -> Result<(), Problem> {
    let document = super::document_of(campaign);
    let mut faults = Faults::default();
    let map = fault::open_object(&document, &Pointer::Root, &mut faults);
    let Some(compiled) = map.and_then(|map| CompiledCampaign::read(map, app, now, &mut faults)) else {
        return Ok(());
    };
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    for member in members {
        if let Err(Unrendered::Missing(name)) = compiled.line(&Recipient::of(&member.device)) {
            *missing.entry(name).or_default() += 1;
        }
    }
    let known: Vec<&str> = members
        .iter()
        .flat_map(|member| member.device.attributes.keys())
        .map(String::as_str)
        .collect();
    let (root, mut warnings) = (Pointer::Root, Warnings::default());
    let at = root.key("notification");
    for (name, devices) in missing {
        let near = known
            .iter()
            .filter(|known| ***known != name)
            .map(|known| (strsim::jaro_winkler(known, &name), *known))
            .filter(|(likeness, _)| *likeness > LIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = near.map_or_else(String::new, |(_, known)| format!("; did you mean `{known}`?"));
        let of = members.len();
        let text = format!(
            "{devices} of {of} devices looked at have no `{name}`, and there is no default: they are left out{hint}"
        );
        warnings.add(&at.key("payload"), WarningCode::MissingVariable, text);
    }
    if document.get("strict") == Some(&true.into()) && !warnings.listed().is_empty() {
        let mut faults = Faults::default();
        for warning in warnings.listed() {
            faults.add(&at.key("payload"), FaultKind::Invalid(warning.detail.to_string()));
        }
        return Err(Problem::invalid(faults));
    }
    campaign.warnings.add_shared(&warnings);
    Ok(())
}

/// Returns the question which of these devices are in the campaign's segment. Returns `None` without a
/// segment.
#[must_use]
pub fn question(campaign: &Campaign, members: &[StoredDevice], now: Timestamp) -> Option<Judge> {
    let ids = members.iter().map(|member| member.id).collect();
    let judge = run::judge(campaign, ids, now);
    let judge = Judge {
        frequency: None,
        ..judge
    };
    judge.segment.is_some().then_some(judge)
}

/// Returns the devices that are in the segment, given the answer to [`question`].
#[must_use]
pub fn in_segment(mut members: Vec<StoredDevice>, judged: &Judged) -> Vec<StoredDevice> {
    members.retain(|member| !judged.outside.contains(&member.id));
    members
}

/// How similar two names must be for one to be suggested for the other.
const LIKE: f64 = 0.85;

/// How many devices are checked: the first of a shard, in one request.
pub const SAMPLE: u32 = 500;
