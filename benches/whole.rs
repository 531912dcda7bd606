//! The whole capture against a real influxd, in ratios to what the same influxd takes in the same run.
//!
//! `scripts/bench` runs it. Rounds are interleaved, and medians are printed.

#![allow(clippy::unwrap_used, reason = "a benchmark may fail so")]

#[path = "whole/baseline.rs"]
mod baseline;
#[path = "whole/ceiling.rs"]
mod ceiling;
#[path = "whole/dashboard.rs"]
mod dashboard;
#[path = "whole/feeder.rs"]
mod feeder;
#[path = "whole/questions.rs"]
mod questions;
#[path = "whole/sign_off.rs"]
mod sign_off;
#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};

use baseline::{Baseline, baseline};
use feeder::{BUSY, Frames, Pace, prints, serve};
use serde_json::Value;
use support::influxd::{Influxd, TOKEN};
use support::witness::Witness;
use support::{exchange, now};
use tickflux::practice::tape::Print;

const ROUNDS: usize = 3;
const TRADES: usize = 1_000_000;
/// Lines in a body of the ceiling; the best of them is the ceiling.
const CEILING_LINES: [usize; 3] = [5_000, 10_000, 20_000];

/// A store in the folder of the capture.
const SQLITE: [&str; 2] = ["--store", "sqlite:trades.db"];

/// One capture's figures.
struct Run {
    summary: Value,
    influxd_cpu: f64,
    reconnects: usize,
}

impl Run {
    fn number(&self, key: &str) -> f64 {
        self.summary[key].as_f64().unwrap()
    }

    fn latency(&self, key: &str) -> f64 {
        self.summary["latency_ms"][key].as_f64().unwrap()
    }
}

/// Captures what the market printed into InfluxDB, and into a bucket of its own, so that no run finds the points of another.
fn capture_into_bucket(influxd: &Influxd, name: &str, prints: &[Print], pace: Pace) -> Run {
    in_bucket(influxd, name, || capture_prints(influxd, &["--store", &influxd.url, "--bucket", name], prints, pace))
}

/// What `work` gives while there is a bucket `name`.
fn in_bucket<T>(influxd: &Influxd, name: &str, work: impl FnOnce() -> T) -> T {
    influxd.make_bucket(name);
    let given = work();
    influxd.influx_ok(&["bucket", "delete", "--name", name]);
    given
}

/// Captures what the market printed at `pace` into `store`.
fn capture_prints(influxd: &Influxd, store: &[&str], prints: &[Print], pace: Pace) -> Run {
    let trades = prints.len();
    let names: std::collections::BTreeSet<_> = prints.iter().map(|print| print.trade.symbol.to_string()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(",");
    let stream = format!("ws://{}", serve(Frames::new(prints), pace));
    let folder = tempfile::tempdir().unwrap();
    let before = influxd.cpu_seconds();
    // Another build can be measured against this one.
    let program = std::env::var("TICKFLUX_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_tickflux").to_owned());
    let output = Command::new(program)
        .args([
            "capture",
            "--exchange",
            "practice",
            "--format",
            "json",
            "--no-repair",
            "--no-verify",
            "--rest-url",
            "http://127.0.0.1:9",
        ])
        .args(["--symbols", &names, "--stream-url", &stream, "--count", &trades.to_string(), "--duration", "3m"])
        .args(store)
        .current_dir(folder.path())
        .env("INFLUX_TOKEN", TOKEN)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["trades"], trades, "{log}");
    let influxd_cpu = influxd.cpu_seconds() - before;
    Run { summary, influxd_cpu, reconnects: log.matches("Stream connection opened").count() - 1 }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn of(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(figure).collect())
}

fn throughput(influxd: &Influxd) {
    let Some(witness) = Witness::find() else { std::process::exit(2) };
    let (mut ceilings, mut runs) = (CEILING_LINES.map(|_| Vec::new()), Vec::new());
    let (mut ratios, mut baselines) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for (at, lines) in CEILING_LINES.into_iter().enumerate() {
            let bodies = ceiling::bodies(&prints(2, TRADES, BUSY, now().ms()), &exchange("practice"), lines);
            let bucket = format!("ceiling-{lines}-{round}");
            let time = in_bucket(influxd, &bucket, || ceiling::post(influxd, &bucket, &bodies));
            ceilings[at].push(TRADES as f64 / time.as_secs_f64());
        }
        let best = ceilings.iter().map(|rates| rates[round]).fold(0.0, f64::max);
        let prints = prints(2, TRADES, BUSY, now().ms());
        let run = capture_into_bucket(influxd, &format!("capture-{round}"), &prints, Pace::Max);
        ratios.push(run.number("trades_per_second") / best);
        runs.push(run);
        let bucket = format!("baseline-{round}");
        baselines.push(in_bucket(influxd, &bucket, || baseline(&witness, influxd, &bucket)));
    }
    println!("\n## {TRADES} trades at full speed into InfluxDB, outbox on, medians of {ROUNDS} interleaved rounds\n");
    for (rates, lines) in ceilings.into_iter().zip(CEILING_LINES) {
        println!("- ceiling, {lines} lines a body, 2 connections: {:.0} trades/s", median(rates));
    }
    println!("- tickflux: {:.0} trades/s", of(&runs, |run| run.number("trades_per_second")));
    println!("- share of the best ceiling of the same round: {:.2}, rounds {ratios:.2?}", median(ratios.clone()));
    println!("- CPU of tickflux: {:.2} s", of(&runs, |run| run.number("cpu_seconds")));
    println!("- CPU of influxd: {:.2} s", of(&runs, |run| run.influxd_cpu));
    println!("- peak RSS: {:.1} MB", of(&runs, |run| run.number("peak_rss_bytes") / 1e6));
    println!("- batches: {:.0}", of(&runs, |run| run.number("batches")));
    let of_baseline = |figure: fn(&Baseline) -> f64| median(baselines.iter().map(figure).collect());
    println!("- baseline (tokio-tungstenite, serde_json, influxdb2, no outbox), {} trades:", baseline::TRADES);
    println!("  - {:.0} trades/s", of_baseline(|baseline| baseline.trades_per_second));
    println!("  - CPU, scaled to a million trades: {:.2} s", of_baseline(|baseline| baseline.cpu_seconds_per_million));
    let share = |(run, baseline): (&Run, &Baseline)| {
        run.number("cpu_seconds") * 1e6 / TRADES as f64 / baseline.cpu_seconds_per_million
    };
    let shares: Vec<_> = runs.iter().zip(&baselines).map(share).collect();
    println!(
        "  - CPU of tickflux to that of the baseline of the same round: {:.2}, rounds {shares:.2?}",
        median(shares.clone())
    );
    let sqlite = |_| capture_prints(influxd, &SQLITE, &prints(2, TRADES, BUSY, now().ms()), Pace::Max);
    let runs: Vec<_> = (0..ROUNDS).map(sqlite).collect();
    println!("- into SQLite: {:.0} trades/s", of(&runs, |run| run.number("trades_per_second")));
    println!(
        "  - CPU: {:.2} s, peak RSS: {:.1} MB",
        of(&runs, |run| run.number("cpu_seconds")),
        of(&runs, |run| run.number("peak_rss_bytes") / 1e6)
    );
}

fn paced(influxd: &Influxd) {
    println!("\n## At a steady rate into InfluxDB, outbox on, medians of {ROUNDS} rounds\n");
    println!(
        "| rhythm | trades/s | batches/s | p50 ms | p99 ms | max ms | CPU of tickflux, % of a core | of influxd, % |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let paces = [
        ("each trade alone", 100.0, 20),
        ("each trade alone", 2_000.0, 10),
        ("each trade alone", 10_000.0, 5),
        ("a market's", 100.0, 60),
        ("a market's", 2_000.0, 10),
        ("a market's", 10_000.0, 5),
    ];
    for (at, (rhythm, rate, seconds)) in paces.into_iter().enumerate() {
        let pace = if rhythm == "a market's" { Pace::Market } else { Pace::PerSecond(rate) };
        let run = |round| {
            let prints = prints(2, rate as usize * seconds, rate, now().ms());
            capture_into_bucket(influxd, &format!("paced-{at}-{round}"), &prints, pace)
        };
        let runs: Vec<_> = (0..ROUNDS).map(run).collect();
        let share = |cpu: f64, run: &Run| 100.0 * cpu / run.number("seconds");
        println!(
            "| {rhythm} | {rate} | {:.0} | {:.2} | {:.2} | {:.1} | {:.1} | {:.0} |",
            of(&runs, |run| run.number("batches") / run.number("seconds")),
            of(&runs, |run| run.latency("p50")),
            of(&runs, |run| run.latency("p99")),
            of(&runs, |run| run.latency("max")),
            of(&runs, |run| share(run.number("cpu_seconds"), run)),
            of(&runs, |run| share(run.influxd_cpu, run)),
        );
    }
    let (rate, messages) = (100.0, 1_000);
    let bodies = ceiling::bodies(&prints(2, messages, rate, now().ms()), &exchange("practice"), 1);
    let least = |_| 100.0 * ceiling::least_cpu(influxd, "least", &bodies, rate).as_secs_f64() * rate / messages as f64;
    let least = in_bucket(influxd, "least", || median((0..ROUNDS).map(least).collect()));
    println!(
        "\nRead a message, post a body, both by plain sockets and nothing else, {rate}/s: {least:.2} % of a core."
    );
}

fn burst(influxd: &Influxd) {
    let prints = prints(2, 10_100, BUSY, now().ms());
    let run = capture_into_bucket(influxd, "burst", &prints, Pace::Burst(10_000));
    let (reconnects, slowest) = (run.reconnects, run.latency("max"));
    println!("\n## 10,000 trades at once\n\nAll stored; reconnects {reconnects}, slowest {slowest:.0} ms.");
}

fn symbols(influxd: &Influxd) {
    println!("\n## Symbols at the same total rate, ten seconds, medians of {ROUNDS} interleaved rounds\n");
    println!("| store | trades/s | symbols | batches | p50 ms | CPU s | CPU to that of 2 symbols |");
    println!("|---|---|---|---|---|---|---|");
    let counts = [2, 20, 200, 1_000];
    for (store, rate) in [("InfluxDB", 2_000.0), ("InfluxDB", 20_000.0), ("SQLite", 2_000.0), ("SQLite", 20_000.0)] {
        let mut runs = counts.map(|_| Vec::new());
        for round in 0..ROUNDS {
            for (at, symbols) in counts.into_iter().enumerate() {
                let (prints, pace) = (prints(symbols, rate as usize * 10, BUSY, now().ms()), Pace::PerSecond(rate));
                runs[at].push(if store == "SQLite" {
                    capture_prints(influxd, &SQLITE, &prints, pace)
                } else {
                    capture_into_bucket(influxd, &format!("symbols-{symbols}-{rate}-{round}"), &prints, pace)
                });
            }
        }
        let cpu = |runs: &[Run]| of(runs, |run| run.number("cpu_seconds"));
        for (runs_of, symbols) in runs.iter().zip(counts) {
            println!(
                "| {store} | {rate} | {symbols} | {:.0} | {:.2} | {:.2} | {:.2} |",
                of(runs_of, |run| run.number("batches")),
                of(runs_of, |run| run.latency("p50")),
                cpu(runs_of),
                cpu(runs_of) / cpu(&runs[0])
            );
        }
    }
}

fn main() {
    // Cargo passes its own flags, too.
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let Some(influxd) = Influxd::start() else { std::process::exit(2) };
    let is_wanted = |name| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if is_wanted("throughput") {
        throughput(&influxd);
    }
    if is_wanted("paced") {
        paced(&influxd);
    }
    if is_wanted("burst") {
        burst(&influxd);
    }
    if is_wanted("symbols") {
        symbols(&influxd);
    }
    if is_wanted("sign-off") {
        sign_off::sign_off(&influxd);
    }
    if is_wanted("questions") {
        questions::questions(&influxd);
    }
    if is_wanted("dashboard") {
        dashboard::dashboard(&influxd);
    }
}
