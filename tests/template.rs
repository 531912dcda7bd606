//! `influx/template.yml`: applied as often as one likes it leaves one of each, every cell answers, and the checks turn.
//! `tickflux provision` applies it here; `influx/init.sh` does in `scripts/init-test`.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use serde_json::{Value, json};
use support::influxd::{Influxd, ORG};
use support::process::wait_until;
use support::ui::{Ui, text};
use support::{column, now, tickflux_in, tickflux_ok, trade};

#[test]
fn applied_three_times_there_is_one_of_each_and_every_cell_answers() {
    let Some(influxd) = Influxd::start() else { return };
    let ui = Ui::new(&influxd);
    ui.apply();
    ui.apply();
    assert_eq!(ui.names("dashboards"), ["tickflux"]);
    assert_eq!(ui.names("checks"), ["tickflux: ids missing", "tickflux: no trade"]);
    assert_eq!(ui.names("variables"), ["tickflux_bucket", "tickflux_exchange", "tickflux_symbol"]);
    let cells = ui.cells();
    assert!(cells.len() >= 10, "{cells:?}");
    for (name, cell) in &cells {
        let csv = ui.ask(cell, "practice", "BTCUSDT");
        assert!(name != "Trades a second, last minute" || column(&csv, "_value") == ["0"], "{csv}");
    }

    // A day of another symbol, a trade every 10.75 s.
    let first = now().ms() - 86_000_000;
    let day = (0..8_000).map(|at: u32| trade("ETHUSDT", u64::from(at) + 1, first + 10_750 * i64::from(at), "2900.5"));
    ui.write("practice", &day.collect::<Vec<_>>());
    for (name, cell) in &cells {
        let csv = ui.ask_since(cell, "practice", "ETHUSDT", "-24h", "10m");
        let rows = csv.lines().filter(|line| !line.is_empty()).count() - 1;
        let expected = match name.as_str() {
            "Price" | "Trades a second" | "Volume" => 143..=145,
            "High and low of the last ten minutes" => 10..=11,
            name if name.contains("minute") && !name.ends_with("last minute") => 1_400..=4_500,
            _ => 1..=1,
        };
        assert!(expected.contains(&rows), "{name}: {rows} rows");
        // The UI sorts them upwards by this column, which it does not show.
        if name.starts_with("High and low") {
            let by: Vec<i64> = column(&csv, "newest_first").iter().map(|by| by.parse().unwrap()).collect();
            assert!(by.is_sorted() && column(&csv, "minute").is_sorted_by(|a, b| a > b), "{csv}");
        }
    }

    // Two exchanges with a symbol of the same name; of one the id 3 is missing.
    let mut begin = now().ms() - 10_000;
    // Within one window of the check for holes, which runs when a window ends.
    if begin / 300_000 != (begin + 6_000) / 300_000 {
        begin -= 10_000;
    }
    let trades = |price: &str, ids: &[u64]| {
        ids.iter()
            .map(|id| trade("BTCUSDT", *id, begin + i64::try_from(*id).unwrap() * 1_000, price))
            .collect::<Vec<_>>()
    };
    ui.write("practice", &trades("87000.50", &[1, 2, 4, 5]));
    ui.write("other", &trades("5.00", &[1, 2, 3]));
    for (name, cell) in &cells {
        let csv = ui.ask(cell, "practice", "BTCUSDT");
        // There may be no whole minute yet.
        let may_be_empty = name.starts_with("Trades of takers");
        assert!(may_be_empty || csv.lines().filter(|line| !line.is_empty()).count() > 1, "{name}: {csv}");
    }
    let of = |name: &str, exchange: &str| {
        let (_, cell) = cells.iter().find(|(it, _)| it == name).unwrap();
        column(&ui.ask(cell, exchange, "BTCUSDT"), "_value")[0].parse::<f64>().unwrap()
    };
    for (exchange, price) in [("practice", "87000.50"), ("other", "5.00")] {
        let (_, cell) = cells.iter().find(|(it, _)| it == "Latest price").unwrap();
        assert_eq!(column(&ui.ask(cell, exchange, "BTCUSDT"), "_value"), [price], "as its text");
    }
    assert_eq!([of("Ids missing", "practice"), of("Ids missing", "other")], [1.0, 0.0]);
    assert_eq!(of("Trades a second, last minute", "other"), 3.0 / 60.0);
    assert!((4.0..200.0).contains(&of("Its age", "practice")));

    // What the check for holes would find, of the last five minutes.
    ui.query(&ui.check("tickflux: ids missing"));
    let level = |exchange| ui.level("tickflux: ids missing", exchange);
    assert_eq!([level("practice"), level("other")], ["warn", "ok"]);
}

#[test]
fn the_deadman_turns_crit_when_no_trade_comes_and_ok_again() {
    let Some(influxd) = Influxd::start() else { return };
    let ui = Ui::new(&influxd);
    let level = || ui.level("tickflux: no trade", "practice");
    ui.write("practice", &[trade("BTCUSDT", 1, now().ms(), "87000.50")]);
    wait_until("no trade for 30 s is critical", || level() == "crit");
    let mut id = 1;
    wait_until("trades come again", || {
        id += 1;
        ui.write("practice", &[trade("BTCUSDT", id, now().ms(), "87000.50")]);
        level() == "ok"
    });
}

#[test]
fn it_follows_the_bucket_and_is_left_out_where_the_token_may_not() {
    const BUCKET: &str = "other ${x} \\ 'b'";
    let Some(influxd) = Influxd::start() else { return };
    let ui = Ui::new(&influxd);
    let folder = tempfile::tempdir().unwrap();
    let store = ["provision", "--store", &influxd.url, "--bucket"];
    tickflux_ok(folder.path(), &[&store[..], &[BUCKET]].concat());
    let variables = ui.get(&format!("/api/v2/variables?org={ORG}"));
    let bucket = variables["variables"].as_array().unwrap().iter().find(|it| it["name"] == "tickflux_bucket").unwrap();
    assert_eq!(bucket["arguments"]["values"], json!([BUCKET]));
    let checks = ui.get(&format!("/api/v2/checks?org={ORG}"));
    for check in checks["checks"].as_array().unwrap() {
        ui.query(&text(&check["query"]["text"]));
        assert!(text(&check["query"]["text"]).contains(r#"from(bucket: "other \x24{x} \\ 'b'")"#), "{check}");
    }
    assert_eq!((ui.names("dashboards").len(), checks["checks"].as_array().unwrap().len()), (1, 2));

    // It may make a bucket, and nothing else.
    let rights = ["--read-buckets", "--write-buckets", "--read-orgs", "--json"];
    let made = influxd.influx_ok(&[&["auth", "create", "--org", ORG], &rights[..]].concat());
    let token = text(&serde_json::from_str::<Value>(&made).unwrap()["token"]);
    let poor = |args: &[&str]| {
        let output = tickflux_in(folder.path(), &[("INFLUX_TOKEN", &token)], &[&store[..], args].concat());
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), stdout, stderr)
    };
    let (code, stdout, stderr) = poor(&["new"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "made bucket new: it keeps 24h in groups of 1h\n"), "{stderr}");
    assert!(stderr.starts_with("tickflux: dashboard and checks left out: ") && stderr.lines().count() == 1, "{stderr}");
    let said = "bucket new keeps 24h in groups of 1h already\n".to_owned();
    assert_eq!(poor(&["new", "--no-dashboard"]), (Some(0), said, String::new()));
}
