//! The facts of a capture that someone may want to know (P7): one variant a fact, with plain values.

use std::path::PathBuf;
use std::time::Duration;

use crate::text::Excerpt;
use crate::trade::{HoleState, IdRange, Symbol, TradeId, TradeTime};

/// Why a connection is being replaced while it still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// The exchange's 24 h are nearly over.
    Lifetime,
    /// The exchange said that it will close.
    ServerShutdown,
    /// No trade at all came for the idle timeout.
    Idle,
    /// It says nothing of a symbol that is traded.
    SilentSymbol,
}

/// Why a trade is not believed before another agrees with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// Its time is far ahead of the exchange's.
    TimeAhead,
    /// Its time is longer past than any store keeps, and it came live.
    TimeBehind,
    /// Its id is far ahead of the symbol's others.
    IdAhead,
    /// Its id came before, or far below, and its time is later: the exchange may have started its count again.
    IdBehind,
}

/// Who knew ids from before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The ledger beside the outbox.
    Ledger,
    /// The store itself.
    Store,
}

/// A fact of the capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stream connection is open.
    ConnectionOpened(u64),
    /// A stream connection ended or could not be opened.
    ConnectionClosed(u64, Excerpt),
    /// A stream connection is being replaced while it still runs.
    ConnectionReplaced(u64, Replacement),
    /// The exchange has newer trades of a symbol than the stream gave.
    SymbolSilent(Symbol),
    /// The exchange refused a request on a stream, in its words.
    RequestRefused(Excerpt),
    /// A message could not be taken; it is kept as a dead letter.
    MessageRefused(Excerpt),
    /// A trade is not believed before another agrees; it is kept as a dead letter.
    TradeSuspected(Symbol, TradeId, Suspicion),
    /// Another trade agreed with one that was not believed: both are taken.
    TradeBelieved(Symbol, TradeId, Suspicion),
    /// A trade that was seen before was dropped.
    Duplicate,
    /// Ids are missing that did not come by themselves.
    HoleFound(Symbol, IdRange),
    /// Every missing id came.
    HoleRepaired(Symbol, IdRange),
    /// The ids stay missing, and why.
    HoleStays(Symbol, IdRange, HoleState),
    /// The exchange's history could not be asked.
    HistoryFailed(Excerpt),
    /// The exchange's history is not served here; what to do about it.
    HistoryNotServed(Excerpt),
    /// The exchange restarted a symbol's count of trades at this id.
    CountRestarted(Symbol, TradeId),
    /// A batch was acknowledged, with so many trades stored.
    BatchStored(u64),
    /// A batch could not be stored yet.
    WriteFailed {
        /// Why.
        why: String,
        /// Whether it waits for someone to mend the store.
        held: bool,
        /// Tries so far.
        tries: u32,
    },
    /// Writing works again.
    WriteRecovered,
    /// The store can be used, but.
    StoreWarned(String),
    /// The exchange did not say whether it lists the symbols.
    SymbolsUnchecked(Excerpt),
    /// Another capture asks for the outbox: this one ends.
    OutboxAsked,
    /// Another capture had the outbox, and has let go of it after so long.
    OutboxTakenOver(Duration),
    /// Trades that an earlier run had left in the outbox wait for the store.
    OutboxLeft(u64),
    /// Trades wait in the same folder for another store or exchange, whose outbox this is.
    OtherOutboxLeft(PathBuf, String, u64),
    /// A batch of an earlier run was acknowledged, with so many trades stored.
    LeftBatchStored(u64),
    /// The disk does not take batches, or does not give them back.
    OutboxFailed {
        /// What and why.
        why: String,
        /// Failures in a row so far.
        times: u32,
    },
    /// The disk works again.
    OutboxRecovered,
    /// The outbox was damaged; its file is here now and not used any more.
    OutboxSetAside(PathBuf, String),
    /// Trades in the outbox are lost with a damaged file or page; they become holes.
    OutboxLost(u64),
    /// The outbox is full: trades were dropped, and become holes.
    OutboxFull(u64),
    /// Trades that only the outbox has at the end.
    LeftInOutbox(Symbol, IdRange),
    /// Ids that the store had before this run, from the lowest to the highest.
    Known(Symbol, IdRange, Source),
    /// Ids that the store acknowledged and does not have any more; they become holes.
    StoreLost(Symbol, u64),
    /// The store is not the one that the ledger knows, in words.
    StoreChanged(String),
    /// The store could not be asked what it has of a symbol; it is asked again.
    AuditFailed(Symbol, Excerpt),
    /// Nothing is known of a symbol before this run, and why.
    NothingKnown(Symbol, Excerpt),
    /// Trades older than the retention were left out.
    Expired(u64),
    /// The store refuses a line, in its words; it is kept as a dead letter.
    LineRefused(Excerpt),
    /// A dead letter could not be kept.
    DeadLetterLost(Excerpt),
    /// The memory for unstored trades is used up: nothing is read.
    ReadingPaused,
    /// There is memory again.
    ReadingResumed,
    /// So many more minutes of a symbol are verified: the exchange's candles say the same.
    MinutesVerified(Symbol, u64),
    /// The minute of a symbol that begins then differs from the exchange's candle, and in what.
    MinuteDiffers(Symbol, TradeTime, Excerpt),
    /// One that differed does not any more.
    MinuteAgrees(Symbol, TradeTime),
    /// Minutes of a symbol stay unverified: the exchange told no candles, or the store did not answer.
    VerifyFailed(Symbol, Excerpt),
    /// This host's clock is so many ms ahead of the exchange's time.
    ClockDiffers {
        /// Milliseconds; negative if it is behind.
        offset_ms: i64,
        /// What the host's clock says.
        host: TradeTime,
    },
    /// This host's clock agrees with the exchange's again.
    ClockAgrees,
    /// Something beside the way of a trade failed and is tried again later.
    ChoreFailed(String),
}
