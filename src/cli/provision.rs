//! `tickflux provision`: the bucket on an InfluxDB that already runs, and the dashboard in its UI.

use clap::Args;

use super::report::say;
use super::settings::{StoreArgs, default_exchange};
use super::stderr::notice;
use super::{Answer, Failure};
use crate::store::influx::Provisioned;

const EXAMPLES: &str = "\
Examples:
  INFLUX_TOKEN=... tickflux provision --store http://127.0.0.1:8086
  tickflux provision --store http://127.0.0.1:8086 --token-file admin.token --bucket other

It wants a token that may make buckets, and for the dashboard one that may manage the whole organization. \
What is as it should be stays so.

Exit codes:
  0  the bucket is as it should be; a line says if the dashboard was left out
  2  wrong usage or settings, the token may not, or the bucket does not keep 24 h: see --force
  3  InfluxDB cannot be used";

/// Which InfluxDB, and whether to change what is there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProvisionArgs {
    /// Change the retention of a bucket that exists; trades past 24 h are then deleted
    #[arg(long)]
    force: bool,
    /// Leave out the dashboard "tickflux" and its checks in the InfluxDB UI
    #[arg(long)]
    no_dashboard: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: ProvisionArgs) -> Result<Answer, Failure> {
    let influx = args.store.influx(default_exchange()?, None)?;
    let bucket = &args.store.bucket;
    match influx.provision(args.force).await? {
        Provisioned::Created => say(format!("made bucket {bucket}: it keeps 24h in groups of 1h"))?,
        Provisioned::Unchanged => say(format!("bucket {bucket} keeps 24h in groups of 1h already"))?,
        Provisioned::Changed(before) => {
            say(format!("bucket {bucket} keeps 24h in groups of 1h now; before: {before}"))?
        }
    }
    if !args.no_dashboard {
        // The bucket is what captures need; a token that may make it may not make all of this.
        match influx.provision_dashboard().await {
            Ok(()) => say(format!("dashboard tickflux and its checks are in the UI, of bucket {bucket}"))?,
            Err(error) => notice(format!(
                "dashboard and checks left out: {error}. To have them, run this with an all-access token"
            )),
        }
    }
    Ok(Answer::Done)
}
