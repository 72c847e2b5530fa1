//! `GET /v1/batches/{id}/deliveries`: the deliveries to the endpoint and their attempts.

use serde::Serialize;

use super::{Attempt, Delivery, Outbox, State};
use crate::webhook::Event;

impl Outbox {
    /// Returns the log as JSON text: the newest [`MAX_SHOWN`] deliveries, newest first.
    #[must_use]
    pub fn log(&self) -> String {
        let deliveries = self.deliveries().take(MAX_SHOWN).map(entry).collect();
        serde_json::to_string(&Log { deliveries }).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Log<'o> {
    deliveries: Vec<Entry<'o>>,
}

#[derive(Serialize)]
struct Entry<'o> {
    id: &'o str,
    event: Event,
    created_at: String,
    state: &'static str,
    attempts: Vec<AttemptEntry<'o>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<String>,
}

#[derive(Serialize)]
struct AttemptEntry<'o> {
    at: String,
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'o str>,
}

fn entry(delivery: &Delivery) -> Entry<'_> {
    Entry {
        id: &delivery.id,
        event: delivery.event,
        created_at: delivery.created_at.to_string(),
        state: match delivery.state {
            State::Waiting { .. } => "waiting",
            State::Delivered => "delivered",
            State::Failed => "failed",
        },
        attempts: delivery.attempts.iter().map(attempt).collect(),
        next_at: delivery.next_at().map(|next_at| next_at.to_string()),
    }
}

fn attempt(attempt: &Attempt) -> AttemptEntry<'_> {
    AttemptEntry {
        at: attempt.at.to_string(),
        code: attempt.code,
        problem: attempt.problem.as_deref(),
    }
}

/// The number of deliveries in an answer, which has no pages: some hundred kilobytes, or a few megabytes if
/// every attempt failed.
const MAX_SHOWN: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Answered, Body};
    use apns::time::Timestamp;

    #[test]
    fn a_delivery_log_format_unchanged() {
        // Callers read this format.
        let now = Timestamp::from_millis(1_795_420_800_123);
        let mut outbox = Outbox::new("b");
        let body = Body::Gone { chunks: vec![0, 9] };
        outbox.add(Event::DevicesGone, body.clone(), now);
        outbox.add(Event::BatchEnded, Body::Text("{}".to_owned()), now);
        let answers = [
            Err("the connection was reset"),
            Ok(Answered {
                code: 200,
                retry_after: None,
            }),
        ];
        for answer in answers {
            let id = outbox.due(now).unwrap().id.clone();
            outbox.attempted(&id, answer, now);
        }
        let next_at = outbox.wake().unwrap();
        let expected = r#"{"deliveries":[{"id":"msg_b_1795420800123_1","event":"batch.ended","created_at":"2026-11-23T08:00:00.123Z","state":"delivered","attempts":[{"at":"2026-11-23T08:00:00.123Z","code":200}]},{"id":"msg_b_1795420800123_0","event":"devices.gone","created_at":"2026-11-23T08:00:00.123Z","state":"waiting","attempts":[{"at":"2026-11-23T08:00:00.123Z","code":null,"problem":"the connection was reset"}],"next_at":"NEXT"}]}"#;
        assert_eq!(outbox.log(), expected.replace("NEXT", &next_at.to_string()));
    }

    #[test]
    fn a_log_has_an_end() {
        let mut outbox = Outbox::new("b");
        for _ in 0..=MAX_SHOWN {
            outbox.add(
                Event::DevicesGone,
                Body::Gone { chunks: vec![0, 9] },
                Timestamp::default(),
            );
        }
        let log = outbox.log();
        assert_eq!(log.matches("devices.gone").count(), MAX_SHOWN);
        assert!(log.contains(&format!("msg_b_0_{MAX_SHOWN}\"")) && !log.contains("msg_b_0_0\""));
    }
}
