//! What a real InfluxDB answers to writes, and what tickflux makes of it.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs;

use support::influxd::{BUCKET, Influxd};
use support::{exchange, minute_ago, now, runtime, trade};
use tickflux::store::influx::{Credentials, Influx, InfluxSettings};
use tickflux::store::{Attempt, Scope, Store, WriteError};

const HOUR_MS: i64 = 3_600_000;

#[test]
fn a_type_written_by_someone_else_holds_everything_until_the_bucket_is_mended() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, store) = (runtime(), influxd.store(BUCKET, "binance"));
    // Two hours of trades, so that one shard group is poisoned and the other is not.
    let poisoned = minute_ago(180) / HOUR_MS * HOUR_MS;
    let line = format!("trade,exchange=other,symbol=X price=5.5 {}", poisoned * 1_000_000);
    influxd.influx_ok(&["write", "--bucket", BUCKET, &line]);
    let trades: Vec<_> = (0..100)
        .map(|at| trade("BTCUSDT", at + 1, if at < 50 { poisoned } else { poisoned + HOUR_MS }, "5.10"))
        .collect();
    match runtime.block_on(store.write(&trades, Attempt::default())) {
        Err(WriteError::Held { why }) => assert!(why.contains("type conflict") && why.contains("mend"), "{why}"),
        other => panic!("{other:?}"),
    }
    let times = [poisoned, poisoned + HOUR_MS].map(|ms| tickflux::trade::TradeTime::from_ms(ms).unwrap().to_string());
    influxd.influx_ok(&[
        "delete",
        "--bucket",
        BUCKET,
        "--start",
        &times[0],
        "--stop",
        &times[1],
        "--predicate",
        "exchange=\"other\"",
    ]);
    // A deleted series frees its types when its shard is rewritten; a fresh bucket shows the rest.
    influxd.make_bucket("mended");
    let mended = influxd.store("mended", "binance");
    let written = runtime.block_on(mended.write(&trades, Attempt::default())).unwrap();
    assert_eq!((written.expired.count(), written.refused.len()), (0, 0));
    let minute = tickflux::trade::TradeTime::from_ms(poisoned).unwrap();
    assert_eq!(runtime.block_on(mended.high_low(&Scope::default(), minute)).unwrap()[0].trades, 50);
}

#[test]
fn trades_that_expire_on_their_way_are_counted() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, store) = (runtime(), influxd.store(BUCKET, "binance"));
    let bound = now().ms() - 24 * HOUR_MS;
    // Within the margin: sent, and refused by InfluxDB; past the margin: not sent; the third is stored.
    let trades =
        [trade("A", 1, bound - 60_000, "5"), trade("A", 2, bound - 150_000, "5"), trade("A", 3, bound + 60_000, "5")];
    let attempt = Attempt { number: 0, exchange_time: Some(now()) };
    let written = runtime.block_on(store.write(&trades, attempt)).unwrap();
    // InfluxDB takes an expired point whose shard group is still open, so one or two are counted.
    assert!((1..=2).contains(&written.expired.count()) && written.refused.is_empty(), "{written:?}");
    let latest = runtime.block_on(store.latest(&Scope::default())).unwrap();
    assert_eq!(latest[0].trade.id.get(), 3);
}

#[test]
fn a_token_that_is_replaced_in_its_file_is_used_at_once() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, file) = (runtime(), tempfile::NamedTempFile::new().unwrap());
    fs::write(file.path(), "an-old-token").unwrap();
    let settings =
        InfluxSettings { credentials: Credentials::from_file(file.path()).unwrap(), ..influxd.settings(BUCKET) };
    let store = Influx::new(settings, exchange("binance"), now).unwrap();
    let trades = [trade("BTCUSDT", 1, minute_ago(1), "5")];
    assert!(matches!(runtime.block_on(store.write(&trades, Attempt::default())), Err(WriteError::Held { .. })));
    fs::write(file.path(), support::influxd::TOKEN).unwrap();
    assert_eq!(runtime.block_on(store.write(&trades, Attempt::default())).unwrap().refused.len(), 0);
}
