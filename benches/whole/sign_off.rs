//! What it costs a capture to hold every minute against the exchange's candles.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::influxd::{Influxd, TOKEN, free_port};
use crate::support::process::wait_until;
use crate::{in_bucket, median};

const ROUNDS: usize = 2;
const RATE: &str = "2000";
/// Two minutes that are over in each, and some seconds more.
const DURATION: &str = "185s";

/// A practice exchange in a process of its own.
struct Exchange(Child);

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU seconds of a capture, and how many minutes it verified.
fn capture(influxd: &Influxd, port: u16, bucket: &str, more: &[&str]) -> (f64, f64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let (stream, rest) = (format!("ws://127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let store = ["--store", &influxd.url, "--bucket", bucket, "--exchange", "practice", "--format", "json"];
    let before = influxd.cpu_seconds();
    let output = Command::new(env!("CARGO_BIN_EXE_tickflux"))
        .args(["capture", "--stream-url", &stream, "--rest-url", &rest, "--duration", DURATION])
        .args(store)
        .args(more)
        .current_dir(folder.path())
        .env("INFLUX_TOKEN", TOKEN)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verified = summary["minutes_verified"].as_u64().unwrap();
    let per_trade = 1e6 / summary["trades"].as_f64().unwrap();
    (summary["cpu_seconds"].as_f64().unwrap() * per_trade, (influxd.cpu_seconds() - before) * per_trade, verified)
}

pub(crate) fn sign_off(influxd: &Influxd) {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let exchange = Command::new(env!("CARGO_BIN_EXE_tickflux"))
        .args(["exchange", "--listen", &listen, "--rate", RATE])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _exchange = Exchange(exchange);
    wait_until("the exchange listens", || std::net::TcpStream::connect(&listen).is_ok());
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut verified = 0;
    for round in 0..ROUNDS {
        for (name, runs, more) in [("with", &mut with, &[][..]), ("without", &mut without, &["--no-verify"][..])] {
            let bucket = format!("{name}-{round}");
            let (own, database, minutes) = in_bucket(influxd, &bucket, || capture(influxd, port, &bucket, more));
            verified += minutes;
            runs.push((own, database));
        }
    }
    let of = |runs: &[(f64, f64)], figure: fn(&(f64, f64)) -> f64| median(runs.iter().map(figure).collect());
    println!(
        "\n## The sign-off at {RATE} trades/s into InfluxDB, {DURATION}, medians of {ROUNDS} interleaved rounds\n"
    );
    println!("| | CPU of tickflux, µs a trade | of influxd, µs a trade |\n|---|---|---|");
    for (name, runs) in [("without", &without), ("with", &with)] {
        println!("| {name} | {:.1} | {:.1} |", of(runs, |run| run.0), of(runs, |run| run.1));
    }
    let ratios: Vec<_> = with.iter().zip(&without).map(|(with, without)| with.0 / without.0).collect();
    println!(
        "\nWith to without, tickflux: {:.3}, rounds {ratios:.3?}; {verified} minutes verified.",
        median(ratios.clone())
    );
}
