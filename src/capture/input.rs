//! What a capture is told, and what it says is to be done.
//!
//! The machine reads no clock, starts nothing and draws no numbers but its own: everything that happens comes in as an
//! [`Input`] with its [`Moment`](super::exchange_clock::Moment), and everything that is to happen goes out as a [`Command`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::backlog::{BatchId, Payload};
use super::history::{HistoryAnswer, Refusal, Request};
use super::signoff::Stretch;
use crate::binance::rest::Kline;
use crate::binance::stream::{ConnectionId, Group};
use crate::outbox::{Changes, Kept, OutboxFound, Rows};
use crate::store::{Attempt, Checked, KeptMinute, Lines, MinutePoint, StoreError, WriteError, Written};
use crate::text::Excerpt;
use crate::trade::{IdRanges, Symbol, Trade, TradeIds, TradeTime};
use crate::verify::Findings;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// Nothing but time.
    Tick,
    /// A stream connection is open.
    StreamOpened(ConnectionId),
    /// A stream connection gave messages.
    StreamMessages(ConnectionId, Group),
    /// A stream connection ended, or could not be opened; nothing comes after this.
    StreamClosed(ConnectionId, Excerpt),
    /// Every stream is closed, and what it gave has been told.
    StreamsEnded,
    /// The exchange's REST answered, with the weight that it says this address has used in its minute.
    History(HistoryAnswer, Option<u32>),
    /// The exchange said whether it lists the symbols: the first one that it does not; or it said nothing, and why.
    SymbolsChecked(Result<Option<Symbol>, Excerpt>),
    /// The store said whether it can be written.
    StoreChecked(Result<Checked, StoreError>),
    /// The outbox is open.
    OutboxOpened(Box<OutboxFound>),
    /// The disk has done its work.
    Disk(Box<DiskDone>),
    /// The store has answered a write, at this moment.
    Written(BatchId, Result<Written, WriteError>, Instant),
    /// The store said what it has of a symbol.
    Audited(Symbol, Result<Option<Audited>, StoreError>),
    /// The exchange told its candles of the minutes that were asked for, with the weight as above.
    Candles(Result<Vec<Kline>, Refusal>, Option<u32>),
    /// The trades of those minutes were read from the store and held against the candles.
    MinutesRead(Result<MinutesRead, StoreError>),
    /// What was found is kept in the store.
    MinutesKept(Vec<MinutePoint>, Result<(), StoreError>),
    /// The store said what was verified before this run.
    MinutesKnown(Result<MinutesKnown, StoreError>),
    /// Something beside the way of a trade failed, and why.
    ChoreFailed(String),
    /// Stop: nothing is read any more, what was read is stored.
    Stop,
}

/// Something to do.
#[derive(Debug)]
pub enum Command {
    /// Open a stream that carries this subset of the symbols.
    OpenStream(ConnectionId, usize),
    /// Close a stream.
    CloseStream(ConnectionId),
    /// Open no stream any more, and close all; what they have read still comes.
    EndStreams,
    /// Ask the exchange's REST.
    Ask(Request),
    /// Ask the exchange whether it lists the symbols.
    CheckSymbols,
    /// Ask the store whether it can be written, and what it is.
    CheckStore,
    /// Open the outbox of the store with this id, if it told one.
    OpenOutbox(Option<String>),
    /// Work for the disk; the next comes only when it is done.
    Disk(Box<DiskWork>),
    /// Try once to write a batch.
    Write(BatchId, Payload, Attempt),
    /// Ask the store what it has of a symbol: from this time on and before that one, if there is one.
    Audit(Symbol, TradeTime, Option<TradeTime>),
    /// Ask the exchange for its candles of these minutes.
    AskCandles(Stretch),
    /// Read the trades of these minutes from the store, and hold them against the candles.
    ReadMinutes(Stretch, Vec<Kline>),
    /// Keep in the store what was found of minutes.
    KeepMinutes(Vec<MinutePoint>),
    /// Ask the store which minutes from this time on were verified before this run.
    AskKnownMinutes(TradeTime),
    /// Drop what is older than the retention at this time from a store that does not do so itself.
    ExpireStore(TradeTime),
    /// Keep a dead letter.
    KeepDeadLetter(DeadLetter),
}

/// What could not be taken or stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetter {
    /// A message of the stream, or a row of the history.
    Message(String, Excerpt),
    /// A line that the store refused.
    Line(String, Excerpt),
}

/// What the disk is to do in one go.
#[derive(Debug)]
pub struct DiskWork {
    /// A batch to keep, with its ids; its lines are wanted then.
    pub batch: Option<(Arc<Vec<Trade>>, TradeIds)>,
    /// What to remove, and to enter in the ledger.
    pub changes: Changes,
    /// Rows to read again; their lines are wanted then.
    pub load: Option<Rows>,
    /// The time to enter.
    pub time: TradeTime,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct DiskDone {
    /// The lines of the batch that was to be kept, and where it is now, if the disk took it.
    pub batch: Option<(Lines, Option<Kept>)>,
    /// What became of the rows that were to be read.
    pub loaded: Option<Loaded>,
    /// What could not be done and is to be tried again.
    pub undone: Option<Changes>,
    /// Why not.
    pub error: Option<String>,
    /// The file was damaged and set aside here: what was on disk only is gone.
    pub set_aside: Option<PathBuf>,
}

/// What became of rows that were to be read.
#[derive(Debug)]
pub enum Loaded {
    /// They are what was written.
    Lines(Lines),
    /// They are something else.
    Changed,
    /// They could not be read.
    Failed,
}

/// What the store has of a symbol's newest count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Its ids.
    pub stored: IdRanges,
    /// The time of its newest trade.
    pub newest: TradeTime,
}

/// What was found of the minutes of a stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MinutesRead {
    /// Of each one.
    pub findings: Findings,
    /// When the symbol's first stored trade happened, if it is not before these minutes; looked for only if one of them differs.
    pub begin: Option<TradeTime>,
}

/// What a store knows of minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MinutesKnown {
    /// Those that were held against candles.
    pub kept: Vec<KeptMinute>,
    /// When the first stored trade of each symbol happened.
    pub begins: Vec<(Symbol, TradeTime)>,
}
