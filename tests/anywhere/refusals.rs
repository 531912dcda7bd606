//! A refusal is definite only when it comes from the store and names the line.

use tickflux::practice::Running;

use crate::support::influxd::free_port;
use crate::support::process::wait_until;
use crate::support::proxy::{Mode, Proxy};
use crate::support::scene::Scene;
use crate::support::tls::Certificates;
use crate::support::trades::{exchanges_list, influx_ids, influx_trades};
use crate::support::{exchange, minute_ago, now, practice, runtime, summary, tickflux, trade};
use crate::{health, wait_until_unwell};

/// The gaps of every symbol: exit code, and the JSON rows.
fn gaps(scene: &Scene, more: &[&str]) -> (Option<i32>, String) {
    let args = [&["gaps", "--store", &scene.influxd.url, "--format", "json"], more].concat();
    let output = tickflux(scene.folder.path(), &args);
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

#[test]
fn a_proxy_that_refuses_for_seconds_loses_nothing() {
    for (seed, status) in [(71, 400), (72, 413), (73, 422), (74, 403)] {
        let Some(scene) = Scene::new(seed, 500.0) else { return };
        let proxy = Proxy::start(&scene.influxd.url);
        let address = format!("127.0.0.1:{}", free_port());
        let capture = scene.capture(&proxy.url(), &["--metrics-listen", &address]);
        scene.wait_for_trades();
        proxy.set(Mode::Refuse(status));
        wait_until_unwell(scene.folder.path(), &address, &["store:", &status.to_string()]);
        let begin = scene.newest();
        wait_until("the exchange trades on", || scene.has_traded_on(begin));
        proxy.set(Mode::Pass);
        wait_until("it is well again", || health(scene.folder.path(), &address).0 == Some(0));
        scene.wait_until_stored_up_to(scene.newest());
        let output = capture.stop();
        let summary = summary(&output);
        assert_eq!(output.status.code(), Some(0), "{status}: {summary} {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!((&summary["dead_letters"], &summary["outbox_left"]), (&0.into(), &0.into()), "{summary}");
        let (first, last) = (&summary["symbols"]["BTCUSDT"]["first_id"], &summary["symbols"]["BTCUSDT"]["last_id"]);
        assert!(first.is_u64() && last.is_u64());
        scene.assert_stored_is_the_exchanges_list(
            ["BTCUSDT", "ETHUSDT"].map(|symbol| summary["symbols"][symbol]["last_id"].as_u64().unwrap()),
        );
        assert_eq!(gaps(&scene, &[]).0, Some(0), "{status}");
        assert!(!scene.folder.path().join("tickflux-outbox/dead-letters").exists(), "{status}: nothing is given up");
    }
}

#[test]
fn at_the_start_what_is_held_ends_it_and_says_what_answered() {
    let Some(scene) = Scene::new(75, 100.0) else { return };
    let proxy = Proxy::start(&scene.influxd.url);
    for (status, words, not) in [
        (400, "answered 400", "token"),
        (403, "not InfluxDB's own answer", "token may not write"),
        (413, "raise the body limit", "token"),
        (422, "answered 422", "dead letter"),
    ] {
        proxy.set(Mode::Refuse(status));
        let output = scene.capture(&proxy.url(), &["--duration", "20s"]).wait();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = log.lines().last().unwrap();
        assert_eq!(output.status.code(), Some(2), "{status}: {log}");
        assert!(last.starts_with("tickflux: ") && last.contains(words) && !last.contains(not), "{status}: {last}");
    }
    assert!(influx_ids(&scene.influxd).is_empty());
}

#[test]
fn plain_http_to_an_influxdb_with_tls_loses_nothing_and_says_what_to_do() {
    let Some(mut scene) = Scene::new(78, 200.0) else { return };
    let certificates = Certificates::new();
    certificates.usual("influxdb", &["subjectAltName=IP:127.0.0.1"]);
    let (certificate, key) = (certificates.pem("influxdb"), certificates.path().join("influxdb.key"));
    let address = format!("127.0.0.1:{}", free_port());
    let url = scene.influxd.url.clone();
    let capture = scene.capture(&url, &["--metrics-listen", &address]);
    scene.wait_for_trades();
    // Somebody turns TLS on, sees what health says, and turns it off again.
    scene.influxd.kill();
    scene.influxd.start_again_with_tls(&certificate, &key);
    wait_until_unwell(scene.folder.path(), &address, &["store:", "answered 400", "write https:// in --store"]);
    let second = scene.capture_elsewhere(&url, &["--duration", "5s", "--outbox", "another"]);
    let log = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{log}");
    assert!(log.lines().last().unwrap().contains("that port speaks TLS: write https:// in --store"), "{log}");
    scene.influxd.kill();
    scene.influxd.start_again();
    let newest = scene.newest();
    scene.wait_until_stored_up_to(newest);
    let output = capture.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    scene.assert_stored_is_the_exchanges_list(newest);
    assert_eq!(summary(&output)["dead_letters"], 0);
}

/// A replay of a thousand trades of which the proxy makes one unreadable, captured with an answer of no.
fn with_one_refused(folder: &std::path::Path, url: &str, exchange: &Running) -> String {
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["capture", "--store", url, "--format", "json", "--stream-url", &stream, "--rest-url", &rest];
    let output = tickflux(folder, &[&args[..], &["--count", "999", "--symbols", "BTCUSDT"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_refused_trade_is_a_hole_with_its_reason_and_a_repair_tries_it_again() {
    let Some(scene) = Scene::new(76, 1.0) else { return };
    let runtime = runtime();
    let start = minute_ago(2);
    let messages: Vec<_> = (1..=1_000).map(|id| practice::message(&trade("BTCUSDT", id, start, "5.5"))).collect();
    let recording = practice::recording(messages.iter().map(String::as_str));
    let exchange = runtime.block_on(practice::start(practice::replay(recording.path())));
    let proxy = Proxy::start(&scene.influxd.url);
    proxy.set(Mode::Malform(500));
    let log = with_one_refused(scene.folder.path(), &proxy.url(), &exchange);
    assert!(log.lines().last().unwrap().contains("1 refused"), "{log}");
    // The store is asked by another address than the capture used: the outbox and its ledger are the store's.
    let (code, rows) = gaps(&scene, &[]);
    let hole = r#""holes":[{"from_id":500,"to_id":500,"state":"refused_by_store"}]"#;
    assert!(code == Some(0) && rows.contains(hole), "{code:?} {rows}");
    let rest = format!("http://{}", exchange.address());
    // What cannot be written is said, and stays the hole that it is.
    for (status, code, words) in [(403, 2, "answered 403"), (503, 3, "cannot repair: ")] {
        proxy.set(Mode::RefuseWrites(status));
        let args = ["gaps", "--store", &proxy.url(), "--repair", "--rest-url", &rest];
        let output = tickflux(scene.folder.path(), &args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.lines().last().unwrap().contains(words), "{said}");
    }
    let (code, rows) = gaps(&scene, &["--repair", "--rest-url", &rest]);
    assert!(code == Some(0) && rows.contains("\"missing\":0") && rows.contains("\"holes\":[]"), "{code:?} {rows}");
    assert_eq!(influx_trades(&scene.influxd), exchanges_list(&exchange));
}

#[test]
fn what_one_poison_line_is_in_does_not_wait_for_it() {
    let Some(scene) = Scene::new(77, 200.0) else { return };
    let proxy = Proxy::start(&scene.influxd.url);
    let capture = scene.capture(&proxy.url(), &[]);
    scene.wait_for_trades();
    let poisoned = scene.newest()[0] + 300;
    proxy.set(Mode::Malform(poisoned));
    wait_until("the line is refused", || capture.log().contains("The store refused a line"));
    let before = scene.newest();
    wait_until("trades go on being stored", || {
        let stored = influx_ids(&scene.influxd);
        stored.iter().any(|(symbol, id)| symbol == "BTCUSDT" && *id > before[0] + 100)
    });
    assert_eq!(capture.stop().status.code(), Some(1));
}

#[test]
fn a_trade_is_written_as_old_only_by_the_exchanges_time() {
    use tickflux::store::{Attempt, Store};
    let Some(influxd) = crate::support::influxd::Influxd::start() else { return };
    // The host's clock, which the store was given, is a day ahead.
    let ahead = || tickflux::trade::TradeTime::from_ms(now().ms() + 90_000_000).unwrap();
    let store = tickflux::store::influx::Influx::new(
        influxd.settings(crate::support::influxd::BUCKET),
        exchange("binance"),
        ahead,
    )
    .unwrap();
    let trades = [trade("BTCUSDT", 1, now().ms(), "5")];
    for exchange_time in [None, Some(now())] {
        let written = runtime().block_on(store.write(&trades, Attempt { number: 0, exchange_time })).unwrap();
        assert_eq!((written.expired.count(), written.refused.len()), (0, 0), "{exchange_time:?}");
    }
    assert_eq!(influx_ids(&influxd).len(), 1);
}
