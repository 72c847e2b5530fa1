//! The platform's clock, timers and random bytes: the only readers of any of them.
//!
//! In production the clock stands still while code runs and moves with each answer of the outside world.

use std::time::Duration;

use worker::js_sys::Date;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::{Delay, Result, ScheduledTime, State, wasm_bindgen};

use apns::time::Timestamp;

/// This moment.
pub(crate) fn now() -> Timestamp {
    // Whole milliseconds, far below 2^53.
    Timestamp::from_millis(Date::now() as u64)
}

/// Whole milliseconds from `earlier` until now.
pub(crate) fn millis_since(earlier: Timestamp) -> u64 {
    u64::try_from(now().since(earlier).as_millis()).unwrap_or(u64::MAX)
}

/// Ends at `at`. The platform's timer is cleared when the future is dropped: one left behind keeps an object billed.
pub(crate) async fn at(at: Timestamp) {
    let left = at.since(now());
    Delay::from(left.min(LONGEST)).await;
}

/// Sets the alarm of an object.
pub(crate) async fn set_alarm(state: &State, at: Timestamp) -> Result<()> {
    // Milliseconds of this era are far below 2^53.
    let date = Date::new(&JsValue::from_f64(at.as_millis() as f64));
    state.storage().set_alarm(ScheduledTime::new(date)).await
}

/// 16 random bytes.
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

/// `setTimeout` takes 31 bits of milliseconds; a day is longer than anything here waits.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
