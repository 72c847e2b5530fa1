//! HTTP with programs on this machine.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// One base address, with connections that are kept.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base: String,
    headers: HeaderMap,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of `http://HOST:PORT`.
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

    /// The same, showing a key with each request.
    pub(crate) fn with_key(mut self, key: &str) -> Result<Self> {
        let value = HeaderValue::from_str(&format!("Bearer {key}"))?;
        self.headers.insert(AUTHORIZATION, value);
        Ok(self)
    }

    /// Sends a document and returns the answer as it begins, if it is a success. The document goes out while the answer
    /// comes in.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: Bytes,
        accept: &'static str,
    ) -> Result<Response<Incoming>> {
        self.call(Method::POST, path, body, accept).await
    }

    /// Sends a document and returns the answer's.
    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self
            .post(path, body.to_string().into(), "application/json")
            .await?;
        document(answer).await
    }

    /// Asks for a document.
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
        let uri: Uri = format!("{}{path}", self.base).parse()?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .insert(http::header::ACCEPT, HeaderValue::from_static(accept));
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
