//! Where candles come from: the exchange, within the weight that it grants, or recorded answers.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::binance::rest::{Answered, Rest, RestError, read_recorded};
use crate::binance::weight::{KLINES_WEIGHT, TIME_WEIGHT, WeightBudget};
use crate::cli::Failure;
use crate::cli::settings::now;
use crate::cli::stderr::notice;
use crate::small_file;
use crate::trade::{MINUTE_MS, Symbol, TradeTime};
use crate::verify::Told;

/// Waits that the exchange asks for are granted so often, and no longer ones than this: whoever waits may as well ask again.
const WAITS_MAX: u32 = 2;
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Bytes of a file of recorded answers; a day of one symbol has 300 kB.
const FILE_BYTES_MAX: usize = 16 << 20;

/// Who is asked for candles.
#[derive(Debug)]
pub(super) enum Candles {
    /// The exchange.
    Asked(Box<Asking>),
    /// What was recorded.
    Recorded(Told),
}

/// An exchange that is asked, one question at a time.
#[derive(Debug)]
pub(super) struct Asking {
    rest: Rest,
    budget: WeightBudget,
    /// Waits that were granted.
    waits: u32,
    /// Its time, and when it said so.
    time: (TradeTime, Instant),
}

impl Candles {
    /// Asks the exchange what time it has, and from then on for candles.
    pub(super) async fn ask(rest: Rest) -> Result<Self, Failure> {
        let began = Instant::now();
        let mut asking = Asking { rest, budget: WeightBudget::new(began), waits: 0, time: (now(), began) };
        let time = asking.within_weight(TIME_WEIGHT, |rest| async move { rest.time().await }).await?;
        asking.time = (time, Instant::now());
        Ok(Self::Asked(Box::new(asking)))
    }

    /// Reads recorded answers.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut told = Told::default();
        for path in paths {
            read_file(path, &mut told)
                .map_err(|why| Failure::Usage(format!("cannot use --kline-file {}: {why}", path.display())))?;
        }
        Ok(Self::Recorded(told))
    }

    /// What time it is where the candles come from.
    pub(super) fn now(&self) -> TradeTime {
        match self {
            Self::Asked(asking) => asking.now(),
            Self::Recorded(_) => now(),
        }
    }

    /// The candles of `symbol` from one begin up to another.
    pub(super) async fn of(&mut self, symbol: &Symbol, first: TradeTime, last: TradeTime) -> Result<Told, Failure> {
        match self {
            Self::Asked(asking) => asking.of(symbol, first, last).await,
            Self::Recorded(told) => Ok(told.clone()),
        }
    }
}

fn read_file(path: &Path, told: &mut Told) -> Result<(), String> {
    let (bytes, _) = small_file::read(path, FILE_BYTES_MAX).map_err(|error| error.to_string())?;
    let answers = read_recorded(&bytes)
        .map_err(|error| format!("it is not as /api/v3/klines answers: {}", crate::error_chain(&error)))?;
    if answers.iter().all(Vec::is_empty) {
        return Err("it has no candle".to_owned());
    }
    for candles in answers {
        if let Some(start) = told.take(candles) {
            return Err(format!("it tells the minute {start} twice, and not the same"));
        }
    }
    Ok(())
}

impl Asking {
    fn now(&self) -> TradeTime {
        let (time, since) = self.time;
        let passed = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
        time.later_by(passed)
    }

    async fn of(&mut self, symbol: &Symbol, first: TradeTime, last: TradeTime) -> Result<Told, Failure> {
        let (mut told, mut from) = (Told::default(), first);
        while from <= last {
            let candles = self
                .within_weight(KLINES_WEIGHT, |rest| {
                    let symbol = symbol.clone();
                    async move { rest.klines(&symbol, from, last).await }
                })
                .await?;
            // It may tell fewer than it has; none means that it has no more.
            let Some(newest) = candles.last().map(|candle| candle.start) else { break };
            told.take(candles);
            from = newest.later_by(MINUTE_MS);
        }
        told.is_complete();
        Ok(told)
    }

    /// Asks once the weight for it is there; waits as the exchange wishes, twice at most.
    async fn within_weight<T, F>(&mut self, weight: u32, ask: impl Fn(Rest) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Answered<T>, RestError>>,
    {
        loop {
            let allowed = self.budget.next_allowed(weight, Instant::now());
            tokio::time::sleep_until(allowed.into()).await;
            self.budget.count(weight, Instant::now());
            match ask(self.rest.clone()).await {
                Ok(Answered { value, used_weight }) => {
                    let in_minute = self.now().ms() % MINUTE_MS;
                    let left = Duration::from_millis((MINUTE_MS - in_minute).unsigned_abs());
                    used_weight.into_iter().for_each(|used| self.budget.believe(used, left, Instant::now()));
                    return Ok(value);
                }
                Err(RestError::Limited { wait, .. }) if wait <= WAIT_MAX && self.waits < WAITS_MAX => {
                    self.waits += 1;
                    notice(format!("the exchange asks to wait {} s, and is asked again then", wait.as_secs()));
                    tokio::time::sleep(wait).await;
                }
                Err(error) => return Err(Failure::Unusable(crate::error_chain(&error))),
            }
        }
    }
}
