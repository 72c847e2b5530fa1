//! Checks the result: every push was accepted, and every device shows one notification.

use serde_json::Value;

use super::log::Story;

/// Returns the faults: pushes that were not accepted, devices without exactly one notification, violated
/// rules of APNs.
pub(super) fn faults(
    status: &Value,
    state: &Value,
    shown: &Value,
    pushes: u64,
    story: &Story,
) -> Vec<String> {
    let expected = [
        ("pushes of the batch", status.pointer("/pushes"), pushes),
        ("accepted receipts", status.pointer("/counts/accepted"), pushes),
        ("requests that APNs got", state.get("requests"), pushes),
        ("broken rules of APNs' protocol", state.get("violations_total"), 0),
        ("devices that show something", shown.get("devices"), pushes),
        ("notifications shown", shown.get("shown"), pushes),
        ("notifications that were replaced", shown.get("replaced"), 0),
        (
            "notifications on the device that shows most",
            shown.get("max_shown_on_one_device"),
            1,
        ),
    ];
    let wrong = expected
        .into_iter()
        .map(|(what, found, right)| (what, found.and_then(Value::as_u64), right))
        .filter(|(_, found, right)| *found != Some(*right));
    let mut faults: Vec<String> = wrong
        .map(|(what, found, right)| match found {
            Some(found) => format!("{what}: {found} and not {right}"),
            None => format!("{what}: nobody said"),
        })
        .collect();
    faults.extend(story.errors.iter().map(|error| format!("logged: {error}")));
    faults
}

#[cfg(test)]
mod tests {
    use super::faults;
    use crate::batch::log::Story;
    use serde_json::json;

    #[test]
    fn a_push_that_is_missing_or_doubled_is_a_fault() {
        let status = json!({ "pushes": 2, "counts": { "accepted": 2 } });
        let state = json!({ "requests": 2, "violations_total": 0 });
        let shown = json!({ "devices": 2, "shown": 2, "replaced": 0, "max_shown_on_one_device": 1 });
        let story = Story::default();
        assert!(faults(&status, &state, &shown, 2, &story).is_empty());
        let missing = json!({ "pushes": 2, "counts": { "accepted": 1 } });
        assert_eq!(
            faults(&missing, &state, &shown, 2, &story),
            ["accepted receipts: 1 and not 2"]
        );
        let twice = json!({ "devices": 2, "shown": 2, "replaced": 1, "max_shown_on_one_device": 1 });
        assert_eq!(faults(&status, &state, &twice, 2, &story).len(), 1);
    }
}
