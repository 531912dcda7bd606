//! A market of real shape, from a seed.
//!
//! Takers arrive at random; each sweeps one or more resting orders in one
//! millisecond, rarely hundreds (a quiet quarter of an hour of BTCUSDT in
//! August 2024 held one of 735), so that three quarters of the trades share
//! their millisecond. Prices walk on the tick, ids rise by one, and now and
//! then nothing happens for seconds. Pure: time comes in, trades come out.

use super::tape::Print;
use crate::trade::{Price, Quantity, Symbol, Trade, TradeError, TradeId, TradeTime};

/// The largest sweep.
const SWEEP_MAX: f64 = 735.0;
/// Exponent of the sweeps' heavy tail; sizes then average about 4.
const SWEEP_TAIL: f64 = 0.8;
const SWEEP_MEAN: f64 = 4.0;
/// A quiet spell comes about once a minute and lasts up to 4 s.
const QUIET_EVERY_MS: f64 = 60_000.0;
const QUIET_MAX_MS: f64 = 4_000.0;
/// At most a million trades a second and symbol.
const WAIT_MIN_MS: f64 = SWEEP_MEAN / 1_000.0;
/// Prices stay within these many ticks of 0.01.
pub(super) const TICKS: std::ops::RangeInclusive<u64> = 1_000..=99_999_999;

/// Every symbol's market.
#[derive(Debug)]
pub struct Market {
    symbols: Vec<SymbolMarket>,
}

/// One symbol's market.
#[derive(Debug)]
pub(super) struct SymbolMarket {
    pub(super) symbol: Symbol,
    pub(super) rng: fastrand::Rng,
    pub(super) next_id: u64,
    pub(super) ticks: u64,
    /// Mean time between takers.
    pub(super) wait_ms: f64,
    /// When the next taker comes.
    pub(super) next_ms: f64,
    /// `E` of the last trades; it never falls.
    pub(super) event_ms: i64,
}

impl Market {
    /// A market of `symbols` that begins at `start` and makes
    /// `trades_per_second` in the mean, over all symbols; a million a symbol at most.
    pub fn new(symbols: &[Symbol], seed: u64, trades_per_second: f64, start: TradeTime) -> Self {
        let wait_ms = wait_ms(trades_per_second / symbols.len() as f64);
        let markets = symbols.iter().enumerate().map(|(at, symbol)| {
            let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(at as u64));
            // Ids of today's size, shortly before a multiple of a million.
            let next_id = 1_000_000 * (6_000 - at as u64 % 5_000 + rng.u64(0..500)) - rng.u64(50..500);
            let ticks = first_ticks(symbol, &mut rng);
            SymbolMarket {
                symbol: symbol.clone(),
                rng,
                next_id,
                ticks,
                wait_ms,
                next_ms: start.ms() as f64,
                event_ms: 0,
            }
        });
        Self { symbols: markets.collect() }
    }

    /// Every trade up to `now` that was not given before, in order of time.
    ///
    /// # Errors
    ///
    /// [`TradeError`] if the clock runs past what a trade time can hold.
    pub fn until(&mut self, now: TradeTime) -> Result<Vec<Print>, TradeError> {
        let mut prints = Vec::new();
        for symbol in &mut self.symbols {
            while symbol.next_ms <= now.ms() as f64 {
                symbol.sweep(&mut prints)?;
            }
        }
        // Stable: a symbol's trades of one millisecond stay in order.
        prints.sort_by_key(|print| print.trade.time);
        Ok(prints)
    }
}

/// The mean time between takers when a symbol trades so often.
pub(super) fn wait_ms(trades_per_second: f64) -> f64 {
    // Without a wait, or with none that is a number, time would stand still.
    (SWEEP_MEAN * 1_000.0 / trades_per_second).max(WAIT_MIN_MS)
}

/// The price at which a symbol begins, in ticks.
pub(super) fn first_ticks(symbol: &Symbol, rng: &mut fastrand::Rng) -> u64 {
    match symbol.as_str() {
        "BTCUSDT" => 8_700_000,
        "ETHUSDT" => 290_000,
        _ => rng.u64(10_000..5_000_000),
    }
}

impl SymbolMarket {
    /// One taker: fills of one millisecond and one side.
    pub(super) fn sweep(&mut self, into: &mut Vec<Print>) -> Result<(), TradeError> {
        let time = TradeTime::from_ms(self.next_ms as i64)?;
        let fills = (1.0 - self.rng.f64()).powf(-SWEEP_TAIL).min(SWEEP_MAX) as u64;
        let buyer_is_maker = self.rng.bool();
        self.event_ms = self.event_ms.max(time.ms() + self.rng.i64(0..3));
        for _ in 0..fills {
            // A seller walks down the book, a buyer up.
            let step = self.rng.u64(0..2) * self.rng.u64(1..4);
            let ticks = if buyer_is_maker { self.ticks - step } else { self.ticks + step };
            self.ticks = ticks.clamp(*TICKS.start(), *TICKS.end());
            let trade = Trade {
                symbol: self.symbol.clone(),
                id: TradeId::new(self.next_id)?,
                time,
                price: Price::new(&eight_decimals(self.ticks, 2))?,
                quantity: Quantity::new(&eight_decimals(self.steps(), 5))?,
                buyer_is_maker,
            };
            self.next_id += 1;
            into.push(Print { trade, event_ms: self.event_ms });
        }
        self.next_ms += self.wait();
        Ok(())
    }

    /// A quantity in steps of 0.00001: mostly small, sometimes whole coins.
    fn steps(&mut self) -> u64 {
        (5.0 * (1.0 - self.rng.f64()).powf(-1.5)).min(900_000.0) as u64 + 1
    }

    fn wait(&mut self) -> f64 {
        let wait = -self.wait_ms * (1.0 - self.rng.f64()).ln();
        let is_quiet = self.rng.f64() < self.wait_ms / QUIET_EVERY_MS;
        if is_quiet { wait + self.rng.f64() * QUIET_MAX_MS } else { wait }
    }
}

/// `units` of `10^-decimals`, written with eight decimals as Binance does.
fn eight_decimals(units: u64, decimals: u32) -> String {
    let scale = 10u64.pow(decimals);
    let fraction = units % scale * 10u64.pow(8 - decimals);
    format!("{}.{fraction:08}", units / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(seed: u64) -> Market {
        let symbols = ["BTCUSDT".parse().unwrap(), "ETHUSDT".parse().unwrap()];
        Market::new(&symbols, seed, 100.0, TradeTime::EPOCH)
    }

    fn minutes(market: &mut Market, minutes: i64) -> Vec<Print> {
        market.until(TradeTime::from_ms(minutes * 60_000).unwrap()).unwrap()
    }

    #[test]
    fn a_seed_gives_the_same_trades_in_whatever_steps() {
        let whole = minutes(&mut market(7), 3);
        let mut stepwise = market(7);
        let mut steps: Vec<_> =
            (0..=180).flat_map(|s| stepwise.until(TradeTime::from_ms(s * 1_000).unwrap()).unwrap()).collect();
        steps.sort_by_key(|print| print.trade.time);
        assert_eq!(whole.len(), steps.len());
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            let of = |prints: &[Print]| {
                prints.iter().filter(|print| print.trade.symbol.as_str() == symbol).cloned().collect::<Vec<_>>()
            };
            assert_eq!(of(&whole), of(&steps));
        }
        assert_ne!(minutes(&mut market(8), 3), whole);
    }

    #[test]
    fn ids_are_contiguous_times_never_fall_and_a_million_is_crossed_early() {
        let prints = minutes(&mut market(7), 60);
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            let prints: Vec<_> = prints.iter().filter(|print| print.trade.symbol.as_str() == symbol).collect();
            assert!(prints.windows(2).all(|pair| pair[0].event_ms <= pair[1].event_ms));
            let trades: Vec<_> = prints.iter().map(|print| &print.trade).collect();
            assert!(trades.windows(2).all(|pair| pair[0].id.get() + 1 == pair[1].id.get()));
            assert!(trades.windows(2).all(|pair| pair[0].time <= pair[1].time));
            let (first, last) = (trades[0].id.get(), trades[trades.len() - 1].id.get());
            assert_ne!(first / 1_000_000, last / 1_000_000);
        }
        assert!(prints.iter().all(|print| (0..3).contains(&(print.event_ms - print.trade.time.ms()))));
    }

    #[test]
    fn its_shape_is_a_real_markets() {
        let prints = minutes(&mut market(7), 120);
        let rate = prints.len() as f64 / 7_200.0;
        assert!((60.0..140.0).contains(&rate), "{rate} a second");
        let mut fills = std::collections::HashMap::new();
        for print in &prints {
            *fills.entry((print.trade.symbol.clone(), print.trade.time)).or_insert(0u64) += 1;
        }
        let sharing: u64 = fills.values().filter(|fills| **fills > 1).sum();
        let share = sharing as f64 / prints.len() as f64;
        assert!((0.65..0.95).contains(&share), "{share} share their millisecond");
        assert!(fills.values().any(|fills| *fills > 200));
        let mut times: Vec<_> = prints.iter().map(|print| print.trade.time.ms()).collect();
        times.dedup();
        assert!(times.windows(2).any(|pair| pair[1] - pair[0] > 500), "no quiet spell");
        assert!(prints.iter().all(|print| print.trade.price.as_str().ends_with("000000")));
    }

    #[test]
    fn no_rate_stops_its_time() {
        for rate in [f64::INFINITY, f64::NAN, 0.0, -1.0, 1e300, f64::MIN_POSITIVE] {
            let start = TradeTime::from_ms(1_800_000_000_000).unwrap();
            let mut market = Market::new(&["BTCUSDT".parse().unwrap()], 7, rate, start);
            let prints = market.until(TradeTime::from_ms(start.ms() + 10).unwrap()).unwrap();
            assert!((1..100_000).contains(&prints.len()), "{rate} made {}", prints.len());
        }
    }

    #[test]
    fn numbers_have_eight_decimals() {
        assert_eq!(eight_decimals(6_183_763, 2), "61837.63000000");
        assert_eq!(eight_decimals(1, 5), "0.00001000");
    }
}
