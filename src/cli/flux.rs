//! `tickflux flux`: a bundled Flux file with its parameters set, for the influx CLI and the InfluxDB UI.

use clap::{Args, ValueEnum};

use super::names::check_bucket;
use super::report::say_raw;
use super::settings::{DEFAULT_BUCKET, now};
use super::time::{TimeArg, interval};
use super::{Answer, Failure};
use crate::flux::{self, Script, Value};
use crate::store::Interval;
use crate::trade::{Exchange, Symbol};

const EXAMPLES: &str = "\
Examples:
  tickflux flux latest --symbol BTCUSDT
  tickflux flux price-at --time -5m --bucket other > price.flux
  tickflux flux volume --symbol BTCUSDT --since 10m | influx query -";

/// Which file, and what its parameters are set to; what is not given keeps the file's default.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FluxArgs {
    /// Which file
    name: Name,
    /// Only this symbol; may be given more than once, or as A,B
    #[arg(long, value_delimiter = ',', value_name = "SYMBOL")]
    symbol: Vec<Symbol>,
    /// Only trades of this exchange; may be given more than once, or as A,B
    #[arg(long, value_delimiter = ',', value_name = "EXCHANGE")]
    exchange: Vec<Exchange>,
    /// InfluxDB bucket
    #[arg(long, env = "INFLUX_BUCKET_NAME", hide_env_values = true, default_value = DEFAULT_BUCKET)]
    bucket: String,
    /// price-at: the time; high-low: any time of the minute. RFC 3339, 12:00:05 (UTC), or -5m for five minutes before the file runs
    #[arg(long, value_parser = TimeArg::parse, allow_hyphen_values = true)]
    time: Option<TimeArg>,
    /// price-at: the last trade at or before the time, instead of the nearest
    #[arg(long)]
    as_of: bool,
    /// candles, volume, minutes, gaps, trades: how far back, 1h or a time
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse, allow_hyphen_values = true)]
    since: Option<TimeArg>,
    /// minutes, gaps, trades: up to but not including this time
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse, allow_hyphen_values = true)]
    until: Option<TimeArg>,
    /// candles, volume: how long one is, 1s to 24h
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    every: Option<Interval>,
    /// gaps: every minute, not only those where something is missing
    #[arg(long)]
    all: bool,
    /// latest, candles, volume: as _time and _value, for a graph in the UI
    #[arg(long)]
    graph: bool,
}

/// The files that are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The latest trade of each symbol
    Latest,
    /// The trade nearest to a time
    #[value(alias = "price_at", alias = "at")]
    PriceAt,
    /// The highest and the lowest trade of a minute
    #[value(alias = "high_low")]
    HighLow,
    /// Open, high, low, close and volume of each interval
    Candles,
    /// Volume, trades, what takers bought and sold, and the volume-weighted price of each interval
    Volume,
    /// What each minute adds up to: trades, ids, prices, volume
    Minutes,
    /// The minutes in which ids are missing
    Gaps,
    /// The trades of a stretch of time themselves
    Trades,
}

pub(super) fn run(args: FluxArgs) -> Result<Answer, Failure> {
    check_bucket(&args.bucket)?;
    let (script, time_name) = match args.name {
        Name::Latest => (Script::Latest, "time"),
        Name::PriceAt => (Script::PriceAt, "time"),
        Name::HighLow => (Script::HighLow, "minute"),
        Name::Candles => (Script::Candles, "time"),
        Name::Volume => (Script::Volume, "time"),
        Name::Minutes => (Script::Minutes, "time"),
        Name::Gaps => (Script::Gaps, "time"),
        Name::Trades => (Script::Trades, "time"),
    };
    let (since_name, until_name) =
        if args.name == Name::Trades { ("from_time", "until_time") } else { ("since", "until") };
    let time = |time: Option<TimeArg>| time.map(|time| time.for_flux(now()));
    let texts = |names: Vec<String>| (!names.is_empty()).then_some(Value::Texts(names));
    let values = [
        ("bucket", Some(Value::Text(args.bucket))),
        ("symbols", texts(args.symbol.iter().map(ToString::to_string).collect())),
        ("exchanges", texts(args.exchange.iter().map(ToString::to_string).collect())),
        (time_name, time(args.time)),
        ("as_of", args.as_of.then_some(Value::Flag(true))),
        (since_name, time(args.since)),
        (until_name, time(args.until)),
        ("every", args.every.map(|every| Value::DurationMs(every.ms()))),
        ("all", args.all.then_some(Value::Flag(true))),
        ("graph", args.graph.then_some(Value::Flag(true))),
    ];
    let values: Vec<_> = values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let text =
        flux::set(script, &values).map_err(|error| Failure::Usage(format!("{error}: see tickflux flux --help")))?;
    say_raw(text.trim_end())?;
    Ok(Answer::Done)
}
