//! How trades get on the tape: with the clock, or as fast as the subscribers take them.

use std::sync::Arc;
use std::time::Duration;

use super::endless::Endless;
use super::market::Market;
use super::replay::{Recording, Session, load};
use super::shared::Shared;
use super::tape::Print;
use super::{Config, ExchangeError, FAR, SYMBOLS_MAX, Source, Speed, TRADES_MAX, TRADES_PER_SECOND_MAX};
use crate::trade::{Symbol, TradeError, TradeTime};

/// Prints that the slowest subscriber may lag behind when nothing else sets the pace.
const BACKLOG_MAX: u64 = 100_000;
/// Prints put on the tape at once when nothing else sets the pace.
const CHUNK: usize = 10_000;
/// How often the market moves.
const TICK: Duration = Duration::from_millis(5);
/// It moves on by no more at once, so that one that is slower than the clock stays small.
const STEP_MS: i64 = 100;

/// Trades that are put on the tape, and how.
pub(super) enum Feed {
    /// As the clock goes, up to so many.
    Live { market: Live, left: Option<u64> },
    /// Each at its time from the first subscriber on.
    Timed { prints: Vec<(u64, Print)>, times: f64 },
    /// As fast as they are taken.
    AtOnce { prints: Box<dyn Iterator<Item = Print> + Send>, history: usize },
}

/// A market that trades with the clock.
pub(super) enum Live {
    /// It began at its start; this is how far it has come.
    Begun { market: Market, at: TradeTime },
    /// It was always there.
    Endless(Endless),
}

impl Live {
    /// The next trades up to `now`; `None` if it has come so far.
    fn next(&mut self, now: TradeTime) -> Result<Option<Vec<Print>>, TradeError> {
        match self {
            Self::Begun { at, .. } if *at >= now => Ok(None),
            Self::Begun { market, at } => {
                *at = TradeTime::from_ms(at.ms() + STEP_MS)?.min(now);
                market.until(*at).map(Some)
            }
            Self::Endless(market) => Ok(Some(market.until(now)?).filter(|prints| !prints.is_empty())),
        }
    }
}

impl Feed {
    /// What was traded before `now`.
    pub(super) fn past(&mut self, now: TradeTime) -> Result<Vec<Print>, TradeError> {
        let mut past = Vec::new();
        if let Self::Live { market: market @ Live::Endless(_), .. } = self {
            while let Some(prints) = market.next(now)? {
                past.extend(prints);
            }
        }
        Ok(past)
    }
}

/// A source made ready.
pub(super) struct Prepared {
    pub(super) feed: Feed,
    pub(super) symbols: Vec<Symbol>,
    pub(super) shift_minutes: i64,
    /// None for a market.
    pub(super) recording: Option<Recording>,
}

pub(super) fn prepare(config: &Config) -> Result<Prepared, ExchangeError> {
    let (now, history) = ((config.clock)(), config.history);
    match &config.source {
        Source::Market { symbols, seed, trades_per_second, trades, speed } => {
            let mut symbols = symbols.clone();
            symbols.sort();
            symbols.dedup();
            if symbols.len() > SYMBOLS_MAX {
                return Err(ExchangeError::Symbols(symbols.len()));
            }
            let rate = |times: f64| (trades_per_second * times).min(TRADES_PER_SECOND_MAX);
            let feed = match (*speed, *trades) {
                (Speed::Times(times), None) => {
                    let market = Endless::new(&symbols, *seed, rate(times), now, config.past.min(history));
                    Feed::Live { market: Live::Endless(market), left: None }
                }
                (Speed::Times(times), Some(trades)) => {
                    let market = Market::new(&symbols, *seed, rate(times), now);
                    Feed::Live { market: Live::Begun { market, at: now }, left: Some(trades) }
                }
                (Speed::Max, Some(trades @ ..=TRADES_MAX)) => {
                    let prints = past(&symbols, *seed, rate(1.0), trades, now)?;
                    Feed::AtOnce { prints: Box::new(prints), history }
                }
                (Speed::Max, _) => return Err(ExchangeError::Endless),
            };
            Ok(Prepared { feed, symbols, shift_minutes: 0, recording: None })
        }
        Source::Replay { path, speed, shift_minutes } => {
            let session = load(path, *shift_minutes, now, history)?;
            let Session { prints, symbols, shift_minutes, refused, is_cut, .. } = session;
            let recording = Some(Recording { trades: prints.len() as u64, refused, is_cut });
            let feed = match speed {
                Speed::Times(times) => Feed::Timed { prints, times: *times },
                Speed::Max => Feed::AtOnce { prints: Box::new(prints.into_iter().map(|(_, print)| print)), history },
            };
            Ok(Prepared { feed, symbols: symbols.into_iter().collect(), shift_minutes, recording })
        }
    }
}

/// The first `trades` of a market that began so long ago that they end now.
///
/// A market tells its end only by running, so it runs twice: memory does not
/// grow with `trades`.
fn past(
    symbols: &[Symbol],
    seed: u64,
    trades_per_second: f64,
    trades: u64,
    now: TradeTime,
) -> Result<impl Iterator<Item = Print> + Send + use<>, TradeError> {
    let trades = usize::try_from(trades).unwrap_or(usize::MAX);
    let market = || Market::new(symbols, seed, trades_per_second, TradeTime::EPOCH);
    let step_ms = (CHUNK as f64 / trades_per_second * 1_000.0).max(1.0) as i64;
    let (mut rehearsal, mut made, mut last_ms, mut steps) = (market(), 0, 0, Vec::new());
    while made < trades && !symbols.is_empty() {
        let until = TradeTime::from_ms(step_ms.saturating_mul(steps.len() as i64 + 1))?;
        let prints = rehearsal.until(until)?;
        last_ms = prints.iter().take(trades - made).next_back().map_or(last_ms, |print| print.event_ms);
        made += prints.len();
        steps.push(until);
    }
    let mut market = market();
    let shift_ms = TradeTime::from_ms(now.ms() - last_ms)?.ms();
    // What went well once goes well again, and no time is later than now.
    let steps = steps.into_iter().map_while(move |until| market.until(until).ok());
    Ok(steps.flatten().take(trades).filter_map(move |mut print| {
        print.trade.time = TradeTime::from_ms(print.trade.time.ms() + shift_ms).ok()?;
        print.event_ms += shift_ms;
        Some(print)
    }))
}

/// Puts everything on the tape, until the exchange ends.
pub(super) async fn run(feed: Feed, shared: Arc<Shared>) {
    let mut stop = shared.stop.subscribe();
    let feeding = async {
        match feed {
            Feed::Live { market, left } => live(market, left, &shared).await,
            Feed::Timed { prints, times } => timed(prints, times, &shared).await,
            Feed::AtOnce { prints, history } => at_once(prints, history, &shared).await,
        }
        shared.tape.set_ended();
    };
    tokio::select! {
        () = feeding => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn live(mut market: Live, mut left: Option<u64>, shared: &Shared) {
    let mut tick = tokio::time::interval(TICK);
    while left != Some(0) {
        tick.tick().await;
        loop {
            let mut prints = match market.next((shared.clock)()) {
                Ok(Some(prints)) => prints,
                Ok(None) => break,
                Err(_) => return,
            };
            if let Some(left) = &mut left {
                prints.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= prints.len() as u64;
            }
            if !prints.is_empty() {
                shared.append(prints);
            }
            if left == Some(0) {
                return;
            }
            // One that cannot keep up with the clock lets the others run.
            tokio::task::yield_now().await;
        }
    }
}

async fn timed(prints: Vec<(u64, Print)>, times: f64, shared: &Shared) {
    first_subscriber(shared).await;
    let start = tokio::time::Instant::now();
    for (since_start_ns, print) in prints {
        let after = Duration::try_from_secs_f64(since_start_ns as f64 / 1e9 / times).unwrap_or(FAR).min(FAR);
        // Sleeping costs a millisecond at least; what is due by then goes now.
        let at = start + after;
        if at > tokio::time::Instant::now() {
            tokio::time::sleep_until(at).await;
        }
        shared.append([print]);
    }
}

/// Runs ahead of the slowest subscriber by no more than is kept, so that none falls off the tape.
async fn at_once(mut prints: Box<dyn Iterator<Item = Print> + Send>, history: usize, shared: &Shared) {
    first_subscriber(shared).await;
    let chunk = CHUNK.min(history.div_ceil(2));
    let ahead = BACKLOG_MAX.min(history as u64) - chunk as u64;
    loop {
        while shared.tape.backlog() > ahead {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let chunk: Vec<_> = prints.by_ref().take(chunk).collect();
        if chunk.is_empty() {
            return;
        }
        shared.append(chunk);
        tokio::task::yield_now().await;
    }
}

async fn first_subscriber(shared: &Shared) {
    // The sender lives as long as the exchange.
    let _ = shared.subscribed.subscribe().wait_for(|subscribed| *subscribed).await;
}
