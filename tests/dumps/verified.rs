//! What either store has against a daily file: what agrees, and what does not is named with its line and id.

use std::collections::BTreeMap;

use tickflux::trade::{Price, Quantity, Trade, TradeTime};

use crate::kit::*;
use crate::support::{seed, with_stores};

const COUNT: u64 = 3_000;

#[test]
fn a_day_that_is_stored_agrees_whatever_zeros_its_numbers_end_in() {
    let (begin, from, until) = day();
    with_stores(|store, write, folder| {
        let all = trades(COUNT, from, until);
        write(&all);
        let lines: Vec<_> = all.iter().map(line).collect();
        let name = dump(folder, &date(begin), &lines);
        let verified = verify(folder, store, &name, &[]);
        assert_eq!((verified.code, verified.rows.len()), (Some(0), 0), "{store}: {verified:?}");
        assert_eq!((verified.count("compared"), verified.count("agree")), (COUNT, COUNT), "{store}: {verified:?}");
        assert_eq!((&verified.summary["symbol"], &verified.summary["day"]), (&"BTCUSDT".into(), &date(begin).into()));
        assert_eq!(verified.summary["checksum"], false);
        assert!(verified.stderr.is_empty(), "{verified:?}");
        // The same by value, with a header, other words for true, and its symbol named; its checksum is found by itself.
        let header = "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch".to_owned();
        let other = lines.iter().map(|line| {
            let mut columns: Vec<_> = line.split(',').collect();
            columns[1] = columns[1].trim_end_matches("000000");
            columns.join(",").replace("True", "true").replace("False", "false")
        });
        let name = dump(folder, &date(begin), &std::iter::once(header).chain(other).collect::<Vec<_>>());
        lay_checksum(folder, &name);
        let verified = verify(folder, store, &name, &["BTCUSDT"]);
        assert_eq!((verified.code, verified.count("agree")), (Some(0), COUNT), "{store}: {verified:?}");
        assert_eq!(verified.summary["checksum"], true);
        // Trades of another exchange are none of them.
        let verified = verify(folder, store, &name, &["--exchange", "practice"]);
        let all_missing = format!("missing 6595999000-6596001999 {COUNT} line 2");
        assert_eq!((verified.code, verified.found()), (Some(1), vec![all_missing]), "{store}");
    });
}

#[test]
fn each_difference_is_named_with_its_line_and_id() {
    let (begin, from, until) = day();
    with_stores(|store, write, folder| {
        let all = trades(COUNT, from, until);
        let mut lines: Vec<_> = all.iter().map(line).collect();
        let mut stored: Vec<_> = all.clone();
        // One digit of a price is wrong in the file: the line is wrong in itself, and not what is stored.
        let wrong = all[100].price.as_str().replacen('8', "7", 1);
        lines[100] = lines[100].replacen(all[100].price.as_str(), &wrong, 1);
        // One line is missing in the file, and another is no trade.
        lines[200] = lines[200].replace("True", "Wahr").replace("False", "Wahr");
        // In the store one price, one quantity, one side and one time are others, and five trades are not there.
        stored[300].price = Price::new("87654.32100000").unwrap();
        stored[400].quantity = Quantity::new("9.00000000").unwrap();
        stored[500].buyer_is_maker = !all[500].buyer_is_maker;
        stored[600].time = TradeTime::from_ms(all[600].time.ms() + 1_234_567).unwrap();
        drop(stored.drain(700..705));
        lines.remove(800);
        write(&stored);
        let name = dump(folder, &date(begin), &lines);
        let id = |at: u64| format!("{0}-{0}", 6_595_999_000 + at);
        let expected = [
            format!("malformed {} 0 line 101 its quote quantity is not price times quantity", id(100)),
            format!("different {} 1 line 101 price", id(100)),
            format!("malformed {} 0 line 201 isBuyerMaker is neither True nor False", id(200)),
            format!("different {} 1 line 301 price", id(300)),
            format!("different {} 1 line 401 quantity", id(400)),
            format!("different {} 1 line 501 buyer_is_maker", id(500)),
            format!("different {} 1 line 601 time", id(600)),
            "missing 6595999700-6595999704 5 line 701".to_owned(),
            format!("extra {} 1 line null", id(800)),
        ];
        let verified = verify(folder, store, &name, &[]);
        let sorted = |mut rows: Vec<String>| {
            rows.sort();
            rows
        };
        assert_eq!(sorted(verified.found()), sorted(expected.to_vec()), "{store}: {verified:?}");
        assert_eq!(verified.code, Some(1));
        let counts =
            ["different", "missing", "extra", "malformed", "absent", "not_kept"].map(|key| verified.count(key));
        assert_eq!((counts, verified.count("agree")), ([5, 5, 1, 2, 0, 0], COUNT - 12), "{verified:?}");
        // Both sides are told.
        let row = verified.rows.iter().find(|row| row["first_id"] == 6_595_999_300_u64).unwrap();
        assert_eq!(row["stored"]["price"], "87654.32100000");
        assert_eq!(row["file"]["price"], all[300].price.as_str());
        assert_eq!(row["stored"]["time"], row["file"]["time"]);
        // People and spreadsheets get the same.
        let args = ["verify", "--dump", &name, "--store", store];
        let table = crate::support::tickflux(folder, &args);
        let (said, errors) = (String::from_utf8_lossy(&table.stdout), String::from_utf8_lossy(&table.stderr));
        assert_eq!(table.status.code(), Some(1));
        for words in ["6595999700 to", "87654.32100000", "5 different, 5 missing, 1 not in the file, 2 malformed lines"]
        {
            assert!(said.contains(words), "{words}: {said}{errors}");
        }
        let csv = crate::support::tickflux(folder, &[&args[..], &["--format", "csv"]].concat());
        let ids = crate::support::column(&String::from_utf8(csv.stdout).unwrap(), "first_id");
        assert_eq!(ids.len(), 9);
    });
}

#[test]
fn whatever_is_changed_is_found_as_by_plain_maps() {
    let mut rng = fastrand::Rng::with_seed(seed());
    let (begin, from, until) = day();
    let all = trades(COUNT, from, until);
    let last = all.len() - 1;
    // The first and the last stay, so that both sides begin and end alike.
    let (mut told, mut stored): (BTreeMap<u64, Trade>, BTreeMap<u64, Trade>) = Default::default();
    for (at, trade) in all.iter().enumerate() {
        let (mut one, mut other) = (trade.clone(), trade.clone());
        let (mut in_file, mut in_store) = (true, true);
        if at > 0 && at < last {
            match rng.u32(0..200) {
                0..3 => in_file = false,
                3..6 => in_store = false,
                6 => (in_file, in_store) = (false, false),
                7 => other.price = Price::new("1.00000000").unwrap(),
                8 => other.time = TradeTime::from_ms(rng.i64(from..until)).unwrap(),
                9 => one.buyer_is_maker = !one.buyer_is_maker,
                10 => other.quantity = Quantity::new(other.quantity.as_str().trim_end_matches('0')).unwrap(),
                _ => {}
            }
        }
        in_file.then(|| told.insert(one.id.get(), one));
        in_store.then(|| stored.insert(other.id.get(), other));
    }
    let (mut missing, mut extra, mut different) = (0, 0, Vec::new());
    for (id, one) in &told {
        match stored.get(id) {
            None => missing += 1,
            Some(other) => {
                let is_same = one.price.to_decimal() == other.price.to_decimal()
                    && one.quantity.to_decimal() == other.quantity.to_decimal()
                    && (one.time, one.buyer_is_maker) == (other.time, other.buyer_is_maker);
                if !is_same {
                    different.push(*id);
                }
            }
        }
    }
    extra += stored.keys().filter(|id| !told.contains_key(id)).count() as u64;
    let absent = COUNT - told.keys().chain(stored.keys()).collect::<std::collections::BTreeSet<_>>().len() as u64;
    with_stores(|store, write, folder| {
        write(&stored.values().cloned().collect::<Vec<_>>());
        let name = dump(folder, &date(begin), &told.values().map(line).collect::<Vec<_>>());
        let verified = verify(folder, store, &name, &[]);
        let rows = verified.rows.iter().filter(|row| row["verdict"] == "different");
        assert_eq!(rows.map(|row| row["first_id"].as_u64().unwrap()).collect::<Vec<_>>(), different, "{store}");
        let counts = ["missing", "extra", "absent", "compared"].map(|key| verified.count(key));
        assert_eq!(counts, [missing, extra, absent, told.len() as u64], "{store}: {verified:?}");
        for (verdict, count) in [("missing", missing), ("extra", extra)] {
            let rows = verified.rows.iter().filter(|row| row["verdict"] == verdict);
            assert_eq!(rows.map(|row| row["trades"].as_u64().unwrap()).sum::<u64>(), count, "{store}: {verdict}");
        }
    });
}
