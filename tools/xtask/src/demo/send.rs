//! The caller of the demo: sends requests to the Worker, a few at a time.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::fleet::{Device, Fleet};
use super::outcomes::Outcomes;
use crate::interrupt::Interrupt;
use crate::project;
use crate::stack::{APP, Stack};

/// The most devices per immediate request of every transport.
const DEVICES_A_REQUEST: usize = 500;

/// The number of concurrent requests.
const REQUESTS_AT_ONCE: usize = 4;

/// Returns the notifications, which requests send in turn.
pub(super) fn notifications() -> Result<Vec<Value>> {
    let path = project::root().join("examples").join("notifications.json");
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no list of notifications", path.display()))
}

/// Returns a body for the user's own experiments: one device that accepts notifications.
pub(super) fn example(fleet: &Fleet) -> Value {
    let notification = json!({ "payload": { "aps": { "alert": "Hello from the command line" } } });
    body(&notification, fleet.devices().get(..1).unwrap_or_default())
}

/// Sends a notification to each device and collects the answers.
pub(super) fn all(
    stack: &Stack,
    fleet: &Fleet,
    notifications: &[Value],
    progress: &ProgressBar,
    interrupt: &Interrupt,
) -> Result<Outcomes> {
    let size = fleet
        .devices()
        .len()
        .div_ceil(REQUESTS_AT_ONCE)
        .clamp(1, DEVICES_A_REQUEST);
    let requests: Vec<_> = fleet
        .devices()
        .chunks(size)
        .zip(notifications.iter().cycle())
        .collect();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Outcomes::default());
    let send = || -> Result<()> {
        while let Some((devices, notification)) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            interrupt.check()?;
            let answer = stack.post("/v1/push", &body(notification, devices))?;
            outcomes
                .lock()
                .map_err(|_| anyhow!("another request panicked"))?
                .add(&answer)?;
            progress.inc(u64::try_from(devices.len())?);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..REQUESTS_AT_ONCE).map(|_| scope.spawn(send)).collect();
        senders
            .into_iter()
            .try_for_each(|sender| sender.join().map_err(|_| anyhow!("a request panicked"))?)
    })?;
    outcomes.into_inner().map_err(|_| anyhow!("a request panicked"))
}

fn body(notification: &Value, devices: &[Device]) -> Value {
    let devices: Vec<Value> = devices
        .iter()
        .map(|device| json!({ "token": device.token, "ref": device.reference }))
        .collect();
    json!({ "app": APP.name, "notification": notification, "devices": devices })
}

#[cfg(test)]
mod tests {
    use super::{body, notifications};
    use crate::demo::fleet::Fleet;

    #[test]
    fn every_example_has_a_payload_with_aps() {
        let notifications = notifications().unwrap();
        assert!(!notifications.is_empty());
        for notification in notifications {
            assert!(notification["payload"]["aps"].is_object(), "{notification}");
        }
    }

    #[test]
    fn a_request_names_its_app_and_its_devices() {
        let body = body(&serde_json::json!({ "payload": {} }), Fleet::of(2).devices());
        assert_eq!(body["app"], "demo");
        assert_eq!(body["devices"][1]["ref"], "user-2");
        assert_eq!(body["devices"][1]["token"].as_str().unwrap().len(), 64);
    }
}
