//! This host's clock against the exchange's.

use std::time::Duration;

use super::finding::{Check, Finding};
use crate::capture::exchange_clock::{OFFSET_FAILING_MS, OFFSET_SAID_MS};

const REMEDY: &str = "set this host's clock right (NTP); trades are judged by the exchange's time until then";

/// Judges how far this host is ahead of the exchange, in milliseconds, as a running capture does.
pub(super) fn judge(offset_ms: i64) -> Finding {
    let seconds = Duration::from_millis(offset_ms.unsigned_abs()).as_secs_f64();
    let side = if offset_ms < 0 { "behind" } else { "ahead of" };
    let found = format!("this host is {seconds:.1} s {side} the exchange");
    match offset_ms.saturating_abs() {
        off if off > OFFSET_FAILING_MS => {
            let found = format!("{found}: past {} s a capture is not well", OFFSET_FAILING_MS / 1_000);
            Finding::fail(Check::Clock, found, REMEDY)
        }
        off if off > OFFSET_SAID_MS => Finding::warn(Check::Clock, found, REMEDY),
        _ => Finding::ok(Check::Clock, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_clock_is_judged_as_a_running_capture_does() {
        for (offset_ms, state) in [
            (0, State::Ok),
            (5_000, State::Ok),
            (-5_000, State::Ok),
            (5_001, State::Warn),
            (-60_000, State::Warn),
            (70_000, State::Fail),
            (-90_000_000, State::Fail),
        ] {
            let finding = judge(offset_ms);
            assert_eq!(finding.state, state, "{offset_ms}: {finding:?}");
            assert_eq!(finding.remedy.is_some(), state != State::Ok);
        }
        assert!(judge(70_000).found.contains("70.0 s ahead of the exchange"));
        assert!(judge(-70_000).found.contains("70.0 s behind the exchange"));
    }
}
