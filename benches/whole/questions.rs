//! How long the questions take over a day of ten million trades, on both stores, in the library.

use std::time::{Duration, Instant};

use tickflux::store::influx::Influx;
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Interval, Scope, Store};
use tickflux::trade::TradeTime;

use crate::feeder::{Pace, prints};
use crate::support::influxd::Influxd;
use crate::support::{exchange, now};
use crate::{capture_prints, in_bucket, median};

const TRADES: usize = 10_000_000;
/// The market begins a fifth more before now, still within the retention: [`prints`].
const HOURS: f64 = 19.0;
const ASKED: usize = 41;

pub(crate) fn questions(influxd: &Influxd) {
    println!("\n## Questions about a symbol over {TRADES} trades in {HOURS} h, medians of {ASKED}\n");
    println!("| store | symbols | latest | at | high-low | gaps, once | candles of 1 min, once |");
    println!("|---|---|---|---|---|---|---|");
    for symbols in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trades.db");
        let prints = prints(symbols, TRADES, TRADES as f64 / (HOURS * 3600.0), now().ms());
        capture_prints(influxd, &["--store", &format!("sqlite:{}", file.display())], &prints, Pace::Max);
        let symbol = prints[0].trade.symbol.clone();
        let times: Vec<_> = prints.iter().map(|print| &print.trade).filter(|trade| trade.symbol == symbol).collect();
        let (oldest, newest, trades) = (times[0].time, times[times.len() - 1].time, times.len());
        let scope = Scope { symbols: vec![symbol], exchange: None };
        let bucket = format!("questions-{symbols}");
        in_bucket(influxd, &bucket, || {
            capture_prints(influxd, &["--store", &influxd.url, "--bucket", &bucket], &prints, Pace::Max);
            drop(prints);
            let sqlite = Sqlite::open(&file, exchange("practice"), now).unwrap();
            ask(&sqlite, &format!("SQLite | {symbols}"), &scope, (oldest, newest), trades);
            let influx = Influx::new(influxd.settings(&bucket), exchange("practice"), now).unwrap();
            ask(&influx, &format!("InfluxDB | {symbols}"), &scope, (oldest, newest), trades);
        });
    }
}

/// Asks about a symbol that has so many trades between two times.
fn ask(store: &dyn Store, name: &str, scope: &Scope, (oldest, newest): (TradeTime, TradeTime), trades: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut time = || TradeTime::from_ms(rng.i64(oldest.ms()..newest.ms())).unwrap();
    let latest = median_ms(|| assert_eq!(runtime.block_on(store.latest(scope)).unwrap().len(), 1));
    let at = median_ms(|| assert_eq!(runtime.block_on(store.price_at(scope, time(), false)).unwrap().len(), 1));
    let high_low = median_ms(|| assert_eq!(runtime.block_on(store.high_low(scope, time())).unwrap().len(), 1));
    let begin = Instant::now();
    let gaps = runtime.block_on(store.gaps(scope, oldest, None)).unwrap();
    assert_eq!((gaps[0].trades, gaps[0].missing()), (trades as u64, 0));
    let gaps = begin.elapsed();
    let begin = Instant::now();
    let minute = Interval::try_from(Duration::from_secs(60)).unwrap();
    let candles = runtime.block_on(store.candles(scope, oldest, None, minute)).unwrap();
    assert_eq!(candles.iter().map(|candle| candle.trades).sum::<u64>(), trades as u64);
    println!("| {name} | {latest:.2} ms | {at:.2} ms | {high_low:.2} ms | {gaps:.2?} | {:.2?} |", begin.elapsed());
}

fn median_ms(mut ask: impl FnMut()) -> f64 {
    let time = |_| {
        let begin = Instant::now();
        ask();
        begin.elapsed().as_secs_f64() * 1e3
    };
    median((0..ASKED).map(time).collect())
}
