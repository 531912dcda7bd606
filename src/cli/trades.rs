//! `tickflux trades`: the trades themselves, one by one, however many.

mod progress;
mod sink;

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::sync::watch;

use self::progress::{Reached, draw};
use self::sink::Sink;
use super::caution::{say_if_clocks_disagree, say_passed_over, say_unsealed, with_newest};
use super::drawing::Drawing;
use super::report::{Zone, printed};
use super::settings::{Kind, Purpose, StoreArgs, now, searched};
use super::signals::stop_on_signals;
use super::stderr::inform;
use super::time::{self, TimeArg};
use super::{Answer, Failure};
use crate::files::whole::WholeFile;
use crate::store::{Scope, StoredTrade};
use crate::text::Excerpt;
use crate::trade::{Exchange, Symbol};

const EXAMPLES: &str = "\
Examples:
  tickflux trades BTCUSDT --since 10m
  tickflux trades BTCUSDT --since 24h --format parquet --output btcusdt.parquet
  tickflux trades BTCUSDT --since 12:00 --until 12:05 --format csv | gzip > trades.csv.gz

Exit codes:
  0  the trades were printed
  1  there is no trade
  2  wrong usage or settings
  3  the store cannot be used, or the file not be written";

/// Which symbol, which time, in which form, from which store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TradesArgs {
    /// A symbol such as BTCUSDT
    symbol: Symbol,
    /// From when on: 1h for the last hour, 12:00 (UTC), or RFC 3339; at most 24 h ago, but for an archive
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = TimeArg::parse, allow_hyphen_values = true)]
    since: TimeArg,
    /// Up to when, without that millisecond; without it up to the newest trade
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse, allow_hyphen_values = true)]
    until: Option<TimeArg>,
    /// How to print; Parquet wants --output, or a standard output that is no terminal
    #[arg(long, env = "TICKFLUX_FORMAT", hide_env_values = true, value_enum, default_value_t)]
    format: TradesFormat,
    /// Write into this file, which is there as a whole or not at all
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only trades of this exchange
    #[arg(long)]
    exchange: Option<Exchange>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print local times in tables, with their offset; everything else stays UTC
    #[arg(long)]
    local: bool,
}

/// How trades are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum TradesFormat {
    /// A table for people
    #[default]
    Table,
    /// One JSON object a line
    Json,
    /// CSV with the JSON's keys
    Csv,
    /// Parquet, with the prices and quantities as floats beside their texts
    Parquet,
}

pub(super) async fn run(args: TradesArgs) -> Result<Answer, Failure> {
    let asked = now();
    let kind = args.store.kind();
    let since = args.since.within(kind, asked)?;
    let until = time::until(args.until, since, asked)?;
    let is_parquet = args.format == TradesFormat::Parquet;
    if is_parquet && args.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::Usage("Parquet is nothing to read on a terminal: give --output FILE".to_owned()));
    }
    let store = args.store.open(Purpose::Questions)?;
    let scope = Scope { symbols: vec![args.symbol.clone()], exchange: args.exchange };
    let zone = if args.local { Zone::Local } else { Zone::Utc };
    let output = args.output.as_deref();
    let mut sink = match output {
        Some(path) => Sink::to_file(args.format, zone, begin(path)?),
        None => Sink::to_stdout(args.format, zone),
    };
    // A pipe's reader may be the one that is to hear it; a file is taken away.
    let interrupted = interrupted(output.map(|_| stop_on_signals()).transpose()?);
    let reached = Reached::new(since);
    // On a terminal that shows the trades it would be in their way.
    let is_drawn = output.is_some() || !io::stdout().is_terminal();
    let drawing = is_drawn.then(|| draw(Arc::clone(&reached), since, until.unwrap_or(asked)));
    let (mut count, mut written) = (0, Ok(()));
    let mut on_trade = |trade: StoredTrade| {
        let time = trade.trade.time;
        written = sink.add(trade);
        if written.is_err() {
            return ControlFlow::Break(());
        }
        count += 1;
        reached.set(count, time);
        ControlFlow::Continue(())
    };
    let read = store.trades(&scope, since, until, &mut on_trade);
    let read = with_newest(read, args.since.is_relative() && kind == Kind::Store, &store, &scope);
    let read = tokio::select! {
        read = read => Some(read),
        () = interrupted => None,
    };
    // Without a trade there is nothing to finish.
    if matches!(read, Some(Ok(_))) && written.is_ok() && count > 0 {
        written = sink.finish();
    }
    drawing.into_iter().for_each(Drawing::end);
    let Some(read) = read else {
        let path = output.map(|path| format!(": {} was not written", path.display())).unwrap_or_default();
        return Err(Failure::No(format!("interrupted{path}")));
    };
    let ((), newest) = read?;
    if let Err(error) = written {
        cannot_write(output, is_parquet, error)?;
    }
    if let Some(path) = output.filter(|_| count > 0) {
        inform(format!("{count} trades in {}", path.display()));
    }
    say_passed_over(&store, &scope, since, until).await;
    say_unsealed(&store, &scope, since, until).await?;
    say_if_clocks_disagree(newest, asked);
    if count == 0 {
        let until = until.map(|until| format!(" and before {until}")).unwrap_or_default();
        let why = format!("no trade of {} since {since}{until} in {}", args.symbol, searched(&store, &scope));
        let advice = if kind == Kind::Store { "capture it first, or give a longer --since" } else { kind.advice() };
        return Err(Failure::No(format!("{why}: {advice}")));
    }
    Ok(Answer::Done)
}

/// Is there once a signal has come; never, where none is heard.
async fn interrupted(stop: Option<watch::Receiver<bool>>) {
    if let Some(mut stop) = stop
        && stop.wait_for(|is_set| *is_set).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Begins the file that is asked for; one that cannot be is told before anything is read.
fn begin(path: &Path) -> Result<WholeFile, Failure> {
    WholeFile::begin(path).map_err(|error| {
        let path = Excerpt::of(&path.display().to_string());
        let why = format!("cannot write --output {path}: {error}: name a file in a folder that is there");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::Unusable(why),
            _ => Failure::Usage(why),
        }
    })
}

/// Whoever reads a pipe may have enough, as `head` does; but a Parquet file without its end is none.
fn cannot_write(output: Option<&Path>, is_parquet: bool, error: io::Error) -> Result<(), Failure> {
    match output {
        Some(path) => {
            let path = Excerpt::of(&path.display().to_string());
            Err(Failure::Unusable(format!(
                "cannot write {path}: {error}: nothing of it is left; make room, or name another"
            )))
        }
        None if is_parquet => Err(Failure::Unusable(format!("cannot write all of it to standard output: {error}"))),
        None => printed(Err(error)),
    }
}
