//! Handles a device that occurs more than once in a send request.
//!
//! With the same content, the second push would only be shown twice. It is left out, and its result names the
//! first one. With other content, both are sent. In a chunk of a batch all pushes share a collapse id, with
//! which the second push would replace the first. So the second one gets its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::{Push, Unsent};
use apns::collapse_id::CollapseId;
use apns::request::Headers;

/// Leaves out each push that repeats the device and the content of an earlier one.
pub(super) fn leave_out(pushes: &mut [Push]) {
    for (place, of) in repeats(pushes) {
        if let Some(push) = pushes.get_mut(place) {
            push.request = Err(Unsent::Duplicate { of });
        }
    }
}

/// Returns the indices of pushes that repeat an earlier one, each with the index of that one.
fn repeats(pushes: &[Push]) -> Vec<(usize, usize)> {
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(pushes.len());
    // The further contents of devices that have several.
    let mut others: HashMap<(&str, &[u8]), usize> = HashMap::new();
    let mut found = Vec::new();
    for (place, push) in pushes.iter().enumerate() {
        let Ok(request) = &push.request else { continue };
        let token = request.device_token.as_hex();
        let earlier = match first.entry(token) {
            Entry::Vacant(entry) => {
                entry.insert(place);
                continue;
            }
            Entry::Occupied(entry) => *entry.get(),
        };
        let is_same = pushes.get(earlier).is_some_and(|earlier| {
            let earlier = earlier.request.as_ref();
            earlier.is_ok_and(|earlier| earlier.body == request.body)
        });
        if is_same {
            found.push((place, earlier));
            continue;
        }
        match others.entry((token, &request.body)) {
            Entry::Vacant(entry) => {
                entry.insert(place);
            }
            Entry::Occupied(entry) => found.push((place, *entry.get())),
        }
    }
    found
}

/// Sets the collapse id `id` on all pushes, and a different one on each further push to the same device.
pub(super) fn separate(pushes: &mut [Push], id: &str) {
    let with_id = |headers: &Headers, id: &str| {
        let collapse_id = CollapseId::parse(id).ok();
        Arc::new(Headers {
            collapse_id,
            ..headers.clone()
        })
    };
    let mut shared: Option<Arc<Headers>> = None;
    let mut seen = HashMap::with_capacity(pushes.len());
    let mut repeated = Vec::new();
    for (place, push) in pushes.iter().enumerate() {
        let Ok(request) = &push.request else { continue };
        if seen.insert(request.device_token.as_hex(), ()).is_some() {
            repeated.push(place);
        }
    }
    let mut repeated = repeated.into_iter().peekable();
    for (place, push) in pushes.iter_mut().enumerate() {
        let Ok(request) = &mut push.request else { continue };
        request.headers = if repeated.next_if_eq(&place).is_some() {
            with_id(&request.headers, &format!("{id}-{place}"))
        } else {
            Arc::clone(shared.get_or_insert_with(|| with_id(&request.headers, id)))
        };
    }
}
