//! Set-ups whose store is at fault.

use serde_json::Value;

use crate::World;
use crate::support::influxd::{BUCKET, Influxd, free_port};
use crate::support::{server, tickflux_ok, write_secret};

#[test]
fn an_influxdb_that_is_away() {
    let world = World::new(171);
    let store = format!("http://127.0.0.1:{}", free_port());
    let told = world.doctor(&["--store", &store]);
    told.assert_only(
        "store",
        "fail",
        &[&store, "does not answer", "Connection refused"],
        &["--store", "start InfluxDB"],
    );
    assert_eq!(told.of("bucket").found, "skipped: it needs store");
}

#[test]
fn a_login_page_in_place_of_influxdb() {
    let world = World::new(172);
    let page = "<html><body>Welcome to the hotel: log in</body></html>";
    let login = server::answering(move |_| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}", page.len())
    });
    let told = world.doctor(&["--store", &format!("http://{login}")]);
    told.assert_only("store", "fail", &["answered 200", "Welcome to the hotel", "no InfluxDB's answer"], &["--store"]);
}

/// A token with these rights; gives the file that holds it.
fn token_file(world: &World, influxd: &Influxd, rights: &[&str]) -> String {
    let made = influxd.influx_ok(&[&["auth", "create", "--json", "--org", "tickflux"], rights].concat());
    let made: Value = serde_json::from_str(&made).unwrap();
    let path = world.path().join("token");
    write_secret(&path, made["token"].as_str().unwrap());
    path.display().to_string()
}

#[test]
fn tokens_that_are_wrong_or_may_do_half() {
    let Some(influxd) = Influxd::start() else { return };
    let world = World::new(173);
    let store = ["--store", &influxd.url];
    let told = world.doctor_in(&[("INFLUX_TOKEN", "nonsense")], &store);
    told.assert_only("token", "fail", &["answered 401", "unauthorized"], &["--token-file"]);
    assert!(!told.to_string().contains("nonsense"), "{told}");

    let buckets = influxd.influx_ok(&["bucket", "list", "--json", "--name", BUCKET]);
    let buckets: Value = serde_json::from_str(&buckets).unwrap();
    let id = buckets[0]["id"].as_str().unwrap();
    let file = token_file(&world, &influxd, &["--read-bucket", id]);
    let told = world.doctor(&[&store[..], &["--token-file", &file]].concat());
    told.assert_only("token", "fail", &["may read the bucket and not write it"], &["may read and write"]);
    let file = token_file(&world, &influxd, &["--write-bucket", id]);
    let told = world.doctor(&[&store[..], &["--token-file", &file]].concat());
    told.assert_only("token", "warn", &["may write the bucket and not read it"], &["may read and write"]);
    assert_eq!(told.of("flux").found, "skipped: it needs token");

    // A file that everyone may read is not used, and everything else is looked at none the less.
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let told = world.doctor(&[&store[..], &["--token-file", &file]].concat());
    told.assert_only("token", "fail", &["every user of this machine", "chmod 600"], &["--token-file"]);
    assert_eq!(told.of("stream").state, "ok");
}

#[test]
fn buckets_that_are_missing_or_keep_something_else() {
    let Some(influxd) = Influxd::start() else { return };
    let world = World::new(174);
    let told = world.doctor(&["--store", &influxd.url, "--bucket", "nosuch"]);
    told.assert_only("bucket", "fail", &["answered 404", "nosuch"], &["tickflux provision", "--bucket", "--org"]);
    let told = world.doctor(&["--store", &influxd.url, "--org", "nobody"]);
    told.assert_only("bucket", "fail", &["answered 404"], &["--org"]);
    for (name, retention, group, keeps) in
        [("long", "72h", "1h", "3days in groups of 1h"), ("wide", "24h", "12h", "1day in groups of 12h")]
    {
        let args = ["bucket", "create", "--name", name, "--retention", retention, "--shard-group-duration", group];
        influxd.influx_ok(&args);
        let told = world.doctor(&["--store", &influxd.url, "--bucket", name]);
        told.assert_only("bucket", "warn", &[keeps, "not 24h in groups of 1h"], &["tickflux provision --force"]);
    }
    influxd.influx_ok(&["bucket", "create", "--name", "ever"]);
    let told = world.doctor(&["--store", &influxd.url, "--bucket", "ever"]);
    told.assert_only("bucket", "warn", &["everything for ever"], &["tickflux provision --force"]);
    // The remedy is one.
    tickflux_ok(world.path(), &["provision", "--force", "--store", &influxd.url, "--bucket", "long"]);
    world.doctor(&["--store", &influxd.url, "--bucket", "long"]).assert_good();
}

#[test]
fn a_file_that_is_no_store() {
    let world = World::new(175);
    std::fs::write(world.path().join("trades.db"), "this is no store, and longer than the header of one".repeat(9))
        .unwrap();
    let told = world.doctor(&["--store", "sqlite:trades.db"]);
    told.assert_only("store", "fail", &["not an SQLite file"], &["--store sqlite:PATH"]);
    let told = world.doctor(&["--store", "sqlite:nowhere/trades.db"]);
    told.assert_only("store-disk", "fail", &["there is no folder nowhere"], &["make it", "--store sqlite:PATH"]);
    let told = world.doctor(&["--store", "sqlite::memory:"]);
    told.assert_only("store", "fail", &["in memory"], &["--store sqlite:PATH"]);
}
