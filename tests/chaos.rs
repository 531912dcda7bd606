//! Chaos: kills, outages and faults at moments that a seed chooses; then the store is compared with the exchange's list.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

#[path = "chaos/oracle.rs"]
mod oracle;
#[path = "chaos/plan.rs"]
mod plan;
#[path = "chaos/process.rs"]
mod process;
#[path = "chaos/world.rs"]
mod world;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use plan::{Plan, plan};
use world::World;

/// Seeds that failed once, and how many fresh ones `scripts/test` adds.
const ONCE_FAILED: [u64; 2] = [10, 50];
const FRESH: u64 = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Lets the plan of `seed` happen to `captures` captures. Gives a line about it, or why the promise was broken;
/// `None` without an influxd.
fn run(seed: u64, captures: usize) -> Option<Result<String, String>> {
    let begin = Instant::now();
    let happens = plan(seed);
    let words = format!("seed {seed}: {}", kinds(&happens));
    let started = catch_unwind(|| World::start(seed, captures)).map_err(reason);
    let mut world = match started {
        Ok(world) => world?,
        Err(why) => return Some(Err(format!("{words}: no start: {why}"))),
    };
    // A failed wait fails this seed, not those after it.
    let verified = catch_unwind(AssertUnwindSafe(|| {
        for (step, (quiet, action)) in happens.iter().enumerate() {
            std::thread::sleep(*quiet);
            world.act(*action, step % captures);
        }
        oracle::verify(&mut world)
    }));
    let seconds = || begin.elapsed().as_secs();
    Some(match verified.unwrap_or_else(|panic| Err(reason(panic))) {
        Ok(trades) => Ok(format!("{words}: {trades} trades are the exchange's, {} s", seconds())),
        Err(why) => {
            let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}-{captures}.log"));
            std::fs::write(&log, format!("{why}\n{happens:#?}\n{}", world.logs())).unwrap();
            Err(format!("{words}: {why}, {} s; the captures' logs: {}", seconds(), log.display()))
        }
    })
}

/// What a panic said.
fn reason(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "a panic".to_owned(), |text| (*text).to_owned()),
    }
}

/// The kinds of what happens, with how often.
fn kinds(plan: &Plan) -> String {
    let mut kinds = BTreeMap::new();
    for (_, action) in plan {
        *kinds.entry(action.kind()).or_insert(0) += 1;
    }
    kinds.into_iter().map(|(kind, times)| format!("{times} {kind}")).collect::<Vec<_>>().join(", ")
}

fn run_all(seeds: &[u64], captures: usize) {
    let mut failed = Vec::new();
    for seed in seeds {
        match run(*seed, captures) {
            None => return,
            Some(Ok(words)) => eprintln!("{words}"),
            Some(Err(words)) => {
                eprintln!("FAILED {words}");
                failed.push(*seed);
            }
        }
    }
    let all = seeds.len();
    println!("chaos: {} of {all} seeds, {captures} capture(s): store == exchange", all - failed.len());
    assert!(failed.is_empty(), "seeds {failed:?}: repeat one with scripts/chaos 1 SEED");
}

/// `TICKFLUX_CHAOS_SEEDS` seeds from `TICKFLUX_CHAOS_FIRST` on, as `scripts/chaos` asks for; else a few.
fn seeds() -> Vec<u64> {
    match number("TICKFLUX_CHAOS_SEEDS") {
        Some(count) => {
            let first = number("TICKFLUX_CHAOS_FIRST").unwrap_or(1);
            (first..first + count).collect()
        }
        None => ONCE_FAILED.into_iter().chain((0..FRESH).map(|_| fastrand::u64(1_000..1_000_000))).collect(),
    }
}

#[test]
fn whatever_is_killed_the_store_is_the_exchanges_list() {
    run_all(&seeds(), 1);
}

#[test]
fn two_captures_each_killed_now_and_then_store_each_trade_once() {
    let seeds = seeds();
    run_all(&seeds[..seeds.len().div_ceil(5)], 2);
}
