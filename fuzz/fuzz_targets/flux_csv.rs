//! Answers of Flux as CSV.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickflux::store::influx::flux_csv::rows;

fuzz_target!(|text: &str| {
    let _ = rows(text);
});
