//! Chaos: kills, outages and faults at moments that a seed chooses; then the store is compared with the exchange's list.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

#[path = "chaos/plan.rs"]
mod plan;
#[path = "chaos/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Instant;

use plan::{Action, Plan, plan};
use world::World;

/// Seeds that failed once, and how many fresh ones `scripts/test` adds.
const ONCE_FAILED: [u64; 1] = [1];
const FRESH: u64 = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Lets the plan of `seed` happen to `captures` captures. Gives a line about it, or why the promise was broken.
fn run(seed: u64, captures: usize) -> Option<Result<String, String>> {
    let begin = Instant::now();
    let mut world = World::start(seed, captures)?;
    let mut rng = fastrand::Rng::with_seed(seed);
    let happens = plan(seed);
    for (quiet, action) in &happens {
        std::thread::sleep(*quiet);
        world.act(*action, rng.usize(0..captures));
    }
    let verified = world.verify();
    let words = format!("seed {seed}: {}", kinds(&happens));
    Some(match verified {
        Ok(trades) => Ok(format!("{words}: {trades} trades are the exchange's, {} s", begin.elapsed().as_secs())),
        Err(why) => Err(format!("{words}: {why}\n{}\n{happens:#?}", world.logs())),
    })
}

/// The kinds of what happens, with how often.
fn kinds(plan: &Plan) -> String {
    let mut kinds = BTreeMap::new();
    for (_, action) in plan {
        let name = match action {
            Action::Fault(mode, _) => format!("{mode:?}"),
            other => format!("{other:?}"),
        };
        *kinds.entry(name.split('(').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
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
    eprintln!("chaos: {} of {all} seeds, {captures} capture(s): store == exchange", all - failed.len());
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
