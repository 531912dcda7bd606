//! `tickflux capture`: the main job.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::logs::start_logs;
use super::report::{FormatArgs, print_one};
use super::settings::{Purpose, now};
use super::setup::SetupArgs;
use super::signals::stop_on_signals;
use super::status;
use super::stderr::inform;
use super::time::duration;
use super::{Answer, Failure};
use crate::binance::rest::Rest;
use crate::capture::machine::{CaptureFailure, RunOutcome, Shortfall};
use crate::capture::settings::Progress;
use crate::capture::summary::Summary;
use crate::net::Network;
use crate::net::endpoint::Endpoint;
use crate::shell::run::run as run_capture;
use crate::shell::setup::{RunError, Setup};
use crate::store::AnyStore;
use crate::telemetry::health::Health;
use crate::telemetry::{metrics, server};

/// More symbols than this are counted where a line would name them.
const NAMED_MAX: usize = 20;

const EXAMPLES: &str = "\
Examples:
  tickflux capture
  tickflux capture --store http://127.0.0.1:8086 --token-file tickflux-tokens/capture.token
  tickflux capture --symbols BTCUSDT,SOLUSDT --connections 2 --metrics-listen 127.0.0.1:9184

Exit codes:
  0    every trade of the time is stored
  1    not every one: the last line says how many are missing, refused, expired or dropped
  2    wrong usage or settings, an unknown symbol, or the store refuses at the start
  3    exchange or store cannot be used, too few trades came, or what was read is not all stored
  130  interrupted twice";

/// What to capture, from where, into what.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CaptureArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Stream connections to keep open for each symbol, 1 to 8; a second one hides every cut
    #[arg(long, env = "TICKFLUX_CONNECTIONS", hide_env_values = true, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    connections: u8,
    /// Replace a connection that brought no trade at all for so long
    #[arg(long, env = "TICKFLUX_IDLE_TIMEOUT", hide_env_values = true, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    idle_timeout: Duration,
    /// Follow the capture that has the outbox without a hole: read beside it, have it end, and go on with its outbox
    #[arg(long, env = "TICKFLUX_TAKE_OVER", hide_env_values = true)]
    take_over: bool,
    /// Stop once so many distinct trades are acknowledged
    #[arg(long, env = "TICKFLUX_COUNT", hide_env_values = true, value_name = "N")]
    count: Option<u64>,
    /// Stop after so long, such as 30s
    #[arg(long, env = "TICKFLUX_DURATION", hide_env_values = true, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// Fetch what was traded in so long before the start, too, such as 6h
    #[arg(long, env = "TICKFLUX_BACKFILL", hide_env_values = true, value_name = "DURATION", conflicts_with = "no_repair", value_parser = duration)]
    backfill: Option<Duration>,
    /// Report holes without repairing them from the exchange's history
    #[arg(long, env = "TICKFLUX_NO_REPAIR", hide_env_values = true)]
    no_repair: bool,
    /// Do not hold each minute against the exchange's own candle
    #[arg(long, env = "TICKFLUX_NO_VERIFY", hide_env_values = true)]
    no_verify: bool,
    /// Record the session's messages in a new file; compressed if it ends in .gz
    #[arg(long, env = "TICKFLUX_RECORD", hide_env_values = true, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    output: FormatArgs,
}

pub(super) async fn run(args: CaptureArgs) -> Result<Answer, Failure> {
    start_logs("tickflux=info")?;
    // Of a flag and a configuration file the command line does not see it.
    if args.no_repair && args.backfill.is_some() {
        return Err(Failure::Usage("no-repair and backfill are both set: take one of them back".to_owned()));
    }
    let given = args.setup;
    given.store.refuse_archive_of_capture()?;
    let (symbols, stream_url, rest_url) = (given.symbols(), given.stream_url()?, given.rest_url()?);
    let network = given.store.network()?;
    let store = given.store.open_through(Purpose::Capture(given.exchange.clone()), Some(&network))?;
    tell_proxies(&network, &[Some(stream_url.clone()), Some(rest_url.clone()), given.store.influx_url().ok()]);
    let rest = Rest::new(&rest_url, &network).map_err(|error| Failure::Unusable(crate::error_chain(&error)))?;
    let health = Arc::new(Health::default());
    if let Some(address) = given.metrics_listen {
        let exporter = metrics::install().map_err(|error| Failure::Unusable(format!("cannot count: {error}")))?;
        let served = if args.take_over {
            server::serve_once_free(address, Arc::clone(&health), exporter)
        } else {
            server::serve(address, Arc::clone(&health), exporter).map(drop)
        };
        served.map_err(|error| {
            Failure::Usage(format!("cannot listen on {address}: {error}: give another --metrics-listen"))
        })?;
    }
    let heading = format!("capturing {} from {} into {}", list(&symbols), stream_url, store.describe());
    let setup = Setup {
        symbols,
        exchange: given.exchange,
        stream_url,
        network,
        rest: Some(rest),
        repairs: !args.no_repair,
        verifies: !args.no_verify,
        backfill: args.backfill,
        connections: args.connections.into(),
        idle_timeout: args.idle_timeout,
        outbox: given.outbox,
        outbox_limit: given.outbox_limit,
        takes_over: args.take_over,
        count: args.count,
        duration: args.duration,
        record: args.record,
        clock: now,
    };
    let (to_progress, progress) = watch::channel(Progress::default());
    let stop = stop_on_signals()?;
    let status = status::start(progress);
    let begun = move || inform(heading);
    let outcome = run_capture(setup, AnyStore::clone(&store), health, stop, to_progress, begun).await;
    status.end();
    let outcome = outcome.map_err(failure)?;
    print_one(&outcome.summary, &words(&outcome.summary), args.output.format)?;
    verdict(&outcome, &store)
}

fn failure(error: RunError) -> Failure {
    match error {
        RunError::Start(CaptureFailure::Unusable(_)) | RunError::Internal(_) => Failure::Unusable(error.to_string()),
        RunError::Start(_) | RunError::Record { .. } | RunError::Outbox(_) => Failure::Usage(error.to_string()),
    }
}

/// What the run says of itself: done, or what is lacking.
fn verdict(outcome: &RunOutcome, store: &AnyStore) -> Result<Answer, Failure> {
    let RunOutcome { summary, shortfall } = outcome;
    if summary.outbox_left > 0 {
        // A store that is near has no batches in the outbox.
        let next = if store.lines().is_some() {
            "the next capture sends what the outbox holds, and asks the exchange for the rest"
        } else {
            "the next capture asks the exchange for them"
        };
        let (trades, store) = (summary.outbox_left, store.describe());
        return Err(Failure::Unusable(format!(
            "{trades} trades were read and not stored: {store} did not take them; {next}"
        )));
    }
    match shortfall {
        Some(Shortfall::NoTrade(why)) => return Err(Failure::Unusable(format!("no trade came: {why}"))),
        Some(Shortfall::TooFew { trades, count, why }) => {
            return Err(Failure::Unusable(format!(
                "only {trades} of {count} trades were stored before the end: {why}"
            )));
        }
        None | Some(Shortfall::HolesLeft) => {}
    }
    let lacking = lacking(summary);
    if lacking.is_empty() {
        Ok(Answer::Done)
    } else {
        Err(Failure::No(format!("not every trade is stored: {lacking}")))
    }
}

/// Names the proxies on the ways out, in one line.
fn tell_proxies(network: &Network, endpoints: &[Option<Endpoint>]) {
    let way = |endpoint: &Endpoint| Some(format!("{endpoint} through the proxy {}", network.proxy(endpoint.url())?));
    let ways: Vec<_> = endpoints.iter().flatten().filter_map(way).collect();
    if !ways.is_empty() {
        inform(ways.join(", "));
    }
}

/// What of this run is not in the store, in words; nothing if all is.
fn lacking(summary: &Summary) -> String {
    let counts = [
        (summary.dead_letters, "refused (dead letters beside the outbox)"),
        (summary.expired, "expired"),
        (summary.holes_stay, "holes that stay"),
        (summary.holes_open_in_run, "holes open (tickflux gaps --repair)"),
        (summary.minutes_different, "minutes that differ from the exchange's candles (tickflux verify)"),
    ];
    let words = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    words.collect::<Vec<_>>().join(", ")
}

fn words(summary: &Summary) -> String {
    let ids: Vec<_> =
        summary.symbols.iter().map(|(symbol, ids)| format!("{symbol} {} to {}", ids.first_id, ids.last_id)).collect();
    format!(
        "{} trades in {:.1} s ({:.0}/s), {} duplicates, {} holes repaired, {} open, {} dead letters, {} expired, {} dropped, \
         {} not stored, {} minutes verified, {} different, latency p50 {} ms p99 {} ms: {}",
        summary.trades,
        summary.seconds,
        summary.trades_per_second,
        summary.duplicates,
        summary.holes_repaired,
        summary.holes_open,
        summary.dead_letters,
        summary.expired,
        summary.dropped,
        summary.outbox_left,
        summary.minutes_verified,
        summary.minutes_different,
        summary.latency_ms.p50,
        summary.latency_ms.p99,
        if ids.is_empty() { "nothing came".to_owned() } else { list(&ids) },
    )
}

/// Something about each symbol, or only how many symbols these are.
fn list<T: ToString>(symbols: &[T]) -> String {
    if symbols.len() > NAMED_MAX {
        return format!("{} symbols", symbols.len());
    }
    symbols.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
