//! `tickflux demo`: the practice exchange.

use clap::Args;

use super::{Answer, Failure};

/// stub
#[derive(Debug, Args)]
pub(super) struct DemoArgs {}

pub(super) async fn run(_args: DemoArgs) -> Result<Answer, Failure> {
    Ok(Answer::Done)
}
