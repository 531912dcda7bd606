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

/// Trades, missing, high id, low id of a minute, both ways.
fn high_low(influxd: &Influxd, bucket: &str, symbol: &str, ms: i64) -> Option<(u64, u64, u64, u64)> {
    let time = rfc3339(ms);
    let number = |value: &Value| value.as_u64().unwrap();
    let of_command = command(influxd, bucket, &["high-low", symbol, &time]).first().map(|row| {
        let id = |side: &str| number(&row[side]["trade_id"]);
        (number(&row["trades"]), number(&row["missing"]), id("high"), id("low"))
    });
    let parameters = [("bucket", &*format!("{bucket:?}")), ("symbols", &*format!("[{symbol:?}]")), ("minute", &*time)];
    let rows = file(influxd, "high_low", &parameters);
    let of_file = rows.first().map(|high| {
        let [_, low] = &rows[..] else { panic!("{symbol} {time}: {} rows", rows.len()) };
        assert_eq!([high, low].map(|row| row.text("extreme").unwrap()), ["high", "low"]);
        let number = |row: &flux_csv::Row, column| row.text(column).unwrap().parse().unwrap();
        assert_eq!(["trades", "missing"].map(|it| number(high, it)), ["trades", "missing"].map(|it| number(low, it)));
        (number(high, "trades"), number(high, "missing"), number(high, "trade_id"), number(low, "trade_id"))
    });
    assert_eq!(of_command, of_file, "{symbol} {time}");
    of_command
}

/// The candles of a symbol, both ways: begin, open, high, low, close, trades.
fn candles(influxd: &Influxd, bucket: &str, symbol: &str, every: &str) -> Vec<(String, [f64; 4], u64)> {
    let args = ["candles", symbol, "--since", "24h", "--every", every];
    let of_command: Vec<_> = command(influxd, bucket, &args)
        .iter()
        .map(|row| {
            let prices = ["open", "high", "low", "close"].map(|name| row[name].as_f64().unwrap());
            (row["time"].as_str().unwrap().replace(".000Z", "Z"), prices, row["trades"].as_u64().unwrap())
        })
        .collect();
    let parameters = [
        ("bucket", &*format!("{bucket:?}")),
        ("symbols", &*format!("[{symbol:?}]")),
        ("since", "-24h"),
        ("every", every),
    ];
    let of_file: Vec<_> = file(influxd, "candles", &parameters)
        .iter()
        .map(|row| {
            let prices = ["open", "high", "low", "close"].map(|name| row.text(name).unwrap().parse().unwrap());
            (row.text("time").unwrap().to_owned(), prices, row.text("trades").unwrap().parse().unwrap())
        })
        .collect();
    assert_eq!(of_command, of_file, "{symbol} every {every}");
    of_command
}

/// The ids of a symbol's trades, both ways, which must agree.
fn trades(influxd: &Influxd, bucket: &str, symbol: &str) -> Vec<u64> {
    let rows = command(influxd, bucket, &["trades", symbol, "--since", "24h"]);
    let of_command: Vec<_> = rows.iter().map(|row| row["trade_id"].as_u64().unwrap()).collect();
    let parameters = [
        ("bucket", &*format!("{bucket:?}")),
        ("symbols", &*format!("[{symbol:?}]")),
        ("from_time", "-24h"),
        ("until_time", "48h"),
    ];
    let rows = file(influxd, "trades", &parameters);
    let of_file: Vec<u64> = rows.iter().map(|row| row.text("trade_id").unwrap().parse().unwrap()).collect();
    assert_eq!(of_command, of_file, "{symbol}");
    of_command
}

/// First and last id, trades, duplicates and holes of each count, as the command gives them; the bundled file must find
/// as many ids missing.
fn gaps(influxd: &Influxd, bucket: &str, symbol: &str) -> Vec<support::oracle::CountGaps> {
    let number = |value: &Value| value.as_u64().unwrap();
    let hole = |hole: &Value| (number(&hole["from_id"]), number(&hole["to_id"]));
    let found: Vec<_> = command(influxd, bucket, &["gaps", symbol])
        .iter()
        .map(|row| {
            let holes = row["holes"].as_array().unwrap().iter().map(hole).collect::<Vec<_>>();
            let of = |key: &str| number(&row[key]);
            (of("first_id"), of("last_id"), of("trades"), of("duplicates"), holes)
        })
        .collect();
    let parameters = [("bucket", &*format!("{bucket:?}")), ("symbols", &*format!("[{symbol:?}]")), ("all", "true")];
    let rows = file(influxd, "gaps", &parameters);
    let sum = |column| rows.iter().map(|row| row.text(column).unwrap().parse::<u64>().unwrap()).sum::<u64>();
    let missing = found.iter().flat_map(|count| &count.4).map(|(first, last)| last - first + 1).sum::<u64>();
    assert_eq!(sum("missing") + sum("missing_before"), missing, "{symbol} {found:?}");
    assert_eq!(sum("trades"), found.iter().map(|count| count.2).sum::<u64>(), "{symbol}");
    found
}

/// Every question about these symbols is answered as a plain computation over their trades does.
fn assert_answers(influxd: &Influxd, bucket: &str, all: &[(&str, Vec<Trade>)], context: &str) {
    let newest = |(symbol, trades): &(&str, Vec<Trade>)| {
        ((*symbol).to_owned(), oracle::latest(&trades.iter().collect::<Vec<_>>()).unwrap())
    };
    assert_eq!(latest(influxd, bucket), all.iter().map(newest).collect::<Vec<_>>(), "{context}");
    for (symbol, trades) in all {
        let trades = &trades.iter().collect::<Vec<_>>()[..];
        let times: Vec<_> = trades.iter().map(|trade| trade.time.ms()).collect();
        for ms in [times[0], times[times.len() / 2] + 1, *times.last().unwrap()] {
            assert_eq!(at(influxd, bucket, symbol, ms, false), oracle::at(trades, ms), "{context}: {symbol} {ms}");
            assert_eq!(at(influxd, bucket, symbol, ms, true), oracle::as_of(trades, ms), "{context}: {symbol} {ms}");
            let minute = ms / 60_000 * 60_000;
            let found = high_low(influxd, bucket, symbol, ms);
            assert_eq!(found, oracle::high_low(trades, minute), "{context}: {symbol} {minute}");
        }
        for (every, every_ms) in [("1m", 60_000), ("7h", 7 * 3_600_000)] {
            let expected: Vec<_> = oracle::candles(trades, 0, every_ms)
                .into_iter()
                .map(|(begin, prices, _, count)| (rfc3339(begin).replace(".000Z", "Z"), prices, count))
                .collect();
            assert_eq!(candles(influxd, bucket, symbol, every), expected, "{context}: {symbol} {every}");
        }
        assert_eq!(gaps(influxd, bucket, symbol), oracle::gaps(trades, 0, i64::MAX), "{context}: {symbol}");
        let mut sorted: Vec<_> = trades.iter().map(|trade| (trade.time, trade.id.get())).collect();
        sorted.sort_unstable();
        let ids: Vec<_> = sorted.into_iter().map(|(_, id)| id).collect();
        assert_eq!(self::trades(influxd, bucket, symbol), ids, "{context}: {symbol}");
    }
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

const HOUR_MS: i64 = 3_600_000;

/// Trades of two symbols in every second hour of the last eight, with a hole each; the last a few seconds ago.
fn some_trades() -> Vec<(&'static str, Vec<Trade>)> {
    let newest = now().ms() - 5_000;
    let of = |symbol| {
        let hours = [7, 5, 3, 1, 0].map(|hours| newest - hours * HOUR_MS);
        let number = (0..).zip(hours).flat_map(|(at, ms)| (0..4).map(move |more| (1_000 + 5 * at + more, ms)));
        let priced = |(id, ms): (u64, i64)| {
            let price = format!("{}.{}", 5 + id % 3, id % 7);
            trade(symbol, id, ms + (id % 5).cast_signed() * 700, &price)
        };
        number.map(priced).collect::<Vec<_>>()
    };
    vec![("BTCUSDT", of("BTCUSDT")), ("ETHUSDT", of("ETHUSDT"))]
}

fn lines_of(all: &[(&str, Vec<Trade>)]) -> Vec<String> {
    all.iter().flat_map(|(_, trades)| trades).map(|trade| points::with_fields(trade, &FIELDS)).collect()
}

#[test]
fn points_of_other_programs_change_no_answer() {
    let Some(influxd) = Influxd::start() else { return };
    let all = some_trades();
    let newest = all[0].1.last().unwrap().time.ms();
    // Each kind has points among the trades of an old hour, right before the newest trade and in front of it; each at a
    // time of its own, so that no two make a whole.
    let odd = |kind: usize, line: &dyn Fn(&Trade) -> String| {
        let beside = [newest - 5 * HOUR_MS + 350, newest - 1_000, newest + 500];
        let odd = beside.map(|ms| trade("BTCUSDT", 1_002, ms + kind as i64 * 3, "999"));
        odd.iter().map(line).collect::<Vec<_>>()
    };
    let tags = ["source", "side", "price", "trade_id", "line", "start"].map(|tag| format!(",exchange=binance,{tag}=a"));
    let exchanges = ["", ",exchange=a/b", ",exchange=a\\ b"].map(ToOwned::to_owned);
    let tagged = tags.iter().chain(&exchanges).enumerate();
    let tagged = tagged.flat_map(|(kind, tags)| odd(kind, &|trade| points::tagged(trade, tags, &FIELDS)));
    let names = ["BTC/USDT", "btcusdt", "BTC\\ USDT", "BTC$", "\u{202e}BTC", "€", &"A".repeat(33)];
    let named = names
        .iter()
        .enumerate()
        .flat_map(|(kind, name)| odd(kind, &|trade| points::with_fields(trade, &FIELDS).replace("BTCUSDT", name)));
    let values = [
        ("trade_id", "trade_id=-5i"),
        ("price", r#"price="""#),
        ("price", r#"price="abc""#),
        ("price", r#"price="-5""#),
        ("price", r#"price="1e5""#),
        ("price", r#"price="0.00""#),
        ("price", "price=\"5\\n6\""),
        ("quantity", r#"quantity="NaN""#),
        ("price_float", "price_float=-1.5"),
    ];
    let valued = values.iter().enumerate().flat_map(|(kind, (name, instead))| {
        let fields: Vec<_> = FIELDS.iter().map(|field| if field == name { instead } else { field }).copied().collect();
        odd(kind, &|trade| points::with_fields(trade, &fields))
    });
    let partial = partial_fields();
    let partial = partial.iter().enumerate();
    let partial = partial.flat_map(|(kind, fields)| odd(kind, &|trade| points::with_fields(trade, fields)));
    let kinds: [(&str, Vec<String>); 4] = [
        ("tags", tagged.collect()),
        ("names", named.collect()),
        ("values", valued.collect()),
        ("partial", partial.collect()),
    ];
    for (kind, odd) in kinds {
        influxd.make_bucket(kind);
        points::write(&influxd, kind, &[lines_of(&all), odd].concat());
        assert_answers(&influxd, kind, &all, kind);
    }
}

#[test]
fn other_types_in_another_hour_hide_no_trade() {
    let Some(influxd) = Influxd::start() else { return };
    let all = some_trades();
    let newest = all[0].1.last().unwrap().time.ms();
    let one = ["price=1.5"];
    let all_six =
        ["price=1.5", "price_float=\"x\"", "quantity=1.5", "quantity_float=2i", "trade_id=1.5", "buyer_is_maker=\"x\""];
    let cases = [
        (&one[..], vec![4, 9], "BTCUSDT"),
        (&["trade_id=1.5"], vec![-1], "OTHER"),
        (&["price_float=\"x\"", "trade_id=\"x\""], vec![2, 6], "BTCUSDT"),
        (&all_six, vec![8, 6, 4, 2, -1], "OTHER"),
    ];
    for (at, (fields, hours, symbol)) in cases.iter().enumerate() {
        let bucket = format!("types{at}");
        influxd.make_bucket(&bucket);
        let odd = hours.iter().map(|hours| trade(symbol, 1, newest - hours * HOUR_MS, "5"));
        let odd = odd.map(|trade| points::with_fields(&trade, fields)).collect();
        points::write(&influxd, &bucket, &[odd, lines_of(&all)].concat());
        assert_answers(&influxd, &bucket, &all, &format!("{fields:?} {hours:?} h ago in {symbol}"));
    }
}
