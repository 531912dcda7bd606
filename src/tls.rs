//! One TLS set-up for streams and HTTP: rustls with ring, the system's certificates.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// The client configuration that every connection uses.
///
/// Where the system has no certificates, as on a bare container image, Mozilla's list stands in.
///
/// # Errors
///
/// If the protocol versions cannot be set up; never in practice.
pub fn client_config() -> Result<ClientConfig, rustls::Error> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions()
    };
    match builder()?.with_platform_verifier() {
        Ok(verified) => Ok(verified.with_no_client_auth()),
        Err(_) => {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            Ok(builder()?.with_root_certificates(roots).with_no_client_auth())
        }
    }
}
