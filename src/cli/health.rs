//! `tickflux health`: whether a running capture is well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use reqwest::StatusCode;

use super::report::say;
use super::{Answer, Failure};
use crate::net::{Network, body};
use crate::text::{Excerpt, LINE_BYTES_MAX, one_line};

const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// Lines that are printed, at most.
const LINES_MAX: usize = 20;

/// Which capture.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The address that the capture was given
    #[arg(
        long,
        env = "TICKFLUX_METRICS_LISTEN",
        hide_env_values = true,
        value_name = "ADDR",
        default_value = "127.0.0.1:9184"
    )]
    metrics_listen: SocketAddr,
}

pub(super) async fn run(args: HealthArgs) -> Result<Answer, Failure> {
    let url = format!("http://{}/healthz", reachable(args.metrics_listen));
    let no_answer = |error: reqwest::Error| {
        let why = crate::error_chain(&error);
        Failure::Unusable(format!("no capture answers at {url}: {why}: start one with --metrics-listen"))
    };
    let network = Network::local().map_err(|error| Failure::Unusable(error.to_string()))?;
    let client = network.http().timeout(HEALTH_TIMEOUT).build();
    let reply = client.map_err(no_answer)?.get(&url).send().await.map_err(no_answer)?;
    let status = reply.status();
    let lines = body::read_begin(reply).await;
    let lines: Vec<_> = lines.trim().lines().take(LINES_MAX).map(|line| one_line(line, LINE_BYTES_MAX)).collect();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Err(Failure::Unusable(format!("the capture is not well: {}", lines.join("; "))));
    }
    if !status.is_success() || !lines.first().is_some_and(|line| line.starts_with("ok")) {
        let (status, word) = (status.as_u16(), Excerpt::of(&lines.join(" ")));
        let why = format!("what answers at {url} is no capture ({status}: {word}): see --metrics-listen");
        return Err(Failure::Unusable(why));
    }
    for line in &lines {
        say(line)?;
    }
    Ok(Answer::Done)
}

/// An address to listen on everywhere is reached on loopback.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
