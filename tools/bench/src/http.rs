//! HTTP to programs on this machine.

use std::convert::Infallible;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A client of one base address, which keeps its connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base: String,
    headers: HeaderMap,
    pool: Pool<HttpConnector, UnsyncBoxBody<Bytes, Infallible>>,
}

impl Client {
    /// Creates a client of `http://HOST:PORT`.
    pub(crate) fn new(base: String) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            base,
            headers,
            pool: Pool::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// Adds an API key to each request.
    pub(crate) fn with_key(mut self, key: &str) -> Result<Self> {
        let value = HeaderValue::from_str(&format!("Bearer {key}"))?;
        self.headers.insert(AUTHORIZATION, value);
        Ok(self)
    }

    /// Posts a document. Returns the answer once its headers have arrived, if it is a success. The document
    /// may still be being sent then.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: Bytes,
        accept: &'static str,
    ) -> Result<Response<Incoming>> {
        self.call(Method::POST, path, body, accept).await
    }

    /// Posts a body piece by piece, each generated when the last was sent. Returns the answer's document.
    pub(crate) async fn post_pieces(
        &self,
        path: &str,
        headers: HeaderMap,
        pieces: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Value> {
        let pieces = pieces.map(|piece| Ok(Frame::data(piece)));
        let body = StreamBody::new(pieces).boxed_unsync();
        let answer = self.request(Method::POST, path, headers, body).await?;
        document(answer).await
    }

    /// Reads a document.
    pub(crate) async fn get_json(&self, path: &str) -> Result<Value> {
        let answer = self
            .call(Method::GET, path, Bytes::new(), "application/json")
            .await?;
        document(answer).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        accept: &'static str,
    ) -> Result<Response<Incoming>> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        self.request(method, path, headers, Full::new(body).boxed_unsync())
            .await
    }

    /// Sends a request with the headers of this client and further ones.
    async fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: UnsyncBoxBody<Bytes, Infallible>,
    ) -> Result<Response<Incoming>> {
        let uri: Uri = format!("{}{path}", self.base).parse()?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(headers);
        let answer = self
            .pool
            .request(request)
            .await
            .with_context(|| format!("no answer from {uri}"))?;
        let status = answer.status();
        if !status.is_success() {
            let body = answer.into_body().collect().await?.to_bytes();
            bail!("{uri} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(answer)
    }
}

async fn document(answer: Response<Incoming>) -> Result<Value> {
    let body = answer.into_body().collect().await?.to_bytes();
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&body)
        .with_context(|| format!("this is no JSON: {}", String::from_utf8_lossy(&body)))
}
