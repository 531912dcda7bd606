//! Recorded sessions.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tickflux::practice::replay::read;
use tickflux::trade::TradeTime;

fuzz_target!(|bytes: &[u8]| {
    let Ok(now) = TradeTime::from_ms(1_800_000_000_000) else { return };
    if let Ok(session) = read(bytes, Path::new("fuzz"), None, now, 1_000) {
        assert!(!session.prints.is_empty());
    }
});
