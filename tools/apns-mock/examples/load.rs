//! Measures how many requests per second the server answers, and the CPU time per request, on one HTTP/2
//! connection over TLS with 1000 streams.
//!
//! `cargo run --release -p apns-mock --example load -- [requests] [streams] [payload bytes] [latency ms]`.
//! Server and client have one thread each. The CPU time of each is read from `/proc`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use apns_mock::{
    DeviceRange, Environment, KeySpec, Latency, Options, Record, Registration, Server, Standing,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderValue, Request};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const TOPIC: &str = "com.example.app";
const DEVICES: u64 = 100_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (requests, streams, payload) = (number(1_000_000)?, number(1000)?, number(200)?);
    let latency_ms = number(0)?;
    let (report, ready) = std::sync::mpsc::channel();
    let latency = Latency::fixed(Duration::from_millis(latency_ms));
    std::thread::Builder::new()
        .name("server".to_owned())
        .spawn(move || serve(latency, &report))?;
    let (server, token) = ready.recv()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(drive(&server, &token, requests, streams, payload))
}

/// Runs the server's thread. An error closes the channel, which ends the run.
fn serve(latency: Latency, report: &Sender<(Server, String)>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (key, token) = credentials()?;
        let options = Options {
            record: Record::None,
            keys: vec![key],
            latency,
            ..Options::default()
        };
        let server = Server::start(options).await?;
        server.register(&Registration {
            environment: Environment::Production,
            topic: Some(TOPIC.to_owned()),
            state: Standing::Registered,
            since: None,
            tokens: Vec::new(),
            range: Some(DeviceRange {
                prefix: String::new(),
                first: 0,
                count: DEVICES,
            }),
        })?;
        report.send((server, token))?;
        std::future::pending().await
    })
}

async fn drive(server: &Server, token: &str, requests: u64, streams: u64, payload: u64) -> Result<()> {
    let mut client = connect(server).await?;
    let authorization = HeaderValue::from_str(&format!("bearer {token}"))?;
    let filler = "x".repeat(usize::try_from(payload)?.saturating_sub(24));
    let payload = Bytes::from(format!(r#"{{"aps":{{"alert":"{filler}"}}}}"#));
    push(&mut client, &authorization, payload.clone(), 0).await?;
    while client.clone().ready().await?.current_max_send_streams() < 2 {
        tokio::task::yield_now().await;
    }

    let before = (Instant::now(), cpu("server")?, cpu("load")?);
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = Vec::new();
    for _ in 0..streams {
        let (mut client, next) = (client.clone(), Arc::clone(&next));
        let (authorization, payload) = (authorization.clone(), payload.clone());
        workers.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return Ok::<_, anyhow::Error>(());
                }
                push(&mut client, &authorization, payload.clone(), number).await?;
            }
        }));
    }
    for worker in workers {
        worker.await??;
    }
    let wall = before.0.elapsed().as_secs_f64();
    let per_request = |seconds: f64| seconds * 1e6 / requests as f64;
    let (server_cpu, client_cpu) = (cpu("server")? - before.1, cpu("load")? - before.2);
    println!(
        "{requests} requests in {wall:.2} s: {:.0}/s; server {:.2} us CPU each ({:.0}/s on a full core), client {:.2} us",
        requests as f64 / wall,
        per_request(server_cpu),
        requests as f64 / server_cpu,
        per_request(client_cpu),
    );
    let state = server.state();
    println!(
        "peak in flight {}, violations {:?}",
        state.peak_in_flight, state.violations
    );
    Ok(())
}

async fn push(
    client: &mut SendRequest<Bytes>,
    authorization: &HeaderValue,
    payload: Bytes,
    number: u64,
) -> Result<()> {
    let mut id = HeaderValue::from_str(&format!("00000000-0000-4000-8000-{number:012x}"))?;
    id.set_sensitive(true);
    let request = Request::post(format!("https://localhost/3/device/{:064x}", number % DEVICES))
        .header("authorization", authorization)
        .header("apns-topic", TOPIC)
        .header("apns-push-type", "alert")
        .header("apns-priority", "10")
        .header("apns-id", id)
        .body(())?;
    let mut ready = client.clone().ready().await?;
    let (response, mut body) = ready.send_request(request, false)?;
    body.send_data(payload, true)?;
    let response = response.await?;
    anyhow::ensure!(response.status() == 200, "answered {}", response.status());
    Ok(())
}

async fn connect(server: &Server) -> Result<SendRequest<Bytes>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(
        server.ca_pem().context("no TLS")?.as_bytes(),
    )?)?;
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = tokio::net::TcpStream::connect(server.production_addr()).await?;
    tcp.set_nodelay(true)?;
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into()?, tcp)
        .await?;
    let (client, connection) = h2::client::handshake(tls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Creates a key for this run, and a token signed with it.
fn credentials() -> Result<(KeySpec, String)> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let random = SystemRandom::new();
    let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.serialized_der(), &random)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"LOADTEST01"}"#),
        URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"TEAMTEST01","iat":{now}}}"#)),
    );
    let signature = signer
        .sign(&random, signed.as_bytes())
        .map_err(|_| anyhow::anyhow!("cannot sign"))?;
    let key = KeySpec {
        team_id: "TEAMTEST01".to_owned(),
        key_id: "LOADTEST01".to_owned(),
        public_key_pem: pair.public_key_pem(),
        environments: Environment::ALL.to_vec(),
        topics: None,
        related_key_id: None,
    };
    Ok((key, format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// Returns the CPU seconds of the thread with this name, from Linux's `/proc`.
fn cpu(thread: &str) -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    for entry in std::fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        if std::fs::read_to_string(path.join("comm"))?.trim() == thread {
            let stat = std::fs::read_to_string(path.join("stat"))?;
            let fields: Vec<&str> = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
            let (user, system) = (ticks(11).context("utime")?, ticks(12).context("stime")?);
            return Ok((user + system) / TICKS_PER_SECOND);
        }
    }
    anyhow::bail!("no thread is called {thread}")
}
