//! A caller's endpoint.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// It answers its first messages as it was told, and all others with 200.
pub(super) struct Endpoint {
    port: u16,
    messages: Arc<Mutex<Vec<Message>>>,
}

/// What it was told.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The request's line and its headers.
    pub(super) head: Vec<String>,
    /// Its body.
    pub(super) body: String,
}

impl Endpoint {
    /// Listens until the tests are over.
    pub(super) fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let (log, statuses) = (Arc::clone(&messages), statuses.to_vec());
        thread::spawn(move || {
            let mut statuses = statuses.into_iter();
            for connection in listener.incoming() {
                let Some(message) = connection.ok().and_then(|connection| {
                    let status = statuses.next().unwrap_or(200);
                    answer(connection, status)
                }) else {
                    continue;
                };
                log.lock().unwrap().push(message);
            }
        });
        Self { port, messages }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }
}

impl Message {
    #[track_caller]
    pub(super) fn header(&self, name: &str) -> &str {
        let mut headers = self.head.iter().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name}: {:?}", self.head)).1
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Reads one request of a connection and answers it.
fn answer(connection: TcpStream, status: u16) -> Option<Message> {
    let mut reader = BufReader::new(connection);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut message = Message {
        head,
        body: String::new(),
    };
    let mut body = vec![0; message.header("content-length").parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    message.body = String::from_utf8(body).ok()?;
    let answer = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nLocation: /elsewhere\r\nConnection: close\r\n\r\n"
    );
    reader.get_mut().write_all(answer.as_bytes()).ok()?;
    Some(message)
}
