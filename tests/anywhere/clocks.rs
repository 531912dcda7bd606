//! The wall clock is a witness, not a judge.

use crate::support::faketime::WrongClock;
use crate::support::influxd::free_port;
use crate::support::process::wait_until;
use crate::support::scene::{SYMBOLS, Scene};
use crate::support::server::get;
use crate::support::trades::{exchanges_list, sqlite_trades};
use crate::support::{practice, runtime, summary};
use crate::{health, wait_until_unwell};

/// The hours that a clock is off, in seconds.
const OFF: [(&str, f64); 2] = [("+25h", 90_000.0), ("-25h", -90_000.0)];

fn gauge(address: &str, name: &str) -> f64 {
    let text = get(address, "/metrics");
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} is not in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn with_a_host_clock_that_is_a_day_off_every_trade_is_stored_in_influxdb_and_the_capture_is_not_well() {
    for (offset, seconds) in OFF {
        let Some(scene) = Scene::new(81, 500.0) else { return };
        let (clock, address) = (WrongClock::new(offset), format!("127.0.0.1:{}", free_port()));
        let more = ["--metrics-listen", &address];
        let capture = scene.capture_in(&scene.influxd.url, &more, &clock.environment());
        scene.wait_for_trades();
        wait_until_unwell(scene.folder.path(), &address, &["clock:", "this host says", "the exchange says"]);
        let off = gauge(&address, "tickflux_clock_offset_seconds");
        assert!((off - seconds).abs() < 5.0, "{off}");
        let begin = scene.newest();
        wait_until("the exchange trades on", || scene.has_traded_on(begin));
        scene.wait_until_stored_up_to(scene.newest());
        // The clock is set while it runs: it is well, and nothing else happens.
        clock.set("+0");
        wait_until("it is well again", || health(scene.folder.path(), &address).0 == Some(0));
        let output = capture.stop();
        let (summary, log) = (summary(&output), String::from_utf8_lossy(&output.stderr).into_owned());
        assert_eq!(output.status.code(), Some(0), "{summary} {log}");
        assert_eq!((&summary["expired"], &summary["holes_found"]), (&0.into(), &0.into()), "{summary}");
        assert!(log.contains("clock differs") && log.contains("clock agrees"), "{log}");
        scene.assert_stored_is_the_exchanges_list(
            SYMBOLS.map(|symbol| summary["symbols"][symbol]["last_id"].as_u64().unwrap()),
        );
    }
}

#[test]
fn with_a_host_clock_that_is_a_day_off_every_trade_is_stored_in_sqlite_and_kept() {
    for (seed, (offset, _)) in [(82, OFF[0]), (83, OFF[1])] {
        let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
        let exchange = runtime.block_on(practice::start(practice::live_market(seed, 500.0)));
        let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
        let clock = WrongClock::new(offset);
        let args = ["--store", "sqlite:trades.db", "--stream-url", &stream, "--rest-url", &rest, "--format", "json"];
        // Longer than a minute: old trades are deleted by then.
        let more = ["--duration", "65s"];
        let capture = crate::support::process::Capture::start_in(
            folder.path(),
            &[&args[..], &more].concat(),
            &clock.environment(),
        );
        let output = capture.wait();
        let summary = summary(&output);
        assert_eq!(output.status.code(), Some(0), "{offset}: {summary} {}", String::from_utf8_lossy(&output.stderr));
        let (stored, mut list) = (sqlite_trades(&folder.path().join("trades.db")), exchanges_list(&exchange));
        let id = |symbol: &str, key: &str| summary["symbols"][symbol][key].as_u64().unwrap();
        list.retain(|(symbol, at), _| (id(symbol, "first_id")..=id(symbol, "last_id")).contains(at));
        assert_eq!(stored, list, "{offset}");
    }
}
