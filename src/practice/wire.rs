//! What goes over the wire, byte for byte in Binance's key order.
//!
//! Source: Binance's `web-socket-streams.md` and `rest-api.md`. Written by
//! hand, and apart from the capture's reader, so that each can prove the other
//! wrong.

use std::fmt::Write as _;

use rust_decimal::Decimal;

use super::tape::Print;
use crate::trade::Trade;

/// What Binance says to a restricted location.
pub(super) const RESTRICTED: &str = "Service unavailable from a restricted location according to 'b. Eligibility' in \
    https://www.binance.com/en/terms. Please contact customer service if you believe you received this message in error.";

/// A trade event, bare or wrapped with the name of its stream.
pub(super) fn event(print: &Print, combined: Option<&str>) -> String {
    let Print { trade, event_ms } = print;
    let mut text = String::with_capacity(256);
    if let Some(stream) = combined {
        text.push_str(r#"{"stream":""#);
        text.push_str(stream);
        text.push_str(r#"","data":"#);
    }
    // Writing to a string cannot fail.
    let _ = write!(text, r#"{{"e":"trade","E":{event_ms},"s":"{}","t":{},"p":""#, trade.symbol, trade.id);
    text.push_str(trade.price.as_str());
    text.push_str(r#"","q":""#);
    text.push_str(trade.quantity.as_str());
    let _ = write!(text, r#"","T":{},"m":{},"M":true}}"#, trade.time.ms(), trade.buyer_is_maker);
    if combined.is_some() {
        text.push('}');
    }
    text
}

/// A row of `trades` and `historicalTrades`.
pub(super) fn history_row(trade: &Trade) -> String {
    let quote = trade.price.to_decimal().checked_mul(trade.quantity.to_decimal()).unwrap_or_default();
    row(trade, trade.price.as_str(), quote)
}

/// A line of a daily file; times are in microseconds since 2025-01-01.
pub(super) fn dump_line(trade: &Trade, has_microseconds: bool) -> String {
    let quote = trade.price.to_decimal().checked_mul(trade.quantity.to_decimal()).unwrap_or_default();
    let (ms, behind) = (trade.time.ms(), if has_microseconds { "000" } else { "" });
    let maker = if trade.buyer_is_maker { "True" } else { "False" };
    let Trade { id, price, quantity, .. } = trade;
    format!("{id},{price},{quantity},{},{ms}{behind},{maker},True\n", eight_decimals(quote))
}

/// The row of a trade whose price the exchange has lost.
pub(super) fn bad_row(trade: &Trade) -> String {
    row(trade, "0", Decimal::ZERO)
}

fn row(trade: &Trade, price: &str, quote: Decimal) -> String {
    format!(
        r#"{{"id":{},"price":"{}","qty":"{}","quoteQty":"{}","time":{},"isBuyerMaker":{},"isBestMatch":true}}"#,
        trade.id,
        price,
        trade.quantity,
        eight_decimals(quote),
        trade.time.ms(),
        trade.buyer_is_maker
    )
}

/// A row of `aggTrades`: trades of one taker order, with the ids of the first and the last.
///
/// The aggregate's own id is the first trade's; Binance numbers aggregates by themselves.
pub(super) fn aggregate_row(trades: &[Trade]) -> Option<String> {
    let (first, last) = (trades.first()?, trades.last()?);
    // What no number holds is as good as any: Binance never lists it.
    let add = |sum: Decimal, trade: &Trade| sum.checked_add(trade.quantity.to_decimal()).unwrap_or(Decimal::MAX);
    let quantity = trades.iter().fold(Decimal::ZERO, add);
    Some(format!(
        r#"{{"a":{},"p":"{}","q":"{}","f":{},"l":{},"T":{},"m":{},"M":true}}"#,
        first.id,
        first.price,
        eight_decimals(quantity),
        first.id,
        last.id,
        first.time.ms(),
        first.buyer_is_maker
    ))
}

/// As Binance writes sums. A number too long for that many decimals makes rust_decimal panic; it is written as it is.
pub(super) fn eight_decimals(number: Decimal) -> String {
    let longest = Decimal::from(u64::MAX);
    if number <= longest { format!("{number:.8}") } else { number.to_string() }
}

/// Whether two trades in a row belong to one aggregate.
pub(super) fn are_one_aggregate(one: &Trade, next: &Trade) -> bool {
    (one.time, one.price, one.buyer_is_maker) == (next.time, next.price, next.buyer_is_maker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::{Price, Quantity, TradeId, TradeTime};

    fn print() -> Print {
        let trade = Trade {
            symbol: "BTCUSDT".parse().unwrap(),
            id: TradeId::new(42).unwrap(),
            time: TradeTime::from_ms(1_700_000_000_000).unwrap(),
            price: Price::new("37000.10000000").unwrap(),
            quantity: Quantity::new("0.00200000").unwrap(),
            buyer_is_maker: true,
        };
        Print { trade, event_ms: 1_700_000_000_001 }
    }

    #[test]
    fn events_have_binances_keys_in_binances_order() {
        let raw = r#"{"e":"trade","E":1700000000001,"s":"BTCUSDT","t":42,"p":"37000.10000000","q":"0.00200000","T":1700000000000,"m":true,"M":true}"#;
        assert_eq!(event(&print(), None), raw);
        let combined = format!(r#"{{"stream":"btcusdt@trade","data":{raw}}}"#);
        assert_eq!(event(&print(), Some("btcusdt@trade")), combined);
    }

    #[test]
    fn rows_have_binances_keys_in_binances_order() {
        let trade = print().trade;
        assert_eq!(
            history_row(&trade),
            r#"{"id":42,"price":"37000.10000000","qty":"0.00200000","quoteQty":"74.00020000","time":1700000000000,"isBuyerMaker":true,"isBestMatch":true}"#
        );
        let next = Trade { id: TradeId::new(43).unwrap(), ..trade.clone() };
        assert!(are_one_aggregate(&trade, &next));
        assert_eq!(
            aggregate_row(&[trade, next]).unwrap(),
            r#"{"a":42,"p":"37000.10000000","q":"0.00400000","f":42,"l":43,"T":1700000000000,"m":true,"M":true}"#
        );
    }
}
