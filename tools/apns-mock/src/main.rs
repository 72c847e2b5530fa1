//! The server as a program: starts, prints its addresses as one line of JSON, and runs until it is stopped.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use apns_mock::{
    DEFAULT_REQUESTS_KEPT, DEFAULT_STREAMS, INITIAL_STREAMS, KeySpec, Latency, Options, Record, Server,
    Unknown,
};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// An APNs server that checks every rule, for tests.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address of production
    #[arg(long, default_value = "127.0.0.1:0")]
    production: SocketAddr,
    /// Address of the sandbox
    #[arg(long, default_value = "127.0.0.1:0")]
    sandbox: SocketAddr,
    /// Address of the control port
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Write the certificate authority to trust to this file, in PEM
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Also serve HTTP/1.1 on the push ports
    #[arg(long)]
    http1: bool,
    /// Disable TLS
    #[arg(long)]
    plaintext: bool,
    /// Latency of answers in milliseconds
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Streams per connection before a valid provider token
    #[arg(long, default_value_t = INITIAL_STREAMS)]
    initial_streams: u32,
    /// Streams per connection after a valid provider token
    #[arg(long, default_value_t = DEFAULT_STREAMS)]
    streams: u32,
    /// Number of threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// What to record about notifications
    #[arg(long, value_enum, default_value_t = RecordArgument::All)]
    record: RecordArgument,
    /// How many of the last requests to keep, with --record last or all
    #[arg(long, default_value_t = DEFAULT_REQUESTS_KEPT)]
    requests: usize,
    /// How to treat unknown device tokens
    #[arg(long, value_enum, default_value_t = UnknownArgument::Bad)]
    unknown: UnknownArgument,
    /// Signing keys: a JSON file with a list of bodies of POST /keys
    #[arg(long)]
    keys: Option<PathBuf>,
    /// Enforce the 20 minutes between provider tokens per connection, and not over all connections
    #[arg(long)]
    token_floor_per_connection: bool,
    /// Accept provider tokens in any form of base64, and not only in base64url without padding
    #[arg(long)]
    any_base64: bool,
    /// Reduce a connection's stream limit to 1 after an error, and restore it after a success
    #[arg(long)]
    throttle_on_error: bool,
    /// Log a violation when a device is pushed again after a 410
    #[arg(long)]
    watch_gone: bool,
    /// Stop when standard input ends
    #[arg(long)]
    until_stdin_closes: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RecordArgument {
    /// Nothing
    None,
    /// The number of notifications per device
    Count,
    /// The last notification per device, and the last requests
    Last,
    /// Everything
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UnknownArgument {
    /// As registered for any topic
    Registered,
    /// As BadDeviceToken
    Bad,
}

/// The line on standard output.
#[derive(Serialize)]
struct Ready<'a> {
    production: SocketAddr,
    sandbox: SocketAddr,
    control: SocketAddr,
    ca: Option<&'a PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut runtime = match arguments.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = runtime.enable_all().build().context("cannot start the runtime")?;
    let done = runtime.block_on(run(&arguments));
    // Reading standard input cannot be interrupted, so this does not wait for it.
    runtime.shutdown_background();
    done
}

async fn run(arguments: &Arguments) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::start(options(arguments)?).await?;
    if let Some(path) = &arguments.ca {
        let pem = server.ca_pem().context("--ca has no meaning without TLS")?;
        std::fs::write(path, pem).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let ready = Ready {
        production: server.production_addr(),
        sandbox: server.sandbox_addr(),
        control: server.control_addr(),
        ca: arguments.ca.as_ref(),
    };
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string(&ready)?)?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = end_of_stdin(), if arguments.until_stdin_closes => {}
    }
    server.shutdown().await;
    Ok(())
}

fn options(arguments: &Arguments) -> Result<Options> {
    let keys: Vec<KeySpec> = match &arguments.keys {
        None => Vec::new(),
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice(&text)
                .with_context(|| format!("{} is not a list of keys", path.display()))?
        }
    };
    Ok(Options {
        production: arguments.production,
        sandbox: arguments.sandbox,
        control: arguments.control,
        http1: arguments.http1,
        plaintext: arguments.plaintext,
        initial_streams: arguments.initial_streams,
        max_concurrent_streams: arguments.streams,
        latency: Latency::fixed(Duration::from_millis(arguments.latency)),
        record: match arguments.record {
            RecordArgument::None => Record::None,
            RecordArgument::Count => Record::Count,
            RecordArgument::Last => Record::Last,
            RecordArgument::All => Record::All,
        },
        requests_kept: arguments.requests,
        unknown: match arguments.unknown {
            UnknownArgument::Registered => Unknown::Registered,
            UnknownArgument::Bad => Unknown::Bad,
        },
        global_token_floor: !arguments.token_floor_per_connection,
        any_base64: arguments.any_base64,
        throttle_on_error: arguments.throttle_on_error,
        watch_gone: arguments.watch_gone,
        keys,
        ..Options::default()
    })
}

async fn end_of_stdin() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 256];
    while stdin.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
}
