//! apns-edge: the built Worker in workerd, and the caller that posts orders to it.

use std::cell::RefCell;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use ring::digest;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::{config, process};
use crate::credentials::{Credentials, TEAM_ID, TOPIC};
use crate::exchange::Answers;
use crate::http::Client;
use crate::mock::Mock;
use crate::order::{APP, Order, Orders};
use crate::project;

/// How the Worker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// By the platform's `fetch`.
    Fetch,
    /// Over HTTP/2 connections of its own.
    Socket {
        /// How many at most.
        connections: u8,
    },
}

/// What the caller shows the Worker; good on this machine, for this run.
pub(crate) const API_KEY: &str = "the benchmark's own key";

/// The permits for each connection: two orders lease as many as it has streams, while the lease of the one before is on
/// its way back.
const PERMITS_A_CONNECTION: u32 = 3000;

/// How long the Worker may take to answer for the first time.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How often it is asked whether it answers.
const POLL: Duration = Duration::from_millis(20);

/// Runs its arguments, and ends its whole process group as soon as either these or its standard input ended: workerd
/// and wrangler themselves would not notice.
pub(crate) const WATCHED: &str = r#"("$@"; kill 0) </dev/null & read -r _; kill 0"#;

/// How results come: a line each, as each is known.
const LINES: &str = "application/x-ndjson";

/// How results come: all in one document.
const DOCUMENT: &str = "application/json";

/// A running Worker.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    client: Client,
    transport: Transport,
}

impl Worker {
    /// Starts workerd with the Worker built into `built`, and returns when it sends as it should. `folder` takes its
    /// configuration, its storage and its log.
    pub(crate) async fn start(
        transport: Transport,
        workerd: &Path,
        built: &Path,
        mock: &Mock,
        credentials: &Credentials,
        folder: &Path,
    ) -> Result<Self> {
        let address = free_address()?;
        let folder = folder.join(&credentials.key_id);
        fs::create_dir_all(&folder)?;
        let settings = settings(transport, mock, credentials);
        let wrangler = project::root().join("wrangler.toml");
        let file = config::write(&folder, built, &wrangler, &settings, mock.ca(), address)?;
        let log = folder.join("log");
        let mut command = Command::new("sh");
        command
            .args(["-c", WATCHED, "sh"])
            .arg(workerd)
            .arg("serve")
            .arg("--experimental")
            .arg(file)
            .process_group(0)
            // What the Worker logs of each request is not of interest.
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = process::spawn(&mut command)?;
        let client = Client::new(format!("http://{address}")).with_key(API_KEY)?;
        let mut worker = Self {
            child,
            client,
            transport,
        };
        let ready = worker.wait().await;
        ready.with_context(|| fs::read_to_string(log).unwrap_or_default())?;
        worker.sends_by_its_transport().await?;
        Ok(worker)
    }

    pub(super) fn process(&self) -> Result<u32> {
        self.child.id().context("workerd has ended")
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

    pub(super) async fn stop(self) -> Result<()> {
        process::stop(self.child, None).await
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

    async fn wait(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            let Err(error) = self.client.get_json("/healthz").await else {
                return Ok(());
            };
            if self.child.try_wait()?.is_some() {
                bail!("workerd has ended");
            }
            ensure!(
                started.elapsed() < START_LIMIT,
                "the Worker does not get ready: {error:#}"
            );
            sleep(POLL).await;
        }
    }

    /// Sends one push and looks at how it went: a Worker that does not know the setting uses another transport.
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
    /// Its name in the Worker's settings and answers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Socket { .. } => "socket",
        }
    }
}

/// Takes the results out of an answer as they come.
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

/// The variables and secrets of a Worker that sends to the mock.
pub(crate) fn settings(
    transport: Transport,
    mock: &Mock,
    credentials: &Credentials,
) -> Vec<(String, String)> {
    let key_id = &credentials.key_id;
    let app = json!({ "team_id": TEAM_ID, "key_id": key_id, "topic": TOPIC, "environment": "production" });
    let api_key = digest::digest(&digest::SHA256, API_KEY.as_bytes());
    let api_key: String = api_key
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // By name, because the mock's certificate is for `localhost`.
    let origin = format!("https://localhost:{}", mock.port());
    let mut settings = vec![
        ("APPS".to_owned(), json!({ APP: app }).to_string()),
        (
            "API_KEYS".to_owned(),
            json!([{ "name": APP, "sha256": api_key, "apps": [APP] }]).to_string(),
        ),
        (
            "APNS_ORIGINS".to_owned(),
            json!({ "production": origin }).to_string(),
        ),
        (format!("APNS_KEY_{key_id}"), credentials.private_pem.clone()),
        ("TRANSPORT".to_owned(), transport.name().to_owned()),
    ];
    if let Transport::Socket { connections } = transport {
        // One socket for each connection object, and permits for as many orders as are under way.
        let permits = u32::from(connections) * PERMITS_A_CONNECTION;
        settings.extend([
            ("MAX_CONNECTIONS".to_owned(), connections.to_string()),
            ("SOCKETS_PER_CONNECTION".to_owned(), "1".to_owned()),
            ("PERMITS".to_owned(), permits.to_string()),
        ]);
    }
    settings
}

/// An address that nobody listens on right now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
