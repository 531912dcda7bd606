//! What was changed behind the program's back, in either store.

use tickflux::store::{Attempt, Store};
use tickflux::trade::{Price, Quantity, Trade, TradeId, TradeTime};

use crate::kit::*;
use crate::support::influxd::Influxd;
use crate::support::{minute_ago, practice, runtime, seed, tickflux, tickflux_ok};

/// A trade of a minute that is neither its first nor its last nor an extreme, and the same with one digit of its price changed,
/// still between low and high.
fn one_digit_changed(trades: &[Trade]) -> (&Trade, Trade) {
    let prices = || trades.iter().map(|trade| trade.price.to_decimal());
    let (high, low) = (prices().max().unwrap(), prices().min().unwrap());
    let is_inner = |price: Price| price.to_decimal() > low && price.to_decimal() < high;
    let change = |trade: &Trade| {
        let text = trade.price.as_str();
        let at = text.len() - 7;
        let changed =
            ('0'..='9').map(|digit| Price::new(&format!("{}{digit}{}", &text[..at], &text[at + 1..])).unwrap());
        changed.filter(|price| *price != trade.price).find(|price| is_inner(*price))
    };
    let inner = trades[1..trades.len() - 1].iter().filter(|trade| is_inner(trade.price));
    let changed = |trade| Some((trade, Trade { price: change(trade)?, ..Trade::clone(trade) }));
    inner.into_iter().find_map(changed).unwrap()
}

fn names(differs: &serde_json::Value) -> Vec<&str> {
    differs.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn what_is_changed_is_named_and_nothing_else() {
    for world in worlds(seed()) {
        let context = &world.store;
        let whole: usize = SYMBOLS.iter().map(|symbol| klines(&world.compared(symbol)).len()).sum();
        let verified = world.verify(&[]);
        assert_eq!(verified.agreed(context), whole as u64);
        let trades: usize = SYMBOLS.iter().map(|symbol| world.compared(symbol).len()).sum();
        assert_eq!((&verified.summary["trades"], &verified.summary["exact"]), (&trades.into(), &whole.into()));

        let minute = middle(&world.compared("BTCUSDT"));
        let (trade, other_price) = one_digit_changed(&minute);
        let named = |change: &Trade, expected: &[&str]| {
            world.put(change);
            let verified = world.verify(&[]);
            let row = verified.one(context);
            assert_eq!((&row["symbol"], &row["verdict"]), (&"BTCUSDT".into(), &"different".into()), "{context}: {row}");
            assert_eq!(row["minute"], utc(minute_of(trade)), "{context}: {row}");
            assert_eq!(names(&row["differs"]), expected, "{context}: {row}");
            // Its ids are whole, and both sides are told.
            let ids = [minute[0].id.get(), minute[minute.len() - 1].id.get(), 0];
            assert_eq!([&row["first_id"], &row["last_id"], &row["missing"]].map(|id| id.as_u64().unwrap()), ids);
            assert_eq!(row["stored"]["trades"], minute.len());
            let told = &klines(&minute)[0];
            for (at, name) in [(1, "open"), (2, "high"), (3, "low"), (4, "close"), (5, "volume"), (7, "quote_volume")] {
                assert_eq!(row["candle"][name], told[at], "{context}: {row}");
                assert_eq!(row["stored"][name] == told[at], !expected.contains(&name), "{context}: {row}");
            }
            assert_eq!(row["candle"]["taker_buy_volume"], told[9], "{context}: {row}");
            world.put(trade);
            world.verify(&["BTCUSDT"]).agreed(context);
        };
        // One digit of a price between low and high, which only the quote volume sees.
        named(&other_price, &["quote_volume"]);
        let quantity = Quantity::new(&(trade.quantity.to_decimal() + rust_decimal::Decimal::new(1, 8)).to_string());
        let changed = Trade { quantity: quantity.unwrap(), buyer_is_maker: true, ..trade.clone() };
        let fields = ["volume", "quote_volume", "taker_buy_volume"];
        named(&changed, if trade.buyer_is_maker { &fields[..2] } else { &fields });
        named(&Trade { buyer_is_maker: !trade.buyer_is_maker, ..trade.clone() }, &["taker_buy_volume"]);

        // One trade deleted: its id is missing, and repair brings it back.
        world.delete(trade, trade);
        let verified = world.verify(&[]);
        let row = verified.one(context);
        assert_eq!((&row["minute"], &row["missing"]), (&utc(minute_of(trade)).into(), &1.into()), "{context}: {row}");
        assert!(names(&row["differs"]).contains(&"trades"), "{context}: {row}");
        let rest = world.rest();
        let repair = ["gaps", "--repair", "--store", &world.store, "--exchange", "practice", "--rest-url", &rest];
        tickflux_ok(world.folder.path(), &repair);
        assert_eq!(world.verify(&[]).agreed(context), whole as u64);
    }
}

#[test]
fn a_minute_without_a_stored_trade_is_missing_and_those_at_the_edges_are_parts() {
    for world in worlds(seed()) {
        let context = &world.store;
        let list = world.compared("ETHUSDT");
        let minute = middle(&list);
        world.delete(&minute[0], &minute[minute.len() - 1]);
        let verified = world.verify(&["ETHUSDT"]);
        assert_eq!((verified.code, verified.rows.len()), (1, 1), "{context}: {verified:?}");
        let row = &verified.rows[0];
        let verdict = (&row["minute"], &row["verdict"], &row["stored"]["trades"]);
        assert_eq!(verdict, (&utc(minute_of(&minute[0])).into(), &"missing".into(), &0.into()), "{context}: {row}");
        assert_eq!((&verified.summary["missing"], &verified.summary["different"]), (&1.into(), &0.into()));

        // The stored trades begin in the middle of a minute, and end in the middle of another one.
        let minutes: Vec<_> = list.chunk_by(|one, next| minute_of(one) == minute_of(next)).collect();
        let (begin, end) = (minutes[1], minutes[minutes.len() - 1]);
        world.delete(&list[0], &begin[begin.len() / 2]);
        world.delete(&end[end.len() / 2], world.trades("ETHUSDT").last().unwrap());
        let verified = world.verify(&["ETHUSDT"]);
        let verdicts: Vec<_> = verified.rows.iter().map(|row| (&row["minute"], row["verdict"].as_str())).collect();
        let expected = [(&begin[0], "began"), (&minute[0], "missing"), (&end[0], "ended")];
        let expected = expected.map(|(trade, verdict)| (utc(minute_of(trade)).into(), verdict));
        let expected: Vec<_> = expected.iter().map(|(minute, verdict)| (minute, Some(*verdict))).collect();
        assert_eq!(verdicts, expected, "{context}: {verified:?}");
        assert_eq!(verified.summary["incomplete"], 2, "{context}: {verified:?}");
    }
}

/// A recording is replayed, captured, and compared with candles that the test makes of the recording itself.
#[test]
fn a_recorded_session_agrees_with_its_own_candles() {
    let path = std::env::var_os("TICKFLUX_TEST_RECORDING").map(std::path::PathBuf::from);
    let market = World::new(seed(), None);
    let mut messages: Vec<_> = SYMBOLS.iter().flat_map(|symbol| market.trades(symbol)).collect();
    messages.sort_by_key(|trade| (trade.time, trade.id));
    let texts: Vec<_> = messages.iter().map(practice::message).collect();
    let file = practice::recording(texts.iter().map(String::as_str));
    for influxd in [None, Influxd::start()] {
        let source = practice::replay(path.as_deref().unwrap_or(file.path()));
        let trades = path.as_ref().map_or(messages.len() as u64, |_| 20_000);
        let world = World::of(source, trades, influxd);
        for symbol in SYMBOLS {
            let list = world.compared(symbol);
            let klines = klines(&list);
            let file = world.folder.path().join("klines.json");
            std::fs::write(&file, serde_json::to_string(&klines).unwrap()).unwrap();
            let recorded = world.verify_with(&[symbol, "--kline-file", file.to_str().unwrap()]).agreed(&world.store);
            let asked = world.verify(&[symbol]).agreed(&world.store);
            eprintln!("{} {symbol}: {recorded} minutes agree with {} trades' own candles", world.store, list.len());
            assert_eq!(recorded, asked, "{}", world.store);
        }
    }
}

#[test]
fn it_is_printed_as_a_table_and_as_csv() {
    let world = World::new(seed(), None);
    let rest = world.rest();
    let printed = |format: &str| {
        let args =
            ["verify", "--store", &world.store, "--exchange", "practice", "--rest-url", &rest, "--format", format];
        let output = tickflux(world.folder.path(), &args);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, table, _) = printed("table");
    assert!(code == Some(0) && table.contains("agree with the exchange's candles"), "{table}");
    let trade = middle(&world.compared("BTCUSDT"))[1].clone();
    world.put(&Trade { price: Price::new("1.5").unwrap(), ..trade.clone() });
    let (code, table, _) = printed("table");
    assert!(code == Some(1) && table.contains("| different |") && table.contains("1 differ"), "{table}");
    let (_, csv, said) = printed("csv");
    let head = "exchange,symbol,minute,verdict,differs,first_id,last_id,missing,stored_trades,stored_open,stored_high,\
                stored_low,stored_close,stored_volume,stored_quote_volume,stored_taker_buy_volume,candle_trades,";
    assert!(csv.starts_with(head), "{csv}");
    assert!(
        csv.contains(&format!("\npractice,BTCUSDT,{},different,low; quote_volume,", utc(minute_of(&trade)))),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 2);
    assert!(said.contains("1 differ"), "{said}");
}

/// Of so many trades InfluxDB adds up each minute by itself, and only those that its sums do not tell are read.
#[test]
fn of_many_trades_the_engines_sums_name_the_changed_minute_too() {
    let Some(influxd) = Influxd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let begin = minute_ago(25);
    let list: Vec<_> = (0..305_000_u64)
        .map(|at| Trade {
            symbol: "BTCUSDT".parse().unwrap(),
            id: TradeId::new(7_000_000_000 + at).unwrap(),
            // 250 a second: twenty minutes and a third.
            time: TradeTime::from_ms(begin + i64::try_from(at).unwrap() * 4).unwrap(),
            price: Price::new(&format!("87{:03}.{:02}000000", at * 7_919 % 900, at % 100)).unwrap(),
            quantity: Quantity::new(&format!("0.00{:03}100", 100 + at * 31 % 900)).unwrap(),
            buyer_is_maker: at % 3 == 0,
        })
        .collect();
    let store = influxd.store("ticks", "practice");
    for batch in list.chunks(10_000) {
        runtime().block_on(store.write(batch, Attempt::default())).unwrap();
    }
    let candles = klines(&list[..300_000]);
    assert_eq!(candles.len(), 20);
    std::fs::write(folder.path().join("klines.json"), serde_json::to_string(&candles).unwrap()).unwrap();
    let verify = || {
        let args = ["verify", "BTCUSDT", "--kline-file", "klines.json", "--exchange", "practice", "--format", "json"];
        let output = tickflux(folder.path(), &[&args[..], &["--store", &influxd.url]].concat());
        let rows = String::from_utf8(output.stdout).unwrap();
        let rows: Vec<serde_json::Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code(), rows)
    };
    let (code, rows) = verify();
    assert_eq!((code, rows.len()), (Some(0), 1), "{rows:?}");
    assert_eq!((&rows[0]["agree"], &rows[0]["exact"]), (&20.into(), &0.into()), "{rows:?}");
    // A cent more for one trade in the middle, between low and high.
    let trade = &list[150_123];
    let cent = Price::new(&(trade.price.to_decimal() + rust_decimal::Decimal::new(1, 2)).to_string()).unwrap();
    let dearer = Trade { price: cent, ..trade.clone() };
    runtime().block_on(store.write(&[dearer], Attempt::default())).unwrap();
    let (code, rows) = verify();
    assert_eq!((code, rows.len()), (Some(1), 2), "{rows:?}");
    assert_eq!(rows[0]["minute"], utc(minute_of(trade)), "{rows:?}");
    assert_eq!(names(&rows[0]["differs"]), ["quote_volume"], "{rows:?}");
    assert_eq!(rows[1]["exact"], 1, "only that minute was read: {rows:?}");
}
