//! Helpers of the tests: senders and servers.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use apns::collapse_id::CollapseId;
use apns::credential::{Credential, SigningKey};
use apns::provider_token::{Bucket, mint};
use apns::request::Headers;
use apns::time::Timestamp;
use apns::topic::BundleId;
use apns::{ApnsId, DeviceToken, Environment, Outcome, Priority, PushType, Request};
use apns_h2::{CloseReason, Connection, Options, Template, Timer};
use apns_mock::{KeySpec, Server};
use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The key pair of RFC 6979, appendix A.2.5. It is public and used only in tests.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFX\n\
    Z7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth\n\
    +mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ\n\
    -----END PRIVATE KEY-----\n";

/// The bundle id of the app that the tests push to.
pub(crate) const TOPIC: &str = "com.example.app";

/// A deadline for pushes whose timing does not matter.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// tokio's clock, which a test may pause.
pub(crate) struct Clock {
    start: Instant,
    epoch: Timestamp,
}

impl Clock {
    pub(crate) fn new() -> Rc<Self> {
        let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap();
        let epoch = Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap());
        Rc::new(Self {
            start: Instant::now(),
            epoch,
        })
    }
}

impl Timer for Clock {
    fn now(&self) -> Timestamp {
        self.epoch + self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A connection with its driver spawned.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) driver: JoinHandle<CloseReason>,
    pub(crate) clock: Rc<Clock>,
    pub(crate) template: Template,
    pub(crate) headers: Arc<Headers>,
}

/// Opens a connection on `io`.
pub(crate) async fn client(io: impl AsyncRead + AsyncWrite + Unpin + 'static, options: Options) -> Client {
    let clock = Clock::new();
    let (connection, driver) = Connection::open(io, "localhost", Rc::<Clock>::clone(&clock), options)
        .await
        .unwrap();
    let headers = Arc::new(headers());
    let template = Template::new(&headers, &provider_token()).unwrap();
    Client {
        connection,
        driver: spawn_local(driver),
        clock,
        template,
        headers,
    }
}

impl Client {
    /// Creates push number `number`, to its own device.
    pub(crate) fn request(&self, number: u32) -> Request {
        self.request_to(&format!("{number:064x}"), number)
    }

    /// Push number `number` to a device.
    pub(crate) fn request_to(&self, token: &str, number: u32) -> Request {
        Request {
            device_token: DeviceToken::parse(token).unwrap(),
            apns_id: ApnsId::derive([7; 16], number),
            headers: Arc::clone(&self.headers),
            body: Bytes::from(format!(r#"{{"aps":{{"alert":"push {number}"}}}}"#)),
        }
    }

    /// Returns the current time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns a deadline for a push whose timing does not matter.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.clock.now() + PATIENCE
    }

    /// Waits for a slot and sends.
    pub(crate) async fn push(&self, request: &Request) -> Outcome {
        self.push_within(request, PATIENCE).await
    }

    /// Waits for a slot and sends. The answer must arrive within `patience`.
    pub(crate) async fn push_within(&self, request: &Request, patience: Duration) -> Outcome {
        let slot = self.connection.slot().await.unwrap();
        slot.send(request, &self.template, self.clock.now() + patience)
            .await
    }
}

/// Returns the status of a push's answer.
#[track_caller]
pub(crate) fn status(outcome: &Outcome) -> u16 {
    match outcome {
        Outcome::Answered(reply) => reply.status,
        other => panic!("{other:?}"),
    }
}

/// The headers of the tests' notification.
pub(crate) fn headers() -> Headers {
    Headers {
        push_type: PushType::Alert,
        topic: BundleId::parse(TOPIC).unwrap().topic(PushType::Alert),
        priority: Priority::Ten,
        expiration: None,
        collapse_id: None,
    }
}

/// Returns the same headers with a collapse id.
pub(crate) fn headers_with_collapse_id(id: &str) -> Headers {
    Headers {
        collapse_id: Some(CollapseId::parse(id).unwrap()),
        ..headers()
    }
}

/// Creates a provider token that is valid now.
pub(crate) fn provider_token() -> String {
    let credential = Credential {
        team_id: "DEF123GHIJ".parse().unwrap(),
        key_id: "ABC123DEFG".parse().unwrap(),
        environment: Environment::Production,
    };
    let key: SigningKey = PRIVATE_KEY.parse().unwrap();
    let token = mint(&credential, &key, Bucket::at(Clock::new().now())).unwrap();
    token.as_str().to_owned()
}

/// Returns the public key in the form that the mock takes.
fn key() -> KeySpec {
    use p256::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding};
    let key = p256::SecretKey::from_pkcs8_pem(PRIVATE_KEY).unwrap();
    KeySpec {
        team_id: "DEF123GHIJ".to_owned(),
        key_id: "ABC123DEFG".to_owned(),
        public_key_pem: key.public_key().to_public_key_pem(LineEnding::LF).unwrap(),
        environments: apns_mock::Environment::ALL.to_vec(),
        topics: None,
        related_key_id: None,
    }
}

/// Starts a mock APNs server that knows the key and accepts every device token.
pub(crate) async fn server(options: apns_mock::Options) -> Server {
    let options = apns_mock::Options {
        keys: vec![key()],
        unknown: apns_mock::Unknown::Registered,
        ..options
    };
    Server::start(options).await.unwrap()
}

/// Starts the same server without TLS.
pub(crate) async fn plain_server() -> Server {
    server(apns_mock::Options {
        plaintext: true,
        ..apns_mock::Options::default()
    })
    .await
}

/// Fails if the client has broken a rule of the protocol.
#[track_caller]
pub(crate) fn assert_no_violations(server: &Server) {
    let state = server.state();
    assert_eq!(state.violations, Vec::<String>::new());
    assert_eq!(state.violations_total, 0);
}

/// A TCP connection to the mock.
pub(crate) async fn tcp(address: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

/// A TLS connection to the mock, with these protocols offered by ALPN.
pub(crate) async fn tls(server: &Server, alpn: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(server.ca_pem().unwrap().as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = tcp(server.production_addr()).await;
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap()
}

/// Runs a test on one thread, as the platform does.
pub(crate) async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}
