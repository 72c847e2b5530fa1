use apns_mock::{Options, Server};

use crate::fake::KEY;
use crate::run::{Folder, Run, bare};

/// Runs the doctor over TLS against an APNs server, which answers but has no doctor.
async fn doctor(authority: Option<&str>) -> Run {
    let options = Options {
        http1: true,
        ..Options::default()
    };
    let server = Server::start(options).await.unwrap();
    let folder = Folder::new();
    let certificate = authority.unwrap_or_else(|| server.ca_pem().unwrap());
    let file = folder.file("ca.pem", certificate);
    let url = format!("https://localhost:{}", server.production_addr().port());
    let mut command = bare(&["doctor", "--url", &url, "--key", KEY, "--attempts", "1"]);
    command.env("SSL_CERT_FILE", file);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let run = Run::of(output.await.unwrap());
    server.shutdown().await;
    run
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_the_system_trusts_is_talked_to() {
    // Apple's words for a path that it does not know.
    let run = doctor(None).await.with_code(3);
    assert!(run.err.starts_with("error: the server refused: "), "{}", run.err);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_the_system_does_not_trust_is_not() {
    let other = Server::start(Options::default()).await.unwrap();
    let authority = other.ca_pem().unwrap().to_owned();
    let run = doctor(Some(&authority)).await.with_code(4);
    assert!(run.err.contains("certificate"), "{}", run.err);
    other.shutdown().await;
}
