use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::binance::rest::Kline;
use crate::store::minutes::{Account, Minute, MinuteSum, Part, SumsAccount};
use crate::trade::{MINUTE_MS, Price, TradeId, TradeTime};

const BEGIN: i64 = 29_454_480;

fn start(minute: i64) -> TradeTime {
    TradeTime::from_ms((BEGIN + minute) * MINUTE_MS).unwrap()
}

/// A minute with these ids, each of one unit at 5.
fn minute(at: i64, ids: std::ops::RangeInclusive<u64>) -> Minute {
    let part = |id| Part {
        id: TradeId::new(id).unwrap(),
        price: Price::new("5").unwrap(),
        quantity: b"1",
        buyer_is_maker: false,
    };
    let mut sum = MinuteSum::of_first(start(at), part(*ids.start()));
    ids.skip(1).for_each(|id| sum.add(start(at), part(id)));
    sum.finish(&"binance".parse().unwrap(), &"BTCUSDT".parse().unwrap())
}

/// The candle of so many such trades.
fn candle(at: i64, trades: u64) -> Kline {
    let (five, volume) = (Decimal::from(5), Decimal::from(trades));
    Kline {
        start: start(at),
        open: five,
        high: five,
        low: five,
        close: five,
        volume,
        quote_volume: volume * five,
        trades,
        taker_buy_volume: volume,
    }
}

fn told(candles: &[(i64, u64)]) -> Told {
    let mut told = Told::default();
    assert_eq!(told.take(candles.iter().map(|(at, trades)| candle(*at, *trades)).collect()), None);
    told.is_complete();
    told
}

/// What is said of each minute from the first on: a letter each, and where it begins.
fn said(before: Option<u64>, newest: i64, minutes: &[Minute], told: &Told) -> (i64, String) {
    let before = before.map(|id| TradeId::new(id).unwrap());
    let edges = Edges { first: start(0), last: start(9), before, newest: start(newest) };
    let judged = judge(edges, minutes, told);
    let letter = |judged: &Judged<'_>| match judged.verdict {
        Verdict::Agrees => '=',
        Verdict::Differs(_) => 'X',
        Verdict::Missing => 'M',
        Verdict::Began => 'b',
        Verdict::Ended => 'e',
        Verdict::Untold => '?',
        Verdict::Unsure => 'u',
    };
    let first = judged.first().map_or(-1, |judged| (judged.start.ms() - start(0).ms()) / MINUTE_MS);
    (first, judged.iter().map(letter).collect())
}

#[test]
fn whole_minutes_are_compared_from_the_first_trade_to_the_newest() {
    let minutes = [minute(2, 1..=3), minute(3, 4..=9), minute(5, 10..=10)];
    let all = told(&[(0, 7), (1, 7), (2, 3), (3, 6), (4, 0), (5, 1), (6, 4), (9, 1)]);
    assert_eq!(said(None, 5, &minutes, &all), (2, "====".to_owned()));
    // What is before is known to be stored, so it is missing; and after it until the newest trade.
    assert_eq!(said(Some(0), 6, &minutes, &all), (0, "MM====M".to_owned()));
    assert_eq!(said(None, 99, &minutes, &all), (2, "====M==M".to_owned()));
    assert_eq!(said(None, 5, &[], &all), (-1, String::new()));
    // Minutes that the exchange left out are minutes without a trade, if it told later ones.
    assert_eq!(said(None, 5, &minutes, &told(&[(2, 3), (5, 1)])), (2, "=X==".to_owned()));
    assert_eq!(said(None, 5, &minutes, &told(&[(2, 3), (3, 6)])), (2, "==??".to_owned()));
    let mut recorded = Told::default();
    recorded.take(vec![candle(3, 6), candle(5, 1)]);
    assert_eq!(said(None, 5, &minutes, &recorded), (2, "?=?=".to_owned()));
}

#[test]
fn a_part_of_a_minute_is_no_difference_at_the_edges_alone() {
    let minutes = [minute(0, 5..=9), minute(1, 10..=19), minute(2, 20..=22)];
    let all = told(&[(0, 8), (1, 10), (2, 4)]);
    assert_eq!(said(None, 2, &minutes, &all), (0, "b=e".to_owned()));
    for before in [1, 4] {
        assert_eq!(said(Some(before), 2, &minutes, &all), (0, "X=e".to_owned()), "trades before it are stored");
    }
    assert_eq!(said(None, 2, &minutes, &told(&[(0, 5), (1, 12), (2, 3)])), (0, "=X=".to_owned()));
    assert_eq!(
        said(None, 2, &minutes, &told(&[(0, 4), (1, 10), (2, 2)])),
        (0, "X=X".to_owned()),
        "more than there were"
    );
    assert_eq!(said(None, 0, &minutes[..1], &told(&[(0, 8)])), (0, "b".to_owned()));
    // The exchange has as many trades as there are ids: one that is missing inside makes no part of it.
    let mut holed = minute(0, 5..=8);
    holed.ids.last = 9;
    assert_eq!(said(None, 1, &[holed, minute(1, 10..=19)], &told(&[(0, 5), (1, 10)])), (0, "X=".to_owned()));
}

#[test]
fn ids_of_a_minute_without_a_stored_trade_are_not_missing_in_those_beside_it() {
    // Stored from the middle of the first minute on, nothing of the second, and up to the middle of the third.
    let minutes = [minute(0, 5..=9), minute(2, 50..=52)];
    let all = told(&[(0, 8), (1, 40), (2, 4)]);
    assert_eq!(said(None, 2, &minutes, &all), (0, "bMe".to_owned()));
    let edges = Edges { first: start(0), last: start(9), before: None, newest: start(2) };
    assert_eq!(judge(edges, &minutes, &all).iter().map(|judged| judged.missing).collect::<Vec<_>>(), [0, 0, 0]);
    // One more than the exchange tells of it is missing in one of the two.
    let minutes = [minute(0, 5..=9), minute(2, 51..=53)];
    assert_eq!(judge(edges, &minutes, &all).iter().map(|judged| judged.missing).collect::<Vec<_>>(), [1, 0, 1]);
    // Known from before, and nothing stored for a minute.
    let before = Edges { before: Some(TradeId::new(4).unwrap()), ..edges };
    let minutes = [minute(1, 13..=52)];
    assert_eq!(judge(before, &minutes, &all).iter().map(|judged| judged.missing).collect::<Vec<_>>()[..2], [0, 0]);
}

#[test]
fn missing_ids_are_those_between_the_neighbours() {
    let missing = |before: Option<u64>, minutes: &[Minute]| {
        let before = before.map(|id| TradeId::new(id).unwrap());
        let edges = Edges { first: start(0), last: start(9), before, newest: start(9) };
        judge(edges, minutes, &told(&[])).iter().map(|judged| judged.missing).collect::<Vec<_>>()
    };
    let minutes = |first: u64, next: u64| [minute(0, first..=first + 4), minute(1, next..=next + 4)];
    assert_eq!(missing(Some(9), &minutes(10, 15))[..2], [0, 0]);
    assert_eq!(missing(None, &minutes(10, 15))[..2], [0, 0]);
    assert_eq!(missing(Some(7), &minutes(10, 17))[..2], [4, 2]);
    // A count that began again has nothing in common with the one before it.
    assert_eq!(missing(Some(9_000), &minutes(10, 15))[..2], [0, 0]);
    assert_eq!(missing(Some(89_999), &minutes(90_000, 1))[..2], [0, 0]);
}

#[test]
fn candles_that_contradict_each_other_are_found() {
    let mut told = told(&[(0, 3), (1, 4)]);
    assert_eq!(told.take(vec![candle(1, 4)]), None);
    assert_eq!(told.take(vec![candle(0, 3), candle(1, 5)]), Some(start(1)));
}

#[test]
fn what_is_cut_of_a_product_is_no_difference() {
    let part = |id, quantity| Part {
        id: TradeId::new(id).unwrap(),
        price: Price::new("0.05000001").unwrap(),
        quantity,
        buyer_is_maker: true,
    };
    let mut sum = MinuteSum::of_first(start(0), part(1, b"0.00010000"));
    sum.add(start(0), part(2, b"0.00020000"));
    let minute = sum.finish(&"binance".parse().unwrap(), &"ETHBTC".parse().unwrap());
    let price = Decimal::new(5_000_001, 8);
    let of = |quote_volume: Decimal| {
        let volume = Decimal::new(30_000, 8);
        let candle = Kline {
            open: price,
            high: price,
            low: price,
            close: price,
            volume,
            quote_volume,
            taker_buy_volume: Decimal::ZERO,
            ..candle(0, 2)
        };
        compare(&minute, &candle)
    };
    // 0.000005000001 and 0.000010000002, cut each or together.
    for eighths in [1_500, 1_499, 1_501] {
        assert_eq!(of(Decimal::new(eighths, 8)), Comparison::Same, "{eighths}");
    }
    for eighths in [1_498, 1_503] {
        assert_eq!(of(Decimal::new(eighths, 8)), Comparison::Different(vec![Field::QuoteVolume]), "{eighths}");
    }
}

/// Where every other product fits eight decimals, one that does not is no trade of that symbol: a changed last digit.
#[test]
fn one_price_of_more_digits_among_many_is_a_difference() {
    let compared = |trades: u64, odd: bool| {
        let part = |id, price| Part {
            id: TradeId::new(id).unwrap(),
            price: Price::new(price).unwrap(),
            quantity: b"0.00010000",
            buyer_is_maker: true,
        };
        let mut sum = MinuteSum::of_first(start(0), part(1, "100.00000000"));
        (2..trades).for_each(|id| sum.add(start(0), part(id, "100.00000000")));
        sum.add(start(0), part(trades, if odd { "99.99999999" } else { "100.00000000" }));
        sum.add(start(0), part(trades + 1, "100.00000000"));
        let minute = sum.finish(&"binance".parse().unwrap(), &"BTCUSDT".parse().unwrap());
        let price = Decimal::from(100);
        let volume = Decimal::new(10_000, 8) * Decimal::from(trades + 1);
        let candle = Kline {
            start: start(0),
            open: price,
            high: price,
            low: if odd { "99.99999999".parse().unwrap() } else { price },
            close: price,
            volume,
            quote_volume: volume * price,
            trades: trades + 1,
            taker_buy_volume: Decimal::ZERO,
        };
        compare(&minute, &candle)
    };
    assert_eq!(compared(60, false), Comparison::Same);
    assert_eq!(compared(60, true), Comparison::Different(vec![Field::QuoteVolume]));
    assert_eq!(compared(40, true), Comparison::Same, "of so few it is not known");
}

/// The minute of these quantities as an engine adds them up.
fn sums(quantities: &[u64], order: &mut fastrand::Rng) -> (Minute, Decimal) {
    let decimal = |eighths: u64| Decimal::from_i128_with_scale(eighths.into(), 8);
    let mut floats: Vec<f64> =
        quantities.iter().map(|eighths| decimal(*eighths).to_string().parse().unwrap()).collect();
    order.shuffle(&mut floats);
    let whole = minute(0, 1..=quantities.len() as u64);
    let price = Some(Price::new("5").unwrap());
    let account = SumsAccount {
        open: price,
        high: 5.0,
        low: 5.0,
        close: price,
        volume: floats.iter().sum(),
        quote_volume: None,
        taker_buy_volume: None,
    };
    let volume = quantities.iter().map(|eighths| decimal(*eighths)).sum();
    (Minute { account: Account::Sums(account), ..whole }, volume)
}

proptest! {
    /// A sum of floats is never called the same as a decimal that is not that sum; of quantities as they are it always is.
    #[test]
    fn sums_of_floats_are_called_the_same_only_if_they_are(
        quantities in prop::collection::vec(1_u64..1_000_000_000_000, 1..2_000),
        by in -3_i64..=3,
        seed in any::<u64>(),
    ) {
        let (minute, volume) = sums(&quantities, &mut fastrand::Rng::with_seed(seed));
        let told = Kline { volume: volume + Decimal::new(by, 8), ..candle(0, quantities.len() as u64) };
        let said = compare(&minute, &told);
        prop_assert!(said == Comparison::Unsure || by == 0, "{by}");
        if volume < Decimal::from(10_000) {
            prop_assert_eq!(said == Comparison::Same, by == 0);
        }
    }
}

#[test]
fn sums_of_too_many_or_too_large_numbers_are_unsure() {
    let mut rng = fastrand::Rng::with_seed(7);
    let said = |quantities: &[u64], rng: &mut fastrand::Rng| {
        let (minute, volume) = sums(quantities, rng);
        compare(&minute, &Kline { volume, ..candle(0, quantities.len() as u64) })
    };
    // A busy minute of BTCUSDT, and one of a coin of which a million is little.
    let busy: Vec<_> = (0..50_000).map(|_| rng.u64(1_000..2_000_000)).collect();
    assert_eq!(said(&busy, &mut rng), Comparison::Same);
    let cheap: Vec<_> = (0..1_000).map(|_| rng.u64(1..50_000_000) * 100_000_000).collect();
    assert_eq!(said(&cheap, &mut rng), Comparison::Unsure);
}
