//! Lines of a daily file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickflux::dump::lines::Lines;
use tickflux::dump::name::DumpName;

fuzz_target!(|csv: &[u8]| {
    for day in ["2024-08-08", "2026-11-29"] {
        let Some(name) = DumpName::parse(&format!("BTCUSDT-trades-{day}.zip"), "zip") else { continue };
        let (mut lines, mut last) = (Lines::of(&name), None);
        for line in csv.split(|byte| *byte == b'\n') {
            let Ok(line) = lines.take(line) else { break };
            if let Some(trade) = line.and_then(|line| line.read.ok()) {
                assert!(name.day.holds(trade.time) && last < Some(trade.id));
                last = Some(trade.id);
            }
        }
    }
});
