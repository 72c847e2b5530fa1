//! The webhook of a caller.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// Answers its first messages with given statuses, and all others with 200.
pub(crate) struct Endpoint {
    port: u16,
    messages: Arc<Mutex<Vec<Message>>>,
}

/// The status of a message that is never answered. Its connection stays open.
pub(crate) const NEVER: u16 = 0;

/// A message that it received.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The request line and the headers.
    pub(crate) head: Vec<String>,
    /// Its body.
    pub(crate) body: String,
}

impl Endpoint {
    /// Listens until all tests have ended.
    pub(crate) fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let (log, statuses) = (Arc::clone(&messages), statuses.to_vec());
        thread::spawn(move || {
            let mut statuses = statuses.into_iter();
            let mut unanswered = Vec::new();
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { continue };
                let Some(message) = read(&connection) else {
                    continue;
                };
                log.lock().unwrap().push(message);
                match statuses.next().unwrap_or(200) {
                    NEVER => unanswered.push(connection),
                    status => {
                        let _ = connection.write_all(answer(status).as_bytes());
                    }
                }
            }
        });
        Self { port, messages }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }
}

impl Message {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.head.iter().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name}: {:?}", self.head)).1
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Reads one request from a connection.
fn read(connection: &TcpStream) -> Option<Message> {
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
    Some(message)
}

fn answer(status: u16) -> String {
    format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nLocation: /elsewhere\r\nConnection: close\r\n\r\n"
    )
}
