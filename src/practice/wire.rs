//! What goes over the wire, byte for byte in Binance's key order.
//!
//! Source: Binance's `web-socket-streams.md` and `rest-api.md`. Written by
//! hand, and apart from the capture's reader, so that each can prove the other
//! wrong.

use std::fmt::Write as _;

use super::tape::Print;
use crate::trade::Trade;

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
    format!(
        r#"{{"id":{},"price":"{}","qty":"{}","quoteQty":"{:.8}","time":{},"isBuyerMaker":{},"isBestMatch":true}}"#,
        trade.id,
        trade.price,
        trade.quantity,
        quote,
        trade.time.ms(),
        trade.buyer_is_maker
    )
}

/// A row of `aggTrades`: trades of one taker order, with the ids of the first and the last.
///
/// The aggregate's own id is the first trade's; Binance numbers aggregates by themselves.
pub(super) fn aggregate_row(trades: &[Trade]) -> Option<String> {
    let (first, last) = (trades.first()?, trades.last()?);
    let quantity: rust_decimal::Decimal = trades.iter().map(|trade| trade.quantity.to_decimal()).sum();
    Some(format!(
        r#"{{"a":{},"p":"{}","q":"{:.8}","f":{},"l":{},"T":{},"m":{},"M":true}}"#,
        first.id,
        first.price,
        quantity,
        first.id,
        last.id,
        first.time.ms(),
        first.buyer_is_maker
    ))
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
