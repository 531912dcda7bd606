//! How long to wait before trying again: capped exponential, full jitter.
//!
//! Full jitter (a wait drawn evenly from zero to the bound) keeps many clients
//! from coming back in step.

use std::time::{Duration, Instant};

/// Waits that double with every failure in a row.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits of up to `first` after one failure, doubling up to `cap`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, failures: 0 }
    }

    /// Counts a failure and draws the wait after it.
    pub fn after_failure(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let bound = self.first.saturating_mul(1u32 << self.failures.min(16)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(rng.f64())
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Something worked: the next failure is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Attempts that keep a distance in the mean: some may be made at once, and each comes back after a while.
#[derive(Debug)]
pub struct AttemptLimit {
    /// When all that may be made at once may be made again.
    full: Instant,
    saved: u32,
    every: Duration,
}

impl AttemptLimit {
    /// Allows `saved` attempts at once, and one more `every` so often.
    pub fn new(saved: u32, every: Duration, now: Instant) -> Self {
        Self { full: now, saved, every }
    }

    /// The first moment from `now` on at which one more attempt is within the limit.
    pub fn next_allowed(&self, now: Instant) -> Instant {
        let ahead = self.every.saturating_mul(self.saved.saturating_sub(1));
        now.max(self.full.checked_sub(ahead).unwrap_or(now))
    }

    /// Counts an attempt made at `now`.
    pub fn count(&mut self, now: Instant) {
        self.full = self.full.max(now) + self.every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_doubling_bound_and_use_its_whole_width() {
        let mut rng = fastrand::Rng::with_seed(7);
        for failures in 0..12 {
            let bound = Duration::from_millis(500 << failures.min(6)).min(Duration::from_secs(20));
            let waits: Vec<_> = (0..400)
                .map(|_| {
                    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(20));
                    (0..failures).for_each(|_| _ = backoff.after_failure(&mut rng));
                    backoff.after_failure(&mut rng)
                })
                .collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "{failures} failures");
            assert!(waits.iter().any(|wait| *wait > bound / 2) && waits.iter().any(|wait| *wait < bound / 2));
        }
    }

    #[test]
    fn a_success_starts_over() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        (0..9).for_each(|_| _ = backoff.after_failure(&mut rng));
        backoff.reset();
        assert!(backoff.after_failure(&mut rng) <= Duration::from_secs(1));
    }

    #[test]
    fn no_window_ever_holds_more_attempts_than_allowed() {
        let (saved, every, start) = (5, Duration::from_secs(60), Instant::now());
        let mut limit = AttemptLimit::new(saved, every, start);
        let mut made = Vec::new();
        let mut now = start;
        for _ in 0..50 {
            now = limit.next_allowed(now);
            limit.count(now);
            made.push(now);
        }
        assert_eq!(made[saved as usize - 1], start, "attempts below the limit do not wait");
        for (at, pair) in made.windows(2).enumerate().skip(saved as usize - 1) {
            assert_eq!(pair[1] - pair[0], every, "{at}");
        }
        let later = now + every * 20;
        assert_eq!(limit.next_allowed(later), later);
        (0..saved).for_each(|_| limit.count(later));
        assert_eq!(limit.next_allowed(later), later + every, "what is saved up is bounded");
    }
}
