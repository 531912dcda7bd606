//! What a price did in the last minutes, in steps of ten seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::store::Candle;
use crate::trade::MINUTE_MS;

/// How long a step is; one cell of the line that is drawn.
pub(super) const STEP: Duration = Duration::from_secs(10);
const STEP_MS: i64 = 10_000;
/// Steps that are kept, at most: twenty minutes.
pub(super) const STEPS_MAX: i64 = 120;
/// Whole steps, beside the one that runs, over which trades a second are told.
const RATE_STEPS: i64 = 2;

/// The last minutes of a series.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// By the step's begin, in milliseconds since 1970.
    steps: BTreeMap<i64, Step>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    high: f64,
    low: f64,
    close: f64,
    trades: u64,
}

impl History {
    /// Takes what a step has by now.
    pub(super) fn take(&mut self, candle: &Candle) {
        let Candle { high, low, close, trades, .. } = *candle;
        self.steps.insert(candle.time.ms(), Step { high, low, close, trades });
    }

    /// Forgets what is too old to be shown at `now_ms`.
    pub(super) fn forget_old(&mut self, now_ms: i64) {
        self.steps = self.steps.split_off(&(begin(now_ms) - (STEPS_MAX - 1) * STEP_MS));
    }

    /// The price a minute before `now_ms`, to the step.
    pub(super) fn minute_ago(&self, now_ms: i64) -> Option<f64> {
        let before = self.steps.range(..=begin(now_ms - MINUTE_MS) - STEP_MS);
        before.last().map(|(_, step)| step.close)
    }

    /// Trades a second in the last 20 to 30 seconds.
    pub(super) fn trades_per_second(&self, now_ms: i64) -> f64 {
        let first = begin(now_ms) - RATE_STEPS * STEP_MS;
        let trades: u64 = self.steps.range(first..).map(|(_, step)| step.trades).sum();
        trades as f64 * 1_000.0 / (now_ms - first) as f64
    }

    /// The highest price of the last minute less the lowest.
    pub(super) fn spread(&self, now_ms: i64) -> Option<f64> {
        let minute = || self.steps.range(begin(now_ms) - MINUTE_MS + STEP_MS..).map(|(_, step)| step);
        let high = minute().map(|step| step.high).reduce(f64::max)?;
        Some(high - minute().map(|step| step.low).reduce(f64::min)?)
    }

    /// The price at the end of each of the last `cells` steps, the one that runs last. A step without a trade has the price
    /// before it; behind the newest trade, and where nothing is known, there is none.
    pub(super) fn line(&self, now_ms: i64, cells: usize) -> Vec<Option<f64>> {
        let newest = self.steps.last_key_value().map(|(begin, _)| *begin);
        let first = begin(now_ms) - (i64::try_from(cells).unwrap_or(STEPS_MAX) - 1) * STEP_MS;
        let mut price = self.steps.range(..first).last().map(|(_, step)| step.close);
        let steps = (0..cells).zip((first..).step_by(STEP_MS.unsigned_abs() as usize));
        steps
            .map(|(_, begin)| {
                price = self.steps.get(&begin).map(|step| step.close).or(price);
                price.filter(|_| newest.is_some_and(|newest| begin <= newest))
            })
            .collect()
    }
}

/// The begin of the step that holds a time.
fn begin(ms: i64) -> i64 {
    ms - ms.rem_euclid(STEP_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::TradeTime;

    /// A multiple of a minute, and five seconds.
    const NOW_MS: i64 = 1_767_268_805_000;

    fn history(steps: &[(i64, f64)]) -> History {
        let mut history = History::default();
        for (seconds_ago, price) in steps {
            let time = TradeTime::from_ms(begin(NOW_MS - seconds_ago * 1_000)).unwrap();
            let mut candle = Candle::of_one("binance".parse().unwrap(), "BTCUSDT".parse().unwrap(), time, *price, 1.0);
            candle.add(*price + 0.5, 1.0);
            candle.add(*price, 1.0);
            history.take(&candle);
        }
        history
    }

    #[test]
    fn trades_a_second_are_those_of_the_running_step_and_two_before() {
        assert_eq!(history(&[]).trades_per_second(NOW_MS), 0.0);
        assert_eq!(history(&[(0, 1.0), (10, 1.0), (20, 1.0), (30, 1.0)]).trades_per_second(NOW_MS), 9.0 / 25.0);
    }

    #[test]
    fn a_minute_ago_and_the_spread_of_the_minute_are_told_to_the_step() {
        let history = history(&[(0, 5.0), (50, 7.0), (60, 20.0), (70, 3.0), (80, 2.0)]);
        assert_eq!(history.minute_ago(NOW_MS), Some(3.0));
        assert_eq!(history.spread(NOW_MS), Some(2.5));
        assert_eq!(
            (super::History::default().minute_ago(NOW_MS), super::History::default().spread(NOW_MS)),
            (None, None)
        );
    }

    #[test]
    fn the_line_goes_on_where_nobody_traded_and_ends_with_the_newest_trade() {
        let history = history(&[(20, 4.0), (50, 3.0)]);
        assert_eq!(history.line(NOW_MS, 7), [None, Some(3.0), Some(3.0), Some(3.0), Some(4.0), None, None]);
        assert_eq!(history.line(NOW_MS, 4), [Some(3.0), Some(4.0), None, None]);
        assert!(history.line(NOW_MS, 0).is_empty());
    }

    #[test]
    fn a_step_that_comes_again_stands_for_the_one_before_and_old_ones_are_forgotten() {
        let mut history = history(&[(1_300, 1.0), (1_190, 2.0), (0, 3.0), (0, 4.0)]);
        history.forget_old(NOW_MS);
        assert_eq!(history.steps.len(), 2);
        assert_eq!(history.line(NOW_MS, 1), [Some(4.0)]);
    }
}
