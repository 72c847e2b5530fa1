//! A temporary certificate authority, and the TLS of the push ports.
//!
//! Like Apple's servers, it accepts clients that offer ALPN `h2` and clients that offer nothing. A client
//! that offers only `http/1.1` gets a connection without ALPN, unless HTTP/1.1 is enabled.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The names in the server's certificate: those of this machine, and Apple's for clients with a fixed host,
/// which a hosts file redirects here.
const NAMES: [&str; 6] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "api.push.apple.com",
    "api.sandbox.push.apple.com",
    "api.development.push.apple.com",
];

/// The ALPN name of HTTP/2.
const H2: &[u8] = b"h2";

/// The ALPN name of HTTP/1.1.
pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

/// The server configurations, by what the client offers.
pub(crate) struct Tls {
    ca_pem: String,
    h2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
    plain: Arc<ServerConfig>,
}

impl Tls {
    /// Creates an authority and a server certificate.
    pub(crate) fn new() -> Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, "apns-mock throw-away CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key)?;
        let ca_pem = ca_certificate.pem();
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(NAMES.map(str::to_owned))?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = server.signed_by(&key, &issuer)?;

        let config = |alpn: &[&[u8]]| -> Result<Arc<ServerConfig>> {
            let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
                )?;
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Self {
            ca_pem,
            h2: config(&[H2])?,
            http1: config(&[HTTP_1_1])?,
            plain: config(&[])?,
        })
    }

    /// Returns the authority's certificate in PEM.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Returns the configuration for a client's offer.
    pub(crate) fn config_for<'a>(
        &self,
        offered: Option<impl Iterator<Item = &'a [u8]>>,
        http1: bool,
    ) -> Arc<ServerConfig> {
        let mut only_http1 = false;
        for name in offered.into_iter().flatten() {
            if name == H2 {
                return Arc::clone(&self.h2);
            }
            only_http1 |= name == HTTP_1_1;
        }
        Arc::clone(if http1 && only_http1 {
            &self.http1
        } else {
            &self.plain
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{NAMES, Tls};
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use std::sync::Arc;

    fn roots(tls: &Tls) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(tls.ca_pem().as_bytes()).unwrap())
            .unwrap();
        Arc::new(roots)
    }

    fn certificate(tls: &Tls) -> CertificateDer<'static> {
        let provider = Arc::new(super::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(tls))
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::clone(&tls.h2)).unwrap();
        while client.is_handshaking() {
            let mut sent = Vec::new();
            client.write_tls(&mut sent).unwrap();
            server.read_tls(&mut sent.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut answered = Vec::new();
            server.write_tls(&mut answered).unwrap();
            client.read_tls(&mut answered.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        client.peer_certificates().unwrap()[0].clone().into_owned()
    }

    #[test]
    fn the_certificate_is_good_for_this_machine_and_for_apples_hosts_alone() {
        let tls = Tls::new().unwrap();
        let certificate = certificate(&tls);
        let provider = Arc::new(super::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots(&tls), provider)
            .build()
            .unwrap();
        let is_good_for = |name: &'static str| {
            let name = ServerName::try_from(name).unwrap();
            verifier
                .verify_server_cert(&certificate, &[], &name, &[], UnixTime::now())
                .is_ok()
        };
        for name in NAMES {
            assert!(is_good_for(name), "{name}");
        }
        assert!(!is_good_for("example.com"));
    }
}
