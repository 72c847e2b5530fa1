//! The devices of the demo: most accept notifications, some are gone, some have invalid tokens.

use anyhow::Result;
use serde_json::json;

use testbed::Mock;
use testbed::keys::sha256_hex;

use crate::stack::APP;

/// In each cycle of this many devices, one is unregistered, one expired and one malformed.
const CYCLE: usize = 50;

/// Their positions in the cycle. Never the first, because the first answer decides whether the provider token
/// is valid.
const UNREGISTERED: usize = 7;
const EXPIRED: usize = 19;
const MALFORMED: usize = 31;

/// The number of hex digits of a truncated token, for example from a database column that is too short.
const CUT: usize = 40;

/// The number of devices per registration request to the mock.
const REGISTERED_AT_ONCE: usize = 10_000;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    /// Its token, as the caller has it.
    pub(super) token: String,
    /// The caller's ref.
    pub(super) reference: String,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Registered,
    Unregistered,
    Expired,
    /// APNs never issued such a token.
    Malformed,
}

/// All devices, in the order in which they are sent to.
#[derive(Debug)]
pub(super) struct Fleet(Vec<Device>);

impl Fleet {
    /// Creates this number of devices, always the same.
    pub(super) fn of(devices: usize) -> Self {
        Self((0..devices).map(Device::new).collect())
    }

    /// Returns the devices.
    pub(super) fn devices(&self) -> &[Device] {
        &self.0
    }

    /// Registers all valid devices at the mock.
    pub(super) fn register(&self, mock: &Mock) -> Result<()> {
        for (state, name) in [
            (State::Registered, "registered"),
            (State::Unregistered, "unregistered"),
            (State::Expired, "expired"),
        ] {
            let devices = self.0.iter().filter(|device| device.state == state);
            let tokens: Vec<&str> = devices.map(|device| device.token.as_str()).collect();
            for tokens in tokens.chunks(REGISTERED_AT_ONCE) {
                let devices = json!({ "topic": APP.topic, "environment": "production", "state": name, "tokens": tokens });
                mock.add_devices(&devices)?;
            }
        }
        Ok(())
    }
}

impl Device {
    fn new(number: usize) -> Self {
        let state = match number % CYCLE {
            UNREGISTERED => State::Unregistered,
            EXPIRED => State::Expired,
            MALFORMED => State::Malformed,
            _ => State::Registered,
        };
        let mut token = sha256_hex(&format!("device {number} of the demo"));
        if state == State::Malformed {
            token.truncate(CUT);
        }
        Self {
            token,
            reference: format!("user-{}", number + 1),
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fleet, State};
    use std::collections::HashSet;

    #[test]
    fn no_two_devices_are_alike() {
        let fleet = Fleet::of(1000);
        let tokens: HashSet<_> = fleet.devices().iter().map(|device| &device.token).collect();
        assert_eq!(tokens.len(), 1000);
    }

    #[test]
    fn of_a_hundred_devices_six_fail_in_three_ways() {
        let fleet = Fleet::of(100);
        for (state, devices) in [
            (State::Registered, 94),
            (State::Unregistered, 2),
            (State::Expired, 2),
            (State::Malformed, 2),
        ] {
            assert_eq!(
                fleet
                    .devices()
                    .iter()
                    .filter(|device| device.state == state)
                    .count(),
                devices
            );
        }
    }
}
