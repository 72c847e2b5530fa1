//! Values of the core as parts of documents.

use apns::fault::WarningSummary;

/// Returns the warnings as answers show them.
pub(crate) fn warnings(summary: &WarningSummary) -> documents::Warnings {
    let kinds = summary
        .kinds()
        .iter()
        .map(|kind| documents::warning::WarningKind {
            code: kind.code.as_str().to_owned(),
            pointer: kind.pointer.clone(),
            detail: kind.detail.clone(),
            count: kind.count,
            lines: kind.lines.iter().copied().map(u64::from).collect(),
        });
    documents::Warnings {
        kinds: kinds.collect(),
        more: summary.more(),
    }
}

/// Returns the left-out devices as answers show them.
pub(crate) fn left_out(left_out: &batch::LeftOut) -> documents::LeftOut {
    let batch::LeftOut {
        missing,
        missing_others,
        frequency_cap,
        invalid,
        outside_segment,
        not_reached,
    } = left_out;
    documents::LeftOut {
        missing: missing.clone(),
        missing_others: *missing_others,
        frequency_cap: *frequency_cap,
        invalid: *invalid,
        outside_segment: *outside_segment,
        not_reached: *not_reached,
    }
}

/// Returns a count or a position as documents have it.
pub(crate) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
