//! The documents that pages show are read as the server reads them.

use std::collections::BTreeMap;

use docs_reader::{Block, pages, root, source};
use serde_json::{Value, json};

use crate::code::{
    Config, Form, Format, Intake, Kind, NOW, Problem, SendRequest, TYPE_PREFIX, Upload, audience, caller,
    campaign, config, list, setting,
};

/// A token that fits everywhere.
const TOKEN: &str = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad";

#[test]
fn every_document_is_read_as_the_server_reads_it() {
    let mut problems = Vec::new();
    let mut checked = 0;
    for block in pages()
        .iter()
        .flat_map(docs_reader::Page::blocks)
        .filter(|block| block.norun.is_none())
    {
        if let Some(read) = read(&block) {
            checked += 1;
            problems.extend(read.err().map(|problem| format!("{}: {problem}", block.place)));
        }
    }
    assert!(problems.is_empty(), "{}", list(&problems));
    assert!(checked > 20, "{checked}");
}

#[test]
fn the_files_in_examples_are_read_as_the_server_reads_them() {
    let read = |file: &str| std::fs::read(root().join("examples").join(file)).unwrap();
    notification(&read("notification.json")).unwrap();
    devices(&read("devices.ndjson")).unwrap();
    import(&read("devices.csv"), Form::Csv).unwrap();
    import(&read("devices.ndjson"), Form::Lines).unwrap();
    campaign_document(&read("campaign.json")).unwrap();
}

/// Reads a block by its kind. `None` if another test checks it.
fn read(block: &Block) -> Option<Result<(), String>> {
    let bytes = block.text.as_bytes();
    Some(match (block.language.as_str(), block.kind.as_str()) {
        ("json", "push") => push(bytes),
        ("json", "notification") => notification(bytes),
        ("json", "campaign") => campaign_document(bytes),
        ("json", "segment") => segment(bytes),
        ("json", "api-keys") => api_keys(&block.text),
        ("json", "problem") => problem(bytes),
        ("json", "response" | "webhook" | "device-list") => response(bytes),
        ("ndjson", "devices") => devices(bytes),
        ("ndjson", "import") => import(bytes, Form::Lines),
        ("csv", "devices") => import(bytes, Form::Csv),
        ("toml", "wrangler") => wrangler(&block.text),
        _ => return None,
    })
}

/// A request to send, which also has no warning.
pub(crate) fn push(body: &[u8]) -> Result<(), String> {
    let config = config();
    let send_request =
        SendRequest::parse(body, caller(&config), &config, [0; 16], NOW).map_err(|problem| said(&problem))?;
    let warnings = serde_json::to_value(&send_request.warnings).map_err(|error| error.to_string())?;
    if warnings == json!({}) {
        Ok(())
    } else {
        Err(format!("has warnings: {warnings}"))
    }
}

fn notification(text: &[u8]) -> Result<(), String> {
    let notification: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    push(
        json!({"notification": notification, "devices": [{"token": TOKEN}]})
            .to_string()
            .as_bytes(),
    )
}

pub(crate) fn campaign_document(body: &[u8]) -> Result<(), String> {
    let config = config();
    let app = config.app("shop").ok_or("no app")?;
    let document = campaign::parse(body).map_err(|problem| said(&problem))?;
    let read = campaign::read("5f3c1f0e8a2b4d6c9e7f00112233aabb", &document, app, &config, NOW);
    read.map(drop).map_err(|problem| said(&problem))
}

fn segment(text: &[u8]) -> Result<(), String> {
    let segment: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let read = audience::read_count(json!({"segment": segment}).to_string().as_bytes());
    read.map(drop).map_err(|problem| said(&problem))
}

fn api_keys(text: &str) -> Result<(), String> {
    let own = |name: &str| (name == "API_KEYS").then(|| text.to_owned());
    let config = Config::load(|name| setting(name, own)).map_err(|faults| faults.to_string())?;
    let faults = config.faults();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.to_string())
    }
}

/// Devices of a batch, behind a first line.
fn devices(lines: &[u8]) -> Result<(), String> {
    let head = br#"{"notification": {"payload": {"aps": {"alert": "x"}}}}"#;
    upload(&[head.as_slice(), b"\n", lines].concat())
}

/// A whole upload in lines.
pub(crate) fn upload(body: &[u8]) -> Result<(), String> {
    let config = config();
    let format = Format::of(Some("application/x-ndjson"), None);
    let mut upload = Upload::new(caller(&config), &config, format, NOW);
    upload.feed(body).map_err(|problem| said(&problem))?;
    upload.finish().map(drop).map_err(|problem| said(&problem))
}

pub(crate) fn import(body: &[u8], form: Form) -> Result<(), String> {
    let config = config();
    let app = config.app("shop").ok_or("no app")?;
    let mut intake = Intake::new(app, 8, form);
    intake.feed(body).map_err(|problem| said(&problem))?;
    let (_, tally) = intake.finish().map_err(|problem| said(&problem))?;
    if tally.invalid == 0 && tally.warnings == 0 && tally.received > 0 {
        Ok(())
    } else {
        Err(format!("{tally:?}"))
    }
}

/// The settings of wrangler's configuration, as the Worker gets them.
fn wrangler(text: &str) -> Result<(), String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let table = serde_json::to_value(table).map_err(|error| error.to_string())?;
    let own = |name: &str| table.pointer(&format!("/vars/{name}")).map(Value::to_string);
    let config = Config::load(|name| setting(name, own)).map_err(|faults| faults.to_string())?;
    let faults = config.faults();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.to_string())
    }
}

/// The problem that a priority of 7 gets.
fn problem(text: &[u8]) -> Result<(), String> {
    let shown: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let body = json!({"notification": {"payload": {"aps": {"alert": "x"}}, "priority": 7}, "devices": [{"token": TOKEN}]});
    let config = config();
    let body = body.to_string();
    let problem = SendRequest::parse(body.as_bytes(), caller(&config), &config, [0; 16], NOW).err();
    let problem = problem.ok_or("a priority of 7 is taken")?;
    let real: Value = serde_json::from_str(&problem.answer().body).map_err(|error| error.to_string())?;
    let slug = real["type"]
        .as_str()
        .and_then(|slug| slug.strip_prefix(TYPE_PREFIX));
    assert!(Kind::ALL.iter().any(|kind| Some(kind.slug()) == slug));
    if shown == real {
        Ok(())
    } else {
        Err(format!("the server says {real}"))
    }
}

/// An answer or an event: each of its names is one that the code writes.
fn response(text: &[u8]) -> Result<(), String> {
    let shown: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let written: String = source::sources().into_iter().map(|(_, text)| text).collect();
    let unknown: Vec<String> = keys(&shown)
        .into_keys()
        .filter(|key| {
            let forms = [
                format!("    {key}:"),
                format!("\"{key}\""),
                format!("r#{key}:"),
                format!("pub {key}:"),
            ];
            !forms.iter().any(|form| written.contains(form))
        })
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(format!("nothing in the code is called {unknown:?}"))
    }
}

fn keys(value: &Value) -> BTreeMap<String, ()> {
    match value {
        Value::Object(map) => {
            let own = map.keys().map(|key| (key.clone(), ()));
            own.chain(map.values().flat_map(keys)).collect()
        }
        Value::Array(list) => list.iter().flat_map(keys).collect(),
        _ => BTreeMap::new(),
    }
}

/// What a problem says.
fn said(problem: &Problem) -> String {
    format!("{}: {}", problem.kind().slug(), problem.detail())
}
