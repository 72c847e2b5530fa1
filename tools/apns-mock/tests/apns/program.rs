//! The server as a program.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::control::call;

fn start(arguments: &[&str]) -> (Child, BufReader<ChildStdout>, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_apns-mock"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    (child, out, serde_json::from_str(&line).unwrap())
}

#[tokio::test]
async fn it_says_where_it_listens_in_one_line_and_stops_with_its_stdin() {
    let ca = std::env::temp_dir().join(format!("apns-mock-test-{}.pem", std::process::id()));
    let ca_text = ca.to_str().unwrap();
    let (mut child, mut out, ready) = start(&["--ca", ca_text, "--until-stdin-closes", "--record", "count"]);
    assert_eq!(ready["ca"], ca_text);
    assert!(
        std::fs::read_to_string(&ca)
            .unwrap()
            .starts_with("-----BEGIN CERTIFICATE-----")
    );
    std::fs::remove_file(&ca).unwrap();
    for name in ["production", "sandbox", "control"] {
        ready[name].as_str().unwrap().parse::<SocketAddr>().unwrap();
    }
    let control = ready["control"].as_str().unwrap().parse().unwrap();
    assert_eq!(call(control, "GET", "/state", None).await.0, 200);

    drop(child.stdin.take());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

#[tokio::test]
async fn it_stops_cleanly_when_told_to() {
    for threads in ["1", "2"] {
        let (mut child, _out, ready) = start(&["--plaintext", "--threads", threads]);
        assert_eq!(ready["ca"], Value::Null);
        let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(told.success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
