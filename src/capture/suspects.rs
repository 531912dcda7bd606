//! Trades that are not believed before another agrees with them.
//!
//! One message with an absurd time or id must not blind a symbol: stored, it would be the newest trade for years, and
//! taken into account, it would turn everything between into a hole or into a restarted count. So it waits, as a dead
//! letter, until a second trade of another id says the same. Pure.

use std::collections::VecDeque;

use super::sequencer::{JUMP, TimeBounds};
use crate::telemetry::Suspicion;
use crate::trade::{SymbolMap, Trade, TradeTime};

/// Suspects that wait, at most, for each symbol: the oldest is given up for a new one.
const SUSPECTS_MAX: usize = 4;
/// Two trades that agree on a time are no further apart.
const AGREEING_MS: i64 = 10 * 60 * 1_000;
/// A live trade is no further ahead of the exchange's time, as far as it is known.
const AHEAD_MAX_MS: i64 = 10 * 60 * 1_000;

/// What becomes of a trade that was suspected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It waits; the first time that it is seen.
    Waits,
    /// It waits already: the same trade, delivered again.
    WaitsAlready,
    /// It agrees with this one, which waited for the same reason: believe both.
    Agrees(Trade, Suspicion),
}

/// The suspects of every symbol.
#[derive(Debug, Default)]
pub struct Suspects(SymbolMap<VecDeque<(Trade, Suspicion)>>);

impl Suspects {
    /// Holds a suspected trade against those that wait.
    pub fn judge(&mut self, trade: &Trade, suspicion: Suspicion) -> Judgement {
        let waiting = self.0.entry(trade.symbol.clone()).or_default();
        if waiting.iter().any(|(other, _)| other == trade) {
            return Judgement::WaitsAlready;
        }
        let agrees = |(other, why): &(Trade, Suspicion)| *why == suspicion && do_agree(other, trade, suspicion);
        if let Some((other, why)) = waiting.iter().position(agrees).and_then(|at| waiting.remove(at)) {
            return Judgement::Agrees(other, why);
        }
        if waiting.len() == SUSPECTS_MAX {
            waiting.pop_front();
        }
        waiting.push_back((trade.clone(), suspicion));
        Judgement::Waits
    }

    /// Gives those that were suspected for their time, and need not be by what is known of the exchange's time now.
    pub fn take_within(&mut self, bounds: TimeBounds) -> Vec<(Trade, Suspicion)> {
        let is_within = |(trade, why): &(Trade, Suspicion)| {
            matches!(why, Suspicion::TimeAhead | Suspicion::TimeBehind)
                && (bounds.earliest..=bounds.latest).contains(&trade.time)
        };
        let mut within = Vec::new();
        for waiting in self.0.values_mut() {
            within.extend(waiting.iter().filter(|suspect| is_within(suspect)).cloned());
            waiting.retain(|suspect| !is_within(suspect));
        }
        within
    }
}

/// Whether two trades that are suspected for the same reason bear each other out.
fn do_agree(one: &Trade, other: &Trade, suspicion: Suspicion) -> bool {
    let (one_id, other_id) = (one.id.get(), other.id.get());
    if one_id == other_id {
        return false;
    }
    if one_id.abs_diff(other_id) > JUMP {
        return false;
    }
    match suspicion {
        Suspicion::TimeAhead | Suspicion::TimeBehind => {
            one.time.ms().abs_diff(other.time.ms()) <= AGREEING_MS.unsigned_abs()
        }
        // A count rises with time, a new one, too.
        Suspicion::IdAhead | Suspicion::IdBehind => {
            one.time == other.time || (one_id < other_id) == (one.time < other.time)
        }
    }
}

/// Between which times a live trade can be, by what the exchange said of its time: by its stream, and by its REST; or,
/// before it has said any, by the host's clock.
pub fn time_bounds(
    stream: Option<TradeTime>,
    told: Option<TradeTime>,
    host: TradeTime,
    retention_ms: i64,
) -> TimeBounds {
    let newest = stream.into_iter().chain(told).max().unwrap_or(host);
    let time = |ms: i64| TradeTime::from_ms(ms.max(0)).unwrap_or(TradeTime::EPOCH);
    TimeBounds {
        earliest: time(stream.or(told).unwrap_or(host).ms() - retention_ms),
        latest: TradeTime::from_ms(newest.ms().saturating_add(AHEAD_MAX_MS)).unwrap_or(newest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::example::trade;

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_trade_waits_until_another_id_says_the_same() {
        let mut suspects = Suspects::default();
        let (first, again, second) = (trade(5, 1_000), trade(5, 1_000), trade(6, 1_001));
        assert_eq!(suspects.judge(&first, Suspicion::IdBehind), Judgement::Waits);
        assert_eq!(suspects.judge(&again, Suspicion::IdBehind), Judgement::WaitsAlready, "another connection's copy");
        assert_eq!(
            suspects.judge(&trade(5, 2_000), Suspicion::IdBehind),
            Judgement::Waits,
            "the same id proves nothing"
        );
        assert_eq!(suspects.judge(&second, Suspicion::IdBehind), Judgement::Agrees(first, Suspicion::IdBehind));
    }

    #[test]
    fn what_contradicts_does_not_agree() {
        let mut suspects = Suspects::default();
        suspects.judge(&trade(1 << 62, 1_000), Suspicion::IdAhead);
        assert_eq!(suspects.judge(&trade(1 << 61, 1_001), Suspicion::IdAhead), Judgement::Waits, "far apart");
        assert_eq!(
            suspects.judge(&trade((1 << 62) - 1, 1_001), Suspicion::IdAhead),
            Judgement::Waits,
            "lower and later"
        );
        assert_eq!(
            suspects.judge(&trade((1 << 62) + 1, 1_000), Suspicion::TimeAhead),
            Judgement::Waits,
            "another reason"
        );
        let years = 20 * 365 * DAY;
        let mut suspects = Suspects::default();
        suspects.judge(&trade(7, years), Suspicion::TimeAhead);
        assert_eq!(suspects.judge(&trade(8, 2 * years), Suspicion::TimeAhead), Judgement::Waits);
    }

    #[test]
    fn garbage_between_two_that_agree_changes_nothing_and_the_list_is_bounded() {
        let mut suspects = Suspects::default();
        suspects.judge(&trade(1, 5), Suspicion::IdBehind);
        suspects.judge(&trade(1 << 50, 6), Suspicion::IdAhead);
        assert!(matches!(suspects.judge(&trade(2, 7), Suspicion::IdBehind), Judgement::Agrees(..)));
        for at in 0..100 {
            suspects.judge(&trade(at * 20_000_000, 1), Suspicion::IdAhead);
        }
        assert_eq!(suspects.0.values().map(VecDeque::len).sum::<usize>(), SUSPECTS_MAX);
    }

    #[test]
    fn the_host_clock_judges_only_before_the_exchange_has_spoken() {
        let time = |ms| TradeTime::from_ms(ms).unwrap();
        let (now, wrong) = (time(100 * DAY), time(101 * DAY + 3_600_000));
        let bounds = time_bounds(Some(now), None, wrong, DAY);
        assert_eq!((bounds.earliest, bounds.latest), (time(99 * DAY), time(100 * DAY + AHEAD_MAX_MS)));
        assert_eq!(time_bounds(None, Some(now), wrong, DAY), bounds);
        assert_eq!(time_bounds(None, None, now, DAY), bounds);
        // A replay's stream lies behind what REST says.
        let replay = time_bounds(Some(time(5 * DAY)), Some(now), now, DAY);
        assert_eq!((replay.earliest, replay.latest), (time(4 * DAY), time(100 * DAY + AHEAD_MAX_MS)));
    }
}
