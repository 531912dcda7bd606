//! What InfluxDB refuses for good, and what it refuses until someone mends the bucket; with a real influxd.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use support::influxd::{BUCKET, Influxd, free_port, settings};
use support::process::{Capture, wait_until};
use support::proxy::{Mode, Proxy};
use support::trades::{exchanges_list, influx_ids, influx_trades};
use support::{exchange, minute_ago, now, practice, runtime, summary, tickflux, trade};
use tickflux::practice::Running;
use tickflux::store::influx::Influx;
use tickflux::store::{Attempt, Store};

fn start_capture(folder: &std::path::Path, exchange: &Running, store: &str, more: &[&str]) -> Capture {
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["--store", store, "--format", "json", "--stream-url", &stream, "--rest-url", &rest];
    Capture::start(folder, &[&args[..], more].concat())
}

#[test]
fn of_a_thousand_lines_with_one_malformed_999_are_stored() {
    let Some(influxd) = Influxd::start() else { return };
    let proxy = Proxy::start(&influxd.url);
    let store = Influx::new(settings(&proxy.url(), BUCKET), exchange("practice"), now).unwrap();
    proxy.set(Mode::Malform(500));
    let trades: Vec<_> = (1..=1_000).map(|id| trade("BTCUSDT", id, minute_ago(1), "5.5")).collect();
    let written = runtime().block_on(store.write(&trades, Attempt::default())).unwrap();
    assert!(written.expired.is_empty());
    let [refused] = &written.refused[..] else { panic!("{:?}", written.refused) };
    assert!(refused.id.get() == 500 && refused.line.contains("trade_id=500i"), "{refused:?}");
    assert!(refused.why.as_str().contains("unable to parse"), "{refused:?}");
    let ids: Vec<_> = influx_ids(&influxd).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, (1..=1_000).filter(|id| *id != 500).collect::<Vec<_>>());
}

#[test]
fn a_malformed_line_becomes_a_dead_letter_and_the_answer_is_no() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let start = minute_ago(2);
    let messages: Vec<_> = (1..=1_000).map(|id| practice::message(&trade("BTCUSDT", id, start, "5.5"))).collect();
    let recording = practice::recording(messages.iter().map(String::as_str));
    let exchange = runtime.block_on(practice::start(practice::replay(recording.path())));
    let poisoned = 500;
    let proxy = Proxy::start(&influxd.url);
    proxy.set(Mode::Malform(poisoned));
    let capture = start_capture(folder.path(), &exchange, &proxy.url(), &["--count", "999", "--symbols", "BTCUSDT"]);
    let output = capture.wait();
    let summary = summary(&output);
    assert_eq!((&summary["trades"], &summary["dead_letters"]), (&999.into(), &1.into()), "{summary}");
    assert_eq!(output.status.code(), Some(1));
    let letters = std::fs::read_to_string(folder.path().join("tickflux-outbox/dead-letters/lines.lp")).unwrap();
    assert!(letters.starts_with("# ") && letters.contains("unable to parse"), "{letters}");
    assert!(letters.contains(&format!("trade_id={poisoned}i")), "{letters}");
    let mut list = exchanges_list(&exchange);
    list.remove(&("BTCUSDT".to_owned(), poisoned));
    assert_eq!(influx_trades(&influxd), list);
}

#[test]
fn a_field_of_another_type_holds_everything_until_the_bucket_is_mended() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    // A number where tickflux writes a string, in this hour and the next.
    for hours in [0, 1] {
        let ns = (now().ms() + hours * 3_600_000) * 1_000_000;
        influxd.influx_ok(&["write", "--bucket", BUCKET, &format!("trade,exchange=stranger,symbol=X price=1.5 {ns}")]);
    }
    let exchange = runtime.block_on(practice::start(practice::live_market(62, 500.0)));
    let health = format!("127.0.0.1:{}", free_port());
    let capture = start_capture(folder.path(), &exchange, &influxd.url, &["--metrics-listen", &health]);
    let ask = || tickflux(folder.path(), &["health", "--metrics-listen", &health]);
    wait_until("the capture is unhealthy because of it", || {
        let answer = ask();
        answer.status.code() == Some(3) && String::from_utf8_lossy(&answer.stderr).contains("wrote other types")
    });
    assert!(!folder.path().join("tickflux-outbox/dead-letters").exists(), "nothing is given up");
    influxd.influx_ok(&["bucket", "delete", "--name", BUCKET]);
    influxd.make_bucket(BUCKET);
    wait_until("it is healthy again", || ask().status.code() == Some(0));
    let output = capture.stop();
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(0), "{summary} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&summary["dead_letters"], &summary["outbox_left"]), (&0.into(), &0.into()), "{summary}");
    let (stored, mut list) = (influx_trades(&influxd), exchanges_list(&exchange));
    let id = |symbol: &str, key: &str| summary["symbols"][symbol][key].as_u64().unwrap();
    list.retain(|(symbol, at), _| (id(symbol, "first_id")..=id(symbol, "last_id")).contains(at));
    assert_eq!(stored, list);
}
