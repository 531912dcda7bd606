//! `tickflux health`: whether a running capture is well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::report::say;
use super::{Answer, Failure};
use crate::net::body::read_begin;

const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Which capture.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The address that the capture was given
    #[arg(long, env = "TICKFLUX_METRICS_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:9184")]
    metrics_listen: SocketAddr,
}

pub(super) async fn run(args: HealthArgs) -> Result<Answer, Failure> {
    let url = format!("http://{}/healthz", reachable(args.metrics_listen));
    let no_answer = |error: reqwest::Error| {
        let why = crate::error_chain(&error);
        Failure::Unusable(format!("no capture answers at {url}: {why}: start one with --metrics-listen"))
    };
    let tls = crate::tls::client_config().map_err(|error| Failure::Unusable(format!("cannot set up TLS: {error}")))?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(HEALTH_TIMEOUT).build();
    let reply = client.map_err(no_answer)?.get(&url).send().await.map_err(no_answer)?;
    let is_well = reply.status().is_success();
    let body = read_begin(reply).await;
    if !is_well {
        return Err(Failure::Unusable(format!("the capture is not well: {}", body.trim().replace('\n', "; "))));
    }
    say(body.trim())?;
    Ok(Answer::Done)
}

/// An address to listen on everywhere is reached on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
