//! How long to wait before trying again: capped exponential, full jitter.
//!
//! Full jitter (a wait drawn evenly from zero to the bound) keeps many clients
//! from coming back in step.

use std::collections::VecDeque;
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

/// At most so many attempts in any window of time.
#[derive(Debug)]
pub struct AttemptLimit {
    attempts: VecDeque<Instant>,
    most: usize,
    window: Duration,
}

impl AttemptLimit {
    /// Allows `most` attempts in any `window`.
    pub fn new(most: usize, window: Duration) -> Self {
        Self { attempts: VecDeque::with_capacity(most), most, window }
    }

    /// The first moment from `now` on at which one more attempt is within the limit.
    pub fn next_allowed(&self, now: Instant) -> Instant {
        match self.attempts.front() {
            Some(oldest) if self.attempts.len() >= self.most => now.max(*oldest + self.window),
            _ => now,
        }
    }

    /// Counts an attempt made at `now`.
    pub fn count(&mut self, now: Instant) {
        if self.attempts.len() >= self.most {
            self.attempts.pop_front();
        }
        self.attempts.push_back(now);
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
        let (most, window, start) = (5, Duration::from_secs(60), Instant::now());
        let mut limit = AttemptLimit::new(most, window);
        let mut made = Vec::new();
        let mut now = start;
        for _ in 0..50 {
            now = limit.next_allowed(now);
            limit.count(now);
            made.push(now);
        }
        for pair in made.windows(most + 1) {
            assert!(pair[most] - pair[0] >= window);
        }
        assert_eq!(made[most - 1], start, "attempts below the limit do not wait");
    }
}
