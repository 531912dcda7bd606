//! The forms are restated from Binance's `web-socket-streams.md`; the values are made up.

use proptest::prelude::*;

use super::*;

const RAW: &str = r#"{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}"#;

fn symbols() -> SymbolTable {
    ["BTCUSDT".parse().unwrap(), "币USDT".parse().unwrap()].into_iter().collect()
}

fn decoded(text: &str) -> Result<Message, MessageError> {
    decode(text, &symbols())
}

fn trade_of(text: &str) -> Trade {
    match decoded(text) {
        Ok(Message::Trade(trade)) => trade,
        other => panic!("{text} gave {other:?}"),
    }
}

fn combined(raw: &str) -> String {
    format!(r#"{{"stream":"btcusdt@trade","data":{raw}}}"#)
}

#[test]
fn raw_and_combined_trades_keep_every_value() {
    for text in [RAW.to_owned(), combined(RAW)] {
        let trade = trade_of(&text);
        assert_eq!(trade.symbol.as_str(), "BTCUSDT");
        assert_eq!(trade.id.get(), 3_735_683_259);
        assert_eq!(trade.time.ms(), 1_723_161_255_342);
        assert_eq!(trade.price.as_str(), "61837.63000000");
        assert_eq!(trade.quantity.as_str(), "0.02000000");
        assert!(trade.buyer_is_maker);
    }
}

#[test]
fn todays_form_is_scanned() {
    assert!(super::scan::scan(&combined(RAW)).is_some());
    for other in [RAW.to_owned(), combined(&RAW.replace("\"M\":true", "\"M\":1")), combined(RAW) + " "] {
        assert_eq!(super::scan::scan(&other), None, "{other}: is the parser's");
    }
}

#[test]
fn key_order_unknown_fields_and_the_form_before_june_2024_do_not_matter() {
    let old = RAW.replace(r#""T":"#, r#""b":88,"a":50,"T":"#);
    let reordered = format!(r#"{{"data":{RAW},"stream":"btcusdt@trade","new":[1]}}"#);
    for text in [old.clone(), combined(&old), reordered] {
        assert_eq!(trade_of(&text), trade_of(RAW));
    }
}

#[test]
fn symbols_outside_ascii_may_come_escaped() {
    let escaped = combined(&RAW.replace("BTCUSDT", r"\u5e01USDT"));
    assert_eq!(trade_of(&escaped).symbol.as_str(), "币USDT");
}

#[test]
fn what_is_not_a_trade_is_told_apart() {
    let is = |text: &str, message| assert_eq!(decoded(text).unwrap(), message, "{text}");
    is(r#"{"result":null,"id":1}"#, Message::Acknowledgement);
    is(r#"{"e":"serverShutdown","E":1}"#, Message::ServerShutdown);
    is(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#, Message::ServerShutdown);
    is(r#"{"e":"aggTrade","p":5,"t":"x"}"#, Message::OtherEvent);
    is(&combined(r#"{"e":"kline","s":1}"#), Message::OtherEvent);
    for refusal in [r#"{"code":2,"msg":"Invalid request"}"#, r#"{"error":{"code":4,"msg":"Too many"},"id":19}"#] {
        is(refusal, Message::Refusal(refusal.to_owned()));
    }
}

#[test]
fn a_trade_event_that_is_no_trade_is_refused_with_the_reason() {
    for (from, to, why) in [
        ("\"61837.63000000\"", "\"0.00000000\"", "price \"0.00000000\""),
        ("\"61837.63000000\"", "61837.63", "invalid type"),
        ("\"0.02000000\"", "\"NaN\"", "quantity \"NaN\""),
        ("1723161255342,", "1723161255342000,", "trade time"),
        ("3735683259", "-1", "invalid value"),
        ("3735683259", "18446744073709551615", "trade id"),
        ("\"t\":3735683259,", "", "missing field `t`"),
        ("BTCUSDT", "DOGEUSDT", "not asked for"),
    ] {
        let text = combined(&RAW.replacen(from, to, 1));
        let error = decoded(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{text} gave {error:?}, not {why:?}");
    }
}

#[test]
fn what_is_not_json_or_says_nothing_is_refused() {
    assert!(matches!(decoded("{\"e\":\"tra"), Err(MessageError::Json(_))));
    assert!(matches!(decoded(""), Err(MessageError::Json(_))));
    for text in ["{}", "[]", "7", r#"{"stream":"x"}"#] {
        assert!(matches!(decoded(text), Err(MessageError::Unknown)), "{text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".*") {
        let _ = decoded(&text);
    }

    #[test]
    fn a_damaged_trade_is_refused_or_kept_whole(at in 0..RAW.len(), byte in 0x20u8..0x7f) {
        let mut bytes = RAW.as_bytes().to_vec();
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        if let Ok(Message::Trade(trade)) = decoded(&text) {
            prop_assert!(text.contains(trade.price.as_str()));
            prop_assert!(text.contains(&trade.id.to_string()));
        }
    }

    #[test]
    fn what_is_scanned_is_what_the_parser_reads(
        changes in prop::collection::vec((0..RAW.len() + 35, prop::sample::select(b"0123456789.\\\"{},:-eE+ tfTM".to_vec())), 0..3),
        symbol in "[A-Z]{1,5}|币",
        id in any::<u64>(),
    ) {
        let raw = RAW.replace("BTCUSDT", &symbol).replace("3735683259", &id.to_string());
        let mut bytes = combined(&raw).into_bytes();
        for (at, byte) in changes {
            if let Some(changed) = bytes.get_mut(at).filter(|old| old.is_ascii()) { *changed = byte }
        }
        let text = String::from_utf8(bytes).unwrap();
        if let Some(scanned) = super::scan::scan(&text) {
            let Combined { data } = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(scanned, data);
        }
    }
}
