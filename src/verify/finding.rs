//! What is found of minutes whose every trade was read, as it is kept.

use std::collections::BTreeMap;
use std::fmt::Display;

use rust_decimal::Decimal;

use super::compare::{Comparison, Field, compare};
use crate::binance::rest::Kline;
use crate::store::MinutePoint;
use crate::store::minutes::{Account, ExactAccount, Minute};
use crate::text::Excerpt;
use crate::trade::{IdRange, MINUTE_MS, Symbol, TradeTime};

/// Minutes, and those of them of which the exchange told no candle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What was found of each minute that has a candle, in order.
    pub points: Vec<MinutePoint>,
    /// The begins of those without one, in order.
    pub untold: Vec<TradeTime>,
    /// The begins of those whose candle has fewer trades than are stored: it may not be the last word.
    pub behind: Vec<TradeTime>,
}

/// Holds the minutes from the one that begins at `first` to the one that begins at `last` against their candles. `minutes` are
/// those of `symbol` with a trade in them.
pub fn find(symbol: &Symbol, first: TradeTime, last: TradeTime, minutes: &[Minute], candles: &[Kline]) -> Findings {
    let minutes: BTreeMap<_, _> = minutes.iter().map(|minute| (minute.start, minute)).collect();
    let candles: BTreeMap<_, _> = candles.iter().map(|candle| (candle.start, candle)).collect();
    let mut findings = Findings::default();
    let mut start = first;
    while start <= last {
        match candles.get(&start) {
            Some(candle) => {
                let minute = minutes.get(&start).copied();
                findings.behind.extend(minute.filter(|minute| minute.trades > candle.trades).map(|_| start));
                findings.points.push(point(symbol, minute, candle));
            }
            None => findings.untold.push(start),
        }
        start = start.later_by(MINUTE_MS);
    }
    findings
}

fn point(symbol: &Symbol, minute: Option<&Minute>, candle: &Kline) -> MinutePoint {
    let exact = minute.and_then(|minute| match &minute.account {
        Account::Exact(account) => Some((minute, account)),
        Account::Sums(_) => None,
    });
    let Some((minute, account)) = exact else {
        return MinutePoint {
            symbol: symbol.clone(),
            start: candle.start,
            trades: 0,
            ids: None,
            open: candle.open,
            high: candle.high,
            low: candle.low,
            close: candle.close,
            volume: Some(Decimal::ZERO),
            taker_buy_volume: Some(Decimal::ZERO),
            difference: (candle.trades > 0).then(|| Excerpt::line(&unlike("trades", &0, &candle.trades))),
        };
    };
    MinutePoint {
        symbol: symbol.clone(),
        start: minute.start,
        trades: minute.trades,
        ids: Some(minute.ids),
        open: account.open.to_decimal(),
        high: account.high.to_decimal(),
        low: account.low.to_decimal(),
        close: account.close.to_decimal(),
        volume: account.volume,
        taker_buy_volume: account.taker_buy_volume,
        difference: match compare(minute, candle) {
            Comparison::Same => None,
            Comparison::Different(fields) => Some(words(&fields, minute, account, candle)),
            Comparison::Unsure => Some(Excerpt::of("its trades were not read")),
        },
    }
}

fn words(fields: &[Field], minute: &Minute, account: &ExactAccount, candle: &Kline) -> Excerpt {
    let sum = |stored: Option<Decimal>| stored.map_or_else(|| "too long to add up".to_owned(), |sum| sum.to_string());
    let word = |field: &Field| match field {
        Field::Trades => unlike(field.name(), &minute.trades, &candle.trades),
        Field::Open => unlike(field.name(), &account.open, &candle.open),
        Field::High => unlike(field.name(), &account.high, &candle.high),
        Field::Low => unlike(field.name(), &account.low, &candle.low),
        Field::Close => unlike(field.name(), &account.close, &candle.close),
        Field::Volume => unlike(field.name(), &sum(account.volume), &candle.volume),
        Field::QuoteVolume => unlike(field.name(), &sum(account.quote_volume), &candle.quote_volume),
        Field::TakerBuyVolume => unlike(field.name(), &sum(account.taker_buy_volume), &candle.taker_buy_volume),
    };
    let IdRange { first, last } = minute.ids;
    let absent = (last - first + 1).saturating_sub(minute.trades);
    let are = if absent == 1 { "1 id is".to_owned() } else { format!("{absent} ids are") };
    let absent = (absent > 0).then(|| format!("{are} missing between {first} and {last}"));
    Excerpt::line(&fields.iter().map(word).chain(absent).collect::<Vec<_>>().join("; "))
}

fn unlike(name: &str, stored: &dyn Display, told: &dyn Display) -> String {
    format!("{name} {stored}, by the exchange {told}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::minutes::{MinuteSums, Part};
    use crate::trade::{Price, TradeId};

    fn time(minute: i64) -> TradeTime {
        TradeTime::from_ms(minute * MINUTE_MS).unwrap()
    }

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn minute(at: i64, trades: &[(u64, &str, &str, bool)]) -> Minute {
        let parts = trades.iter().map(|(id, price, quantity, buyer_is_maker)| Part {
            id: TradeId::new(*id).unwrap(),
            price: Price::new(price).unwrap(),
            quantity: quantity.as_bytes(),
            buyer_is_maker: *buyer_is_maker,
        });
        let mut sums = MinuteSums::default();
        parts.for_each(|part| sums.add(time(at), part));
        sums.finish(&"binance".parse().unwrap(), &"BTCUSDT".parse().unwrap()).remove(0)
    }

    fn candle(at: i64, trades: u64, [open, high, low, close, volume, quote, taker]: [&str; 7]) -> Kline {
        Kline {
            start: time(at),
            open: decimal(open),
            high: decimal(high),
            low: decimal(low),
            close: decimal(close),
            volume: decimal(volume),
            quote_volume: decimal(quote),
            trades,
            taker_buy_volume: decimal(taker),
        }
    }

    #[test]
    fn a_minute_is_verified_different_or_untold() {
        let whole = minute(7, &[(5, "2.0", "1", false), (6, "3.0", "2", true)]);
        let torn = minute(9, &[(9, "2.0", "1", false), (11, "2.0", "1", true)]);
        let candles = [
            candle(7, 2, ["2.0", "3", "2", "3.00", "3", "8", "1"]),
            candle(8, 0, ["3", "3", "3", "3", "0", "0", "0"]),
            candle(9, 3, ["2.0", "2.0", "2.0", "2.0", "2.5", "5", "1"]),
            candle(10, 4, ["2", "2", "2", "2", "4", "8", "1"]),
        ];
        let symbol = "BTCUSDT".parse().unwrap();
        let Findings { points, untold, behind } = find(&symbol, time(7), time(11), &[whole, torn], &candles);
        assert_eq!((untold, behind), (vec![time(11)], vec![]));
        let told: Vec<_> = points
            .iter()
            .map(|point| (point.trades, point.ids.map(|ids| (ids.first, ids.last)), point.difference.clone()))
            .collect();
        let words = |text| Some(Excerpt::line(text));
        let of_torn = "trades 2, by the exchange 3; volume 2.00000000, by the exchange 2.5; quote_volume 4.00000000, by the \
                       exchange 5; 1 id is missing between 9 and 11";
        assert_eq!(
            told,
            [
                (2, Some((5, 6)), None),
                (0, None, None),
                (2, Some((9, 11)), words(of_torn)),
                (0, None, words("trades 0, by the exchange 4")),
            ]
        );
        let texts = points[0].decimals().map(|(name, decimal)| format!("{name} {}", decimal.unwrap()));
        assert_eq!(
            texts,
            ["open 2.0", "high 3.0", "low 2.0", "close 3.0", "volume 3.00000000", "taker_buy_volume 1.00000000"]
        );
        assert_eq!(points[1].close.to_string(), "3");
    }
}
