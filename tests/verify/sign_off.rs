//! The sign-off of a running capture: each minute of either store, held against the exchange's candles and kept beside the trades.

use std::collections::BTreeMap;

use tickflux::trade::Trade;

use crate::kit::*;
use crate::support::process::{Capture, wait_until};
use crate::support::trades::sqlite_trades;
use crate::support::{column, seed, summary, tickflux_ok};

/// What is kept of a minute: every number as it stands there, and in what it differs.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    is_verified: bool,
    /// trades, first_id, last_id, open, high, low, close, volume, taker_buy_volume.
    numbers: [String; 9],
    difference: String,
}

const COLUMNS: [&str; 9] =
    ["trades", "first_id", "last_id", "open", "high", "low", "close", "volume", "taker_buy_volume"];

/// By symbol and minute.
type Minutes = BTreeMap<(String, String), Kept>;

/// A capture of a market that has ended, into a store that has all of it.
fn capture(world: &World, rest: &str, more: &[&str]) -> Capture {
    let stream = format!("ws://{}", world.exchange.address());
    let args = ["--exchange", "practice", "--stream-url", &stream, "--rest-url", rest, "--store", &world.store];
    let others = ["--idle-timeout", "1h", "--format", "json"];
    let environment = [("RUST_LOG".to_owned(), "tickflux=debug".to_owned())];
    Capture::start_in(world.folder.path(), &[&args[..], &others, more].concat(), &environment)
}

/// Its log is what a failure needs.
struct ToldOnPanic<'a>(&'a Capture);

impl Drop for ToldOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0.log());
        }
    }
}

/// What the store keeps, read plainly.
fn kept(world: &World) -> Minutes {
    let Some(influxd) = &world.influxd else { return kept_in_sqlite(world) };
    let query = "from(bucket: \"ticks\") |> range(start: -25h) |> filter(fn: (r) => r._measurement == \"minute\") \
                 |> pivot(rowKey: [\"_time\"], columnKey: [\"_field\"], valueColumn: \"_value\") |> group()";
    let csv = influxd.influx_ok(&["query", "--raw", query]);
    if csv.trim().is_empty() {
        return Minutes::new();
    }
    let columns: BTreeMap<_, _> = ["symbol", "_time", "verified", "difference"]
        .into_iter()
        .chain(COLUMNS)
        .map(|name| (name, column(&csv, name)))
        .collect();
    // The floats are there, and are the nearest to the texts.
    for name in &COLUMNS[3..] {
        let floats = column(&csv, &format!("{name}_float"));
        let same = columns[name].iter().zip(&floats).all(|(text, float)| text.parse::<f64>() == float.parse());
        assert!(same && !floats.is_empty(), "{csv}");
    }
    (0..columns["symbol"].len())
        .map(|row| {
            let start = chrono::DateTime::parse_from_rfc3339(&columns["_time"][row]).unwrap().timestamp_millis();
            let kept = Kept {
                is_verified: columns["verified"][row] == "true",
                numbers: COLUMNS.map(|name| columns[name][row].clone()),
                difference: columns["difference"][row].clone(),
            };
            ((columns["symbol"][row].clone(), utc(start)), kept)
        })
        .collect()
}

fn kept_in_sqlite(world: &World) -> Minutes {
    let connection = rusqlite::Connection::open(world.folder.path().join("trades.db")).unwrap();
    let query = format!("SELECT symbol, start, verified, difference, {} FROM minute", COLUMNS.join(", "));
    // The capture makes the table.
    let Ok(mut statement) = connection.prepare(&query) else { return Minutes::new() };
    let text = |value: rusqlite::types::Value| match value {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => panic!("{other:?}"),
    };
    let rows = statement.query_map([], |row| {
        let kept = Kept {
            is_verified: row.get(2)?,
            numbers: std::array::from_fn(|at| text(row.get(4 + at).unwrap())),
            difference: row.get(3)?,
        };
        Ok(((row.get(0)?, utc(row.get(1)?)), kept))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn key(trade: &Trade) -> (String, String) {
    (trade.symbol.to_string(), utc(minute_of(trade)))
}

/// The minutes with a trade in them that were over long ago.
fn over(world: &World) -> Vec<(String, String)> {
    let mut all: Vec<_> = SYMBOLS.iter().flat_map(|symbol| world.compared(symbol)).map(|trade| key(&trade)).collect();
    all.dedup();
    all
}

fn wait_until_verified(world: &World, but: &[&(String, String)]) {
    let all = over(world);
    wait_until("every minute is verified", || {
        let kept = kept(world);
        all.iter().all(|key| but.contains(&key) || kept.get(key).is_some_and(|kept| kept.is_verified))
    });
}

fn wait_until_different(world: &World, keys: &[&(String, String)]) {
    wait_until("what was changed is found", || {
        let kept = kept(world);
        keys.iter().all(|key| kept.get(*key).is_some_and(|kept| !kept.is_verified))
    });
    let differ = kept(world).into_iter().filter(|(_, kept)| !kept.is_verified).map(|(key, _)| key);
    let mut expected: Vec<_> = keys.iter().map(|key| (*key).clone()).collect();
    expected.sort();
    assert_eq!(differ.collect::<Vec<_>>(), expected, "and nothing else");
}

/// The minutes that `flux/verified.flux` names.
fn named_by_flux(world: &World) -> Option<Vec<(String, String)>> {
    let influxd = world.influxd.as_ref()?;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/flux/verified.flux");
    let csv = influxd.influx_ok(&["query", "--raw", "--file", file]);
    let table = csv.split("\r\n\r\n").find(|table| table.contains(",exchange,symbol,minute,trades,difference"));
    let table = table.unwrap_or_else(|| panic!("{csv}; kept: {:?}", kept(world)));
    let minutes = column(table, "minute")
        .into_iter()
        .map(|minute| utc(chrono::DateTime::parse_from_rfc3339(&minute).unwrap().timestamp_millis()));
    Some(column(table, "symbol").into_iter().zip(minutes).collect())
}

#[test]
fn what_is_changed_behind_a_running_capture_is_found_and_a_repair_makes_it_verified() {
    for world in worlds(seed()) {
        let context = &world.store;
        let capture = capture(&world, &world.rest(), &[]);
        let log = ToldOnPanic(&capture);
        wait_until_verified(&world, &[]);
        // Each number is that of a plain computation over the exchange's list.
        let found = kept(&world);
        for symbol in SYMBOLS {
            let list = world.compared(symbol);
            let minutes = list.chunk_by(|one, next| minute_of(one) == minute_of(next));
            for (minute, told) in minutes.zip(klines(&list)) {
                let text = |at: usize| told[at].as_str().unwrap().to_owned();
                let (first, last) = (minute[0].id.get().to_string(), minute[minute.len() - 1].id.get().to_string());
                let expected =
                    [minute.len().to_string(), first, last, text(1), text(2), text(3), text(4), text(5), text(9)];
                assert_eq!(found[&key(&minute[0])].numbers, expected, "{context}");
            }
        }

        // A digit of a price in one minute, and a trade of another.
        let (one, other) = (middle(&world.compared("BTCUSDT")), middle(&world.compared("ETHUSDT")));
        let (changed, deleted) = (&one[one.len() / 2], &other[other.len() / 2]);
        let price = changed.price.to_decimal() + rust_decimal::Decimal::new(1, 8);
        world.put(&Trade { price: tickflux::trade::Price::new(&price.to_string()).unwrap(), ..changed.clone() });
        world.delete(deleted, deleted);
        wait_until_different(&world, &[&key(changed), &key(deleted)]);
        if let Some(named) = named_by_flux(&world) {
            assert_eq!(named, [key(changed), key(deleted)], "{context}");
        }
        let words = kept(&world)[&key(deleted)].difference.clone();
        let expected = format!("trades {}, by the exchange {}; ", other.len() - 1, other.len());
        assert!(words.starts_with(&expected) && words.contains("1 id is missing between"), "{context}: {words}");

        let rest = world.rest();
        let repair = ["gaps", "--repair", "--store", &world.store, "--exchange", "practice", "--rest-url", &rest];
        tickflux_ok(world.folder.path(), &repair);
        wait_until_verified(&world, &[&key(changed)]);
        wait_until_different(&world, &[&key(changed)]);
        assert_eq!(named_by_flux(&world).unwrap_or_else(|| vec![key(changed)]), [key(changed)], "{context}");

        drop(log);
        let log = capture.log();
        let output = capture.stop();
        let summary = summary(&output);
        assert_eq!(summary["minutes_different"], 1, "{context}");
        assert!(summary["minutes_verified"].as_u64() >= Some(over(&world).len() as u64), "{context}: {summary}");
        for words in [
            "A minute differs from the exchange's candle; nothing is changed.",
            "agrees with the exchange's candle now",
        ] {
            assert!(log.contains(words), "{context}: {log}");
        }
    }
}

/// The next run looks at what the last one did not, and at what differed; verified minutes stay so.
#[test]
fn what_one_run_leaves_the_next_one_verifies() {
    let world = World::new(seed(), None);
    let stopped = capture(&world, &world.rest(), &["--no-verify", "--duration", "3s"]).wait();
    assert_eq!((&summary(&stopped)["minutes_verified"], kept(&world)), (&0.into(), Minutes::new()));
    // The candles of one symbol do not come.
    let rest = world.with_candles(|path, answer| {
        if path.contains("BTCUSDT") { "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n".to_owned() } else { answer }
    });
    let first = capture(&world, &rest, &[]);
    let of = |symbol: &str| over(&world).into_iter().filter(|(it, _)| it == symbol).collect::<Vec<_>>();
    wait_until("one symbol is verified", || {
        let kept = kept(&world);
        of("ETHUSDT").iter().all(|key| kept.contains_key(key))
    });
    let log = first.log();
    let output = first.stop();
    assert_eq!(output.status.code(), Some(3), "no trade came, and nothing else is wrong");
    assert_eq!(log.matches("Minutes stay unverified").count(), 1, "it is said once: {log}");
    assert_eq!(kept(&world).keys().filter(|(symbol, _)| symbol == "BTCUSDT").count(), 0);

    let second = capture(&world, &world.rest(), &[]);
    wait_until_verified(&world, &[]);
    second.stop();
}

#[test]
fn a_minute_that_the_exchange_tells_differently_is_reported_and_nothing_is_changed() {
    let world = World::new(seed(), None);
    let odd = key(&middle(&world.compared("ETHUSDT"))[0]);
    let start = odd.1.clone();
    let rest = world.with_candles(move |path, answer| {
        if !path.contains("ETHUSDT") {
            return answer;
        }
        let mut all = rows_of(&answer);
        all.iter_mut().filter(|row| utc(row[0].as_i64().unwrap()) == start).for_each(raise_volume);
        rows(&all)
    });
    let before = sqlite_trades(&world.folder.path().join("trades.db"));
    let capture = capture(&world, &rest, &[]);
    wait_until_verified(&world, &[&odd]);
    wait_until_different(&world, &[&odd]);
    assert!(kept(&world)[&odd].difference.starts_with("volume "), "{:?}", kept(&world)[&odd]);
    capture.stop();
    assert_eq!(sqlite_trades(&world.folder.path().join("trades.db")), before);
}
