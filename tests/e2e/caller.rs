//! A caller of the Worker: JSON over HTTP.

use std::io::BufRead;
use std::time::Duration;

use testbed::http;

pub(crate) use testbed::http::Answer;

/// The timeout of an answer. The longest requests have 500 pushes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Sends a request with these headers. Any status is an answer. No answer fails the test.
#[track_caller]
pub(crate) fn call(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_call(method, url, headers, body).unwrap()
}

/// Sends a request that may get no answer.
pub(crate) fn try_call(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Answer> {
    http::call(method, url, headers, body, LIMIT)
}

/// Opens a stream. Returns its media type, and a reader that ends with it.
#[track_caller]
pub(crate) fn stream(url: &str, headers: &[(&str, &str)]) -> (String, impl BufRead + use<>) {
    http::stream(url, headers).unwrap()
}
