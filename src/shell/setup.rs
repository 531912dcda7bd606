//! What a capture is told to do, and why it could not.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::binance::rest::Rest;
use crate::capture::machine::CaptureFailure;
use crate::net::Network;
use crate::net::endpoint::Endpoint;
use crate::outbox::OutboxError;
use crate::trade::{Exchange, Symbol, TradeTime};

/// What to capture, from where, into what, and until when.
#[derive(Debug)]
pub struct Setup {
    /// Whose trades.
    pub symbols: Vec<Symbol>,
    /// The exchange that they are captured from.
    pub exchange: Exchange,
    /// Base of the stream's URL.
    pub stream_url: Endpoint,
    /// The way to the stream.
    pub network: Network,
    /// The exchange's REST; without it symbols are not checked and nothing is repaired.
    pub rest: Option<Rest>,
    /// Whether holes are to be repaired.
    pub repairs: bool,
    /// Whether minutes are to be held against the exchange's candles.
    pub verifies: bool,
    /// Fetch what happened in so long before the start, too.
    pub backfill: Option<Duration>,
    /// Stream connections to keep for each symbol.
    pub connections: usize,
    /// A connection without any trade for so long is replaced.
    pub idle_timeout: Duration,
    /// The folder of the outbox and of dead letters.
    pub outbox: PathBuf,
    /// Bytes of batches that the outbox may take on disk.
    pub outbox_limit: u64,
    /// Whether to wait for the outbox where another capture has it, and to ask for it once every symbol is read.
    pub takes_over: bool,
    /// Stop when so many trades of this run are acknowledged.
    pub count: Option<u64>,
    /// Stop after so long.
    pub duration: Option<Duration>,
    /// Where to record the session.
    pub record: Option<PathBuf>,
    /// The wall clock, in milliseconds.
    pub clock: fn() -> TradeTime,
}

/// Why a capture could not run, or could not end well.
#[derive(Debug, Error)]
pub enum RunError {
    /// It could not begin.
    #[error(transparent)]
    Start(#[from] CaptureFailure),
    /// The recording cannot be made.
    #[error("cannot record to {path}: {source}: name a new file, none is overwritten, in a folder that exists")]
    Record {
        /// The recording.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The outbox cannot be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// A part of the program failed in a way that it should not.
    #[error("the capture failed inside: {0}")]
    Internal(String),
}
