//! Time of a simulated world: microseconds since it began.

use std::ops::Add;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Time(pub u64);

impl Time {
    pub fn ms(self) -> i64 {
        i64::try_from(self.0 / 1_000).expect("no world is so old")
    }

    /// As every trade of a world has it: in ms, and short.
    pub fn short_ms(self) -> u32 {
        u32::try_from(self.0 / 1_000).expect("no world is so old")
    }

    pub fn since_begin(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0 + u64::try_from(duration.as_micros()).expect("no world is so old"))
    }
}
