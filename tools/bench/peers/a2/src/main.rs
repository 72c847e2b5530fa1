//! Sends with the crate a2: one client per process, as its documentation recommends, and several pushes in
//! flight.
//!
//! The protocol of all peers (see docs/internals/benchmark.md): standard input has one request per line, the
//! JSON document that apns-edge accepts over HTTP. Standard output gets one result per line. The program ends
//! when its input ends.

use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use a2::request::notification::DefaultNotificationBuilder;
use a2::{Client, ClientConfig, Error, NotificationBuilder, NotificationOptions, Priority, PushType};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// The most bytes of results per write.
const OUTPUT_BUFFER: usize = 64 * 1024;

/// The fields of apns-edge's request body that this program uses.
#[derive(Deserialize)]
struct Order {
    notification: Notification,
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Notification {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    aps: Aps,
}

#[derive(Deserialize)]
struct Aps {
    alert: Alert,
    badge: u32,
    sound: String,
}

#[derive(Deserialize)]
struct Alert {
    title: String,
    body: String,
}

#[derive(Deserialize)]
struct Device {
    token: String,
    #[serde(rename = "ref")]
    reference: String,
}

#[derive(Serialize)]
struct PushResult {
    #[serde(rename = "ref")]
    reference: String,
    status: &'static str,
    code: u16,
    reason: Option<String>,
    ms: f64,
}

// One thread: several were not faster and used more CPU time.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let key = File::open(variable("APNS_KEY")?)?;
    let client = Client::token(
        key,
        variable("APNS_KEY_ID")?,
        variable("APNS_TEAM_ID")?,
        ClientConfig::default(),
    )?;
    let topic: Arc<str> = variable("APNS_TOPIC")?.into();
    let window = Arc::new(Semaphore::new(variable("WINDOW")?.parse()?));
    let (results, received) = mpsc::unbounded_channel();
    let writer = tokio::task::spawn_blocking(|| write(received));
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = orders.next_line().await? {
        let Order {
            notification,
            devices,
        } = serde_json::from_str(&line)?;
        let notification = Arc::new(notification);
        for device in devices {
            let permit = Arc::clone(&window).acquire_owned().await?;
            let (client, results) = (client.clone(), results.clone());
            let (notification, topic) = (Arc::clone(&notification), Arc::clone(&topic));
            tokio::spawn(async move {
                let result = push(&client, &notification, &topic, device).await;
                // If the writer has failed, nobody reads results any more, and the program ends below.
                let _ = results.send(result);
                drop(permit);
            });
        }
    }
    drop(results);
    writer.await??;
    Ok(())
}

async fn push(client: &Client, notification: &Notification, topic: &str, device: Device) -> PushResult {
    let started = Instant::now();
    let Aps { alert, badge, sound } = &notification.payload.aps;
    let builder = DefaultNotificationBuilder::new()
        .set_title(&alert.title)
        .set_body(&alert.body)
        .set_badge(*badge)
        .set_sound(sound);
    let options = NotificationOptions {
        apns_topic: Some(topic),
        apns_push_type: Some(PushType::Alert),
        apns_priority: Some(Priority::High),
        ..NotificationOptions::default()
    };
    let answer = client.send(builder.build(&device.token, options)).await;
    let (status, code, reason) = match answer {
        Ok(response) => ("accepted", response.code, None),
        Err(Error::ResponseError(response)) => {
            let reason = response.error.map(|body| body.reason.to_string());
            ("rejected", response.code, reason)
        }
        Err(error) => ("failed", 0, Some(error.to_string())),
    };
    PushResult {
        reference: device.reference,
        status,
        code,
        reason,
        ms: started.elapsed().as_secs_f64() * 1000.0,
    }
}

/// Writes results. Those that are available at once share a write.
fn write(mut results: UnboundedReceiver<PushResult>) -> Result<()> {
    let mut out = BufWriter::with_capacity(OUTPUT_BUFFER, io::stdout().lock());
    while let Some(result) = results.blocking_recv() {
        line(&mut out, &result)?;
        while let Ok(result) = results.try_recv() {
            line(&mut out, &result)?;
        }
        out.flush()?;
    }
    Ok(())
}

fn line(out: &mut impl Write, result: &PushResult) -> Result<()> {
    serde_json::to_writer(&mut *out, result)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn variable(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("the variable {name} is not set"))
}
