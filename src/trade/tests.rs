//! What the words admit, and that they keep it byte for byte.

use proptest::prelude::*;

use super::example::trade;
use super::*;

#[test]
fn numbers_that_are_not_plain_positive_decimals_are_refused() {
    for text in [
        "",
        "0",
        "0.00",
        "-1",
        "+1",
        "1e5",
        "1E5",
        "NaN",
        "inf",
        "1.",
        ".5",
        "1..2",
        "1.2.3",
        "1,5",
        " 1",
        "1 ",
        "٣",
        "12345678901234567890123456789",
        "0.00000000000000000000000000001",
    ] {
        assert!(Price::new(text).is_err(), "{text:?} was taken");
    }
}

#[test]
fn the_largest_and_smallest_numbers_are_kept_exactly() {
    for text in [
        "1234567890123456789012345678",
        "9999999999999999999999999999",
        "0.0000000000000000000000000001",
        "61837.63000000",
    ] {
        let price = Price::new(text).unwrap();
        assert_eq!(price.as_str(), text);
        assert_eq!(price.to_decimal().to_string(), text);
    }
}

#[test]
fn symbols_are_upper_case_names_of_letters_of_any_script() {
    assert_eq!("btcusdt".parse::<Symbol>().unwrap().as_str(), "BTCUSDT");
    assert_eq!("币安人生usdt".parse::<Symbol>().unwrap().as_str(), "币安人生USDT");
    assert_eq!("BTCUSDT".parse::<Symbol>().unwrap().stream_name(), "btcusdt@trade");
    for text in ["", "BTC/USDT", "BTC USDT", "a\"b", "a\nb", &"A".repeat(33)] {
        assert!(text.parse::<Symbol>().is_err(), "{text:?} was taken");
    }
}

#[test]
fn a_trade_time_is_printed_with_milliseconds() {
    assert_eq!(TradeTime::from_ms(1_723_161_255_342).unwrap().to_string(), "2024-08-08T23:54:15.342Z");
    assert_eq!(TradeTime::from_ms(1_723_161_255_000).unwrap().to_string(), "2024-08-08T23:54:15.000Z");
}

#[test]
fn times_and_ids_outside_a_point_are_refused() {
    assert!(TradeTime::from_ms(-1).is_err());
    assert!(TradeTime::from_ms(i64::MAX).is_err());
    assert!(TradeTime::from_ms(1_723_161_255_342_000).is_err(), "microseconds are not milliseconds");
    assert!(TradeId::new(u64::MAX).is_err());
}

#[test]
fn point_times_of_one_millisecond_differ_by_id() {
    assert_eq!(trade(3_735_683_259, 1_723_161_255_342).point_time_ns(), 1_723_161_255_342_683_259);
    assert_eq!(trade(4_000_000, 5).point_time_ns(), 5_000_000);
}

proptest! {
    #[test]
    fn any_plain_decimal_keeps_its_text_and_value(whole in "[1-9][0-9]{0,9}", fraction in proptest::option::of("[0-9]{1,18}")) {
        let text = fraction.map_or(whole.clone(), |fraction| format!("{whole}.{fraction}"));
        let quantity = Quantity::new(&text).unwrap();
        prop_assert_eq!(quantity.as_str(), &text);
        prop_assert_eq!(quantity.to_decimal().to_string(), text);
    }

    #[test]
    fn prices_compare_as_decimals_do(one in "0{0,2}[0-3]{1,3}(\\.[01]{1,4})?", other in "0{0,2}[0-3]{1,3}(\\.[01]{1,4})?") {
        if let (Ok(one), Ok(other)) = (Price::new(&one), Price::new(&other)) {
            let by_text = compare_texts(one.as_bytes(), other.as_bytes());
            prop_assert_eq!(by_text, one.to_decimal().cmp(&other.to_decimal()));
        }
    }

    #[test]
    fn arbitrary_text_never_panics_and_is_kept_or_refused(text in ".{0,40}") {
        if let Ok(price) = Price::new(&text) {
            prop_assert_eq!(price.as_str(), &text);
        }
    }

    #[test]
    fn a_point_time_gives_back_its_trade_time(id in 0..1u64 << 62, ms in 0..4_000_000_000_000i64) {
        let trade = trade(id, ms);
        prop_assert_eq!(TradeTime::from_point_time_ns(trade.point_time_ns()).unwrap(), trade.time);
    }
}
