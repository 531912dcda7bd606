//! A market without a beginning and an end: a function of the clock.
//!
//! Time is cut into windows. Each holds the same number of trades of every symbol, made from the seed, the symbol and
//! the number of the window alone. So ids rise by one across windows, and an exchange that starts again goes on where
//! it would be had it never stopped, with the same ids and the same trades. Pure: time comes in, trades come out.

use std::iter;

use super::TRADES_PER_SECOND_MAX;
use super::market::{SymbolMarket, TICKS, first_ticks, wait_ms};
use super::tape::Print;
use crate::trade::{Symbol, TradeError, TradeTime};

/// How long a window may be, in milliseconds.
const WINDOWS_MS: [i64; 6] = [100, 1_000, 10_000, 60_000, 600_000, 3_600_000];
/// A window is long enough for so many trades, and for so many of each symbol.
const TRADES_MIN: f64 = 5_000.0;
const TRADES_OF_SYMBOL_MIN: f64 = 20.0;
/// One taker fills no more than this part of a window, so that no symbol is silent for most of it.
const SWEEP_SHARE: usize = 8;
/// The first window's ids begin below this.
const FIRST_ID_MAX: u64 = 6_000_000_000;
/// Prices wander by these shares in these times.
const WANDERING: [(f64, u32); 2] = [(0.02, 6 * 3_600_000), (0.002, 10 * 60_000)];

/// Every symbol's market, for ever.
#[derive(Debug)]
pub(super) struct Endless {
    symbols: Vec<Symbol>,
    seed: u64,
    window_ms: i64,
    /// Trades of a symbol in a window.
    trades: u64,
    /// What it gives is later than this.
    begin_ms: i64,
    /// The window to make next.
    next_window: i64,
    /// What is made and not given yet, the last first.
    made: Vec<Print>,
}

impl Endless {
    /// A market of `symbols` as it is from `start` on, and with the windows before that hold the last `past` trades.
    pub(super) fn new(symbols: &[Symbol], seed: u64, trades_per_second: f64, start: TradeTime, past: usize) -> Self {
        let rate = trades_per_second.clamp(0.0, TRADES_PER_SECOND_MAX) / 1_000.0;
        let count = symbols.len().max(1) as f64;
        let is_enough = |window: &&i64| {
            let trades = rate * **window as f64;
            trades >= TRADES_MIN && trades / count >= TRADES_OF_SYMBOL_MIN
        };
        let window_ms = *WINDOWS_MS.iter().find(is_enough).unwrap_or(&WINDOWS_MS[WINDOWS_MS.len() - 1]);
        let trades = ((rate * window_ms as f64 / count).round() as u64).max(1);
        let windows = (past as u64).div_ceil(trades.saturating_mul(count as u64));
        let this_window = start.ms() / window_ms;
        let next_window = this_window.saturating_sub_unsigned(windows).max(0);
        let begin_ms = if windows == 0 { start.ms() } else { i64::MIN };
        Self { symbols: symbols.to_vec(), seed, window_ms, trades, begin_ms, next_window, made: Vec::new() }
    }

    /// Trades up to `now` that were not given before, in order of time: those of one window at most.
    ///
    /// # Errors
    ///
    /// [`TradeError`] if the clock runs past what a trade time can hold.
    pub(super) fn until(&mut self, now: TradeTime) -> Result<Vec<Print>, TradeError> {
        if self.made.is_empty() && self.next_window <= now.ms() / self.window_ms {
            for symbol in &self.symbols {
                self.made.extend(self.window(symbol, self.next_window)?);
            }
            self.next_window += 1;
            // Stable: a symbol's trades of one millisecond stay in order.
            self.made.sort_by_key(|print| print.trade.time);
            self.made.reverse();
        }
        let later = self.made.partition_point(|print| print.trade.time > now);
        let begin_ms = self.begin_ms;
        Ok(self.made.drain(later..).rev().filter(|print| print.trade.time.ms() > begin_ms).collect())
    }

    /// The trades of a symbol in a window.
    fn window(&self, symbol: &Symbol, window: i64) -> Result<Vec<Print>, TradeError> {
        let mut own = self.draw(symbol, -1);
        let first_id = 1 + own.u64(..FIRST_ID_MAX);
        let first_id = first_id.saturating_add(self.trades.saturating_mul(window.unsigned_abs()));
        let begin_ms = window.saturating_mul(self.window_ms);
        let ticks = self.wandered(symbol, first_ticks(symbol, &mut own), begin_ms);
        let mut rng = self.draw(symbol, window);
        let wait_ms = wait_ms(self.trades as f64 * 1_000.0 / self.window_ms as f64);
        let next_ms = rng.f64() * wait_ms;
        let mut market =
            SymbolMarket { symbol: symbol.clone(), rng, next_id: first_id, ticks, wait_ms, next_ms, event_ms: 0 };
        let trades = usize::try_from(self.trades).unwrap_or(usize::MAX);
        let mut prints = Vec::new();
        while prints.len() < trades {
            let most = prints.len().saturating_add(trades.div_ceil(SWEEP_SHARE)).min(trades);
            market.sweep(&mut prints)?;
            prints.truncate(most);
            market.next_id = first_id.saturating_add(prints.len() as u64);
        }
        // As long as the window, however long they took.
        let (stretch, last_ms) = (self.window_ms as f64 / market.next_ms.max(1.0), self.window_ms - 1);
        let mut event_ms = 0;
        for print in &mut prints {
            let behind = print.event_ms - print.trade.time.ms();
            let time_ms = ((print.trade.time.ms() as f64 * stretch) as i64).min(last_ms);
            event_ms = (time_ms + behind).min(last_ms).max(event_ms);
            print.trade.time = TradeTime::from_ms(begin_ms.saturating_add(time_ms))?;
            print.event_ms = begin_ms.saturating_add(event_ms);
        }
        Ok(prints)
    }

    /// The price at a time, in ticks.
    fn wandered(&self, symbol: &Symbol, first: u64, ms: i64) -> u64 {
        let way = |(which, (share, period_ms))| share * self.noise(symbol, which, ms as f64 / f64::from(period_ms));
        let share: f64 = (0..).zip(WANDERING).map(way).sum();
        ((first as f64 * (1.0 + share)) as u64).clamp(*TICKS.start(), *TICKS.end())
    }

    /// A smooth way between random points, one a unit of `at`: from -1 to 1.
    fn noise(&self, symbol: &Symbol, which: i64, at: f64) -> f64 {
        let (before, way) = (at as i64, at.fract());
        // Below every window's number, and each way's points apart.
        let point = |at: i64| self.draw(symbol, -2 - at * WANDERING.len() as i64 - which).f64() * 2.0 - 1.0;
        let smooth = way * way * (3.0 - 2.0 * way);
        point(before) * (1.0 - smooth) + point(before + 1) * smooth
    }

    /// Randomness that belongs to a symbol and a number.
    fn draw(&self, symbol: &Symbol, number: i64) -> fastrand::Rng {
        let bytes = symbol.as_str().bytes().map(u64::from).chain(iter::once(number.cast_unsigned()));
        let seed = bytes.fold(self.seed, |seed, byte| fastrand::Rng::with_seed(seed ^ byte).u64(..));
        fastrand::Rng::with_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: i64 = 1_795_000_000_000;

    fn time(ms: i64) -> TradeTime {
        TradeTime::from_ms(ms).unwrap()
    }

    fn symbols() -> [Symbol; 2] {
        ["BTCUSDT", "ETHUSDT"].map(|symbol| symbol.parse().unwrap())
    }

    /// Everything up to `end`, asked for every `step_ms`.
    fn collect(market: &mut Endless, from: i64, end: i64, step_ms: i64) -> Vec<Print> {
        let mut all = Vec::new();
        for now in (from..end).step_by(usize::try_from(step_ms).unwrap()).chain([end]) {
            while let prints = market.until(time(now)).unwrap()
                && !prints.is_empty()
            {
                assert!(prints.iter().all(|print| print.trade.time.ms() <= now));
                all.extend(prints);
            }
        }
        all
    }

    fn of<'a>(prints: &'a [Print], symbol: &str) -> Vec<&'a Print> {
        prints.iter().filter(|print| print.trade.symbol.as_str() == symbol).collect()
    }

    #[test]
    fn one_that_starts_again_goes_on_where_it_would_be_had_it_never_stopped() {
        let (begin, end) = (NOW_MS, NOW_MS + 150_000);
        let whole = collect(&mut Endless::new(&symbols(), 7, 100.0, time(begin), 0), begin, end, 60_000);
        for stopped in [1, 5_000, 9_999, 10_000, 31_337, 59_999] {
            let first = collect(&mut Endless::new(&symbols(), 7, 100.0, time(begin), 0), begin, begin + stopped, 700);
            let again = begin + stopped;
            let second = collect(&mut Endless::new(&symbols(), 7, 100.0, time(again), 0), again, end, 50);
            for symbol in ["BTCUSDT", "ETHUSDT"] {
                assert_eq!(
                    [of(&first, symbol), of(&second, symbol)].concat(),
                    of(&whole, symbol),
                    "after {stopped} ms"
                );
            }
        }
        let other = collect(&mut Endless::new(&symbols(), 8, 100.0, time(begin), 0), begin, end, 60_000);
        assert_ne!(of(&other, "BTCUSDT"), of(&whole, "BTCUSDT"));
    }

    #[test]
    fn what_it_traded_before_its_start_is_there_if_asked_for() {
        let mut market = Endless::new(&symbols(), 7, 100.0, time(NOW_MS), 5_000);
        let past = collect(&mut market, NOW_MS, NOW_MS, 1);
        assert!((5_000..=12_000).contains(&past.len()), "{}", past.len());
        let from_then = past[0].trade.time.ms() - 1;
        let all = collect(&mut Endless::new(&symbols(), 7, 100.0, time(from_then), 0), from_then, NOW_MS, 1_000);
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            assert_eq!(of(&past, symbol), of(&all, symbol));
        }
    }

    #[test]
    fn its_rate_is_exact_its_ids_rise_by_one_and_its_times_never_fall() {
        for (rate, seconds, trades) in [(1.0, 7_200, 7_200), (100.0, 60, 6_000), (20_000.0, 3, 60_000)] {
            let begin = NOW_MS / 3_600_000 * 3_600_000;
            let mut market = Endless::new(&symbols(), 7, rate, time(begin - 1), 0);
            let prints = collect(&mut market, begin - 1, begin + seconds * 1_000 - 1, 997);
            assert_eq!(prints.len(), trades);
            for symbol in ["BTCUSDT", "ETHUSDT"] {
                for pair in of(&prints, symbol).windows(2) {
                    assert_eq!(pair[0].trade.id.get() + 1, pair[1].trade.id.get());
                    assert!(pair[0].trade.time <= pair[1].trade.time && pair[0].event_ms <= pair[1].event_ms);
                }
            }
            assert!(prints.iter().all(|print| (0..3).contains(&(print.event_ms - print.trade.time.ms()))));
        }
    }

    #[test]
    fn its_prices_wander_and_do_not_jump() {
        let begin = NOW_MS;
        let prints = collect(&mut Endless::new(&symbols(), 7, 100.0, time(begin), 0), begin, begin + 1_800_000, 60_000);
        let prices: Vec<f64> =
            of(&prints, "BTCUSDT").iter().map(|print| print.trade.price.as_str().parse().unwrap()).collect();
        assert!(prices.windows(2).all(|pair| (pair[0] / pair[1] - 1.0).abs() < 0.000_5));
        let (low, high) = prices.iter().fold((f64::MAX, 0.0), |(low, high), price| (price.min(low), price.max(high)));
        assert!(high / low > 1.000_5 && (80_000.0..95_000.0).contains(&low), "{low} to {high}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_number_breaks_it(
            seed: u64,
            rate in prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(0.0), 0.001..2_000.0],
            now in prop_oneof![0i64..5, 0i64..9_223_372_036_854, Just(9_223_372_036_853)],
            past in prop_oneof![0usize..10, 0usize..2_000],
        ) {
            let now = time(now);
            let mut market = Endless::new(&symbols(), seed, rate, now, past);
            // The last window of all does not end within what a time can hold.
            let prints = market.until(now);
            prop_assert!(prints.is_ok_and(|prints| prints.iter().all(|print| print.trade.time <= now)) || now.ms() > 9_223_368_000_000);
        }
    }
}
