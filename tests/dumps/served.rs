//! The practice exchange's daily files: read by another program, and held against what a capture stored.

use std::fs;
use std::path::Path;
use std::process::Command;

use tickflux::practice::Running;
use tickflux::practice::faults::Faults;

use crate::kit::*;
use crate::support::influxd::Influxd;
use crate::support::{practice, runtime, seed, tickflux};

/// Fetches a path into a file; gives the status.
fn fetch(exchange: &Running, path: &str, to: &Path) -> u16 {
    // reqwest wants to know who encrypts, also where nobody does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime().block_on(async {
        let answer = reqwest::get(format!("http://{}{path}", exchange.address())).await.unwrap();
        let status = answer.status().as_u16();
        fs::write(to, answer.bytes().await.unwrap()).unwrap();
        status
    })
}

/// What another program says of a file and what lies beside it.
fn is_as_its_checksum_says(folder: &Path, name: &str) -> bool {
    let mut command = Command::new("sha256sum");
    command.args(["--check", "--strict", &format!("{name}.CHECKSUM")]).current_dir(folder);
    command.output().unwrap().status.success()
}

#[test]
fn what_was_captured_agrees_with_the_days_that_the_exchange_publishes() {
    const COUNT: u64 = 20_000;
    for influxd in [None, Some(Influxd::start())] {
        let influxd = match influxd {
            Some(None) => continue,
            other => other.flatten(),
        };
        let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
        let exchange = runtime.block_on(practice::start(practice::market(seed(), COUNT)));
        let store = influxd.as_ref().map_or_else(|| "sqlite:trades.db".to_owned(), |influxd| influxd.url.clone());
        let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
        let args = ["capture", "--store", &store, "--exchange", "practice", "--stream-url", &stream];
        let more = ["--rest-url", &rest, "--count", &COUNT.to_string(), "--duration", "2m"];
        let output = tickflux(folder.path(), &[&args[..], &more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let mut agreed = 0;
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            let all = exchange.trades(&symbol.parse().unwrap());
            let mut days: Vec<_> = all.iter().map(|trade| date(trade.time.ms())).collect();
            days.dedup();
            for day in days {
                let name = format!("{symbol}-trades-{day}.zip");
                for file in [name.clone(), format!("{name}.CHECKSUM")] {
                    assert_eq!(fetch(&exchange, &format!("/dump/{file}"), &folder.path().join(&file)), 200);
                }
                // Another program unpacks it, and what is in it was written here once more.
                let output = Command::new("unzip").args(["-p", &name]).current_dir(folder.path()).output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let of_day = all.iter().filter(|trade| date(trade.time.ms()) == day);
                let expected = of_day.map(|trade| {
                    let mut line = line(trade);
                    let at = line.rfind(&format!("{:03},", trade.id.get() % 1_000)).unwrap();
                    line.replace_range(at..at + 3, "000");
                    line + "\n"
                });
                assert!(String::from_utf8(output.stdout).unwrap() == expected.collect::<String>());
                assert!(is_as_its_checksum_says(folder.path(), &name));
                let verified = verify(folder.path(), &store, &name, &["--exchange", "practice"]);
                assert_eq!((verified.code, verified.rows.len()), (Some(0), 0), "{verified:?}");
                assert_eq!(verified.summary["checksum"], true);
                agreed += verified.count("agree");
            }
        }
        assert_eq!(agreed, COUNT);
    }
}

#[test]
fn a_day_that_goes_on_has_the_checksum_of_the_file_that_was_served() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let market = practice::live_market(seed(), 2_000.0);
    let exchange = runtime.block_on(practice::start_with_past(market, Faults::default(), 10_000));
    let newest = exchange.trades(&"BTCUSDT".parse().unwrap()).last().unwrap().clone();
    let name = format!("BTCUSDT-trades-{}.zip", date(newest.time.ms()));
    let get = |file: &str| fetch(&exchange, &format!("/dump/{file}"), &folder.path().join(file));
    assert_eq!(get(&name), 200);
    let first = fs::read(folder.path().join(&name)).unwrap();
    crate::support::process::wait_until("the market goes on", || {
        exchange.trades(&"BTCUSDT".parse().unwrap()).last().unwrap().id.get() > newest.id.get() + 500
    });
    assert_eq!(get(&format!("{name}.CHECKSUM")), 200);
    assert!(is_as_its_checksum_says(folder.path(), &name));
    assert_eq!(get(&name), 200);
    assert!(fs::read(folder.path().join(&name)).unwrap().len() > first.len());
}

#[test]
fn what_it_never_traded_it_does_not_publish() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(1, 100)));
    for file in [
        "BTCUSDT-trades-2020-01-01.zip",
        "BTCUSDT-trades-2020-01-01.zip.CHECKSUM",
        "XYZ-trades-2026-01-01.zip",
        "BTCUSDT-trades-2026-1-1.zip",
        "BTCUSDT-trades.zip",
        "BTCUSDT-klines-2026-01-01.zip",
        "%2e%2e%2fetc%2fpasswd",
    ] {
        assert_eq!(fetch(&exchange, &format!("/dump/{file}"), &folder.path().join("none")), 404, "{file}");
    }
}
