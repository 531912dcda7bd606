//! Our share of the request weight that Binance grants an address.
//!
//! 6,000 a minute, whoever asks (`rest-api.md`); other programs need some, so
//! repair takes half. Pure: time comes in.

use std::time::{Duration, Instant};

/// Weight that tickflux takes in a minute.
pub const WEIGHT_PER_MINUTE: u32 = 3_000;
/// Weight of one `historicalTrades` request.
pub const HISTORY_WEIGHT: u32 = 25;
const MINUTE: Duration = Duration::from_secs(60);

/// Counts weight by minutes that begin with their first request.
#[derive(Debug, Default)]
pub struct WeightBudget {
    window: Option<Instant>,
    used: u32,
}

impl WeightBudget {
    /// The first moment from `now` on at which `weight` more is within the budget.
    pub fn next_allowed(&self, weight: u32, now: Instant) -> Instant {
        match self.window {
            Some(start) if now < start + MINUTE && self.used + weight > WEIGHT_PER_MINUTE => start + MINUTE,
            _ => now,
        }
    }

    /// Counts `weight` used at `now`.
    pub fn count(&mut self, weight: u32, now: Instant) {
        if self.window.is_none_or(|start| now >= start + MINUTE) {
            (self.window, self.used) = (Some(now), 0);
        }
        self.used += weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_never_takes_more_than_the_budget() {
        let (start, mut budget) = (Instant::now(), WeightBudget::default());
        let (mut now, mut asked) = (start, Vec::new());
        for _ in 0..500 {
            now = budget.next_allowed(HISTORY_WEIGHT, now);
            budget.count(HISTORY_WEIGHT, now);
            asked.push(now);
        }
        let most = (WEIGHT_PER_MINUTE / HISTORY_WEIGHT) as usize;
        assert!(asked.windows(most + 1).all(|window| window[most] - window[0] >= MINUTE));
        assert_eq!(asked[most - 1], start, "nothing waits below the budget");
    }
}
