//! A request whose body is sent piece by piece.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use super::{LINES, sale, upload};
use crate::caller::Answer;
use crate::deployment::Caller;
use crate::test_env::{TestEnv, until};

/// Enough time for a request to arrive before the next one is sent.
const HEAD_START: Duration = Duration::from_millis(300);

/// A request in progress, with chunked encoding.
pub(crate) struct Pieces(TcpStream);

impl Pieces {
    /// Sends the headers of a request to `POST /v1/push`.
    pub(super) fn send(env: &TestEnv, headers: &[(&str, &str)]) -> Self {
        Self::post(env, "/v1/push", headers)
    }

    /// Sends the headers of a request to a path.
    pub(crate) fn post(env: &TestEnv, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut connection = TcpStream::connect(env.worker.authority()).unwrap();
        let key = Caller::Both.key();
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: worker\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n"
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        Self(connection)
    }

    /// Begins an upload with a key, and waits until it is known to be in progress. Sends a piece of its body.
    pub(super) fn under_way(env: &TestEnv, key: &str, piece: &str) -> Self {
        let begin = || {
            let mut request = Self::send(env, &[("content-type", LINES), ("idempotency-key", key)]);
            request.piece(piece.as_bytes());
            sleep(HEAD_START);
            request
        };
        let mut request = begin();
        until("an upload under way", || {
            if request.is_answered() {
                // It collided with another upload: a probe of this test, or one whose interruption was not
                // noticed yet.
                request = begin();
            }
            is_under_way(env, key) && !request.is_answered()
        });
        request
    }

    /// Whether it was answered before its end.
    fn is_answered(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        peeked.is_ok()
    }

    /// Sends a piece of the body.
    pub(crate) fn piece(&mut self, piece: &[u8]) {
        self.0
            .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
            .unwrap();
        self.0.write_all(piece).unwrap();
        self.0.write_all(b"\r\n").unwrap();
    }

    /// Ends the body and reads the answer.
    pub(crate) fn end(mut self) -> Answer {
        self.0.write_all(b"0\r\n\r\n").unwrap();
        self.answer().unwrap()
    }

    /// Returns the answer to a request whose body has not ended, if there is one within a second.
    pub(crate) fn early_answer(self) -> Option<Answer> {
        self.0.set_read_timeout(Some(HEAD_START * 3)).unwrap();
        self.0.peek(&mut [0]).ok().filter(|read| *read > 0)?;
        self.0.set_read_timeout(None).unwrap();
        self.answer()
    }

    fn answer(self) -> Option<Answer> {
        let mut reader = BufReader::new(self.0);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1)?.parse().unwrap();
        let mut headers = Vec::new();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap();
            }
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        Some(Answer::new(status, &headers, &String::from_utf8(body).unwrap()))
    }

    /// Closes the connection in the middle of the body, and waits until that is noticed.
    pub(super) fn break_off(self, env: &TestEnv, key: &str) {
        drop(self);
        until("the end of an upload that broke off", || !is_under_way(env, key));
    }
}

/// Whether an upload with this key is in progress. If there is none, the question itself is not an upload and
/// stores nothing.
fn is_under_way(env: &TestEnv, key: &str) -> bool {
    let refused = sale(&["no token".to_owned()]);
    let answer = upload(env, &[("idempotency-key", key)], &refused);
    if answer.status == 409 {
        answer.problem(409, "upload-in-progress");
        return true;
    }
    answer.problem(422, "invalid-request");
    false
}
