//! `tickflux exchange`: the practice exchange.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::drawing::{self, Drawing};
use super::faults::FaultArgs;
use super::logs::start_logs;
use super::report::say;
use super::settings::now;
use super::signals::stop_on_signals;
use super::{Answer, Failure};
use crate::practice::replay::{Recording, ReplayError};
use crate::practice::{self, Config, ExchangeError, Source, Speed, TRADES_PER_SECOND_MAX};
use crate::trade::Symbol;

/// Trades of the time before the start that REST has, so that a capture can repair what it missed of a restart.
const PAST: usize = 200_000;

const EXAMPLES: &str = "\
Examples:
  tickflux exchange
  tickflux exchange --rate 2000 --drop 5% --cut-every 10s
  tickflux exchange --replay session.gz --speed max
  tickflux exchange --replay archive/exchange=binance/symbol=BTCUSDT --speed max --history 20000000

A capture from it: --exchange practice --stream-url ws://127.0.0.1:9100 --rest-url http://127.0.0.1:9100

A SHARE is 5% or 0.05, a DURATION 500ms or 1h30m. Faults change what is delivered, never what was traded.";

/// What to trade, or what to replay.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExchangeArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Symbols to trade, with commas between them
    #[arg(long, value_delimiter = ',', default_value = "BTCUSDT,ETHUSDT", conflicts_with = "replay")]
    symbols: Vec<Symbol>,
    /// The same seed gives the same market
    #[arg(long, default_value_t = 1, conflicts_with = "replay")]
    seed: u64,
    /// Trades a second on average, over all symbols
    #[arg(long, default_value = "100", value_parser = rate, conflicts_with = "replay")]
    rate: f64,
    /// Begin now and stop after so many; without it the market was always there, and goes on after a restart
    #[arg(long, value_name = "N", conflicts_with = "replay")]
    trades: Option<u64>,
    /// Replay a recorded session, lines of `recv_ns message`, compressed or not; or an archive, a folder in one, or a Parquet
    /// file of trades
    #[arg(long, value_name = "FILE|DIR")]
    replay: Option<PathBuf>,
    /// How many times as fast as it would happen, or max
    #[arg(long, value_name = "N|max", default_value = "1")]
    speed: Speed,
    /// Move the times of what is replayed by so many minutes, instead of as close to now as whole minutes allow
    #[arg(long, value_name = "MINUTES", requires = "replay", allow_hyphen_values = true)]
    shift: Option<i64>,
    /// Trades to keep for REST and slow readers
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    history: usize,
    /// Answer historicalTrades with 404, as Binance's hosts for market data only do
    #[arg(long)]
    market_data_only: bool,
    #[command(flatten)]
    faults: FaultArgs,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" { Ok(Self::Max) } else { positive(text).map(Self::Times) }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let wanted = || format!("expected a number above zero, {TRADES_PER_SECOND_MAX} at most");
    positive(text).ok().filter(|rate| *rate <= TRADES_PER_SECOND_MAX).ok_or_else(wanted)
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "expected a number above zero".to_owned())
}

pub(super) async fn run(args: ExchangeArgs) -> Result<Answer, Failure> {
    start_logs("tickflux=info")?;
    let source = match args.replay {
        Some(path) => Source::Replay { path, speed: args.speed, shift_minutes: args.shift },
        None => Source::Market {
            symbols: args.symbols,
            seed: args.seed,
            trades_per_second: args.rate,
            trades: args.trades,
            speed: args.speed,
        },
    };
    let config = Config {
        history: args.history,
        past: PAST,
        market_data_only: args.market_data_only,
        faults: args.faults.faults()?,
        ..Config::new(source, now)
    };
    let mut stop = stop_on_signals()?;
    let running = practice::start(args.listen, config).await.map_err(failure)?;
    let address = running.address();
    say(format!("listening on {address}: --stream-url ws://{address} --rest-url http://{address}"))?;
    if let Some(Recording { refused, is_cut, .. }) = running.recording() {
        say(format!("times are moved by {} minutes", running.shift_minutes()))?;
        refused.iter().try_for_each(|refused| say(format!("messages passed over: {refused}")))?;
        if *is_cut {
            say("the recording is cut off: what is whole of it is replayed")?;
        }
    }
    let traded = running.traded();
    let trades = running.recording().map(|recording| recording.trades);
    let bar = trades.map(|trades| drawing::bar("trades replayed", trades, move || *traded.borrow()));
    // Ends with the signal; its sender lives as long as the program.
    let _ = stop.wait_for(|stop| *stop).await;
    bar.into_iter().for_each(Drawing::end);
    running.shutdown().await;
    Ok(Answer::Done)
}

pub(super) fn failure(error: ExchangeError) -> Failure {
    match error {
        ExchangeError::Market(_)
        | ExchangeError::Endless
        | ExchangeError::Symbols(_)
        | ExchangeError::Replay(ReplayError::TooLong { .. } | ReplayError::Shift { .. }) => {
            Failure::Usage(error.to_string())
        }
        ExchangeError::Listen { .. } | ExchangeError::Replay(_) => Failure::Unusable(error.to_string()),
    }
}
