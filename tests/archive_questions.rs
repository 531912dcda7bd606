//! Questions on an archive of a month ago: every command gives what a plain computation over the trades gives; what is not
//! sealed is said; what is damaged is named, and whoever wants to write is refused.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use serde_json::Value;
use support::archived::Archived;
use support::{now, oracle, runtime, seed, tickflux, trade};
use tickflux::store::{Attempt, Store};
use tickflux::trade::{Quantity, Trade, TradeTime};

const HOUR_MS: i64 = 3_600_000;
const STORE: &str = "archive:archive";

/// The begin of an hour of a month ago.
static BEGIN: LazyLock<i64> = LazyLock::new(|| (now().ms() / HOUR_MS - 30 * 24) * HOUR_MS);

/// When the archive was made: what is in it was kept by the store then.
fn then() -> TradeTime {
    TradeTime::from_ms(*BEGIN + 20 * HOUR_MS).unwrap()
}

fn at_hour(hours: i64) -> i64 {
    *BEGIN + hours * HOUR_MS
}

fn utc(ms: i64) -> String {
    TradeTime::from_ms(ms).unwrap().to_string()
}

/// Two hours whole; one that is to be lost; one; an empty one, and one more. Ids go across a million.
fn trades(rng: &mut fastrand::Rng) -> Vec<Trade> {
    let mut id = 999_500;
    let mut all = Vec::new();
    for hour in [0, 1, 2, 3, 5] {
        let mut times: Vec<_> = (0..500).map(|_| at_hour(hour) + rng.i64(0..HOUR_MS) / 7 * 7).collect();
        times.sort_unstable();
        for ms in times {
            id += 1;
            let quantity = Quantity::new(&format!("0.{:05}", rng.u32(1..100_000))).unwrap();
            all.push(Trade { quantity, ..trade("BTCUSDT", id, ms, &format!("{}.{}", rng.u8(1..4), rng.u8(0..6))) });
        }
    }
    all
}

/// An archive of these trades, without the third hour and with some of the second one missing.
struct World {
    folder: tempfile::TempDir,
    /// What is in it.
    sealed: Vec<Trade>,
}

/// Ids that the exchange never had, and ids that were lost, of the second hour.
const NEVER: (u64, u64) = (1_000_100, 1_000_101);
const LOST: (u64, u64) = (1_000_200, 1_000_202);

impl World {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archived = Archived::at(folder.path(), "binance", then);
        let mut sealed = trades(&mut fastrand::Rng::with_seed(seed));
        sealed.retain(|trade| {
            let id = trade.id.get();
            !(NEVER.0..=NEVER.1).contains(&id) && !(LOST.0..=LOST.1).contains(&id)
        });
        runtime().block_on(archived.write(&sealed, Attempt::default())).unwrap();
        let world = Self { folder, sealed };
        fs::remove_file(world.file(2)).unwrap();
        fs::remove_file(world.manifest(2)).unwrap();
        let manifest = fs::read_to_string(world.manifest(1)).unwrap();
        let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["holes"][0]["from_id"], NEVER.0, "{manifest}");
        manifest["holes"][0]["state"] = "not_at_exchange".into();
        fs::write(world.manifest(1), manifest.to_string()).unwrap();
        Self { sealed: world.sealed.into_iter().filter(|trade| !is_of(trade, 2)).collect(), ..world }
    }

    fn file(&self, hour: i64) -> PathBuf {
        let time = chrono::DateTime::from_timestamp_millis(at_hour(hour)).unwrap();
        let name = time.format("archive/exchange=binance/symbol=BTCUSDT/date=%Y-%m-%d/hour=%H.parquet").to_string();
        self.folder.path().join(name)
    }

    fn manifest(&self, hour: i64) -> PathBuf {
        let file = self.file(hour);
        let name = file.file_name().unwrap().to_str().unwrap().replace("hour=", "_hour-").replace(".parquet", ".json");
        file.with_file_name(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        tickflux(self.folder.path(), &[args, &["--store", STORE]].concat())
    }

    /// The rows that a question gives, and its code.
    fn rows(&self, args: &[&str]) -> (i32, Vec<Value>) {
        let output = self.run(&[args, &["--format", "json"]].concat());
        let stdout = String::from_utf8(output.stdout).unwrap();
        let rows = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code().unwrap(), rows)
    }

    fn one_id(&self, args: &[&str]) -> u64 {
        let (code, rows) = self.rows(args);
        assert_eq!((code, rows.len()), (0, 1), "{args:?}");
        rows[0]["trade_id"].as_u64().unwrap()
    }
}

fn is_of(trade: &Trade, hour: i64) -> bool {
    (at_hour(hour)..at_hour(hour + 1)).contains(&trade.time.ms())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_command_answers_for_any_time_that_is_sealed() {
    let seed = seed();
    let (world, mut rng) = (World::new(seed), fastrand::Rng::with_seed(seed));
    let all: Vec<_> = world.sealed.iter().collect();
    let newest = all[all.len() - 1];
    assert_eq!(world.one_id(&["latest"]), newest.id.get());
    for _ in 0..12 {
        let hour = rng.choice([0, 1, 3, 4, 5]).unwrap();
        let ms = if rng.bool() { at_hour(hour) + rng.i64(0..HOUR_MS) } else { rng.choice(&all).unwrap().time.ms() };
        let (time, context) = (utc(ms), format!("{} {hour}", utc(ms)));
        assert_eq!(Some(world.one_id(&["at", "BTCUSDT", &time])), oracle::at(&all, ms), "{context}");
        let as_of = oracle::as_of(&all, ms);
        match as_of {
            Some(id) => assert_eq!(world.one_id(&["at", "BTCUSDT", &time, "--as-of"]), id, "{context}"),
            None => assert_eq!(world.rows(&["at", "BTCUSDT", &time, "--as-of"]).0, 1, "{context}"),
        }
        let minute = ms / 60_000 * 60_000;
        let (code, rows) = world.rows(&["high-low", "BTCUSDT", &time]);
        let expected = oracle::high_low(&all, minute);
        assert_eq!(code, i32::from(expected.is_none()), "{context}");
        let number = |value: &Value| value.as_u64().unwrap();
        let found = rows.first().map(|row| {
            let id = |side: &str| number(&row[side]["trade_id"]);
            assert_eq!((&row["minute"], &row["open"]), (&Value::from(utc(minute)), &Value::Bool(false)));
            (number(&row["trades"]), number(&row["missing"]), id("high"), id("low"))
        });
        assert_eq!(found, expected, "{context}");
    }
    for (since, until) in [(-1, 9), (0, 2), (1, 4), (3, 5), (4, 6)] {
        let since = at_hour(since) + rng.i64(0..HOUR_MS);
        let until = at_hour(until) + rng.i64(0..HOUR_MS);
        let (since_text, until_text) = (utc(since), utc(until));
        let context = format!("{since_text} {until_text}");
        let range = ["BTCUSDT", "--since", &since_text, "--until", &until_text];

        let (code, rows) = world.rows(&[&["trades"], &range[..]].concat());
        let inside = all.iter().filter(|trade| (since..until).contains(&trade.time.ms()));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let found = rows.iter().map(|row| {
            let id = row["trade_id"].as_u64().unwrap();
            (
                id,
                text(&row["time"]),
                text(&row["price"]),
                text(&row["quantity"]),
                row["buyer_is_maker"].as_bool().unwrap(),
            )
        });
        let expected = inside.map(|trade| {
            let Trade { id, time, price, quantity, buyer_is_maker, .. } = trade;
            (id.get(), time.to_string(), price.to_string(), quantity.to_string(), *buyer_is_maker)
        });
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{context}");
        assert_eq!(code, 0, "{context}");

        let every = rng.choice([60_000, 300_000, HOUR_MS]).unwrap();
        let (code, rows) = world.rows(&[&["candles"], &range[..], &["--every", &format!("{every}ms")]].concat());
        let mut expected = oracle::candles(&all, since / every * every, every);
        expected.retain(|(begin, ..)| *begin < until);
        let found = rows
            .iter()
            .map(|row| (text(&row["time"]), row["open"].as_f64(), row["close"].as_f64(), row["trades"].as_u64()));
        let expected = expected
            .iter()
            .map(|(begin, prices, _, trades)| (utc(*begin), Some(prices[0]), Some(prices[3]), Some(*trades)));
        assert_eq!((code, found.collect::<Vec<_>>()), (0, expected.collect()), "{context} {every}");

        let (code, rows) = world.rows(&[&["gaps"], &range[..]].concat());
        let found: Vec<_> = rows
            .iter()
            .map(|row| {
                let number = |key: &str| row[key].as_u64().unwrap();
                let ids = |hole: &Value| (hole["from_id"].as_u64().unwrap(), hole["to_id"].as_u64().unwrap());
                let holes: Vec<_> = row["holes"].as_array().unwrap().iter().map(ids).collect();
                (number("first_id"), number("last_id"), number("trades"), number("duplicates"), holes)
            })
            .collect();
        assert_eq!(found, oracle::gaps(&all, since, until), "{context}");
        let holes = rows.iter().flat_map(|row| row["holes"].as_array().unwrap());
        let mut is_open = false;
        for hole in holes {
            let is_never = hole["from_id"] == NEVER.0;
            assert_eq!(hole["state"], if is_never { "not_at_exchange" } else { "open" }, "{context}");
            is_open |= !is_never;
        }
        assert_eq!(code, i32::from(is_open), "{context}");
    }
}

#[test]
fn what_is_not_sealed_is_no_answer_and_is_said() {
    let world = World::new(seed());
    let sealed = format!("binance BTCUSDT is sealed from {} to {}", utc(at_hour(0)), utc(at_hour(6)));
    let without =
        |first: i64| format!("without 1 hours of the time that was asked for, the first at {}", utc(at_hour(first)));
    for (hour, code, words) in [
        (-1, 1, sealed.clone()),
        (1, 0, String::new()),
        (2, 1, without(2)),
        // Nothing was traded in it: the ids before and after it follow each other.
        (4, 0, String::new()),
        (6, 1, sealed.clone()),
    ] {
        let time = utc(at_hour(hour) + HOUR_MS / 2);
        for command in ["at", "high-low"] {
            let output = world.run(&[command, "BTCUSDT", &time]);
            if (command, hour) == ("high-low", 4) {
                assert!(stderr(&output).contains("no trade of BTCUSDT in the minute"), "{}", stderr(&output));
                continue;
            }
            assert_eq!(output.status.code(), Some(code), "{command} {hour}: {}", stderr(&output));
            assert_eq!(
                stderr(&output).lines().count(),
                usize::from(code == 1),
                "{command} {hour}: {}",
                stderr(&output)
            );
            assert!(stderr(&output).contains(&words), "{command} {hour}: {}", stderr(&output));
            assert!(code == 0 || stderr(&output).contains(&format!("{time} is not sealed in archive:archive")));
        }
    }
    for (since, until, words) in [
        (-1, 1, Some(sealed.clone())),
        (0, 2, None),
        (0, 5, Some(without(2))),
        (3, 6, None),
        (3, 7, Some(sealed.clone())),
    ] {
        let (since_text, until) = (utc(at_hour(since)), utc(at_hour(until)));
        for command in ["candles", "trades", "gaps"] {
            let output = world.run(&[command, "BTCUSDT", "--since", &since_text, "--until", &until]);
            assert!(!output.stdout.is_empty());
            let said = stderr(&output);
            match &words {
                Some(words) => assert!(said.contains(words) && said.lines().count() == 1, "{command} {since}: {said}"),
                None => assert_eq!(said, "", "{command} {since}"),
            }
        }
    }
    // The default is the last hours, as for a store.
    for (args, code) in [
        (&["candles", "BTCUSDT"][..], 1),
        (&["trades", "BTCUSDT"], 1),
        (&["gaps"], 1),
        (&["latest"], 0),
        (&["latest", "ETHUSDT"], 1),
        (&["at", "BTCUSDT", "-5m"], 1),
        (&["at", "BTCUSDT", "2200-01-01"], 1),
        (&["at", "ETHUSDT", "-5m"], 1),
        (&["gaps", "--since", "2000days"], 1),
        (&["candles", "BTCUSDT", "--since", "2000days", "--every", "1h"], 0),
        (&["candles", "BTCUSDT", "--since", "2000days"], 2),
        (&["verify", "BTCUSDT", "--since", "40days", "--kline-file", "absent"], 2),
        (&["candles", "BTCUSDT", "--since", "10ms"], 2),
        (&["trades", "BTCUSDT", "--since", "2d", "--until", "3d"], 2),
        (&["gaps", "--since", "2d", "--until", "3d"], 2),
        (&["candles", "BTCUSDT", "--since", "2d", "--until", "3d"], 2),
    ] {
        let output = world.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(
            !stderr(&output).contains("24 h") && !stderr(&output).contains("clock"),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    assert!(stderr(&world.run(&["trades", "BTCUSDT"])).contains(&sealed));
}

#[test]
fn only_what_a_question_needs_is_read() {
    let world = World::new(seed());
    fs::write(world.file(0), "no Parquet").unwrap();
    fs::write(world.manifest(5), "no manifest").unwrap();
    let (since, until) = (utc(at_hour(1) + 1), utc(at_hour(3)));
    for args in [
        &["at", "BTCUSDT", &utc(at_hour(3) + HOUR_MS / 2)][..],
        &["high-low", "BTCUSDT", &utc(at_hour(3) + HOUR_MS / 2)],
        &["candles", "BTCUSDT", "--since", &since, "--until", &until],
        &["trades", "BTCUSDT", "--since", &since, "--until", &until],
    ] {
        let output = world.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn an_hour_that_is_sealed_again_counts_as_it_is_now() {
    let world = World::new(seed());
    let archived = Archived::at(world.folder.path(), "binance", then);
    let lost = (LOST.0..=LOST.1).map(|id| trade("BTCUSDT", id, at_hour(1) + HOUR_MS - 1, "2.5"));
    let range = ["gaps", "--since", &utc(at_hour(1)), "--until", &utc(at_hour(2))];
    let missing = |world: &World| world.rows(&range).1[0]["missing"].as_u64().unwrap();
    assert_eq!(missing(&world), 5);
    runtime().block_on(archived.write(&lost.collect::<Vec<_>>(), Attempt::default())).unwrap();
    assert_eq!(missing(&world), 2);
    let manifest = fs::read_to_string(world.manifest(1)).unwrap();
    assert!(manifest.contains("\"revision\": 2"), "{manifest}");
    // A file whose manifest is not there yet: it is being sealed.
    fs::remove_file(world.manifest(1)).unwrap();
    let output = world.run(&["trades", "BTCUSDT", "--since", &utc(at_hour(0)), "--until", &utc(at_hour(2))]);
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap().lines().count(), 2 + 500, "{}", stderr(&output));
    assert!(stderr(&output).contains("1 files without a manifest were left out"), "{}", stderr(&output));
}

#[test]
fn what_is_damaged_is_named_in_one_line() {
    type Damage = fn(&World);
    let edit = |world: &World, from: &str, to: &str| {
        let text = fs::read_to_string(world.manifest(0)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(world.manifest(0), text.replace(from, to)).unwrap();
    };
    static EDIT: std::sync::OnceLock<fn(&World, &str, &str)> = std::sync::OnceLock::new();
    EDIT.set(edit).unwrap();
    let damages: [(&str, &str, Damage); 9] = [
        ("hour=", "it is no whole Parquet file", |world| {
            let bytes = fs::read(world.file(0)).unwrap();
            fs::write(world.file(0), &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("hour=", "No such file", |world| fs::remove_file(world.file(0)).unwrap()),
        ("hour=", "its columns are not those of trades", |world| {
            let output =
                world.run(&["trades", "BTCUSDT", "--since", &utc(at_hour(0)), "--format", "parquet", "--output", "t"]);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            fs::rename(world.folder.path().join("t"), world.file(0)).unwrap();
        }),
        ("hour=", "it has trades of another hour", |world| {
            assert!(fs::copy(world.file(3), world.file(0)).unwrap() > 0);
        }),
        ("hour=", "it has 500 trades, its manifest says 7", |world| {
            EDIT.get().unwrap()(world, "\"trades\": 500", "\"trades\": 7")
        }),
        ("_hour-", "it has version 2, this tickflux knows 1", |world| {
            EDIT.get().unwrap()(world, "\"version\": 1", "\"version\": 2")
        }),
        ("_hour-", "it is no manifest", |world| EDIT.get().unwrap()(world, "\"trades\": 500", "\"trades\": \"some\"")),
        ("_hour-", "it is that of binance ETHUSDT", |world| EDIT.get().unwrap()(world, "BTCUSDT", "ETHUSDT")),
        ("hour=", "", |world| {
            // A page in the middle: only what is read tells.
            let mut bytes = fs::read(world.file(0)).unwrap();
            bytes[100..140].fill(0xff);
            fs::write(world.file(0), bytes).unwrap();
        }),
    ];
    for (name, words, damage) in damages {
        let world = World::new(seed());
        damage(&world);
        let range = ["BTCUSDT", "--since", &utc(at_hour(0) + 1), "--until", &utc(at_hour(1))];
        let time = utc(at_hour(0) + HOUR_MS / 2);
        for args in [
            &["at", "BTCUSDT", &time][..],
            &["high-low", "BTCUSDT", &time],
            &[&["trades"], &range[..]].concat(),
            &[&["candles"], &range[..]].concat(),
            &[&["gaps"], &range[..]].concat(),
            // Of a whole hour the manifest tells, if the file is there.
            &["gaps", "--since", &utc(at_hour(0)), "--until", &utc(at_hour(1))],
        ] {
            if words.is_empty() && args[0] == "gaps" {
                continue;
            }
            let said = stderr(&world.run(args));
            let code = world.run(args).status.code();
            assert_eq!((code, said.lines().count()), (Some(3), 1), "{words} {args:?}: {said}");
            assert!(
                said.contains(name) && said.contains(words) && said.contains("archive --check"),
                "{words} {args:?}: {said}"
            );
        }
    }
}

#[test]
fn what_is_no_archive_and_whoever_writes_is_refused_in_one_line() {
    let world = World::new(seed());
    let folder = world.folder.path();
    fs::create_dir(folder.join("other")).unwrap();
    fs::create_dir(folder.join("newer")).unwrap();
    fs::write(folder.join("newer/_tickflux-archive"), "tickflux archive, version 2\n").unwrap();
    let before = fs::read(world.file(0)).unwrap();
    for (args, words) in [
        (&["latest", "--store", "archive:other"][..], "it is no archive: tickflux archive --to makes one"),
        (&["latest", "--store", "archive:newer"], "another version: use the tickflux that wrote it"),
        (&["latest", "--store", "archive:absent"], "there is no such folder: tickflux archive --to makes one"),
        (&["latest", "--store", "archive:trades.db"], "cannot use --store archive:trades.db"),
        (&["latest", "--store", "archive:"], "write archive:DIR"),
        (&["capture", "--store", STORE], "an archive takes no trades: capture into sqlite:PATH"),
        (&["doctor", "--store", STORE], "an archive takes no trades"),
        (&["watch", "--store", STORE], "ask it with tickflux latest, candles or trades"),
        (&["archive", "--to", "more", "--store", STORE], "what is in an archive is sealed: copy its folder"),
        (&["archive", "--to", "more", "--follow", "--store", STORE], "what is in an archive is sealed"),
        (&["gaps", "--repair", "--store", STORE], "an archive is not repaired"),
        (&["provision", "--store", STORE], "is not an InfluxDB"),
    ] {
        let output = tickflux(folder, args);
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{args:?}: {said}");
        assert!(said.contains(words) && output.stdout.is_empty(), "{args:?}: {said}");
    }
    assert!(
        !folder.join("more").exists() && !folder.join("absent").exists() && !folder.join("tickflux-outbox").exists()
    );
    assert!(fs::read(world.file(0)).unwrap() == before);
    assert_eq!(fs::read_dir(Path::new(&folder.join("other"))).unwrap().count(), 0);
}
