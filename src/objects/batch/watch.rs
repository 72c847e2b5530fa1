//! Watching a batch: streams its progress and waits for its end.

use std::rc::Rc;
use std::time::Duration;

use futures::stream;
use worker::{Headers, Response, ResponseBuilder};

use super::batch_state::BatchState;
use super::internal;
use crate::platform::clock;
use api::config::{App, Caller};
use api::problem::{Kind, Problem};
use apns::time::Timestamp;
use batch::watchers::{MAX_WATCHERS, WatcherId};

/// Streams the batch's progress as server-sent events until its end.
pub(super) fn stream(
    core: &Rc<BatchState>,
    caller: &Caller,
    app: Option<&'static App>,
) -> Result<Response, Problem> {
    let opened = core.watchers.borrow_mut().open(&caller.name, clock::now());
    let id = opened.ok_or_else(|| {
        let detail = format!(
            "the key `{}` watches this batch {MAX_WATCHERS} times already: close a stream, or ask for its status",
            caller.name
        );
        Problem::new(Kind::TooManyRequests, detail).retry_after_ms(RETRY_MS)
    })?;
    let watcher = Watcher {
        id,
        core: Rc::clone(core),
        app,
        last: String::new(),
        said_at: clock::now(),
        is_over: false,
    };
    let events = stream::unfold(watcher, |mut watcher| async move {
        let text = watcher.next().await?;
        Some((Ok::<_, worker::Error>(text.into_bytes()), watcher))
    });
    let headers = Headers::new();
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
    ] {
        headers.set(name, value).map_err(internal)?;
    }
    let response = ResponseBuilder::new().with_headers(headers);
    response.from_stream(Box::pin(events)).map_err(internal)
}

/// Waits until the batch has ended, for at most `longest`.
pub(super) async fn until_ended(core: &BatchState, longest: Duration) {
    let until = clock::now() + longest;
    while !core.has_ended() && clock::now() < until {
        clock::at(clock::now() + LOOK).await;
    }
}

struct Watcher {
    id: WatcherId,
    core: Rc<BatchState>,
    app: Option<&'static App>,
    last: String,
    said_at: Timestamp,
    is_over: bool,
}

impl Watcher {
    /// Returns the next event. Returns `None` after the last one, or if the batch was deleted.
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        self.core.watchers.borrow_mut().seen(self.id, clock::now());
        loop {
            let document = self.core.document(self.app).ok()?;
            let now = clock::now();
            if self.core.has_ended() {
                self.is_over = true;
                return Some(format!("event: end\ndata: {document}\n\n"));
            }
            if document != self.last {
                self.last.clone_from(&document);
                self.said_at = now;
                return Some(format!("event: progress\ndata: {document}\n\n"));
            }
            if now.since(self.said_at) >= ALIVE {
                self.said_at = now;
                return Some(": alive\n\n".to_owned());
            }
            clock::at(now + PROGRESS).await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.core.watchers.borrow_mut().close(self.id);
    }
}

/// When to try again after too many streams were open.
const RETRY_MS: u64 = 15_000;

/// The minimum interval between two progress events.
const PROGRESS: Duration = Duration::from_millis(250);

/// How long a stream may be silent before a comment is sent: proxies close connections that are silent for
/// longer.
const ALIVE: Duration = Duration::from_secs(15);

/// How often the batch's end is checked.
const LOOK: Duration = Duration::from_millis(50);
