//! The control port: the functions of [`Server`] as HTTP/1.1 with JSON.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};

use crate::fault::Fault;
use crate::keys::KeySpec;
use crate::options::{DEFAULT_REQUESTS_KEPT, Latency};
use crate::registration::Registration;
use crate::server::Server;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    offset_ms: i64,
}

/// A fixed latency, or a range.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct LatencyBody {
    ms: u64,
    max_ms: Option<u64>,
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsBody {
    max_concurrent_streams: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ResetBody {
    shown: bool,
    tokens: bool,
}

impl Default for ResetBody {
    fn default() -> Self {
        Self {
            shown: true,
            tokens: false,
        }
    }
}

#[derive(Serialize)]
struct Done {
    ok: bool,
}

#[derive(Serialize)]
struct Registered {
    registered: u64,
}

#[derive(Serialize)]
struct Problem {
    error: String,
}

/// Serves the control port until the server stops.
pub(crate) async fn run(server: Server, listener: TcpListener) {
    let stop = server.stop();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((tcp, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let (server, stop) = (Arc::new(server.clone()), stop.clone());
        server.clone().spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = serve(server, tcp) => {}
            }
        });
    }
}

async fn serve(server: Arc<Server>, tcp: TcpStream) {
    let _ = tcp.set_nodelay(true);
    let service = service_fn(|request| answer(Arc::clone(&server), request));
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(tcp), service)
        .await;
}

async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (parts, incoming) = request.into_parts();
    let body = incoming.collect().await?.to_bytes();
    let path = parts.uri.path().trim_end_matches('/').to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    // Registering a million devices takes a while, so it does not run on a thread that answers pushes.
    let done = tokio::task::spawn_blocking(move || act(&server, &parts.method, &path, &query, &body)).await?;
    let (status, json) = match done {
        Ok(Some(json)) => (StatusCode::OK, json),
        Ok(None) => (
            StatusCode::NOT_FOUND,
            json(&Problem {
                error: "no such operation or device".to_owned(),
            })?,
        ),
        Err(error) => (
            StatusCode::BAD_REQUEST,
            json(&Problem {
                error: format!("{error:#}"),
            })?,
        ),
    };
    let mut response = Response::new(Full::from(json));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Executes a request. Returns `None` if there is no such endpoint.
fn act(server: &Server, method: &Method, path: &str, query: &str, body: &[u8]) -> Result<Option<Vec<u8>>> {
    let done = json(&Done { ok: true });
    let answer = match (method.as_str(), path) {
        ("GET", "/state") => json(&server.state()),
        ("GET", "/shown/summary") => json(&server.shown()),
        ("GET", "/requests") => json(&server.requests(last(query))),
        ("POST", "/devices") => json(&Registered {
            registered: server.register(&read::<Registration>(body)?)?,
        }),
        ("POST", "/faults") => {
            server.fault(read::<Fault>(body)?)?;
            done
        }
        ("DELETE", "/faults") => {
            server.clear_faults();
            done
        }
        ("POST", "/keys") => {
            server.add_key(read::<KeySpec>(body)?)?;
            done
        }
        ("POST", "/clock") => {
            server.set_clock_offset_ms(read::<ClockBody>(body)?.offset_ms);
            done
        }
        ("POST", "/latency") => {
            let latency = read::<LatencyBody>(body)?;
            let min = Duration::from_millis(latency.ms);
            let max = latency.max_ms.map_or(min, Duration::from_millis).max(min);
            server.set_latency(Latency {
                min,
                max,
                seed: latency.seed,
            });
            done
        }
        ("POST", "/limits") => {
            server.set_max_concurrent_streams(read::<LimitsBody>(body)?.max_concurrent_streams);
            done
        }
        ("POST", "/reset") => {
            let reset = if body.is_empty() {
                ResetBody::default()
            } else {
                read(body)?
            };
            server.reset(reset.shown, reset.tokens);
            done
        }
        ("GET", path) if path.starts_with("/devices/") => {
            let views = server.device(path.trim_start_matches("/devices/"));
            return if views.is_empty() {
                Ok(None)
            } else {
                json(&views).map(Some)
            };
        }
        ("DELETE", path) if path.starts_with("/keys/") => {
            return if server.remove_key(path.trim_start_matches("/keys/")) {
                done.map(Some)
            } else {
                Ok(None)
            };
        }
        _ => return Ok(None),
    };
    answer.map(Some)
}

fn last(query: &str) -> usize {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("last="))
        .and_then(|count| count.parse().ok())
        .unwrap_or(DEFAULT_REQUESTS_KEPT)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).context("the body is not what is expected here")
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}
