//! True wherever it runs: behind a proxy that refuses, with a wrong clock, beside a store that is another one, with an
//! exchange that says nonsense or nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

#[path = "anywhere/clocks.rs"]
mod clocks;
#[path = "anywhere/impossible.rs"]
mod impossible;
#[path = "anywhere/other_store.rs"]
mod other_store;
#[path = "anywhere/refusals.rs"]
mod refusals;
#[path = "anywhere/start.rs"]
mod start;
#[path = "anywhere/verdict.rs"]
mod verdict;

use support::process::wait_until;
use support::tickflux;

/// What `tickflux health` says of the capture at this address, and its exit code.
fn health(folder: &std::path::Path, address: &str) -> (Option<i32>, String) {
    let output = tickflux(folder, &["health", "--metrics-listen", address]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), words)
}

/// Waits until the capture is not well for a reason with all of these words.
fn wait_until_unwell(folder: &std::path::Path, address: &str, words: &[&str]) {
    wait_until(&format!("the capture is not well: {words:?}"), || {
        let (code, said) = health(folder, address);
        code == Some(3) && words.iter().all(|word| said.contains(word))
    });
}
