//! `cargo xtask bench batch`: measures one durable batch, from its upload to its last receipt.
//!
//! One request uploads the devices as lines, which are generated on the way. The Worker runs under
//! `wrangler dev`, because workerd alone has no queue. While it sends, only the APNs server is polled for the
//! progress, because requests to the Worker would be part of the measurement.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::{HeaderMap, HeaderValue};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tempfile::TempDir;
use testbed::Mock;
use tokio::signal;
use tokio::time::{sleep, timeout};

use crate::arguments::{Arguments, BatchArguments};
use crate::credentials::Credentials;
use crate::machine;
use crate::mock::{self, Setup};
use crate::sender::worker::settings;
use crate::usage::{self, Member};

mod checks;
mod dev;
mod document;
mod figures;
mod isolate;
mod log;
mod price;
mod report;
mod upload;

use dev::Dev;
use figures::{Figures, Looks, Memory};
use isolate::Isolate;

/// The pushes of the warm-up: code is compiled, objects exist, and the connections of the pool open
/// meanwhile.
const WARM_UP_PUSHES: u64 = 20_000;

/// The pause after the warm-up before memory counts as idle.
const SETTLING_TIME: Duration = Duration::from_secs(2);

/// The interval of polling for the first push, once the upload has ended.
const FIRST_PUSH_POLL: Duration = Duration::from_millis(5);

/// The interval of polling for the progress after that.
const POLL: Duration = Duration::from_millis(500);

/// The interval of polling for the end of the batch, once APNs has accepted every push.
const END_POLL: Duration = Duration::from_millis(200);

/// The longest time per push of an upload: more than any upload takes.
const UPLOAD_TIME: Duration = Duration::from_millis(1);

/// A batch that has sent nothing for this long has failed.
const HANGING: Duration = Duration::from_secs(120);

/// Runs the measurement and reports it.
pub(crate) fn run(arguments: &Arguments, batch: &BatchArguments) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let figures = runtime.block_on(async {
        tokio::select! {
            figures = measure(arguments, batch) => figures,
            // Dropping the other future stops what was started and removes temporary files.
            _ = signal::ctrl_c() => bail!("interrupted"),
        }
    })?;
    let text = report::text(&figures, arguments);
    if batch.write {
        let file = document::write(&text)?;
        eprintln!("the figures are in {}", file.display());
    }
    println!("{text}");
    if batch.json {
        println!("{}", report::json(&figures));
    }
    Ok(if figures.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn measure(arguments: &Arguments, batch: &BatchArguments) -> Result<Figures> {
    let folder = tempfile::Builder::new().prefix("apns-edge-bench-").tempdir()?;
    let setup = Setup {
        devices: batch.pushes + WARM_UP_PUSHES,
        record: "count",
        latency_ms: batch.latency,
    };
    let mock = mock::start(&machine::mock(arguments)?, folder.path(), false, setup)?;
    let dev = start(arguments, batch, &mock, &folder).await?;
    let mut isolate = Isolate::watch(&arguments.node, dev.inspector)?;
    let measured = Measurement {
        batch,
        mock: &mock,
        dev: &dev,
    };
    let figures = measured.run(&mut isolate).await;
    let figures = figures.with_context(|| format!("the log ends with\n{}", dev.worker.log_tail()));
    isolate.stop().await?;
    figures
}

async fn start(arguments: &Arguments, batch: &BatchArguments, mock: &Mock, folder: &TempDir) -> Result<Dev> {
    let credentials = Credentials::generate(1)?;
    mock.add_key(&credentials.registration())?;
    let settings = settings(batch.transport(), mock, &credentials)?;
    let folder = folder.path().join("worker");
    Dev::start(arguments, &folder, settings, mock.ca(), batch).await
}

/// A measurement.
struct Measurement<'m> {
    batch: &'m BatchArguments,
    mock: &'m Mock,
    dev: &'m Dev,
}

impl Measurement<'_> {
    async fn run(&self, isolate: &mut Isolate) -> Result<Figures> {
        let pushes = self.batch.pushes;
        self.warm_up().await?;
        let bar = bar(pushes)?;
        isolate.most().await?;
        let heap_idle = isolate.most().await?;
        let idle = self.members()?;
        let (mock_before, log) = (mock::usage(self.mock)?, self.dev.worker.log());
        let (log_before, wasm_kb_idle) = (log.len(), log::wasm_kb(&log));
        let started = Instant::now();
        bar.set_message("uploading");
        let accepted = self.upload(0, pushes).await?;
        let upload = started.elapsed();
        let uploaded = self.members()?;
        let heap_uploaded = isolate.most().await?;
        let id = text(&accepted, "/id")?.to_owned();
        bar.set_message("sending");
        let first = self.sent(pushes, &bar, started).await?;
        let (status, questions) = self.ended(&id).await?;
        let ended = self.members()?;
        let heap_ended = isolate.most().await?;
        bar.finish_and_clear();
        let mock_after = mock::usage(self.mock)?;
        let log = self.log_of(&id, log_before).await?;
        let state = self.mock.state()?;
        let shown = self.mock.shown()?;
        let send = millis_between(text(&status, "/sealed_at")?, text(&status, "/ended_at")?)?;
        Ok(Figures {
            arguments: self.batch.clone(),
            upload,
            send,
            first,
            memory: Looks {
                idle: Memory::of_the_worker(&idle, &ended, heap_idle),
                uploaded: Memory::of_the_worker(&uploaded, &ended, heap_uploaded),
                ended: Memory::of_the_worker(&ended, &ended, heap_ended),
            },
            wasm_kb_idle,
            cpu: figures::processes(&idle, &ended),
            cpu_uploading: figures::of_the_worker(&figures::processes(&idle, &uploaded)),
            server: mock_after.cpu.saturating_sub(mock_before.cpu),
            connections: state
                .get("connections_open")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
            questions,
            faults: checks::faults(&status, &state, &shown, pushes, &log),
            story: log,
        })
    }

    /// Sends pushes to other devices, which are not measured.
    async fn warm_up(&self) -> Result<()> {
        let first = self.batch.pushes;
        let accepted = self.upload(first, WARM_UP_PUSHES).await?;
        self.ended(text(&accepted, "/id")?).await?;
        let state = self.mock.state()?;
        let violations = state.get("violations").map(Value::to_string);
        ensure!(
            state.get("violations_total").and_then(Value::as_u64) == Some(0),
            "the warm-up broke APNs' rules: {}",
            violations.unwrap_or_default()
        );
        self.mock.reset()?;
        sleep(SETTLING_TIME).await;
        Ok(())
    }

    async fn upload(&self, first: u64, pushes: u64) -> Result<Value> {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", HeaderValue::from_static("respond-async"));
        headers.insert("content-type", HeaderValue::from_static("application/x-ndjson"));
        let body = upload::lines(first, pushes);
        let longest = HANGING + UPLOAD_TIME * u32::try_from(pushes)?;
        let accepted = self.dev.client.post_pieces("/v1/push", headers, body);
        timeout(longest, accepted)
            .await
            .context("the upload came to no end")?
    }

    /// Waits until APNs has accepted every push. Returns the time from the end of the upload to the first
    /// one.
    async fn sent(&self, pushes: u64, bar: &ProgressBar, started: Instant) -> Result<Duration> {
        let (uploaded, mut first, mut seen, mut seen_at) = (Instant::now(), None, 0, Instant::now());
        loop {
            let state = self.mock.state()?;
            let accepted = state.get("accepted").and_then(Value::as_u64).unwrap_or_default();
            if accepted > 0 && first.is_none() {
                first = Some(uploaded.elapsed());
            }
            bar.set_position(accepted.min(pushes));
            if accepted >= pushes {
                return Ok(first.unwrap_or_default());
            }
            if accepted > seen {
                (seen, seen_at) = (accepted, Instant::now());
            }
            ensure!(
                seen_at.elapsed() < HANGING,
                "nothing was sent for {} s, {} s after the start: {accepted} of {pushes} pushes were",
                HANGING.as_secs(),
                started.elapsed().as_secs()
            );
            sleep(if first.is_some() { POLL } else { FIRST_PUSH_POLL }).await;
        }
    }

    /// Waits until the batch has ended. Returns its last status, and how often it was polled.
    async fn ended(&self, id: &str) -> Result<(Value, u32)> {
        let since = Instant::now();
        let mut questions = 0;
        while since.elapsed() < HANGING {
            let path = format!("/v1/batches/{id}");
            let status = timeout(HANGING, self.dev.client.get_json(&path));
            let status = status.await.context("the Worker does not answer")??;
            questions += 1;
            if text(&status, "/state")? == "done" {
                return Ok((status, questions));
            }
            sleep(END_POLL).await;
        }
        bail!("the batch did not end");
    }

    /// Returns the log of the batch. Its last line may be written a little later than its end.
    async fn log_of(&self, id: &str, from: usize) -> Result<log::Story> {
        let since = Instant::now();
        loop {
            let log = self.dev.worker.log();
            let log = log.get(from..).unwrap_or_default();
            if log::has_ended(log, id) || since.elapsed() > SETTLING_TIME {
                return log::story(log, id);
            }
            sleep(END_POLL).await;
        }
    }

    fn members(&self) -> Result<Vec<Member>> {
        usage::members(self.dev.worker.process())
    }
}

/// Returns a progress bar on stderr, hidden without a terminal.
fn bar(pushes: u64) -> Result<ProgressBar> {
    let template = "{bar:40} {msg}: {pos} of {len} pushes, {per_sec}, {eta} to go";
    Ok(ProgressBar::new(pushes).with_style(ProgressStyle::with_template(template)?))
}

fn text<'v>(document: &'v Value, pointer: &str) -> Result<&'v str> {
    document
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("{pointer} is missing: {document}"))
}

/// Returns the time between two moments of a status document.
fn millis_between(from: &str, to: &str) -> Result<Duration> {
    let moment = |text: &str| {
        text.parse::<jiff::Timestamp>()
            .with_context(|| format!("`{text}` is no time"))
    };
    Ok(Duration::try_from(moment(to)?.duration_since(moment(from)?))?)
}
