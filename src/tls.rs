//! One TLS set-up for streams and HTTP: rustls with ring, the system's certificates.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_platform_verifier::BuilderVerifierExt;

/// The client configuration that every connection uses.
///
/// # Errors
///
/// If the system's certificate verifier cannot be set up.
pub fn client_config() -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth())
}
