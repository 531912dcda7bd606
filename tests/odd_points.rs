//! Points that are no trades: what is being written this moment, and what other programs wrote. They neither hide a trade
//! nor break an answer, of the command and of the bundled files in the real influx CLI.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs;

use serde_json::Value;
use support::influxd::Influxd;
use support::points::{self, FIELDS};
use support::trades::without_annotations;
use support::{minute_ago, now, oracle, seed, tickflux, trade};
use tickflux::store::influx::flux_csv;
use tickflux::trade::Trade;

/// The rows of a command, as JSON.
fn command(influxd: &Influxd, bucket: &str, args: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let store = ["--store", &influxd.url, "--bucket", bucket, "--format", "json"];
    let output = tickflux(folder.path(), &[args, &store].concat());
    assert!(output.status.code() < Some(2), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rows of a bundled file with some parameters set by hand, run by the influx CLI.
fn file(influxd: &Influxd, name: &str, parameters: &[(&str, &str)]) -> Vec<flux_csv::Row> {
    let text = fs::read_to_string(format!("flux/{name}.flux")).unwrap();
    let set = |line: &str| {
        let parameter = parameters.iter().find(|(name, _)| line.starts_with(&format!("{name} = ")));
        parameter.map_or_else(|| line.to_owned(), |(name, value)| format!("{name} = {value}"))
    };
    let lines: Vec<_> = text.lines().map(set).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asked.flux");
    fs::write(&path, lines.join("\n")).unwrap();
    let csv = influxd.influx_ok(&["query", "--raw", "--file", path.to_str().unwrap()]);
    flux_csv::rows(&without_annotations(&csv)).unwrap()
}

fn rfc3339(ms: i64) -> String {
    tickflux::trade::TradeTime::from_ms(ms).unwrap().to_string()
}

/// Symbol and id of each row, both ways, which must agree.
fn latest(influxd: &Influxd, bucket: &str) -> Vec<(String, u64)> {
    let of_command: Vec<_> = command(influxd, bucket, &["latest"])
        .iter()
        .map(|row| (row["symbol"].as_str().unwrap().to_owned(), row["trade_id"].as_u64().unwrap()))
        .collect();
    let of_file: Vec<_> = file(influxd, "latest", &[("bucket", &format!("{bucket:?}"))])
        .iter()
        .map(|row| (row.text("symbol").unwrap().to_owned(), row.text("trade_id").unwrap().parse().unwrap()))
        .collect();
    assert_eq!(of_command, of_file);
    of_command
}

/// The id at a time, both ways, which must agree.
fn at(influxd: &Influxd, bucket: &str, symbol: &str, ms: i64, as_of: bool) -> Option<u64> {
    let time = rfc3339(ms);
    let args = if as_of { vec!["at", symbol, &time, "--as-of"] } else { vec!["at", symbol, &time] };
    let of_command = command(influxd, bucket, &args).first().map(|row| row["trade_id"].as_u64().unwrap());
    let parameters = [
        ("bucket", &*format!("{bucket:?}")),
        ("symbols", &*format!("[{symbol:?}]")),
        ("time", &time),
        ("as_of", if as_of { "true" } else { "false" }),
    ];
    let rows = file(influxd, "price_at", &parameters);
    let of_file = rows.first().map(|row| row.text("trade_id").unwrap().parse().unwrap());
    assert_eq!(of_command, of_file, "{symbol} {time}");
    of_command
}

/// Every way to leave out fields: one of them, or all but one.
fn partial_fields() -> Vec<Vec<&'static str>> {
    let without = FIELDS.iter().map(|out| FIELDS.iter().copied().filter(|field| field != out).collect());
    without.chain(FIELDS.iter().map(|only| vec![*only])).collect()
}

#[test]
fn an_incomplete_point_in_front_hides_no_trade() {
    let Some(influxd) = Influxd::start() else { return };
    let newest = now().ms() - 2_000;
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    for (number, fields) in partial_fields().iter().enumerate() {
        let symbol = format!("P{number:02}");
        lines.push(points::with_fields(&trade(&symbol, 1, newest - 40, "5"), &FIELDS));
        lines.push(points::with_fields(&trade(&symbol, 2, newest, "6"), fields));
        expected.push((symbol, 1));
    }
    points::write(&influxd, "ticks", &lines);
    assert_eq!(latest(&influxd, "ticks"), expected);
    for (symbol, _) in &expected {
        for (ms, as_of) in [(newest, false), (newest, true), (newest + 9, false)] {
            assert_eq!(at(&influxd, "ticks", symbol, ms, as_of), Some(1), "{symbol}");
        }
    }
    // A symbol of which there is nothing else has no trade.
    let alone = trade("ALONE", 1, newest, "5");
    points::write(&influxd, "ticks", &[points::with_fields(&alone, &["price", "trade_id"])]);
    assert_eq!(latest(&influxd, "ticks"), expected);
    assert_eq!(at(&influxd, "ticks", "ALONE", newest, false), None);
}

#[test]
fn many_incomplete_points_in_front_hide_no_trade_however_far_back_it_is() {
    let Some(influxd) = Influxd::start() else { return };
    let partial = partial_fields();
    // So far apart are the incomplete points, and so many there are: within a millisecond's hundred, minutes, hours.
    let distances = [("NEAR", 7, 40), ("MINUTES", 11_000, 30), ("HOURS", 400_000, 30)];
    let mut lines = Vec::new();
    for (symbol, apart, count) in distances {
        let newest = now().ms() - 2_000;
        let begin = newest - apart * count;
        lines.push(points::with_fields(&trade(symbol, 1, begin, "5"), &FIELDS));
        for number in 1..=count {
            let odd = trade(symbol, 1 + number.unsigned_abs(), begin + apart * number, "6");
            lines.push(points::with_fields(&odd, &partial[number as usize % partial.len()]));
        }
        // Far from them, before and behind.
        lines.push(points::with_fields(&trade(&format!("{symbol}-BEFORE"), 1, begin - 600_000, "5"), &FIELDS));
    }
    points::write(&influxd, "ticks", &lines);
    let found = latest(&influxd, "ticks");
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(found.iter().all(|(_, id)| *id == 1), "{found:?}");
    for (symbol, apart, count) in distances {
        let newest = now().ms() - 2_000;
        for back in [0, apart * count / 2, apart * count - apart] {
            assert_eq!(at(&influxd, "ticks", symbol, newest - back, false), Some(1), "{symbol} {back}");
            assert_eq!(at(&influxd, "ticks", symbol, newest - back, true), Some(1), "{symbol} {back} as of");
        }
    }
}

#[test]
fn random_incomplete_points_change_no_answer() {
    let Some(influxd) = Influxd::start() else { return };
    let mut rng = fastrand::Rng::with_seed(seed());
    let partial = partial_fields();
    let mut all: Vec<(&str, Vec<Trade>)> = Vec::new();
    let mut lines = Vec::new();
    for symbol in ["R1", "R2", "R3"] {
        let (mut ms, mut trades) = (minute_ago(100), Vec::new());
        for id in 999_900..1_000_100 {
            ms += [0, 0, 3, 800, 90_000][rng.usize(0..5)];
            let trade = trade(symbol, id, ms, &format!("5.{}", rng.u8(1..9)));
            if rng.u8(0..3) == 0 {
                lines.push(points::with_fields(&trade, &FIELDS));
                trades.push(trade);
            } else {
                lines.push(points::with_fields(&trade, rng.choice(&partial).unwrap()));
            }
        }
        all.push((symbol, trades));
    }
    points::write(&influxd, "ticks", &lines);
    let expected: Vec<_> = all
        .iter()
        .map(|(symbol, trades)| ((*symbol).to_owned(), oracle::latest(&trades.iter().collect::<Vec<_>>()).unwrap()))
        .collect();
    assert_eq!(latest(&influxd, "ticks"), expected);
    for (symbol, trades) in &all {
        let trades: Vec<_> = trades.iter().collect();
        for _ in 0..6 {
            let ms = rng.choice(&trades).unwrap().time.ms() + rng.i64(-3_000..3_000);
            assert_eq!(at(&influxd, "ticks", symbol, ms, false), oracle::at(&trades, ms), "{symbol} {ms}");
            assert_eq!(at(&influxd, "ticks", symbol, ms, true), oracle::as_of(&trades, ms), "{symbol} {ms} as of");
        }
    }
}
