//! The request weight that an address has used in the running minute.
//!
//! Source: Binance's `rest-api.md`: 6,000 a minute; past it 429 with
//! `Retry-After` in seconds. Pure: time comes in.

use crate::trade::MINUTE_MS;

/// Binance's limit a minute.
pub(super) const LIMIT: u32 = 6_000;

/// Counts weight by the clock's minute, as Binance does.
#[derive(Debug, Default)]
pub(super) struct Weight {
    minute: i64,
    used: u32,
}

/// The limit is reached: wait so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverLimit {
    pub(super) retry_after_seconds: i64,
}

impl Weight {
    /// Takes `weight` at `now_ms`, if that much is left in this minute.
    pub(super) fn take(&mut self, weight: u32, now_ms: i64) -> Result<(), OverLimit> {
        let minute = now_ms.div_euclid(MINUTE_MS);
        if minute != self.minute {
            *self = Self { minute, used: 0 };
        }
        if self.used + weight > LIMIT {
            let left_ms = MINUTE_MS - now_ms.rem_euclid(MINUTE_MS);
            return Err(OverLimit { retry_after_seconds: (left_ms + 999) / 1_000 });
        }
        self.used += weight;
        Ok(())
    }

    /// What is used in the minute of the last request.
    pub(super) fn used(&self) -> u32 {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_for_a_minute_and_says_how_long() {
        let mut weight = Weight::default();
        assert_eq!(weight.take(25, 10_000), Ok(()));
        assert_eq!(weight.used(), 25);
        assert_eq!(weight.take(LIMIT - 25, 20_000), Ok(()));
        assert_eq!(weight.take(1, 20_500), Err(OverLimit { retry_after_seconds: 40 }));
        assert_eq!(weight.used(), LIMIT);
        assert_eq!(weight.take(25, 60_000), Ok(()));
        assert_eq!(weight.used(), 25);
    }
}
