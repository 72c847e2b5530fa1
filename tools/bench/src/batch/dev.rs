//! The built Worker under `wrangler dev`, because workerd alone has no queue.
//!
//! wrangler adds a second workerd, through which requests arrive, and passes on the Worker's log. Both are
//! measured too, and reported separately.

use std::path::Path;

use anyhow::Result;
use testbed::settings::Settings;
use testbed::{Queue, Setup, Worker, free_port};

use crate::arguments::{Arguments, BatchArguments};
use crate::http::Client;
use crate::sender::worker;

/// The variable with flags for V8. Without a limit, V8 keeps hundreds of megabytes of unused buffers.
const V8_FLAGS: &str = "MINIFLARE_WORKERD_V8_FLAGS";

/// A running Worker.
pub(super) struct Dev {
    pub(super) worker: Worker,
    pub(super) client: Client,
    /// The port of its inspector.
    pub(super) inspector: u16,
}

impl Dev {
    /// Starts it in a folder for its configuration, storage and log. Returns when it answers.
    pub(super) async fn start(
        arguments: &Arguments,
        folder: &Path,
        settings: Settings,
        ca: &Path,
        batch: &BatchArguments,
    ) -> Result<Self> {
        let inspector = free_port()?;
        let mut setup = Setup {
            built: arguments.worker.clone(),
            queue: Queue {
                delivery: batch.messages.into(),
                ..Queue::default()
            },
            inspector: Some(inspector),
            ..Setup::new(&arguments.node, folder, settings, ca)
        };
        if batch.heap > 0 {
            let flags = format!("--max-heap-size={}", batch.heap);
            setup.environment.push((V8_FLAGS, flags));
        }
        let (worker, client) = worker::start(setup).await?;
        Ok(Self {
            worker,
            client,
            inspector,
        })
    }
}
