//! A day of trades, its daily file, stores that have it, and what verify says.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Output;
use std::sync::LazyLock;

use serde_json::Value;
use tickflux::trade::{Price, Quantity, Trade, TradeId, TradeTime};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::support::faketime::WrongClock;
use crate::support::{now, tickflux, tickflux_in};

pub(crate) const DAY_MS: i64 = 86_400_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// A day of which at least eleven hours can be stored now: its begin, and from when to when.
pub(crate) fn day() -> (i64, i64, i64) {
    let now = now().ms();
    let begin = (now - DAY_MS / 2) / DAY_MS * DAY_MS;
    (begin, begin.max(now - 23 * HOUR_MS), (begin + DAY_MS).min(now - 60_000))
}

/// Eight o'clock tomorrow.
pub(crate) static MORNING: LazyLock<i64> = LazyLock::new(|| now().ms() / DAY_MS * DAY_MS + DAY_MS + 8 * HOUR_MS);

pub(crate) fn morning() -> TradeTime {
    TradeTime::from_ms(*MORNING).unwrap()
}

/// Runs `tickflux` as by a clock that says that morning, or so many hours later.
pub(crate) fn tickflux_then(folder: &Path, hours_later: i64, args: &[&str]) -> Output {
    let ahead = (*MORNING + hours_later * HOUR_MS - now().ms()) / 1_000;
    let clock = WrongClock::new(&format!("+{ahead}"));
    let environment = clock.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
    tickflux_in(folder, &environment, args)
}

/// So many trades of BTCUSDT from one time to another, some of them in one millisecond, with ids across a million.
pub(crate) fn trades(count: u64, from: i64, until: i64) -> Vec<Trade> {
    let mut rng = fastrand::Rng::with_seed(count);
    let step = (until - from) / i64::try_from(count).unwrap();
    let time = |at: u64| from + i64::try_from(at / 3 * 3).unwrap() * step;
    let one = |at: u64| Trade {
        symbol: "BTCUSDT".parse().unwrap(),
        id: TradeId::new(6_595_999_000 + at).unwrap(),
        time: TradeTime::from_ms(time(at)).unwrap(),
        price: Price::new(&format!("{}.{:02}000000", rng.u64(80_000..90_000), rng.u64(0..100))).unwrap(),
        quantity: Quantity::new(&format!("{}.{:05}000", rng.u64(0..3), rng.u64(1..100_000))).unwrap(),
        buyer_is_maker: rng.bool(),
    };
    (0..count).map(one).collect()
}

/// The date of a time.
pub(crate) fn date(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap().format("%Y-%m-%d").to_string()
}

/// A number of eight decimals in the last of them.
fn units(text: &str) -> u128 {
    let (whole, digits) = text.split_once('.').unwrap();
    assert_eq!(digits.len(), 8);
    format!("{whole}{digits}").parse().unwrap()
}

/// The line of a trade as Binance writes it, without what ends it; its time is in microseconds, of which the last are none of
/// the trade's.
pub(crate) fn line(trade: &Trade) -> String {
    let Trade { id, time, price, quantity, .. } = trade;
    let product = units(price.as_str()) * units(quantity.as_str());
    assert_eq!(product % 100_000_000, 0, "it has more than eight decimals");
    let quote = product / 100_000_000;
    let maker = if trade.buyer_is_maker { "True" } else { "False" };
    let (whole, digits, behind) = (quote / 100_000_000, quote % 100_000_000, id.get() % 1_000);
    format!("{id},{price},{quantity},{whole}.{digits:08},{}{behind:03},{maker},True", time.ms())
}

/// Writes a zip with these files in it.
pub(crate) fn zip(path: &Path, files: &[(&str, &[u8])]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// Writes the daily file with these lines in it, and gives its name.
pub(crate) fn dump(folder: &Path, date: &str, lines: &[String]) -> String {
    let name = format!("BTCUSDT-trades-{date}.zip");
    let csv = lines.iter().flat_map(|line| [line, "\n"]).collect::<String>();
    zip(&folder.join(&name), &[(&name.replace(".zip", ".csv"), csv.as_bytes())]);
    name
}

/// Lays the file beside a daily file that says its SHA-256, as another program reckons it.
pub(crate) fn lay_checksum(folder: &Path, name: &str) {
    let output = std::process::Command::new("sha256sum").arg(name).current_dir(folder).output().unwrap();
    assert!(output.status.success());
    fs::write(folder.join(format!("{name}.CHECKSUM")), output.stdout).unwrap();
}

/// What verify printed.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) code: Option<i32>,
    pub(crate) rows: Vec<Value>,
    pub(crate) summary: Value,
    pub(crate) stderr: String,
}

impl Verified {
    pub(crate) fn new(output: &Output) -> Self {
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        let mut rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = rows.pop().unwrap_or_default();
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        Self { code: output.status.code(), rows, summary, stderr }
    }

    /// Verdict, first and last id, trades, line, and what differs or why, of each row.
    pub(crate) fn found(&self) -> Vec<String> {
        let words = |row: &Value| {
            let differs: Vec<_> = row["differs"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
            let why = row["why"].as_str().map_or_else(|| differs.join("+"), str::to_owned);
            let (verdict, ids) = (row["verdict"].as_str().unwrap(), format!("{}-{}", row["first_id"], row["last_id"]));
            format!("{verdict} {ids} {} line {} {why}", row["trades"], row["line"]).trim_end().to_owned()
        };
        self.rows.iter().map(words).collect()
    }

    pub(crate) fn count(&self, key: &str) -> u64 {
        self.summary[key].as_u64().unwrap_or_else(|| panic!("{self:?}"))
    }
}

/// Holds a daily file against a store.
pub(crate) fn verify(folder: &Path, store: &str, name: &str, more: &[&str]) -> Verified {
    let args = ["verify", "--dump", name, "--store", store, "--format", "json"];
    Verified::new(&tickflux(folder, &[&args[..], more].concat()))
}
