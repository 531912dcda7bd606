//! Bad input gets one line that says what, why and what to do, and the contract's exit code; nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use support::influxd::{BUCKET, Influxd, ORG, free_port};
use support::{minute_ago, now, practice, tickflux, trade};
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Store};

/// Checks the exit code, that standard error's last line has these words, and that no other line is an error.
fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = stderr.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(last.starts_with("tickflux: "), "{stderr}");
    for word in words {
        assert!(last.contains(word), "{word:?} is not in {last:?}");
    }
    assert!(!stderr.contains("panicked") && !last.contains("an-example-token"), "{stderr}");
}

fn files(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A store with a BTCUSDT trade two minutes ago.
fn sqlite_with_a_trade(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let store = Sqlite::create(&folder.join("tickflux.db"), support::exchange("binance"), now).unwrap();
    let trades = [trade("BTCUSDT", 7, minute_ago(2), "5.10")];
    runtime.block_on(store.write(&trades, Attempt::default())).unwrap();
}

#[test]
fn usage_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| tickflux(folder.path(), args);
    assert_fails(&run(&["latest", "BTC/USDT"]), 2, &["BTC/USDT", "letters"]);
    assert_fails(&run(&["latest", ""]), 2, &["letters"]);
    assert_fails(&run(&["at", "BTCUSDT", "yesterday"]), 2, &["yesterday", "RFC 3339", "-5m"]);
    assert_fails(&run(&["at", "BTCUSDT"]), 2, &["TIME"]);
    assert_fails(&run(&["high-low", "BTCUSDT", "25:00"]), 2, &["25:00", "-5m"]);
    assert_fails(&run(&["candles"]), 2, &["SYMBOL"]);
    for interval in ["999ms", "1s500us", "24h1ms", "0s", "60", "minute", "1month"] {
        assert_fails(&run(&["candles", "BTCUSDT", "--every", interval]), 2, &["--every", interval, "1s to 24h", "1m"]);
        assert_fails(&run(&["candles", "BTCUSDT", "--since", interval]), 2, &["--since", interval, "1s to 24h", "1m"]);
    }
    assert_fails(&run(&["latest", "--store", "mysql://x"]), 2, &["mysql://x", "sqlite:PATH"]);
    assert_fails(&run(&["latest", "--store", "http://"]), 2, &["--store http://"]);
    assert_fails(&run(&["capture", "--stream-url", "https://x"]), 2, &["--stream-url https://x", "ws://"]);
    assert_fails(&run(&["capture", "--rest-url", "nonsense"]), 2, &["--rest-url nonsense"]);
    assert_fails(&run(&["capture", "--duration", "soon"]), 2, &["soon"]);
    for time in ["10000000years", "11years", "18446744073709551615s"] {
        for flag in ["--duration", "--idle-timeout", "--backfill"] {
            assert_fails(&run(&["capture", flag, time]), 2, &[flag, time, "ten years"]);
        }
        assert_fails(&run(&["gaps", "--since", time]), 2, &["--since", time]);
        assert_fails(&run(&["candles", "BTCUSDT", "--since", time]), 2, &["--since", time]);
        assert_fails(&run(&["exchange", "--cut-every", time]), 2, &["--cut-every", time, "ten years"]);
    }
    assert_fails(&run(&["exchange", "--rate", "1000001"]), 2, &["--rate", "1000000"]);
    assert_fails(&run(&["exchange", "--trades", "100000001", "--speed", "max"]), 2, &["--trades", "100000000"]);
    assert_fails(&run(&["exchange", "--speed", "0"]), 2, &["above zero"]);
    assert_fails(&run(&["exchange", "--speed", "max"]), 2, &["--trades"]);
    assert_fails(&run(&["nonsense"]), 2, &["nonsense", "--help"]);
    assert_fails(&run(&["latest", "--store", "http://x", "--token-file", "absent"]), 2, &["absent", "--token-file"]);
    assert_eq!(files(folder.path()), [] as [&str; 0], "nothing is left behind");
}

#[test]
fn questions_that_have_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    sqlite_with_a_trade(folder.path());
    let run = |args: &[&str]| tickflux(folder.path(), args);
    assert_fails(&run(&["latest", "ETHUSDT"]), 1, &["ETHUSDT", "capture it first"]);
    assert_fails(&run(&["at", "ETHUSDT", "-1m"]), 1, &["ETHUSDT", "capture it first"]);
    assert_fails(&run(&["at", "BTCUSDT", "2200-01-01T00:00:00Z"]), 1, &["in the future"]);
    assert_fails(&run(&["at", "BTCUSDT", "-25h"]), 1, &["24 h"]);
    assert_fails(&run(&["at", "BTCUSDT", "-10m", "--as-of"]), 1, &["at or before"]);
    assert_fails(&run(&["high-low", "BTCUSDT", "-10m"]), 1, &["no trade of BTCUSDT in the minute"]);
    assert_fails(&run(&["candles", "ETHUSDT"]), 1, &["no trade of ETHUSDT since", "capture it first"]);
    assert_fails(&run(&["candles", "BTCUSDT", "--since", "1s", "--every", "1s"]), 1, &["BTCUSDT", "longer --since"]);
    assert_fails(&run(&["candles", "BTCUSDT", "--exchange", "other"]), 1, &["exchange other"]);
    assert_fails(&run(&["gaps", "ETHUSDT"]), 1, &["ETHUSDT", "capture it first"]);
    assert_eq!(run(&["gaps"]).status.code(), Some(0));
    // A symbol that is there is printed, and one that is missing is still a no.
    let output = run(&["latest", "BTCUSDT", "ETHUSDT", "--format", "json"]);
    assert_fails(&output, 1, &["ETHUSDT"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"trade_id\":7"));
    assert_eq!(run(&["latest", "btcusdt"]).status.code(), Some(0), "any case will do");
}

#[test]
fn files_that_cannot_be_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| tickflux(folder.path(), args);
    assert_fails(&run(&["latest"]), 3, &["tickflux.db", "capture first"]);
    assert_eq!(files(folder.path()), [] as [&str; 0], "a question never makes a file");

    fs::write(folder.path().join("text.db"), "this is no database, and it is longer than a header".repeat(9)).unwrap();
    let foreign = rusqlite::Connection::open(folder.path().join("other.db")).unwrap();
    foreign.execute_batch("CREATE TABLE mine (a)").unwrap();
    let before = fs::read(folder.path().join("other.db")).unwrap();
    for command in ["latest", "capture"] {
        assert_fails(&run(&[command, "--store", "sqlite:text.db"]), 3, &["text.db", "not an SQLite file"]);
        assert_fails(&run(&[command, "--store", "sqlite:other.db"]), 3, &["other.db", "another program"]);
    }
    assert_eq!(fs::read(folder.path().join("other.db")).unwrap(), before, "it is left as it was");
    assert_fails(&run(&["capture", "--store", "sqlite:no/such/folder/x.db"]), 3, &["no/such/folder", "--store"]);
}

#[test]
fn an_exchange_that_does_not_list_the_symbol_or_cannot_be_reached() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = support::runtime();
    let exchange = runtime.block_on(practice::start(practice::live_market(1, 100.0)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["capture", "--stream-url", &stream, "--rest-url", &rest, "--symbols", "BTCUSDT,DOGEUSDT"];
    assert_fails(&tickflux(folder.path(), &args), 2, &["DOGEUSDT", "--symbols"]);

    // Nothing answers: it goes on trying, ends only because it was told how long, and says that nothing came.
    let dead = format!("127.0.0.1:{}", free_port());
    let (stream, rest) = (format!("ws://{dead}"), format!("http://{dead}"));
    let args = ["capture", "--stream-url", &stream, "--rest-url", &rest, "--duration", "1s", "--format", "json"];
    let output = tickflux(folder.path(), &args);
    assert_fails(&output, 3, &["no trade came", &dead, "Connection refused"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"trades\":0"));
}

#[test]
fn recordings_that_cannot_be_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let run = |path: &str| tickflux(folder.path(), &["exchange", "--listen", "127.0.0.1:0", "--replay", path]);
    let line = format!("1 {}\n", practice::message(&trade("BTCUSDT", 1, minute_ago(9), "5")));
    fs::write(folder.path().join("cut.txt"), &line[..40]).unwrap();
    fs::write(folder.path().join("other.csv"), "time,price\n1,2\n").unwrap();
    fs::write(folder.path().join("empty.txt"), "").unwrap();
    assert_fails(&run("absent.txt"), 3, &["absent.txt"]);
    assert_fails(&run("cut.txt"), 3, &["cut.txt", "cut off before its first trade"]);
    assert_fails(&run("other.csv"), 3, &["other.csv", "line 1", "recv_ns message"]);
    assert_fails(&run("empty.txt"), 3, &["empty.txt", "no trade"]);
}

#[test]
fn an_influxdb_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| tickflux(folder.path(), args);
    let dead = format!("http://127.0.0.1:{}", free_port());
    assert_fails(&run(&["latest", "--store", &dead]), 3, &[&dead, "does not answer"]);
    assert_fails(&run(&["provision", "--store", "sqlite:x.db"]), 2, &["not an InfluxDB"]);

    let Some(influxd) = Influxd::start() else { return };
    let store = ["--store", &influxd.url];
    support::write_secret(&folder.path().join("wrong"), "a-wrong-token");
    for command in [vec!["latest"], vec!["capture", "--rest-url", &dead], vec!["provision"]] {
        let wrong_token = [&command[..], &store, &["--token-file", "wrong"]].concat();
        assert_fails(&run(&wrong_token), 2, &["401", "token"]);
        if command[0] != "provision" {
            assert_fails(
                &run(&[&command[..], &store, &["--bucket", "absent"]].concat()),
                2,
                &["404", "absent", "--bucket"],
            );
        }
        let wrong_org = [&command[..], &store, &["--org", "absent", "--bucket", "other"]].concat();
        assert_fails(&run(&wrong_org), 2, &["absent", "--org"]);
    }
}

#[test]
fn a_bucket_with_another_retention_is_warned_of_and_changed_only_by_force() {
    let Some(influxd) = Influxd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| tickflux(folder.path(), &[args, &["--store", &influxd.url]].concat());
    influxd.influx_ok(&["bucket", "create", "--name", "week", "--retention", "168h"]);
    let retention = || influxd.influx_ok(&["bucket", "list", "--name", "week", "--hide-headers"]);

    let dead = format!("127.0.0.1:{}", free_port());
    let (stream, rest) = (format!("ws://{dead}"), format!("http://{dead}"));
    let capture = ["capture", "--bucket", "week", "--duration", "1s", "--stream-url", &stream, "--rest-url", &rest];
    let output = run(&capture);
    assert!(String::from_utf8_lossy(&output.stderr).contains("provision --force"), "capture warns");

    assert_fails(&run(&["provision", "--bucket", "week"]), 2, &["week", "7days", "--force"]);
    assert!(retention().contains("168h0m0s"), "{}", retention());
    assert_eq!(run(&["provision", "--bucket", "week", "--force"]).status.code(), Some(0));
    assert!(retention().contains("24h0m0s") && retention().contains("1h0m0s"), "{}", retention());

    for (bucket, said) in [("fresh", "made"), ("fresh", "already"), (BUCKET, "already")] {
        let output = run(&["provision", "--bucket", bucket]);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && stdout.contains(said),
            "{stdout} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn provision_touches_no_bucket_whose_name_and_organization_it_did_not_compare() {
    let Some(influxd) = Influxd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| tickflux(folder.path(), &[args, &["--store", &influxd.url]].concat());
    influxd.influx_ok(&["org", "create", "--name", "other"]);
    influxd.influx_ok(&["bucket", "create", "--name", "week", "--org", "other", "--retention", "168h"]);
    let all = || {
        let list = |org| influxd.influx_ok(&["bucket", "list", "--org", org, "--json"]);
        (list(ORG), list("other"))
    };
    let before = all();
    for bucket in ["", " ", "_monitoring", "_tasks", "-week", "week\n", "\tweek", "a\"b"] {
        let bucket = format!("--bucket={bucket}");
        assert_fails(&run(&["provision", "--force", &bucket]), 2, &["--bucket", "is not a name for it"]);
        assert_fails(&run(&["latest", &bucket]), 2, &["--bucket", "is not a name for it"]);
    }
    for org in ["", "  ", "a\nb"] {
        let org = format!("--org={org}");
        assert_fails(&run(&["provision", "--force", &org]), 2, &["--org", "is not a name for it"]);
        let capture = ["capture", "--rest-url", "http://127.0.0.1:9", &org];
        assert_fails(&run(&capture), 2, &["--org", "is not a name for it"]);
    }
    // An empty name, past the command line: InfluxDB lists every bucket for it, and would make one.
    let runtime = support::runtime();
    assert!(runtime.block_on(influxd.store("", "binance").provision(true)).is_err());
    assert_eq!(all(), before);
    let audit = runtime.block_on(influxd.store("", "binance").check());
    assert!(
        audit.is_err() || audit.is_ok_and(|checked| checked.warnings.iter().all(|warning| !warning.contains("keeps")))
    );

    // The same name in another organization is another bucket.
    assert_eq!(run(&["provision", "--force", "--bucket", "week"]).status.code(), Some(0));
    let after = all();
    assert_eq!(after.1, before.1);
    assert!(after.0.contains("\"week\"") && !before.0.contains("\"week\""), "{}", after.0);
    // The environment is no way around it.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tickflux"))
        .args(["provision", "--force", "--store", &influxd.url])
        .env_clear()
        .envs([("INFLUX_TOKEN", support::influxd::TOKEN), ("INFLUX_BUCKET_NAME", "")])
        .output()
        .unwrap();
    assert_fails(&output, 2, &["--bucket"]);
}

#[test]
fn provision_changes_nothing_where_the_answer_is_about_other_buckets() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = support::runtime();
    let (asked, requests) = (Arc::new(Mutex::new(Vec::new())), Router::new());
    let log = Arc::clone(&asked);
    // A server that heeds neither name nor organization: a bucket of another name, and of another organization.
    let answer = move |request: axum::extract::Request| async move {
        log.lock().unwrap().push(format!("{} {}", request.method(), request.uri().path()));
        let rules = r#"[{"type":"expire","everySeconds":604800,"shardGroupDurationSeconds":3600}]"#;
        let bucket =
            |id, org, name| format!(r#"{{"id":"{id}","orgID":"{org}","name":"{name}","retentionRules":{rules}}}"#);
        match request.uri().path() {
            "/api/v2/orgs" => r#"{"orgs":[{"id":"0a","name":"else"},{"id":"0b","name":"tickflux"}]}"#.to_owned(),
            _ => format!(r#"{{"buckets":[{},{}]}}"#, bucket("1", "0b", "_monitoring"), bucket("2", "0a", "ticks")),
        }
    };
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, requests.fallback(answer)).await });
        address
    });
    let store = format!("http://{address}");
    assert_eq!(tickflux(folder.path(), &["provision", "--force", "--store", &store]).status.code(), Some(0));
    let asked = asked.lock().unwrap();
    assert_eq!(
        asked[..],
        ["GET /api/v2/buckets", "GET /api/v2/orgs", "POST /api/v2/buckets", "GET /api/v2/orgs", "GET /api/v2/stacks"]
    );
}
