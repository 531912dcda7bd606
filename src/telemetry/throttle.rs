//! Fewer lines of one kind: what happens a thousand times a second is said once in a few seconds, with a count.
//!
//! A kind is a variant of an event, with its symbol where that matters; never foreign text, so that the kinds are as few
//! as the program's own. Count first, for that is never throttled, then ask:
//!
//! ```
//! # use std::time::Instant;
//! # use tickflux::telemetry::throttle::Throttle;
//! # let (mut throttle, now, why) = (Throttle::default(), Instant::now(), "no JSON");
//! if let Some(turn) = throttle.turn("message refused", now) {
//!     tracing::warn!(%why, repeated = turn.repeated, "A message was refused.");
//! }
//! // From time to time, and at the end:
//! for (kind, repeated) in throttle.overdue(now) {
//!     tracing::warn!(repeated, "Again: {kind}.");
//! }
//! ```

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Between two lines of a kind, at least.
pub const EVERY: Duration = Duration::from_secs(5);

/// Which kinds were said when, and how often each was left out since.
#[derive(Debug)]
pub struct Throttle<K>(HashMap<K, Kind>);

#[derive(Debug)]
struct Kind {
    said: Instant,
    left_out: u64,
}

/// That a line may be said now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// How many lines of its kind were left out since the last one, if any were.
    pub repeated: Option<u64>,
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone> Throttle<K> {
    /// Whether a line of `kind` may be said now: the first always, the next after [`EVERY`]. One that may not is counted.
    pub fn turn(&mut self, kind: K, now: Instant) -> Option<Turn> {
        let Some(known) = self.0.get_mut(&kind) else {
            self.0.insert(kind, Kind { said: now, left_out: 0 });
            return Some(Turn { repeated: None });
        };
        if now < known.said + EVERY {
            known.left_out += 1;
            return None;
        }
        known.said = now;
        let left_out = std::mem::take(&mut known.left_out);
        Some(Turn { repeated: (left_out > 0).then_some(left_out) })
    }

    /// The kinds whose time is over and that were left out since their last line, with how often: this is their line.
    /// Those without anything to say are forgotten.
    pub fn overdue(&mut self, now: Instant) -> Vec<(K, u64)> {
        let mut overdue = Vec::new();
        self.0.retain(|kind, known| {
            let is_over = now >= known.said + EVERY;
            if is_over && known.left_out > 0 {
                overdue.push((kind.clone(), std::mem::take(&mut known.left_out)));
                known.said = now;
                return true;
            }
            !is_over
        });
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_the_next_one_says_how_many_were_not() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(throttle.turn("refused", at(0)), Some(Turn { repeated: None }));
        for ms in 1..=123 {
            assert_eq!(throttle.turn("refused", at(ms)), None);
        }
        assert_eq!(throttle.turn("closed", at(200)), Some(Turn { repeated: None }), "each kind by itself");
        assert_eq!(throttle.turn("refused", at(4_999)), None);
        assert_eq!(throttle.turn("refused", at(5_000)), Some(Turn { repeated: Some(124) }));
        assert_eq!(throttle.turn("refused", at(10_000)), Some(Turn { repeated: None }), "none was left out");
    }

    #[test]
    fn a_kind_that_is_quiet_again_still_says_what_was_left_out() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(throttle.turn("refused", at(0)).is_some() && throttle.turn("closed", at(0)).is_some());
        assert!(throttle.turn("refused", at(1)).is_none() && throttle.turn("refused", at(2)).is_none());
        assert_eq!(throttle.overdue(at(4)), []);
        assert_eq!(throttle.overdue(at(5)), [("refused", 2)]);
        assert!(throttle.turn("refused", at(6)).is_none(), "that was its line");
        assert_eq!(throttle.overdue(at(10)), [("refused", 1)]);
        assert_eq!(throttle.overdue(at(20)), []);
        assert!(throttle.0.is_empty(), "what has nothing to say is forgotten");
    }

    #[test]
    fn a_storm_is_a_few_lines_that_account_for_all_of_it() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let turns = (0..60_000).filter_map(|ms| throttle.turn((), start + Duration::from_millis(ms)));
        let repeated: Vec<_> = turns.map(|turn| turn.repeated.unwrap_or(0)).collect();
        assert_eq!(repeated.len(), 12);
        let left: u64 = throttle.overdue(start + Duration::from_secs(60)).iter().map(|(_, times)| times).sum();
        assert_eq!(repeated.iter().sum::<u64>() + left + 12, 60_000);
    }
}
