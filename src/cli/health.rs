//! `tickflux health`: whether a running capture is well.

use std::net::SocketAddr;

use clap::Args;

use super::report::say;
use super::{Answer, Failure};
use crate::telemetry::ask::{Heard, ask, health_url};

const EXAMPLES: &str = "\
Examples:
  tickflux health
  tickflux health --metrics-listen 127.0.0.1:9185

Exit codes:
  0  it is well
  2  wrong usage or settings
  3  it is not, and the line says why, or no capture answers";

/// Which capture.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HealthArgs {
    /// The address that the capture was given by its --metrics-listen
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
    let url = health_url(args.metrics_listen);
    let heard = ask(args.metrics_listen).await.map_err(|error| {
        let why = crate::error_chain(&error);
        Failure::Unusable(format!("no capture answers at {url}: {why}: start one with --metrics-listen"))
    })?;
    match heard {
        Heard::Well(lines) => lines.iter().try_for_each(say)?,
        Heard::Unwell(why) => return Err(Failure::Unusable(format!("the capture is not well: {}", why.join("; ")))),
        Heard::Stranger { status, said } => {
            let why = format!("what answers at {url} is no capture ({status}: {said}): see --metrics-listen");
            return Err(Failure::Unusable(why));
        }
    }
    Ok(Answer::Done)
}
