//! `cargo xtask demo campaign`: imports an audience and schedules a campaign, which the platform's cron
//! trigger starts.
//!
//! `wrangler dev` does not fire cron triggers by itself. So the demo waits for the minute and fires the
//! trigger at wrangler's URL for that, twice, as the platform may. The rest is the Worker's `scheduled`
//! event.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Args, value_parser};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Options;
use super::fleet::Fleet;
use crate::interrupt::Interrupt;
use crate::stack::{APP, Stack};

/// Import an audience, schedule a campaign for the next minute, and watch its run
#[derive(Debug, Args)]
pub(crate) struct Campaign {
    /// Number of devices of the audience
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = value_parser!(u32).range(1..))]
    devices: u32,
    #[command(flatten)]
    options: Options,
}

impl Campaign {
    /// Runs the demo.
    pub(crate) fn run(&self) -> Result<()> {
        let interrupt = Interrupt::catch()?;
        let stack = self.options.start(&interrupt)?;
        let fleet = Fleet::of(usize::try_from(self.devices)?);
        fleet.register(&stack.mock)?;
        stack.put(
            &format!("/v1/audiences/{AUDIENCE}"),
            &json!({ "app": APP.name, "shards": SHARDS }),
        )?;
        let imported = import(&stack, &fleet, &interrupt)?;
        let campaign = stack.post("/v1/campaigns", &campaign())?;
        let id = text(&campaign, "id")?;
        eprintln!(
            "campaign {id} is {}, next at {}",
            text(&campaign, "state")?,
            text(&campaign, "next_at")?
        );
        await_minute(&interrupt)?;
        let fired = Instant::now();
        for _ in 0..2 {
            stack.worker.fire_trigger()?;
        }
        let batch = watch(&stack, &id, &interrupt)?;
        let took = fired.elapsed();
        stack.post(&format!("/v1/campaigns/{id}/cancel"), &json!({}))?;
        let outcome = Outcome::read(&stack, &id, imported, batch)?;
        if self.options.json {
            println!("{}", outcome.json());
        } else {
            println!("{}", outcome.text(took));
        }
        if !self.options.once {
            println!(
                "\nThe Worker is up at {} until you press Ctrl-C.",
                stack.worker.url("")
            );
            println!("Its API key is {}", stack.api_key);
            interrupt.wait();
        }
        Ok(())
    }
}

/// Imports the devices. Returns the number of new ones.
fn import(stack: &Stack, fleet: &Fleet, interrupt: &Interrupt) -> Result<u64> {
    let devices = fleet.devices();
    let bar = bar(u64::try_from(devices.len())?, "devices imported")?;
    let (mut added, mut invalid) = (0, 0);
    for devices in devices.chunks(IMPORTED_AT_ONCE) {
        interrupt.check()?;
        let lines: String = devices
            .iter()
            .enumerate()
            .map(|(number, device)| line(device, number))
            .collect();
        let answer = stack.lines(&format!("/v1/audiences/{AUDIENCE}/devices"), &lines)?;
        added += number(&answer, "added");
        invalid += number(&answer, "invalid");
        bar.inc(u64::try_from(devices.len())?);
    }
    bar.finish_and_clear();
    eprintln!("{added} devices imported into {SHARDS} shards, {invalid} lines were bad");
    Ok(added)
}

fn line(device: &super::fleet::Device, number: usize) -> String {
    let locale = LOCALES.get(number % LOCALES.len()).copied().unwrap_or_default();
    let mut line = json!({
        "token": device.token, "ref": device.reference, "locale": locale, "tags": ["news"],
        "attributes": { "first_name": format!("User {number}") }, "registered_at": REGISTERED_AT,
    })
    .to_string();
    line.push('\n');
    line
}

fn campaign() -> Value {
    json!({
        "name": "Every minute's news",
        "audience": AUDIENCE,
        "segment": { "eq": { "tags": "news" } },
        "notification": {
            "payload": { "aps": { "alert": { "title": "News", "body": "Good morning, {{ first_name }}" } } },
            "expiration": "1h",
        },
        "variants": { "de": { "aps": { "alert": { "body": "Guten Morgen, {{ first_name }}" } } } },
        "schedule": { "cron": "* * * * *", "time_zone": "UTC" },
    })
}

/// Waits until the next minute begins.
fn await_minute(interrupt: &Interrupt) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    // A little later, because the platform's triggers are late too.
    let left = Duration::from_secs(60 - now.as_secs() % 60) + Duration::from_millis(500);
    let bar = ProgressBar::new(left.as_secs());
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos} of {len} s until the next minute",
    )?);
    let until = Instant::now() + left;
    while Instant::now() < until {
        interrupt.pause()?;
        let rest = until.saturating_duration_since(Instant::now());
        bar.set_position(left.as_secs().saturating_sub(rest.as_secs()));
    }
    bar.finish_and_clear();
    Ok(())
}

/// Watches the run until its end. Returns its batch's document.
fn watch(stack: &Stack, id: &str, interrupt: &Interrupt) -> Result<Value> {
    let started = Instant::now();
    let mut progress: Option<ProgressBar> = None;
    loop {
        interrupt.check()?;
        sleep(LOOK);
        let runs = stack.get(&format!("/v1/campaigns/{id}/runs"))?;
        let run = runs.pointer("/runs/0").cloned().unwrap_or_default();
        if let Some(batch) = run.get("batch").and_then(Value::as_str)
            && let Ok(document) = stack.get(&format!("/v1/batches/{batch}"))
        {
            let counts = document.get("counts").cloned().unwrap_or_default();
            let ended: u64 = ["accepted", "rejected", "failed", "cancelled"]
                .iter()
                .map(|name| number(&counts, name))
                .sum();
            let bar = match &progress {
                Some(bar) => bar,
                None => progress.insert(bar(0, "pushes sent")?),
            };
            bar.set_length(number(&document, "pushes"));
            bar.set_position(ended);
            if run.get("state").and_then(Value::as_str) == Some("done") {
                bar.finish_and_clear();
                return Ok(document);
            }
        }
        if started.elapsed() > LONGEST {
            bail!("the run does not end: {run}\n{}", stack.worker.log_tail());
        }
    }
}

/// The results of the run.
struct Outcome {
    summary: Value,
    reasons: Vec<Value>,
    suspects: u64,
    left: u64,
}

impl Outcome {
    fn read(stack: &Stack, id: &str, imported: u64, batch: Value) -> Result<Self> {
        let runs = stack.get(&format!("/v1/campaigns/{id}/runs"))?;
        let runs = runs.get("runs").and_then(Value::as_array).map_or(0, Vec::len);
        let shown = stack.mock.shown()?;
        let duplicates = number(&shown, "shown") + number(&shown, "replaced");
        let audience = stack.get(&format!("/v1/audiences/{AUDIENCE}"))?;
        let counts = batch.get("counts").cloned().unwrap_or_default();
        let summary = json!({
            "devices": imported,
            "sent": number(&batch, "pushes"),
            "accepted": number(&counts, "accepted"),
            "gone": number(&counts, "gone"),
            "runs": runs,
            "duplicates": duplicates.saturating_sub(number(&shown, "devices")),
        });
        Ok(Self {
            summary,
            reasons: batch
                .get("reasons")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            suspects: number(&audience, "suspects"),
            left: number(&audience, "devices"),
        })
    }

    fn json(&self) -> String {
        self.summary.to_string()
    }

    fn text(&self, took: Duration) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["status", "APNs", "reason", "pushes"]);
        for reason in &self.reasons {
            let word = |name: &str| {
                reason
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let code = number(reason, "code").to_string();
            table.add_row([
                word("status"),
                code,
                word("reason"),
                number(reason, "count").to_string(),
            ]);
        }
        format!(
            "{table}\n{} of {} devices were sent to in {:.1} s after the trigger, by {} run; no device got it twice: {}\n\
             The audience has {} devices left, of which {} are suspect",
            number(&self.summary, "sent"),
            number(&self.summary, "devices"),
            took.as_secs_f64(),
            number(&self.summary, "runs"),
            number(&self.summary, "duplicates") == 0,
            self.left,
            self.suspects,
        )
    }
}

fn bar(length: u64, what: &str) -> Result<ProgressBar> {
    let template = format!("{{bar:40}} {{pos}} of {{len}} {what}, {{per_sec}}");
    Ok(ProgressBar::new(length).with_style(ProgressStyle::with_template(&template)?))
}

fn number(document: &Value, name: &str) -> u64 {
    document.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn text(document: &Value, name: &str) -> Result<String> {
    let text = document.get(name).and_then(Value::as_str);
    Ok(text
        .with_context(|| format!("the answer has no {name}: {document}"))?
        .to_owned())
}

const AUDIENCE: &str = "readers";

const SHARDS: u32 = 8;

/// In the past, so that the device counts as gone: APNs' timestamp must be later than its registration.
const REGISTERED_AT: &str = "2024-01-01T00:00:00Z";

const LOCALES: [&str; 4] = ["en-GB", "de-AT", "en", "fr"];

/// The number of devices per import request: several requests are needed, so that the progress bar moves.
const IMPORTED_AT_ONCE: usize = 2000;

/// The interval of polling for the progress of the run.
const LOOK: Duration = Duration::from_millis(250);

/// The most time of a run.
const LONGEST: Duration = Duration::from_secs(600);
