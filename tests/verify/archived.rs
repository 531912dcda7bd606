//! An archive is held against candles as a store is: of a month ago by recorded ones, of today by the exchange's.

use serde_json::Value;
use tickflux::practice::{Source, Speed};
use tickflux::store::{Attempt, Store};
use tickflux::trade::{Price, Quantity, Trade, TradeTime};

use crate::kit::*;
use crate::support::archived::Archived;
use crate::support::{now, runtime, seed, tickflux, trade};

const HOUR: i64 = 60 * MINUTE;

/// The begin of an hour of a month ago.
fn begin() -> i64 {
    (now().ms() / HOUR - 30 * 24) * HOUR
}

fn then() -> TradeTime {
    TradeTime::from_ms(begin() + 5 * HOUR).unwrap()
}

#[test]
fn an_archive_of_a_month_ago_agrees_with_recorded_candles_but_for_what_was_changed_or_is_not_sealed() {
    let (folder, mut rng) = (tempfile::tempdir().unwrap(), fastrand::Rng::with_seed(seed()));
    let begin = begin();
    let mut times: Vec<_> = (0..4_000).map(|_| begin + rng.i64(0..3 * HOUR)).collect();
    times.sort_unstable();
    let make = |(id, ms): (u64, i64)| {
        let quantity = Quantity::new(&format!("{}.{:05}", rng.u8(0..3), rng.u32(1..100_000))).unwrap();
        Trade { quantity, ..trade("BTCUSDT", id, ms, &format!("{}.{:02}", rng.u8(1..4), rng.u8(0..60))) }
    };
    let trades: Vec<_> = (999_000..).zip(times).map(make).collect();
    let archived = Archived::at(folder.path(), "binance", then);
    runtime().block_on(archived.write(&trades, Attempt::default())).unwrap();
    let mut told = klines(&trades);
    let verify = |told: &[Value], until: i64| {
        std::fs::write(folder.path().join("klines.json"), serde_json::to_string(told).unwrap()).unwrap();
        let range = ["--since", &utc(begin - HOUR), "--until", &utc(until)];
        let args =
            ["verify", "BTCUSDT", "--store", "archive:archive", "--kline-file", "klines.json", "--format", "json"];
        Verified::new(&tickflux(folder.path(), &[&args[..], &range].concat()))
    };
    let all = told.len() as u64;
    assert_eq!(verify(&told, begin + 4 * HOUR).agreed("all of it"), all);
    // Up to a time: minutes that end by then.
    let first = told.iter().filter(|row| row[0].as_i64().unwrap() < begin + HOUR).count();
    assert_eq!(verify(&told, begin + HOUR).agreed("the first hour"), first as u64);

    let at = told.len() / 2;
    let minute = utc(told[at][0].as_i64().unwrap());
    let volume = told[at][5].clone();
    told[at][5] = format!("{}1", &volume.as_str().unwrap()[..volume.as_str().unwrap().len() - 1]).into();
    let verified = verify(&told, begin + 4 * HOUR);
    let row = verified.one("told otherwise");
    assert_eq!((row["minute"].as_str(), &row["differs"]), (Some(minute.as_str()), &serde_json::json!(["volume"])));
    told[at][5] = volume;

    // An hour that is not sealed: its minutes are missing, and no others differ.
    let day = chrono::DateTime::from_timestamp_millis(begin + HOUR).unwrap();
    let path = day.format("archive/exchange=binance/symbol=BTCUSDT/date=%Y-%m-%d").to_string();
    for name in [day.format("hour=%H.parquet").to_string(), day.format("_hour-%H.json").to_string()] {
        std::fs::remove_file(folder.path().join(&path).join(name)).unwrap();
    }
    let verified = verify(&told, begin + 4 * HOUR);
    let of_hour = |ms: i64| (begin + HOUR..begin + 2 * HOUR).contains(&ms);
    let expected: Vec<_> = told.iter().map(|row| row[0].as_i64().unwrap()).filter(|ms| of_hour(*ms)).map(utc).collect();
    let missing: Vec<_> = verified.rows.iter().map(|row| row["minute"].as_str().unwrap().to_owned()).collect();
    assert_eq!((verified.code, missing), (1, expected), "{verified:?}");
    assert!(verified.rows.iter().all(|row| row["verdict"] == "missing"), "{verified:?}");
    assert!(verified.stderr.contains("without 1 hours of the time that was asked for"), "{verified:?}");
}

#[test]
fn an_archive_of_today_agrees_with_the_exchange_but_for_the_trade_that_was_changed_before_it_was_sealed() {
    let symbols = SYMBOLS.map(|symbol| symbol.parse().unwrap()).to_vec();
    // About three hours that end now.
    let market =
        Source::Market { symbols, seed: seed(), trades_per_second: 0.7, trades: Some(7_000), speed: Speed::Max };
    let mut world = World::of(market, 7_000, None);
    let seal = |world: &World, to: &str| {
        let args = ["archive", "--to", to, "--store", "sqlite:trades.db", "--seal-with-holes"];
        assert_eq!(tickflux(world.folder.path(), &args).status.code(), Some(0));
    };
    // Some seconds after its end an hour is over.
    let over = (now().ms() - 20_000) / HOUR * HOUR - 10 * MINUTE;
    seal(&world, "archive");
    let changed = world.trades("BTCUSDT").into_iter().find(|trade| trade.time.ms() >= over).unwrap();
    world.put(&Trade { price: Price::new("1.5").unwrap(), ..changed.clone() });
    seal(&world, "changed");
    world.store = "archive:archive".to_owned();
    let compared = world.verify(&["--since", "5h"]).agreed("as it was captured");
    assert!(compared > 120, "{compared}");
    world.store = "archive:changed".to_owned();
    let verified = world.verify(&["--since", "5h", "--exact"]);
    let row = verified.one("changed");
    assert_eq!((&row["symbol"], &row["minute"]), (&"BTCUSDT".into(), &utc(minute_of(&changed)).into()));
}
