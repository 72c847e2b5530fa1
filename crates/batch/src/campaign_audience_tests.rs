//! Whom a simulated run of a campaign is for.

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

    /// How many devices a shard has: hashes spread them well, but not quite evenly.
    pub(super) fn devices_of(self, shard: u32) -> u64 {
        let even = self.devices / u64::from(self.shards);
        // Neighbours give and take; the last has what is left.
        let moved = u64::from(shard / 2) * 30 % (even / 2);
        let last = self.devices % u64::from(self.shards) * u64::from(shard + 1 == self.shards);
        if shard.is_multiple_of(2) {
            even + moved + last
        } else {
            even - moved + last
        }
    }
}
