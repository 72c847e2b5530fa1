//! The audience of a simulated campaign run.

/// The audience of a run.
#[derive(Clone, Copy)]
pub(super) struct Audience {
    pub(super) devices: u64,
    pub(super) shards: u32,
}

impl Audience {
    pub(super) const fn new(devices: u64, shards: u32) -> Self {
        Self { devices, shards }
    }

    /// Returns how many devices a shard has. Hashes spread them well, but not quite evenly.
    pub(super) fn devices_of(self, shard: u32) -> u64 {
        let even = self.devices / u64::from(self.shards);
        // Neighbours differ by the same amount in opposite directions; the last shard gets the rest.
        let moved = u64::from(shard / 2) * 30 % (even / 2);
        let last = self.devices % u64::from(self.shards) * u64::from(shard + 1 == self.shards);
        if shard.is_multiple_of(2) {
            even + moved + last
        } else {
            even - moved + last
        }
    }
}
