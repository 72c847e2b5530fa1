//! The runs: every sender at every latency, several times, each time freshly started and warmed up.
//!
//! The senders take turns, so that a machine that becomes slower for a while affects all of them.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use testbed::Mock;
use tokio::signal;
use tokio::time::timeout;

use crate::arguments::Arguments;
use crate::credentials::Credentials;
use crate::figures::{self, Row, Sample, megabytes, milliseconds};
use crate::isolation;
use crate::mock::{self, Setup};
use crate::order::{DEVICES, Orders};
use crate::report::Report;
use crate::sender::{LeftOut, Peer, Running, Sender, Worker};
use crate::{chart, machine, memory, usage};

/// The pushes that warm up a sender: connections are open, code is compiled, pools are full.
pub(crate) const WARM_UP_PUSHES: u64 = 10_000;

/// The time after which the warm-up of a slow sender ends.
pub(crate) const WARM_UP_TIME: Duration = Duration::from_secs(5);

/// The most pushes per request of the warm-up. Each slot for a request is used once between two looks at the
/// clock.
const WARM_UP_ORDER: u64 = 2500;

/// How long a sender may take to open its last connection, if it opens them one after the other, some seconds
/// apart. After that it is measured with the connections that it has.
const OPENING_TIME: Duration = Duration::from_secs(15);

/// The number of pushes per run.
const PUSHES: u64 = 100_000;

/// The number of pushes where [`PUSHES`] would take longer than [`QUICK`].
const FEWER_PUSHES: u64 = 20_000;

/// The most seconds that [`PUSHES`] may take.
const QUICK: f64 = 20.0;

/// The most seconds of any run. A slower sender sends fewer pushes.
const LONGEST: f64 = 60.0;

/// A run that takes this long has failed.
const HANGING: Duration = Duration::from_secs(240);

/// Everything that is needed to start a sender.
pub(crate) struct Bench<'a> {
    arguments: &'a Arguments,
    pub(crate) mock: Mock,
    folder: TempDir,
    isolated: bool,
    keys: u32,
}

/// Measures what was requested and reports it. `isolated` says whether Apple's host name leads to the mock.
pub(crate) fn all(arguments: &Arguments, isolated: bool) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            code = open_and_measure(arguments, isolated) => code,
            // Dropping the other future stops what was started and removes temporary files.
            _ = signal::ctrl_c() => bail!("interrupted"),
            () = isolation::end_of_parent(), if isolated => bail!("interrupted"),
        }
    })
}

async fn open_and_measure(arguments: &Arguments, isolated: bool) -> Result<ExitCode> {
    let mut bench = Bench::open(arguments, isolated).await?;
    if arguments.memory {
        memory::measure(&mut bench, arguments).await
    } else {
        measure(&mut bench, arguments).await
    }
}

async fn measure(bench: &mut Bench<'_>, arguments: &Arguments) -> Result<ExitCode> {
    let mut rows: BTreeMap<(u64, Sender), Row> = BTreeMap::new();
    let mut left_out = arguments.left_out.clone();
    for &latency_ms in &arguments.latency {
        bench.mock.set_latency(latency_ms)?;
        for run in 1..=arguments.runs {
            for sender in arguments.senders() {
                if left_out.iter().any(|left_out| left_out.sender == sender) {
                    continue;
                }
                let pushes = rows.get(&(latency_ms, sender)).map(|row| row.pushes);
                eprint!("{sender}, {latency_ms} ms, run {run} of {}: ", arguments.runs);
                match bench.run(sender, pushes).await {
                    Ok((pushes, sample)) => {
                        eprintln!("{pushes} pushes, {:.0} a second", sample.pushes_per_s);
                        let row = rows.entry((latency_ms, sender)).or_insert_with(|| Row {
                            sender,
                            latency_ms,
                            pushes,
                            samples: Vec::new(),
                        });
                        row.samples.push(sample);
                    }
                    Err(error) => {
                        let because = LeftOut::because(sender, &error);
                        eprintln!("{}", because.reason);
                        rows.retain(|_, row| row.sender != sender);
                        left_out.push(because);
                    }
                }
            }
        }
    }
    let rows: Vec<Row> = rows.into_values().collect();
    let report = Report::new(&rows, &left_out, machine::description(arguments));
    if arguments.json {
        println!("{}", report.json());
    } else {
        println!("{}", report.text());
    }
    if let Some(file) = arguments.chart() {
        chart::draw(&rows, &file)?;
        eprintln!("the chart is in {}", file.display());
    }
    Ok(if rows.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl<'a> Bench<'a> {
    async fn open(arguments: &'a Arguments, isolated: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("apns-edge-bench-").tempdir()?;
        let setup = Setup {
            devices: DEVICES,
            record: "none",
            latency_ms: 0,
        };
        Ok(Self {
            arguments,
            mock: mock::start(&machine::mock(arguments)?, folder.path(), isolated, setup)?,
            folder,
            isolated,
            keys: 0,
        })
    }

    /// Starts a sender with its own key.
    pub(crate) async fn start(&mut self, sender: Sender) -> Result<Running> {
        if sender.host_is_fixed() && !self.isolated {
            bail!(
                "it sends to Apple's host alone, and this machine allows no network of the benchmark's own"
            );
        }
        self.keys += 1;
        let credentials = Credentials::generate(self.keys)?;
        self.mock.add_key(&credentials.registration())?;
        let (mock, folder) = (&self.mock, self.folder.path());
        Ok(match sender.transport() {
            Some(transport) => {
                let workerd = machine::workerd(self.arguments)?;
                let built = &self.arguments.worker;
                let worker = Worker::start(transport, &workerd, built, mock, &credentials, folder).await?;
                Running::Worker(worker)
            }
            None => {
                let node = &self.arguments.node;
                Running::Peer(Peer::start(
                    sender,
                    node,
                    mock,
                    &credentials,
                    folder,
                    self.isolated,
                )?)
            }
        })
    }

    async fn run(&mut self, sender: Sender, pushes: Option<u64>) -> Result<(u64, Sample)> {
        let mut running = self.start(sender).await?;
        let done = timeout(HANGING, self.warm_up_and_run(sender, &mut running, pushes)).await;
        running.stop().await?;
        done.context("it came to no end")?
    }

    async fn warm_up_and_run(
        &self,
        sender: Sender,
        running: &mut Running,
        pushes: Option<u64>,
    ) -> Result<(u64, Sample)> {
        let rate = warm_up(sender, running, &self.mock).await?;
        let pushes = pushes.unwrap_or_else(|| how_many(rate, self.arguments.pushes));
        let process = running.process()?;
        let before = (usage::of_tree(process)?, mock::usage(&self.mock)?);
        let orders = Orders::new(pushes, sender.devices_an_order());
        let answers = running.send(orders, sender.orders_at_once()).await?;
        let after = (usage::of_tree(process)?, mock::usage(&self.mock)?);
        let mut answers = answers.all_accepted(pushes)?;
        let seconds = answers.wall().as_secs_f64().max(f64::MIN_POSITIVE);
        let spent =
            |before: usage::Usage, after: usage::Usage| after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let sample = Sample {
            pushes_per_s: figures::count(pushes) / seconds,
            cpu_us: spent(before.0, after.0) * 1e6 / figures::count(pushes),
            peak_mb: megabytes(after.0.peak),
            first_ms: milliseconds(answers.first()),
            p50_ms: answers.percentile(50),
            p99_ms: answers.percentile(99),
            connections: figures::count(mock::connections(&self.mock)?),
            server_share: spent(before.1, after.1) / seconds,
        };
        Ok((pushes, sample))
    }
}

/// Warms up a sender: the first push of a connection alone, as APNs requires it, then more until the sender
/// has all of its connections. Returns the pushes per second at the end.
pub(crate) async fn warm_up(sender: Sender, running: &mut Running, mock: &Mock) -> Result<f64> {
    running.send(Orders::new(1, 1), 1).await?.all_accepted(1)?;
    let (at_once, devices) = (
        sender.orders_at_once(),
        sender.devices_an_order().min(WARM_UP_ORDER),
    );
    let step = devices * u64::try_from(at_once)?;
    let (started, mut sent) = (Instant::now(), 0);
    loop {
        let answers = running
            .send(Orders::new(step, devices), at_once)
            .await?
            .all_accepted(step)?;
        sent += step;
        let rate = figures::count(step) / answers.wall().as_secs_f64().max(f64::MIN_POSITIVE);
        let elapsed = started.elapsed();
        if sent < WARM_UP_PUSHES && elapsed < WARM_UP_TIME {
            continue;
        }
        let Some(most) = sender.connections() else {
            return Ok(rate);
        };
        let open = mock::connections(mock)?;
        ensure!(open <= most, "it has {open} connections and not {most}");
        if open == most || elapsed >= OPENING_TIME {
            return Ok(rate);
        }
    }
}

/// Returns how many pushes a run sends at this rate per second.
fn how_many(rate: f64, asked: Option<u64>) -> u64 {
    let takes = |pushes: u64| figures::count(pushes) / rate;
    let wanted = asked.unwrap_or(if takes(PUSHES) <= QUICK {
        PUSHES
    } else {
        FEWER_PUSHES
    });
    if takes(wanted) <= LONGEST {
        return wanted;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive, and here smaller than what was asked for"
    )]
    let possible = (rate * LONGEST) as u64;
    possible.max(1)
}

#[cfg(test)]
mod tests {
    use super::how_many;

    #[test]
    fn a_slow_sender_sends_fewer_pushes() {
        assert_eq!(how_many(5000.0, None), 100_000);
        assert_eq!(how_many(4999.0, None), 20_000);
        assert_eq!(how_many(334.0, None), 20_000);
        assert_eq!(how_many(100.0, None), 6000);
    }

    #[test]
    fn what_was_asked_for_is_sent_unless_it_takes_too_long() {
        assert_eq!(how_many(100.0, Some(500)), 500);
        assert_eq!(how_many(100.0, Some(1_000_000)), 6000);
        assert_eq!(how_many(0.001, Some(10)), 1);
    }
}
