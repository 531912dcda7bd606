//! What time it is at the exchange, and how far this host's clock is from it.
//!
//! Every live trade carries the exchange's time, and REST tells it. The host's wall clock is a witness beside them, never the
//! judge: it may be a day off, step, or stand still while the machine sleeps. Between two words of the exchange the
//! monotonic clock goes on, which does not step. Pure: time comes in.

use std::time::{Duration, Instant};

use crate::trade::TradeTime;

/// A difference is looked for over so long: what came late tells nothing, what came at once does.
const WINDOW: Duration = Duration::from_secs(10);
/// What REST said of the time is believed for so long.
const TOLD_MAX: Duration = Duration::from_secs(15 * 60);
/// A difference above this is worth a word.
pub const OFFSET_SAID_MS: i64 = 5_000;
/// A difference above this is a failure.
pub const OFFSET_FAILING_MS: i64 = 60_000;

/// A moment by the host's two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic clock: distances between moments.
    pub at: Instant,
    /// The wall clock: what the host believes.
    pub wall: TradeTime,
}

/// The exchange's time.
#[derive(Debug)]
pub struct ExchangeClock {
    /// Times of the exchange are kept as milliseconds ahead of this moment.
    base: Instant,
    /// The most that the exchange was ahead of the monotonic clock: what comes late only makes it less.
    stream: Extreme,
    /// What REST said last: when, and how far ahead of the monotonic clock that was, in ms.
    told: Option<(Instant, i64)>,
}

/// The largest of the newest values.
#[derive(Debug, Default)]
struct Extreme {
    current: Option<(Instant, i64)>,
    previous: Option<i64>,
}

impl Extreme {
    fn add(&mut self, value: i64, at: Instant) {
        match &mut self.current {
            Some((since, largest)) if at.saturating_duration_since(*since) < WINDOW => *largest = value.max(*largest),
            _ => {
                self.previous = self.current.map(|(_, largest)| largest);
                self.current = Some((at, value));
            }
        }
    }

    fn largest(&self) -> Option<i64> {
        self.current.map(|(_, largest)| largest).into_iter().chain(self.previous).max()
    }
}

impl ExchangeClock {
    /// Knows nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { base: now, stream: Extreme::default(), told: None }
    }

    /// A live trade of `time` came.
    pub fn heard(&mut self, time: TradeTime, now: Instant) {
        self.stream.add(time.ms() - self.since_base(now), now);
    }

    /// REST said that it is `time`; it was asked at `asked`, and the answer came now.
    pub fn told(&mut self, time: TradeTime, asked: Instant, now: Instant) {
        // It was read somewhere between the two.
        let halfway = asked + now.saturating_duration_since(asked) / 2;
        self.told = Some((now, time.ms() - self.since_base(halfway)));
    }

    /// The exchange's time, if it has said any: by its trades, or before the first one by its REST.
    pub fn now(&self, at: Instant) -> Option<TradeTime> {
        self.by_stream(at).or_else(|| self.by_rest(at))
    }

    /// A time that is past for sure: what is old by it may be given up. A word of the exchange alone may be absurd, so the
    /// earlier one counts of its stream's and its REST's, and of one of them and the host's. `None` while the exchange
    /// has said nothing.
    pub fn surely(&self, now: Moment) -> Option<TradeTime> {
        match (self.by_stream(now.at), self.by_rest(now.at)) {
            (Some(stream), Some(rest)) => Some(stream.min(rest)),
            (word, other) => word.or(other).map(|word| word.min(now.wall)),
        }
    }

    /// The exchange's time by its trades.
    pub fn by_stream(&self, at: Instant) -> Option<TradeTime> {
        self.time(self.stream.largest()?, at)
    }

    /// The exchange's time by its REST.
    pub fn by_rest(&self, at: Instant) -> Option<TradeTime> {
        self.time(self.told?.1, at)
    }

    /// How far this host's clock is ahead of the exchange's, in ms, if the exchange has said its time. A stream may come
    /// late and never early, so of the stream's and REST's words the later one counts.
    pub fn host_offset_ms(&self, now: Moment) -> Option<i64> {
        let told = self.told.filter(|(at, _)| now.at.saturating_duration_since(*at) < TOLD_MAX);
        let said = self.by_stream(now.at).into_iter().chain(told.and_then(|_| self.by_rest(now.at))).max()?;
        Some(now.wall.ms() - said.ms())
    }

    /// Whether the clocks differ by the stream's word, and REST has said nothing since `since`: then it is to be asked.
    pub fn wants_word(&self, since: Instant, now: Moment) -> bool {
        let differs = self.host_offset_ms(now).is_some_and(|ms| ms.abs() > OFFSET_SAID_MS);
        differs && self.told.is_none_or(|(at, _)| at < since)
    }

    fn time(&self, ahead_ms: i64, at: Instant) -> Option<TradeTime> {
        TradeTime::from_ms(ahead_ms.saturating_add(self.since_base(at))).ok()
    }

    fn since_base(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.base).as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_767_268_800_000;
    const HOUR: i64 = 3_600_000;

    fn time(ms: i64) -> TradeTime {
        TradeTime::from_ms(ms).unwrap()
    }

    /// A host whose wall clock is `offset_ms` off, `after` ms after the begin.
    fn moment(begin: Instant, after: i64, offset_ms: i64) -> Moment {
        Moment { at: begin + Duration::from_millis(after.unsigned_abs()), wall: time(NOON + after + offset_ms) }
    }

    #[test]
    fn the_exchanges_time_goes_on_between_its_words() {
        let begin = Instant::now();
        let mut clock = ExchangeClock::new(begin);
        assert_eq!(clock.now(begin), None);
        clock.heard(time(NOON), begin);
        assert_eq!(clock.now(begin + Duration::from_secs(60)), Some(time(NOON + 60_000)));
        // What comes late tells nothing new.
        clock.heard(time(NOON + 1_000), begin + Duration::from_secs(4));
        assert_eq!(clock.now(begin + Duration::from_secs(60)), Some(time(NOON + 60_000)));
    }

    #[test]
    fn a_wrong_host_clock_shows_and_judges_nothing() {
        for offset in [25 * HOUR, -25 * HOUR, 90_000, -7_000] {
            let begin = Instant::now();
            let mut clock = ExchangeClock::new(begin);
            for after in [0, 500, 1_000, 9_000] {
                clock.heard(time(NOON + after - 40), moment(begin, after, offset).at);
            }
            let now = moment(begin, 9_000, offset);
            assert_eq!(clock.host_offset_ms(now), Some(offset + 40));
            assert_eq!(clock.now(now.at), Some(time(NOON + 8_960)));
            assert!(clock.wants_word(begin, now));
        }
    }

    #[test]
    fn a_step_of_the_host_clock_shows_at_once() {
        let begin = Instant::now();
        let mut clock = ExchangeClock::new(begin);
        clock.told(time(NOON), begin, begin);
        assert_eq!(clock.host_offset_ms(moment(begin, 60_000, 0)), Some(0));
        assert_eq!(clock.host_offset_ms(moment(begin, 60_001, HOUR)), Some(HOUR));
        assert_eq!(clock.host_offset_ms(moment(begin, 60_002, 0)), Some(0));
        assert_eq!(clock.now(begin + Duration::from_secs(81)), Some(time(NOON + 81_000)), "and nothing else changes");
    }

    #[test]
    fn what_is_given_up_for_its_age_is_old_by_two_clocks() {
        let begin = Instant::now();
        let year = 365 * 24 * HOUR;
        // By its stream, by its REST, by the host, and what is past for sure.
        for (stream, rest, offset, sure) in [
            (None, None, 0, None),
            (None, Some(NOON + 170 * year), 0, Some(NOON)),
            (None, Some(NOON), 25 * HOUR, Some(NOON)),
            (Some(NOON + 170 * year), None, 0, Some(NOON)),
            (Some(NOON + 170 * year), Some(NOON), -25 * HOUR, Some(NOON)),
            (Some(NOON), Some(NOON + 170 * year), 25 * HOUR, Some(NOON)),
            (Some(NOON), Some(NOON), -25 * HOUR, Some(NOON)),
        ] {
            let mut clock = ExchangeClock::new(begin);
            stream.into_iter().for_each(|ms| clock.heard(time(ms), begin));
            rest.into_iter().for_each(|ms| clock.told(time(ms), begin, begin));
            assert_eq!(clock.surely(moment(begin, 0, offset)), sure.map(time), "{stream:?} {rest:?} {offset}");
        }
    }

    #[test]
    fn a_sleep_of_the_machine_is_no_difference_once_the_stream_speaks_again() {
        let begin = Instant::now();
        let mut clock = ExchangeClock::new(begin);
        clock.told(time(NOON), begin, begin);
        // The monotonic clock stood still for ten hours.
        clock.heard(time(NOON + 10 * HOUR + 5_000), begin + Duration::from_secs(5));
        assert_eq!(clock.host_offset_ms(moment(begin, 5_000, 10 * HOUR)), Some(0));
        assert_eq!(clock.now(begin + Duration::from_secs(5)), Some(time(NOON + 10 * HOUR + 5_000)));
    }

    #[test]
    fn a_stream_that_is_late_is_no_witness_against_rest() {
        let begin = Instant::now();
        let mut clock = ExchangeClock::new(begin);
        clock.heard(time(NOON - 600_000), begin);
        assert!(clock.wants_word(begin, moment(begin, 0, 0)));
        clock.told(time(NOON + 1_050), moment(begin, 1_000, 0).at, moment(begin, 1_100, 0).at);
        assert_eq!(clock.host_offset_ms(moment(begin, 2_000, 0)), Some(0));
        assert!(!clock.wants_word(begin, moment(begin, 2_000, 0)));
        let later = moment(begin, 15 * 60_000 + 2_000, 0);
        assert_eq!(clock.host_offset_ms(later), Some(600_000), "what REST said is not believed for ever");
    }

    #[test]
    fn before_the_first_trade_rest_tells_the_time() {
        let begin = Instant::now();
        let mut clock = ExchangeClock::new(begin);
        clock.told(time(NOON + 100), begin, begin + Duration::from_millis(200));
        assert_eq!(clock.now(begin + Duration::from_millis(200)), Some(time(NOON + 200)));
    }
}
