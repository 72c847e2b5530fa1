//! A server for one client: gives prepared answers in order, and records the requests.
//!
//! It uses HTTP/1.1 with one request per connection, and bodies with a length or in chunks. A request without
//! a prepared answer fails the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The API key that callers must have.
pub(crate) const KEY: &str = "k3y-of-the-tests";

/// How the server handles a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answers.
    Answer {
        status: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: String,
    },
    /// Answers with this part of a body that should be longer, and closes the connection.
    Broken(String),
    /// Closes the connection after this number of bytes of the request's body.
    Cut(usize),
    /// Answers with these events, and leaves the stream open until the client disconnects.
    Open(String),
}

/// Returns a JSON answer.
pub(crate) fn json(status: u16, body: impl Into<String>) -> Reply {
    Reply::Answer {
        status,
        headers: vec![("content-type", "application/json")],
        body: body.into(),
    }
}

/// Returns a problem. With 503 and for upload-in-progress it has `Retry-After: 0`.
pub(crate) fn problem(status: u16, slug: &str) -> Reply {
    Reply::Answer {
        status,
        headers: vec![("content-type", "application/problem+json"), ("retry-after", "0")],
        body: problem_text(status, slug),
    }
}

/// Returns the document of a problem.
pub(crate) fn problem_text(status: u16, slug: &str) -> String {
    format!(
        r#"{{"type":"urn:apns-edge:problem:{slug}","title":"It is {slug}","status":{status},"detail":"so it is"}}"#
    )
}

/// Returns a stream of events that ends.
pub(crate) fn events(body: impl Into<String>) -> Reply {
    Reply::Answer {
        status: 200,
        headers: vec![("content-type", "text/event-stream")],
        body: body.into(),
    }
}

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method, path and query.
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Returns a header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A running server.
pub(crate) struct Fake {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    expected: usize,
}

impl Fake {
    /// Starts a server that gives these answers in order.
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            expected: replies.len(),
        };
        let requests = Arc::clone(&fake.requests);
        thread::spawn(move || {
            let mut replies = replies.into_iter();
            for stream in listener.incoming() {
                let reply = replies
                    .next()
                    .unwrap_or_else(|| json(599, "the test expects no such request"));
                serve(stream.unwrap(), reply, &requests);
            }
        });
        fake
    }

    /// Returns its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests, of which there must be as many as answers.
    #[track_caller]
    pub(crate) fn requests(&self) -> Vec<Request> {
        let requests = self.requests.lock().unwrap().clone();
        let lines: Vec<&str> = requests.iter().map(|request| request.line.as_str()).collect();
        assert_eq!(requests.len(), self.expected, "{lines:#?}");
        for request in &requests {
            assert_eq!(
                request.header("authorization"),
                Some(format!("Bearer {KEY}").as_str())
            );
        }
        requests
    }

    /// Returns the request lines.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }

    /// Returns the only request.
    #[track_caller]
    pub(crate) fn only(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1);
        requests.remove(0)
    }
}

/// Reads a request, records it, and answers. A client that disconnects is not a failure.
fn serve(stream: TcpStream, reply: Reply, requests: &Mutex<Vec<Request>>) {
    let mut input = BufReader::new(stream.try_clone().unwrap());
    let mut request = head(&mut input);
    if let Reply::Cut(bytes) = reply {
        let mut part = vec![0; bytes];
        input.read_exact(&mut part).unwrap();
        request.body = part;
        requests.lock().unwrap().push(request);
        return;
    }
    request.body = body(&request, &mut input);
    requests.lock().unwrap().push(request);
    let _ = answer(stream, reply);
}

fn head(input: &mut impl BufRead) -> Request {
    let mut lines = input.by_ref().lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let line = first.strip_suffix(" HTTP/1.1").unwrap().to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    Request {
        line,
        headers,
        body: Vec::new(),
    }
}

fn body(request: &Request, input: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            input.read_line(&mut size).unwrap();
            let size = u64::from_str_radix(size.trim(), 16).unwrap();
            input.take(size).read_to_end(&mut body).unwrap();
            input.read_line(&mut String::new()).unwrap();
            if size == 0 {
                return body;
            }
        }
    }
    let length: u64 = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    input.take(length).read_to_end(&mut body).unwrap();
    assert_eq!(body.len() as u64, length, "the caller sent less than it said");
    body
}

fn answer(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Answer {
            status,
            headers,
            body,
        } => {
            write!(stream, "HTTP/1.1 {status} Said\r\nconnection: close\r\n")?;
            for (name, value) in headers {
                write!(stream, "{name}: {value}\r\n")?;
            }
            if status != 204 {
                write!(stream, "content-length: {}\r\n", body.len())?;
            }
            write!(stream, "\r\n{body}")
        }
        Reply::Broken(body) => {
            write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            write!(stream, "{:x}\r\n{body}\r\n", body.len())
        }
        Reply::Open(body) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{body}"
            )?;
            // The caller says nothing more: this ends when it is gone.
            stream.read_to_end(&mut Vec::new()).map(drop)
        }
        Reply::Cut(_) => Ok(()),
    }
}
