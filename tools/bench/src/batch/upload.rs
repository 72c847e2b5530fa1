//! Generates the body of the upload on the way, so that memory holds only one piece of it.

use std::iter;

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde_json::json;

use crate::order::{self, APP};

/// The number of devices per piece of the body: some 64 KB.
const DEVICES_A_PIECE: u64 = 700;

/// Returns a request in lines for the devices from `first` on: the notification, then each device.
pub(super) fn lines(first: u64, devices: u64) -> impl Stream<Item = Bytes> + Send + 'static {
    let mut head = json!({ "app": APP, "notification": order::notification() }).to_string();
    head.push('\n');
    let end = first + devices;
    let mut next = first;
    let pieces = iter::from_fn(move || {
        if next >= end {
            return None;
        }
        let last = end.min(next + DEVICES_A_PIECE);
        let mut piece = String::new();
        for number in next..last {
            order::device(&mut piece, number, number);
            piece.push('\n');
        }
        next = last;
        Some(Bytes::from(piece))
    });
    stream::iter(iter::once(Bytes::from(head)).chain(pieces))
}

#[cfg(test)]
mod tests {
    use super::{DEVICES_A_PIECE, lines};
    use futures_util::StreamExt;
    use serde_json::Value;

    #[tokio::test]
    async fn every_device_has_a_line_behind_the_notifications() {
        let devices = DEVICES_A_PIECE + 1;
        let pieces: Vec<_> = lines(5, devices).collect().await;
        let body = pieces.concat();
        let lines: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert!(lines[0]["notification"]["payload"].is_object());
        assert_eq!(u64::try_from(lines.len()).unwrap(), devices + 1);
        assert_eq!(lines[1]["token"], format!("{:064x}", 5));
        assert_eq!(
            lines[lines.len() - 1]["token"],
            format!("{:064x}", 5 + devices - 1)
        );
    }
}
