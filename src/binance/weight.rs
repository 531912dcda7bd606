//! Our share of the request weight that Binance grants an address.
//!
//! 6,000 a minute, whoever asks (`rest-api.md`); other programs need some, so
//! repair takes half. The weight flows in evenly, so that requests keep apart
//! and each one finds more to ask for. Pure: time comes in.

use std::time::{Duration, Instant};

/// The most weight that is used in any minute.
pub const WEIGHT_PER_MINUTE: u32 = 3_000;
/// Weight of one `historicalTrades` request.
pub const HISTORY_WEIGHT: u32 = 25;
/// Weight of one `aggTrades` request.
pub const AGGREGATE_WEIGHT: u32 = 4;
/// Weight of one `klines` request.
pub const KLINES_WEIGHT: u32 = 2;
/// Weight of one `time` request.
pub const TIME_WEIGHT: u32 = 1;
/// Weight that Binance grants an address in a minute.
pub const GRANTED: u32 = 6_000;
/// Of this much is left to other programs of the address, whatever they have used.
const LEFT_TO_OTHERS: u32 = 600;
/// Weight that may be saved up: the first requests go at once.
const SAVED_MAX: f64 = 300.0;
const PER_SECOND: f64 = (WEIGHT_PER_MINUTE as f64 - SAVED_MAX) / 60.0;

/// Whether nothing more is to be asked for in a minute in which the address has used `used`.
pub fn is_used_up(used: u32) -> bool {
    used.saturating_add(HISTORY_WEIGHT) > GRANTED - LEFT_TO_OTHERS
}

/// Weight that may be used now.
#[derive(Debug)]
pub struct WeightBudget {
    saved: f64,
    as_of: Instant,
    /// The address has used what it may: wait for the exchange's next minute.
    not_before: Instant,
}

impl WeightBudget {
    /// Begins with all that may be saved up.
    pub fn new(now: Instant) -> Self {
        Self { saved: SAVED_MAX, as_of: now, not_before: now }
    }

    /// The first moment from `now` on at which `weight` more is within the budget.
    pub fn next_allowed(&self, weight: u32, now: Instant) -> Instant {
        let lacking = f64::from(weight) - self.saved_at(now);
        // A microsecond more, so that rounding never says a moment too early.
        let saved = if lacking <= 0.0 { now } else { now + Duration::from_secs_f64(lacking / PER_SECOND + 1e-6) };
        saved.max(self.not_before)
    }

    /// The exchange says that this address has used `used` in its current minute, of which `minute_left` is left
    /// (`X-MBX-USED-WEIGHT-1M`, `rest-api.md`): others may share the address.
    pub fn believe(&mut self, used: u32, minute_left: Duration, now: Instant) {
        if is_used_up(used) {
            self.not_before = now + minute_left.min(Duration::from_secs(60));
        }
    }

    /// Counts `weight` used at `now`.
    pub fn count(&mut self, weight: u32, now: Instant) {
        self.saved = self.saved_at(now) - f64::from(weight);
        self.as_of = now;
    }

    fn saved_at(&self, now: Instant) -> f64 {
        (self.saved + now.duration_since(self.as_of).as_secs_f64() * PER_SECOND).min(SAVED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_never_takes_more_than_the_budget() {
        let start = Instant::now();
        let mut budget = WeightBudget::new(start);
        let (mut now, mut asked) = (start, Vec::new());
        for _ in 0..500 {
            now = budget.next_allowed(HISTORY_WEIGHT, now);
            budget.count(HISTORY_WEIGHT, now);
            asked.push(now);
        }
        let most = (WEIGHT_PER_MINUTE / HISTORY_WEIGHT) as usize;
        assert!(asked.windows(most + 1).all(|window| window[most] - window[0] >= Duration::from_secs(60)));
        assert_eq!(asked[11], start, "the first ones do not wait");
        let hour = Duration::from_secs(3_600) + (asked[499] - start);
        assert_eq!(budget.next_allowed(300, start + hour), start + hour, "what is saved up is bounded");
        assert!(budget.next_allowed(301, start + hour) > start + hour);
    }

    #[test]
    fn what_others_of_the_address_have_used_is_believed() {
        let start = Instant::now();
        let mut budget = WeightBudget::new(start);
        budget.believe(5_000, Duration::from_secs(30), start);
        assert_eq!(budget.next_allowed(HISTORY_WEIGHT, start), start);
        budget.believe(5_990, Duration::from_secs(30), start);
        assert_eq!(budget.next_allowed(HISTORY_WEIGHT, start), start + Duration::from_secs(30));
        budget.believe(u32::MAX, Duration::from_secs(900), start);
        assert_eq!(budget.next_allowed(1, start), start + Duration::from_secs(60), "a minute ends");
    }
}
