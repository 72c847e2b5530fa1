//! The devices that a run left out, as the server counts them.

use documents::LeftOut;

/// Returns the number of devices per reason, with the reason as text. Reasons without devices are left
/// out.
pub(crate) fn to_parts(left_out: &LeftOut) -> Vec<(u64, String)> {
    let missing = left_out.missing.iter();
    let missing = missing.map(|(name, count)| (*count, format!("left out: they have no `{name}`")));
    let others = [
        (left_out.missing_others, "left out: they lack another variable"),
        (left_out.frequency_cap, "left out by the frequency cap"),
        (left_out.invalid, "left out: their push has a fault"),
        (left_out.outside_segment, "outside the segment"),
        (left_out.not_reached, "not reached before the run ended"),
    ];
    missing
        .chain(others.map(|(count, reason)| (count, reason.to_owned())))
        .filter(|(count, _)| *count > 0)
        .collect()
}
