//! A scan that crashes between its steps, while devices are added, changed and removed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::{begun, cap, database, device, met, next, remove, scan_of, tagged, upsert};
use super::*;
use crate::audience::Device;

/// A batch, as far as a scan uses it: the recorded cursor, and the accepted tokens.
#[derive(Default)]
struct Batch {
    recorded: Cursor,
    taken: Vec<String>,
}

impl Batch {
    /// Accepts a chunk if it begins at the recorded cursor. Returns the cursor that is recorded then.
    fn append(&mut self, from: Cursor, to: Cursor, tokens: Vec<String>) -> Cursor {
        if from == self.recorded {
            self.recorded = to;
            self.taken.extend(tokens);
        }
        self.recorded
    }
}

/// An event between two steps of a scan.
#[derive(Clone, Debug)]
enum Event {
    Upsert(usize, usize, bool),
    Remove(usize),
    /// The scan stops before the chunk is handed over, or after it was accepted, and is loaded from its row.
    Crash(bool),
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..DEVICES, 0..ZONES.len(), any::<bool>()).prop_map(|(device, zone, tag)| Event::Upsert(device, zone, tag)),
        2 => (0..DEVICES).prop_map(Event::Remove),
        1 => any::<bool>().prop_map(Event::Crash),
    ]
}

const DEVICES: usize = 40;
const ZONES: [&str; 4] = ["Europe/Berlin", "Europe/Rome", "", "Asia/Tokyo"];

proptest! {
    #[test]
    fn a_device_that_is_there_all_along_is_met_once_and_none_twice(
        zones in prop::collection::vec(0..ZONES.len(), DEVICES),
        stable in prop::collection::vec(any::<bool>(), DEVICES),
        events in prop::collection::vec(prop::collection::vec(events(), 0..4), 0..60),
        has_zones: bool, has_segment: bool, is_capped: bool, asks: bool, scanned in 0..9_usize, limit in 1..6_u32, cut in 1..4_usize,
    ) {
        // The run is for all zones but the last, in which no stable device ever is.
        let zone_of = |device: usize, zone: usize| if stable[device] { ZONES[zone % 3] } else { ZONES[zone] };
        let tag_of = |device: usize, is_in: bool| if stable[device] || is_in { "in" } else { "out" };
        let token = |device: usize| format!("{device:04}");
        let all: Vec<Device> = zones.iter().enumerate()
            .map(|(number, zone)| device(&token(number), zone_of(number, *zone), tag_of(number, zone % 2 == 0)))
            .collect();
        let database = database(&all);
        let (mut batch, mut events) = (Batch::default(), events.into_iter());
        let run = AudienceScan {
            zones: has_zones.then(|| ZONES[..3].iter().map(|zone| (*zone).to_owned()).collect()),
            segment: tagged().filter(|_| has_segment),
            frequency: cap(1, CapScope::All).filter(|_| is_capped),
            ..scan_of("r")
        };
        let mut this = begun(&database, run);
        while !this.is_at_end() {
            let page = next(&database, &this, scanned, limit);
            let members: Vec<StoredDevice> = page.members.iter().take(cut).cloned().collect();
            let is_whole = members.len() == page.members.len();
            let to = members.last().filter(|_| !is_whole).map_or(page.end, Cursor::after);
            let ids: Vec<u64> = members.iter().map(|member| member.id).collect();
            database.execute(&this.record(&ids));
            let (mut crash, happened) = (None, events.next().unwrap_or_default());
            for event in happened {
                match event {
                    Event::Upsert(number, zone, is_in) => {
                        upsert(&database, &[device(&token(number), zone_of(number, zone), tag_of(number, is_in))]);
                    }
                    Event::Remove(number) if !stable[number] => remove(&database, &token(number)),
                    Event::Remove(_) => {}
                    Event::Crash(is_taken) => crash = Some(is_taken),
                }
            }
            let tokens = members.into_iter().map(|member| member.device.token).collect();
            if crash != Some(false) {
                let recorded = batch.append(this.cursor, to, tokens);
                if crash.is_none() {
                    this.move_to(recorded);
                    database.execute(&this.store());
                }
            }
            if crash.is_some() {
                this = AudienceScan::load(&database.execute(&AudienceScan::all())[0]).unwrap();
                if asks {
                    this.move_to(batch.append(this.cursor, this.cursor, Vec::new()));
                }
            }
        }
        let mut times: BTreeMap<&str, u32> = BTreeMap::new();
        for token in &batch.taken {
            *times.entry(token).or_default() += 1;
        }
        prop_assert!(times.values().all(|times| *times == 1), "{times:?}");
        let taken: BTreeSet<String> = batch.taken.iter().cloned().collect();
        for number in (0..DEVICES).filter(|number| stable[*number]) {
            prop_assert!(taken.contains(&token(number)), "{number} is missing");
        }
        // Whoever was sent something is counted, if the batch was asked.
        let capped = AudienceScan { frequency: cap(1, CapScope::All), ..scan_of("s") };
        let again: BTreeSet<String> = met(&database, capped).into_iter().collect();
        prop_assert!(!asks || (0..DEVICES).filter(|number| stable[*number]).all(|number| !again.contains(&token(number))));
    }
}
