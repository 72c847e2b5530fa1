//! The `curl` commands of the documentation: each is a request to a route, with a body that the server reads.

use docs_reader::{Page, pages, shell};

use crate::code::{Form, Route, list, route};
use crate::documents::{campaign_document, import, push, upload};

#[test]
fn every_curl_is_a_request_that_the_server_takes() {
    let mut problems = Vec::new();
    let mut checked = 0;
    for block in pages().iter().flat_map(Page::blocks) {
        if block.language != "sh" || block.norun.is_some() {
            continue;
        }
        for command in shell::commands(&block.text)
            .iter()
            .filter(|command| command.words[0] == "curl")
        {
            checked += 1;
            problems.extend(
                check(command)
                    .err()
                    .map(|problem| format!("{}: {problem}", block.place)),
            );
        }
    }
    assert!(problems.is_empty(), "{}", list(&problems));
    assert!(checked > 5, "{checked}");
}

fn check(command: &shell::Command) -> Result<(), String> {
    let request = Curl::read(command)?;
    let path = request.path.split('?').next().unwrap_or_default();
    let route = Route::find(&request.method, path).map_err(|problem| problem.detail().to_owned())?;
    let is_public = matches!(route, Route::Healthz);
    if !is_public && !request.has("authorization: Bearer $APNS_EDGE_KEY") {
        return Err(format!("{path} needs an API key"));
    }
    let body = request.body.as_deref().unwrap_or_default().as_bytes();
    let is_lines = request.has("content-type: application/x-ndjson");
    match route {
        Route::Push if is_lines => upload(body),
        Route::Push | Route::Preview => push(body),
        Route::CreateCampaign => campaign_document(body),
        Route::Audience {
            endpoint: route::AudienceEndpoint::Import,
            ..
        } => import(body, Form::Unstated),
        _ if body.is_empty() => Ok(()),
        _ => Err(format!("{path} has a body that no test reads")),
    }
}

/// What a `curl` sends.
#[derive(Debug, Default)]
struct Curl {
    method: String,
    path: String,
    headers: Vec<String>,
    body: Option<String>,
}

impl Curl {
    fn read(command: &shell::Command) -> Result<Self, String> {
        let mut curl = Self::default();
        let mut words = command.words.iter().skip(1);
        let mut method = None;
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .cloned()
                    .ok_or_else(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "-X" => method = Some(value()?),
                "-H" => curl.headers.push(value()?.to_lowercase()),
                "--json" => curl.body = Some(value()?),
                "--data-binary" => {
                    let given = value()?;
                    curl.body = if given == "@-" {
                        command.input.clone()
                    } else {
                        Some(given)
                    };
                }
                url if url.starts_with("https://apns-edge.example.workers.dev/") => {
                    let path = url.trim_start_matches("https://apns-edge.example.workers.dev");
                    curl.path = path.to_owned();
                }
                other => return Err(format!("`{other}` is no option of curl that this test knows")),
            }
        }
        let usual = if curl.body.is_some() { "POST" } else { "GET" };
        curl.method = method.unwrap_or_else(|| usual.to_owned());
        Ok(curl)
    }

    fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|has| *has == header.to_lowercase())
    }
}
