//! Replaces the crate with this name: the only root is the authority of the benchmark's own APNs server.
//!
//! The crate a2 trusts the public roots, and its user cannot choose others. Nothing else of a2 is changed.

use std::sync::LazyLock;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::anchor_from_trusted_cert;

/// The authority in the file that the variable `APNS_CA` names. Empty without it, so that nothing is trusted.
pub static TLS_SERVER_ROOTS: LazyLock<Vec<TrustAnchor<'static>>> = LazyLock::new(|| root().into_iter().collect());

fn root() -> Option<TrustAnchor<'static>> {
    let certificate = CertificateDer::from_pem_file(std::env::var_os("APNS_CA")?).ok()?;
    Some(anchor_from_trusted_cert(&certificate).ok()?.to_owned())
}
