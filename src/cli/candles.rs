//! `tickflux candles`: open, high, low, close and volume, for drawing.

use clap::Args;
use serde::Serialize;

use super::caution::{say_if_clocks_disagree, say_passed_over, say_unsealed, with_newest};
use super::report::{Column, TableRow, Zone, print, utc};
use super::settings::{Kind, QuestionArgs, now, searched};
use super::time::{self, Since, TimeArg, interval};
use super::{Answer, Failure};
use crate::store::{Candle, Interval};
use crate::trade::{Symbol, TradeTime};

/// Candles of a series in an answer, at most: some 100 bytes each. A day of candles of a second has 86,400.
const CANDLES_MAX: i64 = 500_000;

const EXAMPLES: &str = "\
Examples:
  tickflux candles BTCUSDT --since 6h --every 5m --format csv
  tickflux candles BTCUSDT --store archive:archive --since 2026-01-31 --until 2026-02-01 --every 1h

Prices and volumes are floats, to draw. An interval without a trade is left out; the last one is still running.

Exit codes:
  0  there is a candle
  1  there is none
  2  wrong usage or settings
  3  the store cannot be used";

/// Which symbol, how far back, how long a candle is, in which store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CandlesArgs {
    /// A symbol such as BTCUSDT
    symbol: Symbol,
    /// How far back, 1s to 24h, or from when on, RFC 3339; the candle of that moment is the first. An archive has older ones
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = Since::parse, allow_hyphen_values = true)]
    since: Since,
    /// Only candles that begin before then
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse, allow_hyphen_values = true)]
    until: Option<TimeArg>,
    /// How long a candle is, 1s to 24h; candles begin at multiples of it since 1970, UTC
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = interval)]
    every: Interval,
    #[command(flatten)]
    question: QuestionArgs,
}

/// A candle with the contract's keys.
#[derive(Debug, Serialize)]
struct CandleRow {
    exchange: String,
    symbol: String,
    #[serde(serialize_with = "utc")]
    time: TradeTime,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    trades: u64,
}

pub(super) async fn run(args: CandlesArgs) -> Result<Answer, Failure> {
    let (kind, asked) = (args.question.kind(), now());
    let since = args.since.within(kind, asked)?;
    let until = time::until(args.until, since, asked)?;
    let count = (until.map_or(asked, |until| until.min(asked)).ms() - since.ms()) / args.every.ms();
    if count > CANDLES_MAX {
        let why = format!("{count} candles are more than {CANDLES_MAX}");
        return Err(Failure::Usage(format!("{why}: give a longer --every, or an --until that is nearer to --since")));
    }
    let (store, scope, printing) = args.question.open(vec![args.symbol.clone()])?;
    let candles = store.candles(&scope, since, until, args.every);
    let (candles, newest) = with_newest(candles, kind == Kind::Store, &store, &scope).await?;
    let rows: Vec<_> = candles.iter().map(CandleRow::new).collect();
    print(&rows, printing)?;
    let begin = args.every.begin(since).unwrap_or(since);
    say_passed_over(&store, &scope, begin, until).await;
    say_unsealed(&store, &scope, begin, until).await?;
    say_if_clocks_disagree(newest, now());
    if rows.is_empty() {
        let why = format!("no trade of {} since {since} in {}", args.symbol, searched(&store, &scope));
        let advice = if kind == Kind::Store { "capture it first, or give a longer --since" } else { kind.advice() };
        return Err(Failure::No(format!("{why}: {advice}")));
    }
    Ok(Answer::Done)
}

impl CandleRow {
    fn new(candle: &Candle) -> Self {
        Self {
            exchange: candle.exchange.to_string(),
            symbol: candle.symbol.to_string(),
            time: candle.time,
            open: candle.open,
            high: candle.high,
            low: candle.low,
            close: candle.close,
            volume: candle.volume,
            trades: candle.trades,
        }
    }
}

impl TableRow for CandleRow {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("exchange", 8),
            Column::text("symbol", 7),
            Column::text("time", 0),
            Column::number("open", 4),
            Column::number("high", 2),
            Column::number("low", 3),
            Column::number("close", 1),
            Column::number("volume", 6),
            Column::number("trades", 5),
        ]
    }

    fn cells(&self, zone: Zone) -> Vec<String> {
        let mut cells = vec![self.exchange.clone(), self.symbol.clone(), zone.time(self.time)];
        cells.extend([self.open, self.high, self.low, self.close].map(|price| price.to_string()));
        // A sum of floats has more digits than mean anything; Binance's quantities have eight behind the point.
        cells.extend([format!("{:.8}", self.volume), self.trades.to_string()]);
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candle_has_the_keys_of_the_contract() {
        let (exchange, symbol) = ("binance".parse().unwrap(), "BTCUSDT".parse().unwrap());
        let mut candle =
            Candle::of_one(exchange, symbol, TradeTime::from_ms(1_767_268_800_000).unwrap(), 87_001.5, 0.1);
        candle.add(87_000.0, 0.2);
        let row = CandleRow::new(&candle);
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            "{\"exchange\":\"binance\",\"symbol\":\"BTCUSDT\",\"time\":\"2026-01-01T12:00:00.000Z\",\"open\":87001.5,\
             \"high\":87001.5,\"low\":87000.0,\"close\":87000.0,\"volume\":0.30000000000000004,\"trades\":2}"
        );
        let cells = ["binance", "BTCUSDT", "2026-01-01T12:00:00.000Z", "87001.5", "87001.5", "87000", "87000"];
        assert_eq!(row.cells(Zone::Utc)[..7], cells);
        assert_eq!(row.cells(Zone::Utc)[7..], ["0.30000000", "2"]);
    }
}
