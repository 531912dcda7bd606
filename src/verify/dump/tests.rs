use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::waiting::WAITING_MAX;
use super::*;
use crate::trade::{Price, Quantity};

fn trade(id: u64, ms: i64, price: &str) -> Trade {
    Trade {
        symbol: "BTCUSDT".parse().unwrap(),
        id: TradeId::new(id).unwrap(),
        time: TradeTime::from_ms(ms).unwrap(),
        price: Price::new(price).unwrap(),
        quantity: Quantity::new("2.0").unwrap(),
        buyer_is_maker: false,
    }
}

/// The line of a trade with its id as its number.
fn line(trade: &Trade) -> Line {
    let Trade { id, time, price, quantity, buyer_is_maker, .. } = trade.clone();
    let read = Ok(DumpTrade { id, time, price, quantity, is_quote_right: true, buyer_is_maker });
    Line { number: id.get(), read }
}

fn bad(number: u64, id: Option<u64>) -> Line {
    Line { number, read: Err(BadLine { id: id.map(|id| TradeId::new(id).unwrap()), why: "it is odd" }) }
}

/// What an audit finds, in words: the verdict, the id, and what differs.
fn audited(lines: &[Line], stored: &[Trade], from: i64) -> (Vec<String>, Counts) {
    let (mut found, mut at) = (Vec::new(), 0);
    let mut next = || {
        at += 1;
        Ok::<_, Infallible>(lines.get(at - 1).copied())
    };
    let mut on_found = |one: Found| {
        found.push(match one {
            Found::Different(told, stored, parts) => {
                assert_eq!(told.trade.id, stored.id);
                format!(
                    "different {} {}",
                    told.line,
                    parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(" ")
                )
            }
            Found::Missing(told) => format!("missing {}", told.line),
            Found::Extra(stored) => format!("extra {}", stored.id),
            Found::Malformed { line, .. } => format!("malformed {line}"),
        });
    };
    let mut audit = Audit::begin(TradeTime::from_ms(from).unwrap(), &mut next, &mut on_found).unwrap();
    for trade in stored {
        audit.take(trade.clone()).unwrap();
    }
    let counts = audit.finish().unwrap();
    (found, counts)
}

#[test]
fn both_sides_are_compared_by_value() {
    let stored = [trade(1, 5, "7.0"), trade(2, 5, "7"), trade(3, 9, "7.00")];
    let told = [trade(1, 5, "7"), trade(2, 5, "7.000"), trade(3, 9, "7.00")];
    let (found, counts) = audited(&told.each_ref().map(line), &stored, 0);
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(counts, Counts { agree: 3, ..Counts::default() });
    assert!(counts.is_yes());
}

#[test]
fn what_one_side_lacks_and_what_differs_is_named() {
    let all: Vec<_> = (1..=9).map(|id| trade(id, 10 * id as i64, "7.0")).collect();
    let lines: Vec<_> = all.iter().filter(|trade| trade.id.get() != 4).map(line).collect();
    let mut stored = all.clone();
    stored.remove(8);
    stored.remove(1);
    stored[4] = Trade { buyer_is_maker: true, ..trade(6, 60, "7.1") };
    let (found, counts) = audited(&lines, &stored, 0);
    assert_eq!(found, ["different 6 price buyer_is_maker", "extra 4", "missing 2", "missing 9"]);
    assert_eq!(counts, Counts { agree: 5, different: 1, missing: 2, extra: 1, ..Counts::default() });
}

#[test]
fn another_time_is_no_missing_trade() {
    let told: Vec<_> = (1..=9).map(|id| trade(id, 10 * id as i64, "7.0")).collect();
    let lines: Vec<_> = told.iter().map(line).collect();
    for ms in [1, 55, 95] {
        let mut stored = told.clone();
        stored[4].time = TradeTime::from_ms(ms).unwrap();
        stored.sort_by_key(|trade| (trade.time, trade.id));
        let (found, counts) = audited(&lines, &stored, 0);
        assert_eq!((&found[..], counts.agree, counts.different), (&["different 5 time".to_owned()][..], 8, 1));
    }
}

#[test]
fn a_line_that_is_no_trade_makes_no_trade_of_the_store_one_too_many() {
    let stored: Vec<_> = (1..=5).map(|id| trade(id, 10 * id as i64, "7.0")).collect();
    for (id, extra) in [(Some(3), 0), (None, 1)] {
        let mut lines: Vec<_> = stored.iter().map(line).collect();
        lines[2] = bad(3, id);
        let (found, counts) = audited(&lines, &stored, 0);
        assert_eq!((found[0].as_str(), counts.malformed, counts.extra, counts.agree), ("malformed 3", 1, extra, 4));
        assert!(!counts.is_yes() && counts.missing == 0);
    }
    // Also where the store has it earlier.
    let lines = [line(&stored[0]), line(&stored[1]), line(&stored[3]), bad(9, Some(3)), line(&stored[4])];
    assert_eq!(audited(&lines, &stored, 0).1.extra, 0);
    let mut wrong = line(&stored[0]);
    wrong.read = wrong.read.map(|trade| DumpTrade { is_quote_right: false, ..trade });
    let (found, counts) = audited(&[wrong], &stored[..1], 0);
    assert_eq!((found, counts.agree, counts.is_yes()), (vec!["malformed 1".to_owned()], 1, false));
}

#[test]
fn what_is_from_before_is_counted_and_not_compared() {
    let told: Vec<_> = (1..=9).map(|id| trade(id, 10 * id as i64, "7.0")).collect();
    let lines: Vec<_> = told.iter().map(line).collect();
    let (found, counts) = audited(&lines, &told[3..], 40);
    assert!(found.is_empty());
    assert_eq!((counts.before, counts.compared(), counts.absent), (3, 6, 0));
}

#[test]
fn ids_that_neither_has_are_counted() {
    let all: Vec<_> = (1..=9).filter(|id| ![4, 5, 7].contains(id)).map(|id| trade(id, 10, "7.0")).collect();
    let (found, counts) = audited(&all.iter().map(line).collect::<Vec<_>>(), &all, 0);
    assert_eq!((found.len(), counts.absent, counts.is_yes()), (0, 3, true));
    let lines: Vec<_> = all.iter().filter(|trade| trade.id.get() != 6).map(line).collect();
    assert_eq!(audited(&lines, &all, 0).1.absent, 3);
}

#[test]
fn what_waits_does_not_grow_with_what_is_missing() {
    let count = 4 * WAITING_MAX as u64;
    let told: Vec<_> = (1..=count).map(|id| trade(id, id as i64, "7.0")).collect();
    let lines: Vec<_> = told.iter().map(line).collect();
    let (found, counts) = audited(&lines, &told[told.len() - 1..], 0);
    let expected: Vec<_> = (1..count).map(|id| format!("missing {id}")).collect();
    assert!(found == expected);
    assert_eq!((counts.agree, counts.missing), (1, count - 1));
}

proptest! {
    /// Against plain maps by id.
    #[test]
    fn any_two_sides_agree_with_a_plain_comparison(
        sides in prop::collection::btree_map(1u64..200, (0i64..3, 0i64..3, 0u8..4, 0u8..4), 0..60),
    ) {
        let (mut told, mut stored) = (BTreeMap::new(), BTreeMap::new());
        for (id, (one, other, in_file, in_store)) in sides {
            let prices = ["5.0", "5.00", "6", "7"];
            if in_file > 0 {
                told.insert(id, trade(id, 3 * id as i64 + 20 * one, prices[usize::from(in_file)]));
            }
            if in_store > 0 {
                stored.insert(id, trade(id, 3 * id as i64 + 20 * other, prices[usize::from(in_store)]));
            }
        }
        let lines: Vec<_> = told.values().map(line).collect();
        let mut in_order: Vec<_> = stored.values().cloned().collect();
        in_order.sort_by_key(|trade| (trade.time, trade.id));
        let (found, counts) = audited(&lines, &in_order, 0);
        let mut expected = Vec::new();
        for (id, one) in &told {
            match stored.get(id) {
                None => expected.push(format!("missing {id}")),
                Some(other) => {
                    let mut parts = Vec::new();
                    if one.time != other.time {
                        parts.push("time");
                    }
                    if one.price.to_decimal() != other.price.to_decimal() {
                        parts.push("price");
                    }
                    if !parts.is_empty() {
                        expected.push(format!("different {id} {}", parts.join(" ")));
                    }
                }
            }
        }
        expected.extend(stored.keys().filter(|id| !told.contains_key(id)).map(|id| format!("extra {id}")));
        let sorted = |mut all: Vec<String>| {
            all.sort();
            all
        };
        let found_count = found.len() as u64;
        prop_assert_eq!(sorted(found), sorted(expected));
        prop_assert_eq!(counts.different + counts.missing + counts.extra, found_count);
        prop_assert_eq!(counts.compared(), told.len() as u64);
    }
}
