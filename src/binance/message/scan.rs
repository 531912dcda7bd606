//! The trade event as Binance writes it today, read in one pass without a general parser.
//!
//! Nearly every message is one. This takes 0.1 µs where the JSON parser takes 0.25 µs, a sixth of what a
//! trade costs altogether. It knows one order of keys and gives up on anything else, which the
//! parser then judges: it never decides alone that a message is wrong.

use super::TradeEvent;

/// The combined trade event in `text`; `None` if it is anything else.
pub(super) fn scan(text: &str) -> Option<TradeEvent<'_>> {
    let rest = text.strip_prefix(r#"{"stream":""#)?;
    let (_, rest) = string(rest)?;
    let rest = rest.strip_prefix(r#","data":{"e":"trade","E":"#)?;
    let (_, rest) = number(rest)?;
    let (symbol, rest) = string(rest.strip_prefix(r#","s":""#)?)?;
    let (id, rest) = number(rest.strip_prefix(r#","t":"#)?)?;
    let (price, rest) = string(rest.strip_prefix(r#","p":""#)?)?;
    let (quantity, rest) = string(rest.strip_prefix(r#","q":""#)?)?;
    let (time, rest) = number(rest.strip_prefix(r#","T":"#)?)?;
    let (buyer_is_maker, rest) = boolean(rest.strip_prefix(r#","m":"#)?)?;
    let (_, rest) = boolean(rest.strip_prefix(r#","M":"#)?)?;
    (rest == "}}").then_some(())?;
    let time_ms = i64::try_from(time).ok()?;
    Some(TradeEvent { event: "trade", symbol: symbol.into(), id, price, quantity, time_ms, buyer_is_maker })
}

/// Up to the closing quote, and what is behind it. Escapes and control characters are the parser's.
fn string(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    let (string, rest) = text.split_at_checked(end)?;
    Some((string, rest.strip_prefix('"')?))
}

/// Digits without a leading zero.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    if digits > 1 && number.starts_with('0') {
        return None;
    }
    Some((number.parse().ok()?, rest))
}

fn boolean(text: &str) -> Option<(bool, &str)> {
    match text.strip_prefix("true") {
        Some(rest) => Some((true, rest)),
        None => Some((false, text.strip_prefix("false")?)),
    }
}
