//! `tickflux capture`: the main job.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::report::{FormatArgs, print_one};
use super::settings::{DEFAULT_EXCHANGE, DEFAULT_OUTBOX, Purpose, StoreArgs, endpoint, now};
use super::signals::stop_on_signals;
use super::sizes::bytes;
use super::status;
use super::stderr::{notice, start_logs};
use super::time::duration;
use super::{Answer, Failure};
use crate::binance::rest::Rest;
use crate::binance::{DEFAULT_REST_URL, DEFAULT_STREAM_URL};
use crate::capture::machine::{CaptureFailure, RunOutcome, Shortfall};
use crate::capture::settings::Progress;
use crate::capture::summary::Summary;
use crate::net::Network;
use crate::net::endpoint::{Endpoint, Service, UrlText};
use crate::shell::run::{RunError, Setup, run as run_capture};
use crate::store::AnyStore;
use crate::telemetry::health::Health;
use crate::telemetry::{metrics, server};
use crate::trade::{Exchange, Symbol};

/// More symbols than this are counted where a line would name them.
const NAMED_MAX: usize = 20;

const EXAMPLES: &str = "\
Examples:
  tickflux capture
  tickflux capture --store http://127.0.0.1:8086 --token-file tickflux-tokens/capture.token
  tickflux capture --symbols BTCUSDT,SOLUSDT --connections 2 --metrics-listen 127.0.0.1:9184";

/// What to capture, from where, into what.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CaptureArgs {
    /// Symbols, with commas between them
    #[arg(
        long,
        env = "TICKFLUX_SYMBOLS",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "BTCUSDT,ETHUSDT"
    )]
    symbols: Vec<Symbol>,
    /// Value of the exchange tag
    #[arg(long, env = "TICKFLUX_EXCHANGE", hide_env_values = true, default_value = DEFAULT_EXCHANGE)]
    exchange: Exchange,
    /// Base of the stream's URL
    #[arg(long, env = "TICKFLUX_STREAM_URL", hide_env_values = true, value_name = "URL", default_value = DEFAULT_STREAM_URL)]
    stream_url: UrlText,
    /// Base of the REST URL
    #[arg(long, env = "TICKFLUX_REST_URL", hide_env_values = true, value_name = "URL", default_value = DEFAULT_REST_URL)]
    rest_url: UrlText,
    /// Stream connections to keep open for each symbol; a second one hides every cut
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    connections: u8,
    /// Replace a connection that had no trade at all for so long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    idle_timeout: Duration,
    /// Folder for what is not stored yet, with the ledger of what is, and for dead letters
    #[arg(long, env = "TICKFLUX_OUTBOX", hide_env_values = true, value_name = "DIR", default_value = DEFAULT_OUTBOX)]
    outbox: PathBuf,
    /// Bytes of batches that the outbox may hold, such as 512MB; past it trades are dropped and become holes
    #[arg(long, env = "TICKFLUX_OUTBOX_LIMIT", hide_env_values = true, value_name = "BYTES", default_value = "2GB", value_parser = bytes)]
    outbox_limit: u64,
    /// Serve /healthz and /metrics here
    #[arg(long, env = "TICKFLUX_METRICS_LISTEN", hide_env_values = true, value_name = "ADDR")]
    metrics_listen: Option<SocketAddr>,
    /// Stop once so many distinct trades are acknowledged
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop after so long, such as 30s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Fetch what happened in so long before the start, too, such as 6h
    #[arg(long, value_name = "TIME", conflicts_with = "no_repair", value_parser = duration)]
    backfill: Option<Duration>,
    /// Report holes without repairing them from the exchange's history
    #[arg(long)]
    no_repair: bool,
    /// Record the session's messages in a new file; compressed if it ends in .gz
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: FormatArgs,
}

pub(super) async fn run(args: CaptureArgs) -> Result<Answer, Failure> {
    start_logs("tickflux=info")?;
    let symbols = without_repeats(args.symbols);
    let stream_url = endpoint(Service::Stream, args.stream_url.as_str())?;
    let rest_url = endpoint(Service::Rest, args.rest_url.as_str())?;
    let network = args.store.network()?;
    let store = args.store.open_through(Purpose::Capture(args.exchange.clone()), Some(&network))?;
    tell_proxies(&network, &[Some(stream_url.clone()), Some(rest_url.clone()), args.store.influx_url().ok()]);
    let rest = Rest::new(&rest_url, &network).map_err(|error| Failure::Unusable(crate::error_chain(&error)))?;
    let health = Arc::new(Health::default());
    if let Some(address) = args.metrics_listen {
        let exporter = metrics::install().map_err(|error| Failure::Unusable(format!("cannot count: {error}")))?;
        server::serve(address, Arc::clone(&health), exporter).map_err(|error| {
            Failure::Usage(format!("cannot listen on {address}: {error}: give another --metrics-listen"))
        })?;
    }
    let heading = format!("capturing {} from {} into {}", list(&symbols), stream_url, store.describe());
    let setup = Setup {
        symbols,
        exchange: args.exchange,
        stream_url,
        network,
        rest: Some(rest),
        repairs: !args.no_repair,
        backfill: args.backfill,
        connections: args.connections.into(),
        idle_timeout: args.idle_timeout,
        outbox: args.outbox,
        outbox_limit: args.outbox_limit,
        count: args.count,
        duration: args.duration,
        record: args.record,
        clock: now,
    };
    let (to_progress, progress) = watch::channel(Progress::default());
    let stop = stop_on_signals()?;
    let status = status::start(progress);
    let begun = move || notice(heading);
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
        notice(ways.join(", "));
    }
}

/// What of this run is not in the store, in words; nothing if all is.
fn lacking(summary: &Summary) -> String {
    let counts = [
        (summary.dead_letters, "refused (dead letters beside the outbox)"),
        (summary.expired, "expired"),
        (summary.holes_stay, "holes that stay"),
        (summary.holes_open_in_run, "holes open (tickflux gaps --repair)"),
    ];
    let words = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    words.collect::<Vec<_>>().join(", ")
}

fn words(summary: &Summary) -> String {
    let ids: Vec<_> =
        summary.symbols.iter().map(|(symbol, ids)| format!("{symbol} {} to {}", ids.first_id, ids.last_id)).collect();
    format!(
        "{} trades in {:.1} s ({:.0}/s), {} duplicates, {} holes repaired, {} open, {} dead letters, {} expired, {} dropped, \
         {} not stored, latency p50 {} ms p99 {} ms: {}",
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
        summary.latency_ms.p50,
        summary.latency_ms.p99,
        if ids.is_empty() { "nothing came".to_owned() } else { list(&ids) },
    )
}

fn without_repeats(symbols: Vec<Symbol>) -> Vec<Symbol> {
    let mut unique = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        if !unique.contains(&symbol) {
            unique.push(symbol);
        }
    }
    unique
}

/// Something about each symbol, or only how many symbols these are.
fn list<T: ToString>(symbols: &[T]) -> String {
    if symbols.len() > NAMED_MAX {
        return format!("{} symbols", symbols.len());
    }
    symbols.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
