//! A bucket that is not the one that the ledger knows: emptied, made anew, or older than the ledger.

use crate::support::influxd::BUCKET;
use crate::support::process::wait_until;
use crate::support::scene::Scene;
use crate::support::trades::influx_ids;
use crate::support::{summary, tickflux};
use tickflux::trade::TradeTime;

/// Captures some trades and ends well. Gives the ids up to which all is stored.
fn captured(scene: &Scene) -> [u64; 2] {
    let capture = scene.capture(&scene.influxd.url, &[]);
    scene.wait_for_trades();
    let begin = scene.newest();
    wait_until("the exchange trades on", || scene.has_traded_on(begin));
    let output = capture.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = summary(&output);
    ["BTCUSDT", "ETHUSDT"].map(|symbol| summary["symbols"][symbol]["last_id"].as_u64().unwrap())
}

/// Starts another capture, and waits until it has found this out and everything that the first one stored is there again.
fn comes_again(scene: &Scene, words: &str, first: [u64; 2], last: [u64; 2]) {
    let capture = scene.capture(&scene.influxd.url, &[]);
    wait_until("it is noticed", || capture.log().contains(words));
    wait_until("what was lost is there again", || {
        let stored = influx_ids(&scene.influxd);
        let has = |symbol: &str, first, last| (first..=last).all(|id| stored.contains(&(symbol.to_owned(), id)));
        has("BTCUSDT", first[0], last[0]) && has("ETHUSDT", first[1], last[1])
    });
    scene.wait_until_stored_up_to(scene.newest());
    let output = capture.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Deletes what happened from a time on.
fn delete_from(scene: &Scene, begin_ms: i64) {
    let time = |ms: i64| TradeTime::from_ms(ms).unwrap().to_string();
    let (start, stop) = (time(begin_ms), time(crate::support::now().ms() + 3_600_000));
    scene.influxd.influx_ok(&["delete", "--bucket", BUCKET, "--start", &start, "--stop", &stop]);
}

fn first_ids(scene: &Scene) -> [u64; 2] {
    let stored = influx_ids(&scene.influxd);
    ["BTCUSDT", "ETHUSDT"].map(|symbol| stored.iter().find(|(name, _)| name == symbol).unwrap().1)
}

#[test]
fn a_bucket_that_was_made_anew_is_noticed_and_filled_again() {
    let Some(scene) = Scene::new(91, 500.0) else { return };
    let last = captured(&scene);
    let first = first_ids(&scene);
    scene.influxd.influx_ok(&["bucket", "delete", "--name", BUCKET]);
    scene.influxd.make_bucket(BUCKET);
    comes_again(&scene, "The store is not the one that the ledger knows", first, last);
}

#[test]
fn a_bucket_that_was_emptied_or_is_an_older_copy_is_noticed_and_filled_again() {
    let Some(scene) = Scene::new(92, 500.0) else { return };
    let last = captured(&scene);
    let first = first_ids(&scene);
    let list = scene.exchange.trades(&"BTCUSDT".parse().unwrap());
    let middle = list.iter().find(|trade| trade.id.get() == (first[0] + last[0]) / 2).unwrap().time.ms();
    for begin in [0, middle] {
        delete_from(&scene, begin);
        comes_again(&scene, "does not have trades any more that it acknowledged", first, last);
    }
}

#[test]
fn what_a_store_lost_stays_missing_in_gaps_and_in_the_next_run() {
    let Some(scene) = Scene::new(94, 500.0) else { return };
    let last = captured(&scene);
    let first = first_ids(&scene);
    delete_from(&scene, 0);
    // The capture notices it, and is killed before the exchange gives anything again.
    let capture = scene.capture_without_history(&scene.influxd.url);
    wait_until("it is in the ledger", || {
        let ledger = rusqlite::Connection::open(scene.outbox()).unwrap();
        let lost = "SELECT count(DISTINCT symbol) FROM ended WHERE state = 'open'";
        ledger.query_row(lost, [], |row| row.get::<_, u64>(0)).unwrap() == 2
    });
    scene.wait_for_trades();
    capture.kill();
    let gaps = tickflux(scene.folder.path(), &["gaps", "--store", &scene.influxd.url, "--format", "json"]);
    assert_eq!(gaps.status.code(), Some(1), "{}", String::from_utf8_lossy(&gaps.stderr));
    for (at, line) in String::from_utf8(gaps.stdout).unwrap().lines().enumerate() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let lost = serde_json::json!({ "from_id": first[at], "to_id": last[at], "state": "open" });
        assert_eq!(row["holes"][0], lost, "{row}");
    }
    comes_again(&scene, "", first, last);
}

#[test]
fn one_store_is_one_outbox_whatever_its_name() {
    let Some(scene) = Scene::new(93, 500.0) else { return };
    let capture = scene.capture(&scene.influxd.url, &[]);
    scene.wait_for_trades();
    let other_name = scene.influxd.url.replace("127.0.0.1", "localhost");
    let second = scene.capture_elsewhere(&other_name, &["--duration", "5s"]);
    assert_eq!(second.status.code(), Some(2), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another capture uses the outbox"));
    assert_eq!(capture.stop().status.code(), Some(0));
    let files = std::fs::read_dir(scene.folder.path().join("tickflux-outbox")).unwrap();
    let databases =
        files.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "db")).count();
    assert_eq!(databases, 1);
    // What waits there for another target is named at the start.
    rusqlite::Connection::open(scene.outbox())
        .unwrap()
        .execute_batch(
            "UPDATE target SET location = 'http://elsewhere:8086', store_id = 'bucket 1';
             INSERT INTO batch VALUES (99, 7, 1, '', 0, x'00');",
        )
        .unwrap();
    let third = scene.capture(&scene.influxd.url, &[]);
    wait_until("it is named", || {
        let log = third.log();
        log.contains("Trades wait there for another store")
            && log.contains("http://elsewhere:8086")
            && log.contains("trades=7")
    });
    scene.wait_until_stored_up_to(scene.newest());
    assert_eq!(third.stop().status.code(), Some(0));
}
