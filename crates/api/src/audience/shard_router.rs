//! Groups devices by shard, and sends them to their shards in batches.
//!
//! The devices of one shard keep their order, so that if a token occurs twice, the last entry wins.

use campaign::audience::{Command, Device, shard_of};

/// A command to a shard. Those to one shard must be delivered one after the other, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardBatch {
    /// The shard's number.
    pub shard: u32,
    /// The command.
    pub command: Command,
}

/// The devices that are not in a complete batch yet.
pub(super) struct ShardRouter {
    waiting: Vec<Waiting>,
    /// The size of all queued lines in bytes.
    bytes: usize,
    ready: Vec<ShardBatch>,
}

#[derive(Default)]
struct Waiting {
    devices: Vec<Device>,
    /// The size of their lines in bytes.
    bytes: usize,
}

impl ShardRouter {
    pub(super) fn new(shards: u32) -> Self {
        Self {
            waiting: (0..shards).map(|_| Waiting::default()).collect(),
            bytes: 0,
            ready: Vec::new(),
        }
    }

    /// Adds a device. `bytes` is the length of its line.
    pub(super) fn add(&mut self, device: Device, bytes: usize) {
        let shard = shard_of(
            &device.token,
            u32::try_from(self.waiting.len()).unwrap_or(u32::MAX),
        );
        let place = usize::try_from(shard).unwrap_or(usize::MAX);
        let Some(waiting) = self.waiting.get_mut(place) else {
            return;
        };
        if waiting.bytes + bytes > MAX_BYTES && !waiting.devices.is_empty() {
            self.bytes -= waiting.bytes;
            self.ready.push(waiting.take_batch(shard));
        }
        waiting.devices.push(device);
        waiting.bytes += bytes;
        self.bytes += bytes;
        if waiting.devices.len() >= MAX_DEVICES {
            self.bytes -= waiting.bytes;
            self.ready.push(waiting.take_batch(shard));
        }
        if self.bytes > MAX_WAITING {
            self.flush_longest();
        }
    }

    /// Returns the batches that were completed since the last call.
    pub(super) fn take(&mut self) -> Vec<ShardBatch> {
        std::mem::take(&mut self.ready)
    }

    /// Completes all batches.
    pub(super) fn finish(mut self) -> Vec<ShardBatch> {
        for (waiting, shard) in self.waiting.iter_mut().zip(0..) {
            if !waiting.devices.is_empty() {
                self.ready.push(waiting.take_batch(shard));
            }
        }
        self.ready
    }

    fn flush_longest(&mut self) {
        let longest = self
            .waiting
            .iter_mut()
            .zip(0..)
            .max_by_key(|(waiting, _)| waiting.bytes);
        if let Some((waiting, shard)) = longest {
            self.bytes -= waiting.bytes;
            self.ready.push(waiting.take_batch(shard));
        }
    }
}

impl Waiting {
    fn take_batch(&mut self, shard: u32) -> ShardBatch {
        let Self { devices, .. } = std::mem::take(self);
        let command = Command::Upsert { devices };
        ShardBatch { shard, command }
    }
}

/// The most devices per command: the cost of the request is then small per device, and writing them takes
/// some ten milliseconds.
pub(super) const MAX_DEVICES: usize = 500;

/// The most bytes of lines per command.
const MAX_BYTES: usize = 64 * 1024;

/// The most bytes of queued lines. As devices they take a few times as much of the isolate's 128 MB.
const MAX_WAITING: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: usize) -> Device {
        Device::new(format!("{number:064x}"))
    }

    fn devices(batch: &ShardBatch) -> &[Device] {
        match &batch.command {
            Command::Upsert { devices } => devices,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_shipment_has_five_hundred_devices_or_64_kilobytes() {
        let mut router = ShardRouter::new(1);
        (0..MAX_DEVICES - 1).for_each(|number| router.add(device(number), 1));
        assert!(router.take().is_empty());
        router.add(device(499), 1);
        assert_eq!(devices(&router.take()[0]).len(), MAX_DEVICES);
        router.add(device(0), MAX_BYTES - 1);
        router.add(device(1), 1);
        assert!(router.take().is_empty());
        router.add(device(2), 1);
        assert_eq!(devices(&router.take()[0]).len(), 2);
        assert_eq!(devices(&router.finish()[0]).len(), 1);
    }

    #[test]
    fn each_device_comes_to_its_shard_in_order_and_what_waits_is_bounded() {
        let mut router = ShardRouter::new(256);
        let (mut batches, bytes, count) = (Vec::new(), 16 * 1024, 3000);
        for number in 0..count {
            router.add(device(number), bytes);
            assert!(router.bytes <= MAX_WAITING);
            assert_eq!(
                router.bytes,
                router.waiting.iter().map(|waiting| waiting.bytes).sum::<usize>()
            );
            batches.extend(router.take());
        }
        batches.extend(router.finish());
        let mut found = 0;
        for shard in 0..256 {
            let of_shard = batches.iter().filter(|batch| batch.shard == shard);
            let tokens: Vec<&str> = of_shard
                .flat_map(devices)
                .map(|device| device.token.as_str())
                .collect();
            assert!(tokens.is_sorted() && tokens.iter().all(|token| shard_of(token, 256) == shard));
            found += tokens.len();
        }
        assert_eq!(found, count);
    }
}
