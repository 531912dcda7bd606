//! The practice exchange: Binance's streams and REST on a market of its own, or on a recorded session.
//!
//! It knows [`crate::trade`], Binance's wire format and the files of an archive, and nothing of the
//! capture: an independent witness. One ordered [`tape`] holds the trades;
//! every stream is a cursor into it, and REST reads it.

mod dump;
mod endless;
pub mod faults;
mod feed;
mod klines;
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
use self::feed::{Prepared, prepare};
use self::replay::{Recording, ReplayError};
use self::shared::{Restart, Shared};
use self::tape::Tape;
use crate::trade::{Symbol, TradeError, TradeTime};

/// A market trades no faster, over all symbols.
pub const TRADES_PER_SECOND_MAX: f64 = 1_000_000.0;
/// A market at full speed makes no more.
pub const TRADES_MAX: u64 = 100_000_000;
/// An exchange lists no more; Binance lists some 3,500.
pub const SYMBOLS_MAX: usize = 5_000;
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
        /// Mean over all symbols; [`TRADES_PER_SECOND_MAX`] at most.
        trades_per_second: f64,
        /// Stop after so many. Without an end the market is a function of the clock: one that starts again goes on.
        trades: Option<u64>,
        /// `Max` wants `trades`, [`TRADES_MAX`] at most: the market's past, ending now.
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
    /// About so many trades from before the start are there already, if the market has no end.
    pub past: usize,
    /// Whether `historicalTrades` is absent, as on Binance's hosts for market data only.
    pub market_data_only: bool,
    /// What goes wrong.
    pub faults: Faults,
    /// The wall clock.
    pub clock: fn() -> TradeTime,
}

impl Config {
    /// Binance's pings, and the newest half a million trades (about 60 MB).
    pub fn new(source: Source, clock: fn() -> TradeTime) -> Self {
        Self {
            source,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(60),
            history: 500_000,
            past: 0,
            market_data_only: false,
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
    #[error("cannot make the market: {0}: give a higher --rate, or fewer --trades")]
    Market(#[from] TradeError),
    /// A market at full speed has no end, or too late a one.
    #[error("a market at full speed needs a number of trades up to {TRADES_MAX}: give --trades")]
    Endless,
    /// More symbols than an exchange of practice lists.
    #[error("{0} symbols are too many: give --symbols {SYMBOLS_MAX} at most")]
    Symbols(usize),
}

/// A running exchange; stops when dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    recording: Option<Recording>,
    shared: Arc<Shared>,
    server: JoinHandle<std::io::Result<()>>,
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
    let Prepared { mut feed, symbols, shift_minutes, recording } = prepare(&config)?;
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
        market_data_only: config.market_data_only,
        rest_faults: Mutex::new(RestFaults::new(&config.faults)),
        faults: config.faults,
        started: Instant::now(),
        is_calm: AtomicBool::new(false),
        restart: Mutex::new(Restart::default()),
        dumps: Mutex::default(),
        clock: config.clock,
    });
    shared.tape.append(feed.past((config.clock)())?);
    let router = ws::router().merge(rest::router()).merge(dump::router()).with_state(Arc::clone(&shared));
    let mut stop = shared.stop.subscribe();
    let stopped = async move {
        // The sender lives as long as the exchange.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(stopped).into_future();
    tokio::spawn(feed::run(feed, Arc::clone(&shared)));
    Ok(Running { address, recording, shared, server: tokio::spawn(server) })
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

    /// What is replayed; none for a market.
    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// How many trades there were so far.
    pub fn traded(&self) -> watch::Receiver<u64> {
        self.shared.tape.end()
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
