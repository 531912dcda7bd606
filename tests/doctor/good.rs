//! Good set-ups: nothing is called a fault, and every check that applies is told.

use crate::World;
use crate::support::influxd::{Influxd, free_port};
use crate::support::tickflux;
use crate::support::tls::Certificates;

const EXCHANGE: [&str; 10] =
    ["version", "clock", "proxy", "dns-stream", "dns-rest", "trust", "stream", "rest", "weight", "history"];

#[test]
fn a_good_set_up_with_sqlite_is_all_ok() {
    let world = World::new(141);
    let told = world.doctor(&["--metrics-listen", &format!("127.0.0.1:{}", free_port())]);
    told.assert_good();
    assert_eq!(
        told.checks(),
        [&EXCHANGE[..], &["klines", "store", "store-disk", "outbox", "outbox-disk", "metrics"]].concat()
    );
    assert!(told.of("stream").found.contains("BTCUSDT, ETHUSDT came"), "{told}");
    assert!(told.of("metrics").found.contains("is free") && told.of("store").found.contains("not there yet"), "{told}");
    assert!(told.of("version").found.contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(told.stderr, "");
}

#[test]
fn a_good_set_up_with_influxdb_is_all_ok() {
    let Some(influxd) = Influxd::start() else { return };
    let world = World::new(142);
    let told = world.doctor(&["--store", &influxd.url]);
    told.assert_good();
    let dns: Vec<_> = told.checks().into_iter().filter(|check| check.starts_with("dns")).collect();
    assert_eq!(dns, ["dns-stream", "dns-rest", "dns-store"]);
    assert!(
        told.checks().ends_with(&["store", "token", "bucket", "flux", "outbox", "outbox-disk", "metrics"]),
        "{told}"
    );
    assert!(told.of("bucket").found.contains("1day in groups of 1h"), "{told}");
    assert!(told.of("store").found.contains("InfluxDB answers: v2"), "{told}");
    assert!(told.of("token").found.contains("write the bucket and read it"), "{told}");
    assert!(told.of("flux").found.contains("no trade of these symbols is stored"), "{told}");
}

#[test]
fn a_good_set_up_over_tls_is_all_ok() {
    let (world, made) = (World::new(143), Certificates::new());
    made.usual("usual", &["subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    let front = world.runtime.block_on(made.front("usual", world.exchange.address()));
    let (stream, rest) = (format!("wss://localhost:{}", front.port()), format!("https://127.0.0.1:{}", front.port()));
    let pem = made.pem("usual").display().to_string();
    let told = world.doctor(&["--stream-url", &stream, "--rest-url", &rest, "--ca-file", &pem]);
    told.assert_good();
    for check in ["tls-stream", "tls-rest"] {
        assert!(told.of(check).found.contains("is trusted, TLSv1_3"), "{told}");
    }
    assert!(told.of("trust").found.contains(&format!("1 of --ca-file {pem}")), "{told}");
    assert!(
        told.of("dns-stream").found.contains("localhost is 127.0.0.1") || told.of("dns-stream").found.contains("::1")
    );
}

#[test]
fn people_get_a_table_and_programs_csv() {
    let world = World::new(144);
    let (stream, rest) = (world.stream(), world.rest());
    let args = ["doctor", "--stream-url", &stream, "--rest-url", &rest];
    let table = tickflux(world.path(), &args);
    let text = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.status.code(), Some(0), "{text}");
    assert!(text.starts_with("| check ") && text.contains("| clock       | ok    | this host is "), "{text}");
    let csv = tickflux(world.path(), &[&args[..], &["--format", "csv"]].concat());
    let csv = String::from_utf8(csv.stdout).unwrap();
    assert!(csv.starts_with("check,state,found,remedy\nversion,ok,tickflux "), "{csv}");
    let help = String::from_utf8(tickflux(world.path(), &["doctor", "--help"]).stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    assert_eq!(tickflux(world.path(), &["doctor", "--store", "nonsense"]).status.code(), Some(2));
}
