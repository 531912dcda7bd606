//! Candles as Binance's REST gives them: one for each stretch of time since the first trade, also where nothing was traded.
//!
//! Source: Binance's `rest-api.md`. Pure: the trades and the time come in.

use rust_decimal::Decimal;

use super::wire::eight_decimals;
use crate::trade::Trade;

/// The length of a candle by Binance's name for it; `None` for what it does not know, and for months and weeks.
pub(super) fn interval_ms(name: &str) -> Option<i64> {
    const SECOND: i64 = 1_000;
    let (minute, hour) = (60 * SECOND, 3_600 * SECOND);
    Some(match name {
        "1s" => SECOND,
        "1m" => minute,
        "3m" => 3 * minute,
        "5m" => 5 * minute,
        "15m" => 15 * minute,
        "30m" => 30 * minute,
        "1h" => hour,
        "2h" => 2 * hour,
        "4h" => 4 * hour,
        "6h" => 6 * hour,
        "8h" => 8 * hour,
        "12h" => 12 * hour,
        "1d" => 24 * hour,
        _ => return None,
    })
}

/// Which candles are asked for; times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// No candle opens before; without it the newest ones are given.
    pub(super) from: Option<i64>,
    /// No candle opens after.
    pub(super) until: i64,
    /// The length of a candle.
    pub(super) every: i64,
    /// How many, at most.
    pub(super) most: usize,
}

impl Stretch {
    /// When the first candle opens at the earliest.
    pub(super) fn begin(&self) -> i64 {
        let Self { from, until, every, most } = *self;
        match from {
            Some(from) => from.saturating_add(every - 1).div_euclid(every).saturating_mul(every),
            None => {
                let before = i64::try_from(most).unwrap_or(i64::MAX).saturating_sub(1).saturating_mul(every);
                (until.div_euclid(every) * every).saturating_sub(before)
            }
        }
    }
}

/// The rows of the candles of `trades`, which are those from the begin of the stretch on and one before it, if there is one.
pub(super) fn klines(trades: &[Trade], stretch: Stretch) -> Vec<String> {
    let Stretch { until, every, most, .. } = stretch;
    let (before, mut trades) = trades.split_at(trades.partition_point(|trade| trade.time.ms() < stretch.begin()));
    let (mut open_ms, mut close) = match (before.last(), trades.first()) {
        (Some(before), _) => (stretch.begin(), before.price.to_decimal()),
        (None, Some(first)) => (first.time.ms().div_euclid(every) * every, first.price.to_decimal()),
        (None, None) => return Vec::new(),
    };
    let mut rows = Vec::new();
    while open_ms <= until && rows.len() < most {
        let (inside, behind) = trades.split_at(trades.partition_point(|trade| trade.time.ms() < open_ms + every));
        let served: Vec<_> = inside.iter().filter(|trade| trade.time.ms() <= until).collect();
        rows.push(row(open_ms, every, &served, close));
        close = served.last().map_or(close, |last| last.price.to_decimal());
        (trades, open_ms) = (behind, open_ms + every);
    }
    rows
}

/// One candle; without a trade every price is the last close.
fn row(open_ms: i64, every: i64, trades: &[&Trade], last_close: Decimal) -> String {
    let prices = || trades.iter().map(|trade| trade.price.to_decimal());
    let price = |price: Option<Decimal>| price.unwrap_or(last_close);
    let sum = |value: fn(&Trade) -> Decimal, is_in: fn(&Trade) -> bool| {
        let values = trades.iter().filter(|trade| is_in(trade)).map(|trade| value(trade));
        values.fold(Decimal::ZERO, |sum, value| sum.checked_add(value).unwrap_or(Decimal::MAX))
    };
    let quantity = |trade: &Trade| trade.quantity.to_decimal();
    let quote = |trade: &Trade| trade.price.to_decimal().checked_mul(trade.quantity.to_decimal()).unwrap_or_default();
    let (all, taker_buys) = (|_: &Trade| true, |trade: &Trade| !trade.buyer_is_maker);
    let [open, high, low, close] =
        [prices().next(), prices().max(), prices().min(), prices().next_back()].map(|it| eight_decimals(price(it)));
    let [volume, quotes, bought, bought_quotes] =
        [sum(quantity, all), sum(quote, all), sum(quantity, taker_buys), sum(quote, taker_buys)].map(eight_decimals);
    let (close_ms, count) = (open_ms + every - 1, trades.len());
    format!(
        r#"[{open_ms},"{open}","{high}","{low}","{close}","{volume}",{close_ms},"{quotes}",{count},"{bought}","{bought_quotes}","0"]"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::{Price, Quantity, TradeId, TradeTime};

    const MINUTE: i64 = 60_000;

    fn trade(id: u64, ms: i64, price: &str, buyer_is_maker: bool) -> Trade {
        Trade {
            symbol: "BTCUSDT".parse().unwrap(),
            id: TradeId::new(id).unwrap(),
            time: TradeTime::from_ms(ms).unwrap(),
            price: Price::new(price).unwrap(),
            quantity: Quantity::new("0.5").unwrap(),
            buyer_is_maker,
        }
    }

    #[test]
    fn a_candle_has_binances_columns_and_one_without_a_trade_the_last_close() {
        let trades = [trade(1, 10, "5", true), trade(2, 20, "7", false), trade(3, 2 * MINUTE, "4", false)];
        let stretch = Stretch { from: Some(0), until: i64::MAX / 2, every: MINUTE, most: 3 };
        assert_eq!(
            klines(&trades, stretch),
            [
                r#"[0,"5.00000000","7.00000000","5.00000000","7.00000000","1.00000000",59999,"6.00000000",2,"0.50000000","3.50000000","0"]"#,
                r#"[60000,"7.00000000","7.00000000","7.00000000","7.00000000","0.00000000",119999,"0.00000000",0,"0.00000000","0.00000000","0"]"#,
                r#"[120000,"4.00000000","4.00000000","4.00000000","4.00000000","0.50000000",179999,"2.00000000",1,"0.50000000","2.00000000","0"]"#,
            ]
        );
        assert_eq!(klines(&trades, Stretch { until: MINUTE, ..stretch }).len(), 2);
        assert_eq!(klines(&trades, Stretch { most: 1, ..stretch }).len(), 1);
        assert_eq!(klines(&[], stretch), [] as [&str; 0]);
        let quiet = klines(&trades[..2], Stretch { from: Some(MINUTE), most: 1, ..stretch });
        assert!(quiet[0].starts_with(r#"[60000,"7.00000000","7.00000000""#), "{quiet:?}");
    }

    #[test]
    fn the_newest_candles_are_given_where_no_begin_is_asked_for() {
        let stretch = Stretch { from: None, until: 10 * MINUTE + 5, every: MINUTE, most: 3 };
        assert_eq!(stretch.begin(), 8 * MINUTE);
        assert_eq!(Stretch { from: Some(MINUTE + 1), ..stretch }.begin(), 2 * MINUTE);
        assert_eq!((interval_ms("1m"), interval_ms("1M")), (Some(MINUTE), None));
    }
}
