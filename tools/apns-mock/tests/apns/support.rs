//! Keys, tokens, clients and pushes for the tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apns_mock::{Environment, KeySpec, Options, Registration, Server};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const TEAM: &str = "TEAM000001";
pub(crate) const TOPIC: &str = "com.example.app";
pub(crate) const TOKEN: &str = "aa00000000000000000000000000000000000000000000000000000000000001";
pub(crate) const ID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

/// The time of the tests: 2026-01-01, in seconds.
pub(crate) const NOW: i64 = 1_767_225_600;

/// Long enough for every expected event. Only a failing test waits for all of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough on loopback to see that something does not happen.
pub(crate) const MOMENT: Duration = Duration::from_millis(150);

/// A signing key.
pub(crate) struct Signer {
    pub(crate) spec: KeySpec,
    pair: EcdsaKeyPair,
    /// One token per time of issue, because signatures are random and each would be a different token.
    made: Mutex<HashMap<i64, String>>,
}

impl Signer {
    pub(crate) fn new(team_id: &str, key_id: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let spec = KeySpec {
            team_id: team_id.to_owned(),
            key_id: key_id.to_owned(),
            public_key_pem: pair.public_key_pem(),
            environments: Environment::ALL.to_vec(),
            topics: None,
            related_key_id: None,
        };
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        Self {
            spec,
            pair: EcdsaKeyPair::from_pkcs8(algorithm, pair.serialized_der(), &random).unwrap(),
            made: Mutex::default(),
        }
    }

    /// Returns the `authorization` header with a token issued at this time.
    pub(crate) fn bearer(&self, issued_at: i64) -> String {
        let make = || {
            let header = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, self.spec.key_id);
            self.sign(
                &header,
                &format!(r#"{{"iss":"{}","iat":{issued_at}}}"#, self.spec.team_id),
            )
        };
        self.made
            .lock()
            .unwrap()
            .entry(issued_at)
            .or_insert_with(make)
            .clone()
    }

    /// Returns the `authorization` header with this JWT header and these claims.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        self.sign_as(&URL_SAFE_NO_PAD, header, claims)
    }

    /// Does the same in another form of base64.
    pub(crate) fn sign_as(&self, base64: &impl Engine, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64.encode(header), base64.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("bearer {signed}.{}", base64.encode(signature))
    }
}

/// A server with one key, one registered device and a fixed clock.
pub(crate) struct Harness {
    pub(crate) server: Server,
    pub(crate) signer: Signer,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let signer = Signer::new(TEAM, "KEY0000001");
        let options = Options {
            keys: vec![signer.spec.clone()],
            clock: Some(Arc::new(|| NOW * 1000)),
            ..options
        };
        let server = Server::start(options).await.unwrap();
        server
            .register(&Registration::device(Environment::Production, TOPIC, TOKEN))
            .unwrap();
        Self { server, signer }
    }

    /// Returns an HTTP/2 client of production.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.server, Environment::Production).await
    }

    /// Returns a valid push.
    pub(crate) fn push(&self) -> Push {
        Push::new(&self.signer.bearer(NOW))
    }

    /// Returns the violations so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.server.state().violations
    }

    /// Returns how many notifications the device shows.
    pub(crate) fn shown(&self) -> u64 {
        self.server.device(TOKEN)[0].screen.count
    }
}

/// A request to send.
#[derive(Clone)]
pub(crate) struct Push {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Push {
    pub(crate) fn new(authorization: &str) -> Self {
        let headers = [
            ("authorization", authorization),
            ("apns-id", ID),
            ("apns-topic", TOPIC),
            ("apns-push-type", "alert"),
        ];
        Self {
            method: Method::POST,
            path: format!("/3/device/{TOKEN}"),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            body: Bytes::from_static(br#"{"aps":{"alert":"hello"}}"#),
        }
    }

    pub(crate) fn to(mut self, token: &str) -> Self {
        self.path = format!("/3/device/{token}");
        self
    }

    /// Sets a header.
    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        let mut push = self.without(name);
        push.headers.push((name.to_owned(), value.to_owned()));
        push
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn request(&self, address: &str) -> Request<()> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("https://{address}{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap()
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the status and the reason as one text.
    pub(crate) fn reason(&self) -> String {
        if self.body.is_empty() {
            return self.status.to_string();
        }
        format!("{} {}", self.status, self.json()["reason"].as_str().unwrap())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// An HTTP/2 client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) send: SendRequest<Bytes>,
}

impl Client {
    pub(crate) async fn connect(server: &Server, environment: Environment) -> Self {
        if server.ca_pem().is_none() {
            return Self::over(TcpStream::connect(server.addr(environment)).await.unwrap()).await;
        }
        Self::over(tls(server, environment, &["h2"]).await).await
    }

    pub(crate) async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, connection) = h2::client::Builder::new()
            .initial_max_send_streams(1)
            .handshake(io)
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { send }
    }

    /// Sends a push and waits for the answer.
    pub(crate) async fn push(&self, push: &Push) -> Result<Answer, h2::Error> {
        tokio::time::timeout(PATIENCE, self.push_patiently(push))
            .await
            .expect("an answer in time")
    }

    pub(crate) async fn push_patiently(&self, push: &Push) -> Result<Answer, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (response, mut body) = send.send_request(push.request("localhost"), push.body.is_empty())?;
        if !push.body.is_empty() {
            body.send_data(push.body.clone(), true)?;
        }
        let (head, mut incoming) = response.await?.into_parts();
        let mut body = Vec::new();
        while let Some(chunk) = incoming.data().await {
            body.extend_from_slice(&chunk?);
        }
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.into(),
        })
    }

    /// Returns the answer's status and reason, or the error.
    pub(crate) async fn reason(&self, push: &Push) -> String {
        match self.push(push).await {
            Ok(answer) => answer.reason(),
            Err(error) => error.to_string(),
        }
    }

    /// Waits until the server allows this many streams.
    pub(crate) async fn wait_for_limit(&self, streams: usize) {
        eventually(async || {
            self.send
                .clone()
                .ready()
                .await
                .unwrap()
                .current_max_send_streams()
                == streams
        })
        .await;
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it never came true");
}

/// Opens a TLS connection that trusts the server's authority and offers these protocols.
pub(crate) async fn tls(server: &Server, environment: Environment, alpn: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(server.ca_pem().unwrap().as_bytes()).unwrap())
        .unwrap();
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(server.addr(environment)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector
        .connect("localhost".try_into().unwrap(), tcp)
        .await
        .unwrap()
}
