//! The practice exchange: Binance's streams and REST on a market of its own, or on a recorded session.
//!
//! It knows [`crate::trade`] and Binance's wire format and nothing of the
//! capture: an independent witness. One ordered [`tape`] holds the trades;
//! every stream is a cursor into it, and REST reads it.

pub mod faults;
pub mod market;
pub mod replay;
mod request;
mod rest;
mod shared;
pub mod tape;
mod weight;
mod wire;
mod ws;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::serve::ListenerExt as _;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::faults::{Faults, RestFaults};
use self::market::Market;
use self::replay::{ReplayError, Session, load};
use self::shared::{Restart, Shared};
use self::tape::{Print, Tape};
use crate::trade::{Symbol, TradeError, TradeTime};

/// Prints that the slowest subscriber may lag behind when nothing else sets the pace.
const BACKLOG_MAX: u64 = 100_000;
/// Prints put on the tape at once when nothing else sets the pace.
const CHUNK: usize = 10_000;
/// How often the market moves.
const TICK: Duration = Duration::from_millis(5);
/// How long clients may take to go when the exchange ends.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);
/// Later than any exchange runs.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// Where the trades come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A market made from a seed, live; or as fast as the subscribers can take `trades`.
    Market {
        /// Whose trades.
        symbols: Vec<Symbol>,
        /// The same seed gives the same market.
        seed: u64,
        /// Mean over all symbols.
        trades_per_second: f64,
        /// Stop after so many.
        trades: Option<u64>,
        /// `Max` wants `trades`: the market's past, ending now.
        speed: Speed,
    },
    /// A recorded session.
    Replay {
        /// The recording.
        path: PathBuf,
        /// How fast.
        speed: Speed,
        /// Minutes to move `T` and `E` by, if not as close to now as whole minutes allow.
        shift_minutes: Option<i64>,
    },
}

/// How fast trades are put on the tape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times as fast as they happened.
    Times(f64),
    /// As fast as the slowest subscriber takes them.
    Max,
}

/// How the exchange behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the trades come from.
    pub source: Source,
    /// How often streams are pinged; Binance: 20 s.
    pub ping_interval: Duration,
    /// A stream whose ping has had no pong for so long is closed; Binance: 60 s.
    pub ping_timeout: Duration,
    /// Trades kept for REST and slow subscribers, one at least.
    pub history: usize,
    /// What goes wrong.
    pub faults: Faults,
    /// The wall clock.
    pub clock: fn() -> TradeTime,
}

impl Config {
    /// Binance's pings, and the newest two million trades (about 250 MB).
    pub fn new(source: Source, clock: fn() -> TradeTime) -> Self {
        Self {
            source,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(60),
            history: 2_000_000,
            faults: Faults::default(),
            clock,
        }
    }
}

/// Why the exchange cannot start.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}: give another --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The recording cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The market cannot be made.
    #[error("cannot make the market: {0}")]
    Market(#[from] TradeError),
    /// A market at full speed has no end.
    #[error("a market at full speed needs a number of trades: give --trades")]
    Endless,
    /// Replayed trades all stay on the tape.
    #[error("the recording has {trades} trades and only {history} are kept: give a larger --history")]
    History {
        /// Trades of the recording.
        trades: usize,
        /// Trades kept.
        history: usize,
    },
}

/// A running exchange; stops when dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<std::io::Result<()>>,
}

/// Trades that are put on the tape, and how.
enum Feed {
    Live { market: Market, left: Option<u64> },
    Timed { prints: Vec<(u64, Print)>, times: f64 },
    AtOnce { prints: Box<dyn Iterator<Item = Print> + Send>, history: usize },
}

/// Starts an exchange on `listen`; port 0 takes any.
///
/// # Errors
///
/// [`ExchangeError`] if it cannot listen, or its source cannot be used.
///
/// # Cancel safety
///
/// Safe: nothing runs before it returns.
pub async fn start(listen: SocketAddr, config: Config) -> Result<Running, ExchangeError> {
    let config = Config { history: config.history.max(1), ..config };
    let (feed, symbols, shift_minutes) = prepare(&config)?;
    let failed = |source| ExchangeError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // A trade must not wait until the client has acknowledged the one before.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let shared = Arc::new(Shared {
        tape: Tape::new(&symbols, config.history),
        streams: symbols.iter().map(|symbol| (symbol.stream_name(), symbol.clone())).collect(),
        weight: Mutex::default(),
        next_subscriber: AtomicU64::new(0),
        subscribed: watch::Sender::new(false),
        stop: watch::Sender::new(false),
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        shift_minutes,
        rest_faults: Mutex::new(RestFaults::new(&config.faults)),
        faults: config.faults,
        started: Instant::now(),
        is_calm: AtomicBool::new(false),
        restart: Mutex::new(Restart::default()),
        clock: config.clock,
    });
    let router = ws::router().merge(rest::router()).with_state(Arc::clone(&shared));
    let mut stop = shared.stop.subscribe();
    let stopped = async move {
        // The sender lives as long as the exchange.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(stopped).into_future();
    tokio::spawn(run_feed(feed, Arc::clone(&shared)));
    Ok(Running { address, shared, server: tokio::spawn(server) })
}

impl Running {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Minutes by which a recording's times were moved; 0 for a market.
    pub fn shift_minutes(&self) -> i64 {
        self.shared.shift_minutes
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        self.shared.is_calm.store(true, Ordering::Relaxed);
    }

    /// Streams that are open and subscribed now.
    pub fn subscribers(&self) -> usize {
        self.shared.tape.subscribers()
    }

    /// Every trade so far that is still kept: the exchange's own list.
    pub fn trades(&self, symbol: &Symbol) -> Vec<crate::trade::Trade> {
        self.shared.tape.history(symbol, Some(0), usize::MAX)
    }

    /// Closes every connection, and ends when the clients have gone or after two seconds.
    ///
    /// # Cancel safety
    ///
    /// Safe: it goes on ending by itself.
    pub async fn shutdown(mut self) {
        self.shared.stop.send_replace(true);
        let ending = async {
            // Whether serving ended well no longer matters.
            let _ = (&mut self.server).await;
            // Every stream holds a receiver until it is closed.
            self.shared.stop.closed().await;
        };
        // Who has not gone by then is cut off.
        let _ = tokio::time::timeout(SHUTDOWN_WAIT, ending).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.send_replace(true);
        self.server.abort();
    }
}

fn prepare(config: &Config) -> Result<(Feed, Vec<Symbol>, i64), ExchangeError> {
    let (now, history) = ((config.clock)(), config.history);
    match &config.source {
        Source::Market { symbols, seed, trades_per_second, trades, speed } => {
            let mut symbols = symbols.clone();
            symbols.sort();
            symbols.dedup();
            let feed = match speed {
                Speed::Times(times) => {
                    let market = Market::new(&symbols, *seed, trades_per_second * times, now);
                    Feed::Live { market, left: *trades }
                }
                Speed::Max => {
                    let trades = trades.ok_or(ExchangeError::Endless)?;
                    let prints = past(&symbols, *seed, *trades_per_second, trades, now)?;
                    Feed::AtOnce { prints: Box::new(prints), history }
                }
            };
            Ok((feed, symbols, 0))
        }
        Source::Replay { path, speed, shift_minutes } => {
            let Session { prints, symbols, shift_minutes, .. } = load(path, *shift_minutes, now)?;
            if prints.len() > history {
                return Err(ExchangeError::History { trades: prints.len(), history });
            }
            let feed = match speed {
                Speed::Times(times) => Feed::Timed { prints, times: *times },
                Speed::Max => Feed::AtOnce { prints: Box::new(prints.into_iter().map(|(_, print)| print)), history },
            };
            Ok((feed, symbols.into_iter().collect(), shift_minutes))
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

async fn run_feed(feed: Feed, shared: Arc<Shared>) {
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

async fn live(mut market: Market, mut left: Option<u64>, shared: &Shared) {
    let mut tick = tokio::time::interval(TICK);
    while left != Some(0) {
        tick.tick().await;
        let Ok(mut prints) = market.until((shared.clock)()) else { return };
        if let Some(left) = &mut left {
            prints.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= prints.len() as u64;
        }
        if !prints.is_empty() {
            shared.append(prints);
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
