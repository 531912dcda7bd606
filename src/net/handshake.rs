//! TLS as a question of its own: a handshake with a server, and nothing after it.

use std::io;
use std::time::Duration;

use reqwest::Url;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use thiserror::Error;
use tokio_rustls::TlsConnector;

use super::Network;
use super::dial::DialError;

/// How long a handshake may take, once there is a connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there was no handshake; the causes stand in its sources.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// Nobody was there to shake hands with.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The host is no name that a certificate can have.
    #[error("no certificate can have that name")]
    Name(#[from] InvalidDnsNameError),
    /// One of the two does not trust the other, or the server speaks no TLS.
    #[error("no TLS")]
    Tls(#[source] io::Error),
    /// No answer.
    #[error("no TLS: no answer within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
}

impl Network {
    /// Shakes hands with the server of `url`, and hangs up. Gives the protocol that both agreed on, such as `TLSv1_3`.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] if there is no connection, or its server is not to be trusted.
    ///
    /// # Cancel safety
    ///
    /// Safe: the connection is closed.
    pub async fn handshake(&self, url: &Url) -> Result<String, HandshakeError> {
        let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(name.to_owned())?;
        let connection = self.connect(url).await?;
        let shaking = TlsConnector::from(self.tls()).connect(name, connection);
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking).await.map_err(|_| HandshakeError::Timeout)?;
        let stream = shaken.map_err(HandshakeError::Tls)?;
        let version = stream.get_ref().1.protocol_version().and_then(|version| version.as_str());
        Ok(version.unwrap_or("TLS").to_owned())
    }
}
