//! `tickflux candles`: open, high, low, close and volume, for drawing.

use clap::Args;
use serde::Serialize;

use super::caution::{say_if_clocks_disagree, say_passed_over, with_newest};
use super::report::{Column, TableRow, Zone, print, utc};
use super::settings::{QuestionArgs, now, searched};
use super::time::{interval, since};
use super::{Answer, Failure};
use crate::store::{Candle, Interval};
use crate::trade::{Symbol, TradeTime};

const EXAMPLES: &str = "\
Examples:
  tickflux candles BTCUSDT --since 6h --every 5m --format csv

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
    /// How far back, 1s to 24h; the candle of that moment is the first
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = since, allow_hyphen_values = true)]
    since: Interval,
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
    let (store, scope, printing) = args.question.open(vec![args.symbol.clone()])?;
    let since = now().earlier_by(args.since.ms());
    let candles = store.candles(&scope, since, args.every);
    let (candles, newest) = with_newest(candles, true, &store, &scope).await?;
    let rows: Vec<_> = candles.iter().map(CandleRow::new).collect();
    print(&rows, printing)?;
    say_passed_over(&store, &scope, args.every.begin(since).unwrap_or(since), None).await;
    say_if_clocks_disagree(newest, now());
    if rows.is_empty() {
        let why = format!("no trade of {} since {since} in {}", args.symbol, searched(&store, &scope));
        return Err(Failure::No(format!("{why}: capture it first, or give a longer --since")));
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
