//! `apns-edge campaign test` and `preview`: a campaign for a few devices.

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::CampaignId;
use crate::client::Method;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::push;
use crate::session::Session;
use crate::warning::{self, Place};

/// Send a campaign now to the devices with these refs only, and print each result
#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    to: To,
}

/// Print what a campaign would send to the devices with these refs; nothing is sent
#[derive(Debug, Args)]
pub(crate) struct Preview {
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Args)]
struct To {
    /// The campaign
    #[arg(value_name = "ID")]
    id: CampaignId,
    /// The ref of a device of the audience; can be repeated
    #[arg(long = "ref", value_name = "REF", required = true)]
    refs: Vec<String>,
}

impl To {
    fn body(&self) -> Value {
        json!({"refs": self.refs})
    }
}

impl Test {
    /// Runs the command. It is not retried if the answer is lost, because devices would show the notification
    /// twice.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let path = format!("{}/test", self.to.id.path());
        let answer = session.client.json(Method::Post, &path, &self.to.body())?;
        push::print(session, &answer, Place::Device(0))
    }
}

impl Preview {
    /// Runs the command.
    pub(crate) fn run(&self, session: &Session) -> Result<Exit, Failure> {
        let path = format!("{}/preview", self.to.id.path());
        let body = self.to.body();
        let answer = session.with_retries(|| session.client.json(Method::Post, &path, &body))?;
        let previews: Previews = serde_json::from_str(&answer.text)
            .map_err(|error| session.client.unreadable(error.to_string()))?;
        warning::print(&answer.text, session.output, Place::Device(0));
        session.output.result(&answer.text, || previews.to_text())?;
        Ok(previews.exit())
    }
}

#[derive(Deserialize)]
struct Previews {
    pushes: Vec<Shown>,
}

/// A preview of a device's notification.
#[derive(Deserialize)]
struct Shown {
    #[serde(rename = "ref")]
    reference: Option<String>,
    token_hint: String,
    request: Option<Request>,
    problem: Option<Entry>,
}

#[derive(Deserialize)]
struct Request {
    headers: Map<String, Value>,
    body: String,
    size: u64,
    limit: u64,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    pointer: String,
    detail: String,
}

impl Previews {
    fn exit(&self) -> Exit {
        let is_fit = |push: &Shown| push.request.is_some();
        if !self.pushes.is_empty() && self.pushes.iter().all(is_fit) {
            Exit::Done
        } else {
            Exit::Undelivered
        }
    }

    fn to_text(&self) -> String {
        if self.pushes.is_empty() {
            return "no device has one of these names".to_owned();
        }
        let pushes: Vec<String> = self.pushes.iter().map(Shown::to_text).collect();
        pushes.join("\n")
    }
}

impl Shown {
    fn to_text(&self) -> String {
        let mut head = self.token_hint.clone();
        if let Some(reference) = &self.reference {
            head.push_str(&format!("  {reference}"));
        }
        if let Some(request) = &self.request {
            head.push_str(&format!("  {} of {} bytes", request.size, request.limit));
        }
        let mut lines = vec![head];
        lines.extend(
            self.problem
                .iter()
                .map(|problem| format!("  at fault: {}", problem.to_text())),
        );
        if let Some(request) = &self.request {
            let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.extend(
                request
                    .headers
                    .iter()
                    .map(|(name, of)| format!("  {name}: {}", value(of))),
            );
            lines.push(format!("  {}", request.body));
        }
        lines.join("\n")
    }
}

impl Entry {
    fn to_text(&self) -> String {
        if self.pointer.is_empty() {
            self.detail.clone()
        } else {
            format!("{}: {}", self.pointer, self.detail)
        }
    }
}
