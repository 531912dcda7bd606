//! How long the questions take over a day of ten million trades, on both stores, in the library.

use std::time::{Duration, Instant};

use tickflux::store::influx::Influx;
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Interval, Scope, Store};
use tickflux::trade::TradeTime;

use crate::feeder::{Pace, prints};
use crate::support::influxd::Influxd;
use crate::support::{exchange, now};
use crate::{bucket, capture_prints, median};

const TRADES: usize = 10_000_000;
/// The market begins a fifth more before now, still within the retention: [`prints`].
const HOURS: f64 = 19.0;
const ASKED: usize = 41;

pub(crate) fn questions(influxd: &Influxd) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trades.db");
    let sqlite_store = format!("sqlite:{}", file.display());
    let bucket = bucket(influxd, "questions");
    let prints = prints(1, TRADES, TRADES as f64 / (HOURS * 3600.0), now().ms());
    let (oldest, newest) = (prints[0].trade.time.ms(), prints[TRADES - 1].trade.time.ms());
    capture_prints(influxd, &["--store", &sqlite_store], &prints, Pace::Max);
    capture_prints(influxd, &["--store", &influxd.url, "--bucket", &bucket], &prints, Pace::Max);
    drop(prints);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stores: [(&str, Box<dyn Store>); 2] = [
        ("SQLite", Box::new(Sqlite::open(&file, exchange("practice"), now).unwrap())),
        ("InfluxDB", Box::new(Influx::new(influxd.settings(&bucket), exchange("practice"), now).unwrap())),
    ];
    println!("\n## Questions over {TRADES} trades of one symbol in {HOURS} h, medians of {ASKED}\n");
    println!("| store | latest | at | high-low | gaps, once | candles of 1 min, once |\n|---|---|---|---|---|---|");
    let mut rng = fastrand::Rng::with_seed(7);
    let scope = Scope::default();
    let minute = Interval::try_from(Duration::from_secs(60)).unwrap();
    for (name, store) in &stores {
        let mut time = || TradeTime::from_ms(rng.i64(oldest..newest)).unwrap();
        let latest = median_ms(|| assert_eq!(runtime.block_on(store.latest(&scope)).unwrap().len(), 1));
        let at = median_ms(|| assert_eq!(runtime.block_on(store.price_at(&scope, time(), false)).unwrap().len(), 1));
        let high_low = median_ms(|| assert_eq!(runtime.block_on(store.high_low(&scope, time())).unwrap().len(), 1));
        let begin = Instant::now();
        let gaps = runtime.block_on(store.gaps(&scope, TradeTime::from_ms(oldest).unwrap())).unwrap();
        assert_eq!(gaps.len(), 1);
        let gaps = begin.elapsed();
        let begin = Instant::now();
        let candles = runtime.block_on(store.candles(&scope, TradeTime::from_ms(oldest).unwrap(), minute)).unwrap();
        assert_eq!(candles.iter().map(|candle| candle.trades).sum::<u64>(), TRADES as u64);
        println!("| {name} | {latest:.2} ms | {at:.2} ms | {high_low:.2} ms | {gaps:.2?} | {:.2?} |", begin.elapsed());
    }
}

fn median_ms(mut ask: impl FnMut()) -> f64 {
    let time = |_| {
        let begin = Instant::now();
        ask();
        begin.elapsed().as_secs_f64() * 1e3
    };
    median((0..ASKED).map(time).collect())
}
