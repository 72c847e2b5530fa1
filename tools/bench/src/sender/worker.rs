//! apns-edge: the built Worker in workerd, and a client that posts requests to it.
//!
//! workerd runs the Worker directly and not under `wrangler dev`, whose proxies serve development and would
//! be part of the measurement.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use testbed::settings::{self, Caller, Settings};
use testbed::{Mock, Runner, Setup};
use tokio::time::sleep;

use crate::credentials::Credentials;
use crate::exchange::Answers;
use crate::http::Client;
use crate::order::{APP, Order, Orders};

/// The Worker's transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// The platform's `fetch`.
    Fetch,
    /// The Worker's own HTTP/2 connections.
    Socket {
        /// The most connections.
        connections: u8,
    },
}

/// The API key of this run.
const API_KEY: &str = "the benchmark's own key";

/// The permits per connection. Two requests together lease as many as a connection has streams, while the
/// previous lease is being returned.
const PERMITS_A_CONNECTION: u32 = 3000;

/// How long the Worker may take until its first answer.
const START_LIMIT: Duration = Duration::from_secs(90);

/// The interval of polling for that answer.
const POLL: Duration = Duration::from_millis(20);

/// The media type of results as lines, each sent when it is known.
const LINES: &str = "application/x-ndjson";

/// The media type of results in one document.
const DOCUMENT: &str = "application/json";

/// A running Worker.
#[derive(Debug)]
pub(crate) struct Worker {
    worker: testbed::Worker,
    client: Client,
    transport: Transport,
}

impl Worker {
    /// Starts workerd with the Worker in `built`, and returns when it sends correctly. `folder` is for its
    /// configuration, storage and log.
    pub(crate) async fn start(
        transport: Transport,
        workerd: &Path,
        built: &Path,
        mock: &Mock,
        credentials: &Credentials,
        folder: &Path,
    ) -> Result<Self> {
        let folder = folder.join(&credentials.key_id);
        let settings = settings(transport, mock, credentials)?;
        let (worker, client) = start(Setup {
            runner: Runner::Workerd(workerd.to_owned()),
            built: built.to_owned(),
            ..Setup::new(Path::new("node"), &folder, settings, mock.ca())
        })
        .await?;
        let worker = Self {
            worker,
            client,
            transport,
        };
        worker.sends_by_its_transport().await?;
        Ok(worker)
    }

    pub(super) fn process(&self) -> u32 {
        self.worker.process()
    }

    pub(super) async fn send(&mut self, orders: Orders, at_once: usize) -> Result<Answers> {
        let answers = RefCell::new(Answers::from_now_on());
        stream::iter(orders)
            .map(|order| self.order(order, &answers))
            .buffer_unordered(at_once)
            .try_collect::<()>()
            .await?;
        Ok(answers.into_inner())
    }

    async fn order(&self, order: Order, answers: &RefCell<Answers>) -> Result<()> {
        match self.transport {
            Transport::Fetch => {
                let answer = self.client.post("/v1/push", order.body, DOCUMENT).await?;
                let body = answer.into_body().collect().await?.to_bytes();
                answers.borrow_mut().document(&body)
            }
            Transport::Socket { .. } => {
                let answer = self.client.post("/v1/push", order.body, LINES).await?;
                read_lines(answer.into_body(), answers).await
            }
        }
    }

    /// Checks the transport of one push: a Worker that does not know the setting would use another one.
    async fn sends_by_its_transport(&self) -> Result<()> {
        let order = Orders::new(1, 1).next().context("an order for one device")?;
        let answer = self.client.post("/v1/push", order.body, DOCUMENT).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        let answer: Value = serde_json::from_slice(&body)?;
        let used = answer
            .get("transport")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let name = self.transport.name();
        ensure!(used == name, "the Worker does not send by {name} but by {used}");
        Ok(())
    }
}

impl Transport {
    /// Returns its name in the Worker's settings and answers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Socket { .. } => "socket",
        }
    }
}

/// Reads results from an answer as they arrive.
async fn read_lines(mut body: Incoming, answers: &RefCell<Answers>) -> Result<()> {
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        rest.extend_from_slice(&data);
        let mut answers = answers.borrow_mut();
        let mut start = 0;
        for (end, _) in rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            answers.line(rest.get(start..end).unwrap_or_default())?;
            start = end + 1;
        }
        rest.drain(..start);
    }
    if !rest.is_empty() {
        answers.borrow_mut().line(&rest)?;
    }
    Ok(())
}

/// Starts a Worker and returns when it answers, with a client that has the key of [`settings()`].
pub(crate) async fn start(setup: Setup) -> Result<(testbed::Worker, Client)> {
    let mut worker = testbed::Worker::launch(setup)?;
    let started = Instant::now();
    while !worker.is_ready()? {
        ensure!(
            started.elapsed() < START_LIMIT,
            "the Worker does not get ready:\n{}",
            worker.log_tail()
        );
        sleep(POLL).await;
    }
    let client = Client::new(worker.url("")).with_key(API_KEY)?;
    Ok((worker, client))
}

/// Returns the variables and secrets of a Worker that sends to the mock.
pub(crate) fn settings(transport: Transport, mock: &Mock, credentials: &Credentials) -> Result<Settings> {
    let app = (credentials.app(), credentials.key.private_pem.clone());
    let caller = Caller {
        name: APP.to_owned(),
        key: API_KEY.to_owned(),
        apps: json!([APP]),
    };
    let origins = settings::origins(mock.port("production")?, mock.port("sandbox")?);
    let mut settings = settings::settings(&[app], &[caller], origins);
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    set("TRANSPORT", transport.name().to_owned());
    if let Transport::Socket { connections } = transport {
        // One socket per connection object, and permits for all requests in flight.
        let permits = u32::from(connections) * PERMITS_A_CONNECTION;
        set("MAX_CONNECTIONS", connections.to_string());
        set("SOCKETS_PER_CONNECTION", "1".to_owned());
        set("PERMITS", permits.to_string());
    }
    Ok(settings)
}
