//! The platform's clock, timers and random bytes. Only this file reads them.
//!
//! In production the clock stands still while code runs, and advances with each result of an I/O operation.

use std::time::Duration;

use worker::js_sys::Date;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::{Delay, Result, ScheduledTime, State, wasm_bindgen};

use apns::time::Timestamp;

/// Returns the current time.
pub(crate) fn now() -> Timestamp {
    // Whole milliseconds, far below 2^53.
    Timestamp::from_millis(Date::now() as u64)
}

/// Returns the whole milliseconds from `earlier` until now.
pub(crate) fn millis_since(earlier: Timestamp) -> u64 {
    u64::try_from(now().since(earlier).as_millis()).unwrap_or(u64::MAX)
}

/// Resolves at `at`. Dropping the future clears the platform's timer, which would otherwise keep an object
/// billed.
pub(crate) async fn at(at: Timestamp) {
    let left = at.since(now());
    Delay::from(left.min(LONGEST)).await;
}

/// Sets an object's alarm.
pub(crate) async fn set_alarm(state: &State, at: Timestamp) -> Result<()> {
    // Milliseconds of this era are far below 2^53.
    let date = Date::new(&JsValue::from_f64(at.as_millis() as f64));
    state.storage().set_alarm(ScheduledTime::new(date)).await
}

/// Returns 16 random bytes.
pub(crate) fn seed() -> [u8; 16] {
    let mut bytes = [0; 16];
    get_random_values(&mut bytes);
    bytes
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]);
}

/// `setTimeout` accepts 31 bits of milliseconds. A day is longer than any wait here.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
