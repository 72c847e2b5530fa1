//! The speed of a connection and the cost per push. Run with
//! `cargo test --release --test wire load -- --ignored --nocapture`.
//!
//! The mock runs on its own thread; the cost of a push is the CPU time of the sender's thread.

use std::time::Duration;

use apns::Outcome;
use apns_h2::{Connection, Options};
use apns_mock::{Latency, Record, Server};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::support::{client, local, server, tcp, tls};

/// CPU time of this thread.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Starts a mock on its own thread that records nothing.
fn start(plaintext: bool, latency: Duration) -> Server {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let options = apns_mock::Options {
                plaintext,
                latency: Latency::fixed(latency),
                record: Record::None,
                ..apns_mock::Options::default()
            };
            sender.send(server(options).await).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

async fn measure(name: &str, io: impl AsyncRead + AsyncWrite + Unpin + 'static, count: u32, padding: usize) {
    let client = client(io, Options::default()).await;
    let connection: &Connection = &client.connection;
    let mut request = client.request(0);
    let mut body = br#"{"aps":{"alert":"140 bytes"}}"#.to_vec();
    body.resize(body.len().max(padding), b' ');
    request.body = body.into();
    let requests: Vec<_> = (0..count)
        .map(|number| {
            let own = client.request(number);
            apns::Request {
                body: request.body.clone(),
                ..own
            }
        })
        .collect();
    let (start, used) = (Instant::now(), cpu());
    let mut requests = requests.iter();
    let mut next = requests.next();
    let mut under_way = FuturesUnordered::new();
    while next.is_some() || !under_way.is_empty() {
        tokio::select! {
            biased;
            slot = connection.slot(), if next.is_some() => {
                if let Some(request) = next.take() {
                    let slot = slot.unwrap();
                    under_way.push(slot.send(request, &client.template, client.deadline()));
                    next = requests.next();
                }
            }
            Some(outcome) = under_way.next() => {
                assert!(matches!(outcome, Outcome::Answered(ref reply) if reply.status == 200), "{outcome:?}");
            }
        }
    }
    let (took, used) = (start.elapsed(), cpu() - used);
    let counters = connection.counters();
    println!(
        "{name}: {:.0} pushes/s, {:.2} us of CPU a push, {} bytes out and {} in",
        f64::from(count) / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / f64::from(count),
        counters.bytes_out / u64::from(count),
        counters.bytes_in / u64::from(count),
    );
}

#[tokio::test]
#[ignore = "measures, and proves nothing"]
async fn load() {
    for _ in 0..3 {
        for (name, latency, padding) in [
            ("140 bytes", Duration::ZERO, 140),
            ("4 KB", Duration::ZERO, 4096),
            ("140 bytes at 50 ms", Duration::from_millis(50), 140),
        ] {
            local(async {
                let server = start(true, latency);
                measure(
                    &format!("TCP, {name}"),
                    tcp(server.production_addr()).await,
                    200_000,
                    padding,
                )
                .await;
                let server = start(false, latency);
                measure(&format!("TLS, {name}"), tls(&server, &[]).await, 200_000, padding).await;
            })
            .await;
        }
    }
}
