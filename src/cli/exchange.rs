//! `tickflux exchange`: the practice exchange.

use clap::Args;

use super::{Answer, Failure};

/// stub
#[derive(Debug, Args)]
pub(super) struct ExchangeArgs {}

pub(super) async fn run(_args: ExchangeArgs) -> Result<Answer, Failure> {
    Ok(Answer::Done)
}
