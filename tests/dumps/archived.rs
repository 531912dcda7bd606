//! Past days sealed out of daily files: every trade as the file has it, beside what a capture has sealed, and never in place of
//! what is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tickflux::archive::read;
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Store};
use tickflux::trade::{Price, Trade, TradeId, TradeTime};

use crate::kit::*;
use crate::support::{exchange, files, now, runtime, tickflux};

/// 2026-01-05T00:00:00Z.
const BEGIN: i64 = 1_767_571_200_000;

/// What became of each hour, by its begin: state, trades, missing, revision.
type States = BTreeMap<String, (String, u64, u64, u64)>;

fn states(output: &Output) -> States {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let (text, number) =
            (|key: &str| row[key].as_str().unwrap().to_owned(), |key: &str| row[key].as_u64().unwrap());
        (text("hour"), (text("state"), number("trades"), number("missing"), number("revision")))
    };
    stdout.lines().map(row).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn from_dump(folder: &Path, name: &str, more: &[&str]) -> Output {
    let args = ["archive", "--to", "archive", "--from-dump", name, "--format", "json"];
    tickflux(folder, &[&args[..], more].concat())
}

/// What `--check` says, which has to be content.
fn checked(folder: &Path) -> String {
    let output = tickflux(folder, &["archive", "--check", "archive"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

/// Every trade that is sealed, in the order of the files.
fn sealed(folder: &Path) -> Vec<Trade> {
    let archive = folder.join("archive");
    let mut all = Vec::new();
    for name in files(&archive).into_keys().filter(|name| name.ends_with(".parquet")) {
        read::trades(&archive.join(name), &"BTCUSDT".parse().unwrap(), |trade| all.push(trade)).unwrap();
    }
    all
}

fn manifests(folder: &Path) -> Vec<Value> {
    let all = files(&folder.join("archive"));
    let texts = all.iter().filter(|(name, _)| name.ends_with(".json"));
    texts.map(|(_, bytes)| serde_json::from_slice(bytes).unwrap()).collect()
}

#[test]
fn a_past_day_is_sealed_hour_by_hour_with_every_text_of_the_file() {
    for (begin, unit) in [(BEGIN, "microseconds"), (1_723_075_200_000, "milliseconds")] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let all = trades(3_000, begin, begin + DAY_MS);
        let lines = all.iter().map(|trade| {
            let line = line(trade);
            let cut = line.find(&format!(",{}", trade.time.ms())).unwrap() + 14;
            if unit == "microseconds" { line } else { line[..cut].to_owned() + &line[cut + 3..] }
        });
        let name = dump(folder, &date(begin), &lines.collect::<Vec<_>>());
        lay_checksum(folder, &name);
        let output = from_dump(folder, &name, &[]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains("24 hours sealed, 0 left, 0 unchanged in archive"), "{}", said(&output));
        let found = states(&output);
        assert_eq!(found.len(), 24);
        assert!(
            found.values().all(|(state, _, missing, revision)| (&**state, *missing, *revision) == ("sealed", 0, 1))
        );
        assert_eq!(found.values().map(|(_, trades, ..)| trades).sum::<u64>(), 3_000);
        assert!(checked(folder).starts_with("24 files, 3000 trades, 0 problems"), "{unit}");
        assert!(sealed(folder) == all, "{unit}");
        let sum = fs::read_to_string(folder.join(format!("{name}.CHECKSUM"))).unwrap();
        let source = serde_json::json!({"dump": {"file": name, "sha256": sum.split(' ').next().unwrap()}});
        let manifests = manifests(folder);
        assert!(manifests.len() == 24 && manifests.iter().all(|manifest| manifest["source"] == source), "{source}");
        assert!(manifests.iter().all(|manifest| manifest["whole"] == true && manifest["version"] == 1));
        // Every trade of it is verified, whatever the time is.
        let verified = verify(folder, "archive:archive", &name, &[]);
        assert_eq!((verified.code, verified.rows.len()), (Some(0), 0), "{verified:?}");
        assert_eq!((verified.count("agree"), verified.count("not_kept")), (3_000, 0), "{verified:?}");
        // Again it changes nothing.
        let before = files(&folder.join("archive"));
        let output = from_dump(folder, &name, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
        assert!(said(&output).contains("0 hours sealed, 0 left, 24 unchanged in archive"), "{}", said(&output));
        assert!(files(&folder.join("archive")) == before);
        // An hour that is gone is missing, and said to be.
        for name in before.keys().filter(|name| name.contains("hour=07") || name.contains("hour-07")) {
            fs::remove_file(folder.join("archive").join(name)).unwrap();
        }
        let verified = verify(folder, "archive:archive", &name, &[]);
        let missing = ("missing", 126);
        let row = &verified.rows[0];
        assert_eq!((row["verdict"].as_str().unwrap(), row["trades"].as_u64().unwrap()), missing, "{verified:?}");
        assert_eq!((verified.code, verified.count("agree"), verified.rows.len()), (Some(1), 2_874, 1), "{verified:?}");
        assert!(verified.stderr.contains("T07:00:00.000Z"), "{verified:?}");
    }
}

#[test]
fn days_may_come_in_any_order_and_what_lies_between_them_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = trades(3_000, BEGIN, BEGIN + 3 * DAY_MS);
    let day = |day: i64| {
        let (from, until) = (BEGIN + day * DAY_MS, BEGIN + (day + 1) * DAY_MS);
        let of_day = all.iter().filter(|trade| (from..until).contains(&trade.time.ms()));
        dump(folder, &date(from), &of_day.map(line).collect::<Vec<_>>())
    };
    let seal = |name: &str| {
        let output = from_dump(folder, name, &[]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        states(&output).len()
    };
    assert_eq!((seal(&day(0)), seal(&day(2))), (24, 24));
    let found = checked(folder);
    assert!(found.starts_with("48 files, ") && found.contains(" ids are listed as missing, 0 problems"), "{found}");
    // The day between comes later, and then nothing is missing.
    assert_eq!((seal(&day(1)), seal(&day(2))), (24, 1));
    assert!(checked(folder).starts_with("72 files, 3000 trades, 0 problems"));
    assert!(sealed(folder) == all);
}

#[test]
fn what_a_capture_sealed_is_replaced_only_by_all_of_it_and_more() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (begin, from, until) = day();
    let all = trades(3_000, from, until);
    let hour = |ms: i64| ms / HOUR_MS * HOUR_MS;
    let utc = |hour: i64| TradeTime::from_ms(hour).unwrap().to_string();
    // Of one hour a trade is missing in the store, in another one has another price.
    let (hole, other) = (hour(from) + 3 * HOUR_MS, hour(from) + 5 * HOUR_MS);
    let middle = |hour: i64| all.iter().position(|trade| trade.time.ms() > hour + HOUR_MS / 2).unwrap();
    let mut stored = all.clone();
    stored[middle(other)].price = Price::new("1.00000000").unwrap();
    stored.remove(middle(hole));
    // One of now proves the end of what is over.
    let last = Trade { id: TradeId::new(6_596_002_000).unwrap(), time: now(), ..all[0].clone() };
    stored.push(last);
    let store = Sqlite::create(&folder.join("trades.db"), exchange("binance"), now).unwrap();
    runtime().block_on(store.write(&stored, Attempt::default())).unwrap();
    let capture = ["archive", "--to", "archive", "--store", "sqlite:trades.db", "--format", "json"];
    let output = tickflux(folder, &[&capture[..], &["--seal-with-holes"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let by_capture = states(&output);
    assert!(by_capture.len() > 9, "{by_capture:?}");
    let sources = manifests(folder).into_iter().map(|manifest| manifest["source"].clone());
    assert!(sources.into_iter().all(|source| source == "capture"));
    let (before, holes) = (files(&folder.join("archive")), checked(folder));
    assert!(holes.contains("1 ids are listed as missing"), "{holes}");

    let name = dump(folder, &date(begin), &all.iter().map(line).collect::<Vec<_>>());
    let output = from_dump(folder, &name, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let mut found = states(&output);
    // What the archive has already of the day, and what a clock that goes on has added.
    let (again, left) = (found.remove(&utc(hole)).unwrap(), found.remove(&utc(other)).unwrap());
    assert_eq!((&*again.0, again.2, again.3), ("sealed again", 0, 2));
    assert_eq!((&*left.0, left.3), ("left: another trade is sealed", 0));
    assert!(found.keys().all(|hour| !by_capture.contains_key(hour)), "{found:?}");
    let after = files(&folder.join("archive"));
    let changed: Vec<_> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(changed.len(), 2, "{changed:?}");
    let of = |all: &BTreeMap<String, Vec<u8>>| -> Value {
        serde_json::from_slice(&all[*changed.iter().find(|name| name.ends_with(".json")).unwrap()]).unwrap()
    };
    let (old, new) = (of(&before), of(&after));
    assert_eq!(new["replaces"], serde_json::json!({"revision": 1, "sha256": old["sha256"]}));
    assert_eq!(
        (&new["whole"], &new["holes"], &new["source"]["dump"]["file"]),
        (&true.into(), &Value::Array(vec![]), &name.into())
    );
    assert!(checked(folder).contains(" trades, 0 problems"));
    // The capture, which has less of that hour, leaves it so.
    let output = tickflux(folder, &capture);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(states(&output)[&utc(hole)].0, "left: the store has less of it");
    assert!(files(&folder.join("archive")).iter().all(|(name, bytes)| after.get(name).is_none_or(|was| was == bytes)));
}

#[test]
fn ids_that_the_file_lacks_are_a_hole_until_a_better_file_comes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = trades(3_000, BEGIN, BEGIN + DAY_MS);
    let lines: Vec<_> = all.iter().map(line).collect();
    let few = lines.iter().enumerate().filter(|(at, _)| ![1_060, 1_061].contains(at)).map(|(_, it)| it.clone());
    let name = dump(folder, &date(BEGIN), &few.collect::<Vec<_>>());
    let output = from_dump(folder, &name, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let left: Vec<_> = states(&output).into_iter().filter(|(_, (state, ..))| state != "sealed").collect();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].1.0.as_str(), left[0].1.2), ("left: ids are missing", 2));
    let output = from_dump(folder, &name, &["--seal-with-holes"]);
    assert_eq!((output.status.code(), states(&output).len()), (Some(0), 1), "{}", said(&output));
    assert!(checked(folder).starts_with("24 files, 2998 trades, 2 ids are listed as missing, 0 problems"));
    // The exchange publishes a better one, and somebody one with fewer trades.
    dump(folder, &date(BEGIN), &lines);
    let output = from_dump(folder, &name, &[]);
    let found = states(&output);
    let again = found.values().next().unwrap();
    assert_eq!((found.len(), &*again.0, again.3), (1, "sealed again", 2), "{}", said(&output));
    assert!(checked(folder).starts_with("24 files, 3000 trades, 0 problems"));
    dump(folder, &date(BEGIN), &lines[..2_990]);
    let output = from_dump(folder, &name, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(states(&output).values().all(|(state, ..)| state == "left: the file has less of it"), "{}", said(&output));
    assert!(sealed(folder) == all);
}

#[test]
fn of_a_day_that_goes_on_the_last_hour_waits_for_a_trade_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let begin = *MORNING - 8 * HOUR_MS;
    let all = trades(900, begin, begin + 6 * HOUR_MS + HOUR_MS / 2);
    let name = dump(folder.path(), &date(begin), &all.iter().map(line).collect::<Vec<_>>());
    let args = ["archive", "--to", "archive", "--from-dump", &name, "--format", "json"];
    let output = tickflux_then(folder.path(), 0, &args);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let found: Vec<_> = states(&output).into_values().map(|(state, ..)| state).collect();
    assert_eq!(found, [vec!["sealed"; 6], vec!["left: no trade after it"]].concat());
}

#[test]
fn nothing_of_a_file_that_is_not_in_order_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let lines: Vec<_> = trades(300, BEGIN, BEGIN + DAY_MS).iter().map(line).collect();
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        dump(folder, &date(BEGIN), &lines)
    };
    type Change = fn(&mut Vec<String>);
    let changes: [(Change, i32, &str); 6] = [
        (|lines| lines[200] = lines[200].replace("True", "?"), 1, "line 201: isB"),
        (|lines| lines[200] = lines[199].clone(), 1, "line 201: its id is that of a line before it"),
        (
            |lines| lines[200] = lines[200].replacen(".", "1.", 1),
            1,
            "line 201: its quote quantity is not price times quantity: nothing of it is sealed",
        ),
        (
            |lines| {
                let times: Vec<_> =
                    [199, 200].iter().map(|at: &usize| lines[*at].split(',').nth(4).unwrap().to_owned()).collect();
                let later: u64 = times[1].parse::<u64>().unwrap() + 3_600_000_000;
                lines[199] = lines[199].replace(&times[0], &later.to_string());
            },
            1,
            "line 201: its time is before that of the line before it",
        ),
        (
            |lines| lines[0] = lines[0].replace(",True,True", ",True").replace(",False,True", ",True"),
            2,
            "its first line is",
        ),
        (|lines| lines.clear(), 2, "it has no trade"),
    ];
    for (change, code, words) in changes {
        let name = changed(&change);
        let output = from_dump(folder, &name, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{words}: {stderr}");
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{words}: {stderr}");
        assert!(
            !folder.join("archive").exists()
                || files(&folder.join("archive")).keys().all(|name| !name.contains("hour"))
        );
    }
    let name = changed(&|_| ());
    fs::write(folder.join("sum"), format!("{}  {name}\n", "1".repeat(64))).unwrap();
    fs::create_dir(folder.join("other")).unwrap();
    fs::write(folder.join("other/file"), "mine").unwrap();
    for (args, code, words) in [
        (&["--to", "archive", "--from-dump", &name, "--checksum", "sum"][..], 1, "and sum says 1111"),
        (&["--to", "archive", "--from-dump", "sum"], 2, "it is no zip"),
        (&["--to", "archive", "--from-dump", "absent"], 2, "No such file"),
        (&["--to", "other", "--from-dump", &name], 2, "it is no archive"),
        (&["--from-dump", &name], 2, "--to <DIR>"),
        (&["--check", "archive", "--from-dump", &name], 2, "cannot be used with"),
        (&["--to", "archive", "--from-dump", &name, "--follow"], 2, "cannot be used with"),
        (&["--to", "archive", "--checksum", "sum"], 2, "--from-dump <FILE>"),
    ] {
        let output = tickflux(folder, &[&["archive"], args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{args:?}: {stderr}");
    }
}
