//! The capture in a simulated world: an exchange, its REST, InfluxDB, the disk and the host's clocks are models, what decides
//! is the program itself. All comes from one seed, and a seed is repeated byte for byte (docs/simulation.md).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail so")]
#![allow(unreachable_pub, reason = "its modules are folders of a test")]

#[path = "simulation/coverage.rs"]
mod coverage;
#[path = "simulation/disk.rs"]
mod disk;
#[path = "simulation/exchange.rs"]
mod exchange;
#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/file.rs"]
mod file;
#[path = "simulation/minutes.rs"]
mod minutes;
#[path = "simulation/node.rs"]
mod node;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/rest.rs"]
mod rest;
#[path = "simulation/store.rs"]
mod store;
#[path = "simulation/time.rs"]
mod time;
#[path = "simulation/trace.rs"]
mod trace;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use coverage::Coverage;
use world::World;

/// Seeds that found something once, with how many hours they had.
const ONCE_FAILED: [(u64, u64); 4] = [(194, 3), (69, 24), (84, 24), (94, 24)];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn hours() -> u64 {
    number("TICKFLUX_SIMULATION_HOURS").unwrap_or(2)
}

/// A world that has ended.
struct Ended {
    verdict: Result<(), String>,
    hash: u64,
    steps: u64,
    trades: usize,
    simulated: Duration,
    faults: u64,
    coverage: Coverage,
    words: Vec<String>,
}

fn run(seed: u64, hours: u64, in_words: bool) -> Ended {
    let mut world = World::new(seed, plan::plan(seed, Duration::from_secs(3_600 * hours)), in_words);
    let verdict = catch_unwind(AssertUnwindSafe(|| world.run()));
    let panicked = |panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!(
            "panicked: {}",
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        ))
    };
    Ended {
        verdict: verdict.unwrap_or_else(panicked),
        hash: world.trace.hash(),
        steps: world.trace.steps,
        trades: world.exchange.markets.iter().flat_map(|market| &market.counts).map(|count| count.ticks.len()).sum(),
        simulated: world.now.since_begin(),
        faults: world.faults.injected,
        coverage: world.coverage.clone(),
        words: world.trace.words().to_vec(),
    }
}

/// Runs the seeds; gives what was seen, and those that failed.
fn run_all(seeds: impl IntoIterator<Item = (u64, u64)>) -> (Coverage, Vec<String>) {
    let (mut seen, mut failed) = (Coverage::default(), Vec::new());
    let (mut count, mut simulated, mut trades, mut faults) = (0, Duration::ZERO, 0, 0);
    let begin = Instant::now();
    for (seed, length) in seeds {
        let ended = run(seed, length, false);
        seen.merge(&ended.coverage);
        count += 1;
        simulated += ended.simulated;
        trades += ended.trades;
        faults += ended.faults;
        let (hash, steps, hours) = (ended.hash, ended.steps, ended.simulated.as_secs_f64() / 3_600.0);
        match ended.verdict {
            Ok(()) => println!(
                "seed {seed}: {hours:.1} h, {} trades, {} faults, {steps} steps, {hash:016x}",
                ended.trades, ended.faults
            ),
            Err(why) => {
                let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulation-{seed}.log"));
                std::fs::write(&path, run(seed, length, true).words.join("\n")).unwrap();
                println!(
                    "seed {seed}: FAILED after {hours:.2} h: {why}; repeat: scripts/simulate 1 {seed}; trace: {}",
                    path.display()
                );
                failed.push(format!("seed {seed}: {why}"));
            }
        }
        if !failed.is_empty() && number("TICKFLUX_SIMULATION_UNTIL_FOUND").is_some() {
            break;
        }
    }
    let real = begin.elapsed().as_secs_f64();
    println!(
        "{count} seeds, {:.1} days, {trades} trades, {faults} faults, {} failed; {real:.1} s: {:.0} simulated seconds a second",
        simulated.as_secs_f64() / 86_400.0,
        failed.len(),
        simulated.as_secs_f64() / real,
    );
    (seen, failed)
}

#[test]
fn seeds_keep_every_promise() {
    let first = number("TICKFLUX_SIMULATION_FIRST");
    let count = number("TICKFLUX_SIMULATION_SEEDS").unwrap_or(20);
    let once = if first.is_none() { ONCE_FAILED.to_vec() } else { Vec::new() };
    let first = first.unwrap_or(1);
    let (seen, failed) = run_all(once.into_iter().chain((first..first + count).map(|seed| (seed, hours()))));
    assert!(failed.is_empty(), "{failed:#?}");
    let unseen = seen.unseen();
    if count >= 200 {
        assert!(unseen.is_empty(), "proved nothing about: {}", unseen.join(", "));
    } else if !unseen.is_empty() {
        println!("proved nothing about: {}", unseen.join(", "));
    }
}

#[test]
fn a_seed_is_the_same_every_time() {
    for seed in 1..=20 {
        let [one, two] = [run(seed, hours(), false), run(seed, hours(), false)];
        assert_eq!((one.hash, one.steps), (two.hash, two.steps), "seed {seed}");
    }
}
