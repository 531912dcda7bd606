//! To ask a running capture whether it is well, from beside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use thiserror::Error;

use super::health::Part;
use crate::net::{Network, NetworkError, body};
use crate::text::{Excerpt, LINE_BYTES_MAX, one_line};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Lines that are taken of an answer, at most.
const LINES_MAX: usize = 20;

/// What answers where a capture was told to serve `/healthz`. Lines are fit for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A capture that is well, in its words.
    Well(Vec<String>),
    /// A capture that is not well, with a reason a line.
    Unwell(Vec<String>),
    /// Something that is no capture.
    Stranger {
        /// The HTTP status.
        status: u16,
        /// The begin of its words.
        said: Excerpt,
    },
}

/// Why nothing was heard.
#[derive(Debug, Error)]
pub enum AskError {
    /// The HTTP client could not be set up.
    #[error(transparent)]
    Setup(#[from] NetworkError),
    /// No answer that is HTTP.
    #[error(transparent)]
    NoAnswer(#[from] reqwest::Error),
}

/// Where the health of the capture at `address` is served.
pub fn health_url(address: SocketAddr) -> String {
    format!("http://{}/healthz", reachable(address))
}

/// Asks who listens at `address`; never through a proxy.
///
/// # Errors
///
/// [`AskError`] if nothing answers, or not over HTTP.
///
/// # Cancel safety
///
/// Safe: it only asks.
pub async fn ask(address: SocketAddr) -> Result<Heard, AskError> {
    let client = Network::local()?.http().build()?;
    Ok(ask_through(&client, address, TIMEOUT).await?)
}

/// The same with a client for this machine, which waits so long at most.
///
/// # Errors
///
/// If nothing answers, or not over HTTP.
///
/// # Cancel safety
///
/// Safe: it only asks.
pub async fn ask_through(client: &Client, address: SocketAddr, wait: Duration) -> Result<Heard, reqwest::Error> {
    let reply = client.get(health_url(address)).timeout(wait).send().await?;
    let status = reply.status();
    let text = body::read_begin(reply).await;
    let lines: Vec<_> = text.trim().lines().take(LINES_MAX).map(|line| one_line(line, LINE_BYTES_MAX)).collect();
    if status == StatusCode::SERVICE_UNAVAILABLE && !lines.is_empty() && lines.iter().all(|line| is_reason(line)) {
        return Ok(Heard::Unwell(lines));
    }
    if status.is_success() && lines.first().is_some_and(|line| line.starts_with("ok")) {
        return Ok(Heard::Well(lines));
    }
    Ok(Heard::Stranger { status: status.as_u16(), said: Excerpt::of(&lines.join(" ")) })
}

/// Whether a line is a reason why a capture is not well: `PART: WHY`.
fn is_reason(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(name, _)| Part::ALL.iter().any(|part| part.name() == name))
}

/// An address to listen on everywhere is reached on loopback.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
