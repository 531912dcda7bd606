//! What integration tests share: a real influxd, trades, and a plain computation of the answers.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail so")]

pub mod archived;
pub mod faketime;
pub mod influxd;
pub mod oracle;
pub mod points;
pub mod practice;
pub mod process;
pub mod proxy;
pub mod scene;
pub mod server;
pub mod tls;
pub mod tmux;
pub mod trades;
pub mod tunnel;
pub mod ui;
pub mod witness;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Store};
use tickflux::trade::{Exchange, Price, Quantity, Symbol, Trade, TradeId, TradeTime};

/// Runs `tickflux` in `folder`, with the example token and nothing of the caller's settings.
pub fn tickflux(folder: &Path, args: &[&str]) -> Output {
    tickflux_in(folder, &[], args)
}

/// The same with these variables in its environment.
pub fn tickflux_in(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tickflux"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("INFLUX_TOKEN", influxd::TOKEN)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// Runs it where no file may have more than so many KiB, as on a full disk; the signal is ignored, so that writing fails.
pub fn tickflux_with_short_files(folder: &Path, kibibytes: u32, args: &[&str]) -> Output {
    let script = format!(r#"trap '' XFSZ; ulimit -f {kibibytes}; exec "$@""#);
    Command::new("bash")
        .args(["-c", &script, "bash", env!("CARGO_BIN_EXE_tickflux")])
        .args(args)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

/// Runs it and gives what it printed; that it ends with another code than 0 fails the test.
pub fn tickflux_ok(folder: &Path, args: &[&str]) -> String {
    let output = tickflux(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The values of a column of an answer in CSV, in the order of the rows.
pub fn column(csv: &str, name: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).comment(Some(b'#')).from_reader(csv.as_bytes());
    let at = reader.headers().unwrap().iter().position(|header| header == name);
    let at = at.unwrap_or_else(|| panic!("no {name} in {csv}"));
    reader.records().map(|record| record.unwrap()[at].to_owned()).collect()
}

/// Says that a test is left out and why; where nothing may be left out, fails it.
///
/// `scripts/test` sets `TICKFLUX_TEST_STRICT`.
pub fn left_out(why: &str) {
    assert!(std::env::var_os("TICKFLUX_TEST_STRICT").is_none(), "nothing may be left out here, and this test {why}");
    eprintln!("LEFT OUT: {why}");
}

/// Writes a file that only its owner may read.
pub fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A runtime for what a test starts in its own process.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// A new seed, printed; `TICKFLUX_TEST_SEED` sets it.
pub fn seed() -> u64 {
    let seed = std::env::var("TICKFLUX_TEST_SEED").ok().map_or_else(|| fastrand::u64(..), |text| text.parse().unwrap());
    eprintln!("TICKFLUX_TEST_SEED={seed}");
    seed
}

/// Every store there is, by its name: SQLite always, InfluxDB where a real one can be started. Each is given twice, as
/// what writes for `binance` and for `practice`; both answer for both.
pub fn with_each_store(check: impl AsyncFn(&'static str, &dyn Store, &dyn Store)) {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let open = |name| Sqlite::create(&folder.path().join("trades.db"), exchange(name), now).unwrap();
    runtime.block_on(check("sqlite", &open("binance"), &open("practice")));
    if let Some(influxd) = influxd::Influxd::start() {
        let open = |name| influxd.store(influxd::BUCKET, name);
        runtime.block_on(check("influx", &open("binance"), &open("practice")));
    }
}

/// Every store there is, as people name it, each with a way to write into it as `binance` and a folder.
pub fn with_stores(check: impl Fn(&str, &dyn Fn(&[Trade]), &Path)) {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let write = |store: &dyn Store, trades: &[Trade]| {
        runtime.block_on(store.write(trades, Attempt::default())).unwrap();
    };
    let sqlite = Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), now).unwrap();
    check("sqlite:trades.db", &|trades| write(&sqlite, trades), folder.path());
    if let Some(influxd) = influxd::Influxd::start() {
        let (store, folder) = (influxd.store(influxd::BUCKET, "binance"), tempfile::tempdir().unwrap());
        check(&influxd.url, &|trades| write(&store, trades), folder.path());
    }
}

/// Every file in a folder and those in it, by its name from there on.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in std::fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                all.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    all
}

/// Every store, and an archive of what is written into it.
pub fn with_all_that_answer(check: impl AsyncFn(&'static str, &dyn Store, &dyn Store)) {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let open = |name| archived::Archived::new(folder.path(), name);
    runtime.block_on(check("archive", &open("binance"), &open("practice")));
    with_each_store(check);
}

/// The summary that a capture with `--format json` printed: the last line on standard output.
pub fn summary(output: &Output) -> serde_json::Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(last).unwrap()
}

/// A trade from plain values.
pub fn trade(symbol: &str, id: u64, ms: i64, price: &str) -> Trade {
    Trade {
        symbol: symbol.parse::<Symbol>().unwrap(),
        id: TradeId::new(id).unwrap(),
        time: TradeTime::from_ms(ms).unwrap(),
        price: Price::new(price).unwrap(),
        quantity: Quantity::new("0.10").unwrap(),
        buyer_is_maker: id.is_multiple_of(2),
    }
}

/// An exchange by its name.
pub fn exchange(name: &str) -> Exchange {
    name.parse().unwrap()
}

/// The wall clock in milliseconds.
pub fn now() -> TradeTime {
    TradeTime::from_ms(chrono::Utc::now().timestamp_millis()).unwrap()
}

/// The start of the minute `minutes` ago, in milliseconds.
pub fn minute_ago(minutes: i64) -> i64 {
    let minute = 60_000;
    now().ms() / minute * minute - minutes * minute
}
