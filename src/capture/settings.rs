//! What a capture is to do, in plain values.

use std::time::Duration;

use super::backlog::Route;
use super::sequencer::Hole;
use crate::trade::{Price, Symbol, TradeTime};

/// What to capture, and until when.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose trades, in the order of the subsets.
    pub symbols: Vec<Symbol>,
    /// How many of the symbols, in their order, share a connection each.
    pub subsets: Vec<usize>,
    /// Stream connections to keep for each subset.
    pub connections: usize,
    /// A connection without any trade for so long is replaced.
    pub idle_timeout: Duration,
    /// How batches go to the store.
    pub route: Route,
    /// Bytes of batches that the outbox may take on disk.
    pub outbox_limit: u64,
    /// Whether the exchange's REST may be asked.
    pub asks: bool,
    /// Whether holes are to be repaired from the exchange's history.
    pub repairs: bool,
    /// Whether minutes are to be held against the exchange's candles.
    pub verifies: bool,
    /// Do nothing but repair these holes, of no symbols: the run is over when each of them has ended.
    pub only_repair: Option<Vec<Hole>>,
    /// Fetch what happened in so long before the start, too.
    pub backfill: Option<Duration>,
    /// Stop when so many trades of this run are acknowledged.
    pub count: Option<u64>,
    /// Stop after so long.
    pub duration: Option<Duration>,
    /// For waits that are drawn: the same seed and the same inputs give the same commands.
    pub seed: u64,
}

impl Settings {
    /// Only repairs these holes: of no symbols, without a stream and an outbox.
    pub fn only_repairing(holes: Vec<Hole>, route: Route, seed: u64) -> Self {
        Self {
            symbols: Vec::new(),
            subsets: Vec::new(),
            connections: 0,
            idle_timeout: Duration::MAX,
            route: Route { is_over_disk: false, ..route },
            outbox_limit: u64::MAX,
            asks: true,
            repairs: true,
            verifies: false,
            only_repair: Some(holes),
            backfill: None,
            count: None,
            duration: None,
            seed,
        }
    }
}

/// How far a capture is, for a status line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Trades that the store acknowledged.
    pub trades: u64,
    /// Trades that wait for the store.
    pub waiting: u64,
    /// Runs of ids that are open: missing, and nobody knows that they stay so.
    pub open_holes: usize,
    /// Ids in them.
    pub missing: u64,
    /// Open stream connections.
    pub connections: usize,
    /// The newest price of the first symbols that have one; [`Progress::PRICES_MAX`] at most.
    pub prices: Vec<(Symbol, Price)>,
    /// When the newest trade of all happened.
    pub newest: Option<TradeTime>,
}

impl Progress {
    /// More prices fit no terminal's line.
    pub const PRICES_MAX: usize = 20;
}
