//! What happened, said once: an event is logged and counted in one place (P7).

pub mod health;
pub mod logs;
pub mod metrics;
pub mod server;
pub mod throttle;

use std::path::Path;

use tracing::{debug, error, info, warn};

use crate::binance::stream::{ConnectionId, StreamError};
use crate::capture::connections::Replacement;
use crate::capture::repair::End;
use crate::trade::{IdRange, Symbol};

/// A fact of the capture that someone may want to know.
#[derive(Debug)]
pub enum Event<'a> {
    /// A stream connection is open.
    ConnectionOpened(ConnectionId),
    /// A stream connection ended or could not be opened.
    ConnectionClosed(ConnectionId, &'a StreamError),
    /// A stream connection is being replaced while it still runs.
    ConnectionReplaced(ConnectionId, Replacement),
    /// The exchange has newer trades of a symbol than the stream gave.
    SymbolSilent(&'a Symbol),
    /// The exchange refused a request on a stream, in its words.
    RequestRefused(&'a str),
    /// A message could not be taken; it is kept as a dead letter.
    MessageRefused {
        /// Why.
        why: &'a str,
    },
    /// A trade that was seen before was dropped.
    Duplicate,
    /// Ids are missing that did not come by themselves.
    HoleFound(&'a Symbol, IdRange),
    /// The story of missing ids is over.
    HoleEnded(&'a Symbol, IdRange, End),
    /// The exchange's history could not be asked.
    HistoryFailed {
        /// Why.
        why: &'a str,
    },
    /// The exchange restarted a symbol's count of trades.
    CountRestarted(&'a Symbol, u64),
    /// A batch was acknowledged, with as many trades stored.
    BatchStored(u64),
    /// A batch could not be stored yet.
    WriteFailed {
        /// Why.
        why: &'a str,
        /// Whether it waits for someone to mend the store.
        held: bool,
        /// Tries so far.
        tries: u32,
    },
    /// Writing works again.
    WriteRecovered,
    /// Trades that an earlier run had left in the outbox wait for the store.
    OutboxLeft(u64),
    /// A batch of an earlier run was acknowledged, with as many trades stored.
    LeftBatchStored(u64),
    /// The disk does not take batches, or does not give them back.
    OutboxFailed {
        /// What and why.
        why: &'a str,
        /// Failures in a row so far.
        times: u32,
    },
    /// The disk works again.
    OutboxRecovered,
    /// The outbox was damaged; its file is not used any more.
    OutboxSetAside {
        /// Where the file is now.
        path: &'a Path,
        /// What is wrong with it.
        why: &'a str,
    },
    /// Trades in the outbox are lost with a damaged file; they become holes.
    OutboxLost(u64),
    /// The outbox is full: trades were dropped, and become holes.
    OutboxFull(u64),
    /// Trades that only the outbox has at the end.
    LeftInOutbox(&'a Symbol, IdRange),
    /// Ids that the store had before this run.
    Known {
        /// Whose ids.
        symbol: &'a Symbol,
        /// From the lowest to the highest.
        span: IdRange,
        /// Who says so: `ledger` or `store`.
        source: &'static str,
    },
    /// The store could not be asked what it has; it is asked again.
    AuditFailed {
        /// Of which symbol.
        symbol: &'a Symbol,
        /// Why.
        why: &'a str,
    },
    /// Nothing is known of a symbol before this run.
    NothingKnown {
        /// Whose ids.
        symbol: &'a Symbol,
        /// Why.
        why: &'a str,
    },
    /// Trades older than the retention were left out.
    Expired(u64),
    /// The store refuses a line for good; it is kept as a dead letter.
    LineRefused {
        /// The store's words.
        why: &'a str,
    },
    /// A dead letter could not be kept.
    DeadLetterLost {
        /// Why.
        why: &'a str,
    },
    /// The memory for unstored trades is used up: nothing is read.
    ReadingPaused,
    /// There is memory again.
    ReadingResumed,
    /// Something beside the way of a trade failed and is tried again later.
    ChoreFailed {
        /// What and why.
        why: &'a str,
    },
}

/// How often each fact happened in this run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trades that the store acknowledged.
    pub trades: u64,
    /// Batches that the store acknowledged.
    pub batches: u64,
    /// Writes that had to be tried again.
    pub retries: u64,
    /// Trades that were seen before.
    pub duplicates: u64,
    /// Runs of missing ids.
    pub holes_found: u64,
    /// Runs of missing ids that the exchange's history gave.
    pub holes_repaired: u64,
    /// Runs of missing ids that will never come.
    pub holes_lost: u64,
    /// Times that reading stopped for want of memory.
    pub pauses: u64,
    /// Trades older than the retention.
    pub expired: u64,
    /// Messages and lines that were refused.
    pub dead_letters: u64,
    /// Trades that a full outbox did not take.
    pub dropped: u64,
    is_outbox_full: bool,
}

impl Tally {
    /// Logs and counts `event`.
    pub fn note(&mut self, event: &Event<'_>) {
        metrics::count(event);
        match event {
            Event::ConnectionOpened(id) => info!(connection = id, "Stream connection opened."),
            Event::ConnectionClosed(id, why) => warn!(connection = id, %why, "Stream connection closed."),
            Event::ConnectionReplaced(id, why) => info!(connection = id, ?why, "Stream connection is being replaced."),
            Event::SymbolSilent(symbol) => {
                warn!(%symbol, "The stream keeps silent about a symbol that is traded: it is opened anew.");
            }
            Event::RequestRefused(answer) => warn!(%answer, "The exchange refused a request."),
            Event::MessageRefused { why } => {
                self.dead_letters += 1;
                warn!(%why, "A message was refused and kept as a dead letter.");
            }
            Event::Duplicate => self.duplicates += 1,
            Event::HoleFound(symbol, range) => {
                self.holes_found += 1;
                warn!(%symbol, from_id = range.first, to_id = range.last, trades = range.count(), "Trades are missing.");
            }
            Event::HoleEnded(symbol, range, End::Repaired) => {
                self.holes_repaired += 1;
                info!(%symbol, from_id = range.first, to_id = range.last, "A hole was repaired.");
            }
            Event::HoleEnded(symbol, range, end) => {
                self.holes_lost += 1;
                warn!(%symbol, from_id = range.first, to_id = range.last, reason = end.reason(), "A hole stays.");
            }
            Event::HistoryFailed { why } => warn!(%why, "The exchange's history does not answer; it is asked again."),
            Event::CountRestarted(symbol, id) => {
                warn!(%symbol, id, "The exchange restarted its count of trades.");
            }
            Event::BatchStored(trades) => {
                self.batches += 1;
                self.is_outbox_full = false;
                self.trades += trades;
            }
            Event::WriteFailed { why, held, tries } => {
                self.retries += 1;
                // The first try of an outage, then ever fewer.
                if tries.is_power_of_two() {
                    warn!(%why, held, tries, "A batch could not be stored; it is kept and tried again.");
                }
            }
            Event::WriteRecovered => info!("The store takes batches again."),
            Event::OutboxLeft(trades) => info!(trades, "The outbox holds trades of an earlier run: they go first."),
            Event::LeftBatchStored(trades) => {
                self.batches += 1;
                debug!(trades, "A batch of an earlier run was stored.");
            }
            Event::OutboxFailed { why, times } => {
                if times.is_power_of_two() {
                    warn!(%why, times, "The outbox does not work: trades are in memory only until it does.");
                }
            }
            Event::OutboxRecovered => info!("The outbox works again."),
            Event::OutboxSetAside { path, why } => {
                error!(path = %path.display(), %why, "The outbox was damaged and is set aside; what it held comes from the exchange again.");
            }
            Event::OutboxLost(trades) => error!(trades, "Trades were lost with a damaged outbox: they are holes now."),
            Event::OutboxFull(trades) => {
                self.dropped += trades;
                if !std::mem::replace(&mut self.is_outbox_full, true) {
                    error!(
                        "The outbox is full: trades are dropped and become holes. Mend the store, or raise --outbox-limit."
                    );
                }
            }
            Event::LeftInOutbox(symbol, range) => {
                let (from_id, to_id) = (range.first, range.last);
                warn!(%symbol, from_id, to_id, "Only the outbox has these trades: the next capture sends them.");
            }
            Event::Known { symbol, span, source } => {
                info!(%symbol, first_id = span.first, last_id = span.last, source, "Trades before this run are known.");
            }
            Event::AuditFailed { symbol, why } => {
                warn!(%symbol, %why, "The store does not tell what it has; it is asked again.");
            }
            Event::NothingKnown { symbol, why } => {
                info!(%symbol, %why, "Nothing is known before now: what was missed earlier is not repaired.");
            }
            Event::Expired(trades) => {
                self.expired += trades;
                warn!(trades, "Trades older than the retention were left out.");
            }
            Event::LineRefused { why } => {
                self.dead_letters += 1;
                warn!(%why, "The store refused a line; it is kept as a dead letter.");
            }
            Event::DeadLetterLost { why } => warn!(%why, "A dead letter could not be kept."),
            Event::ReadingPaused => {
                self.pauses += 1;
                // The first pause of an overload, then ever fewer.
                if self.pauses.is_power_of_two() {
                    let times = self.pauses;
                    warn!(
                        times,
                        "The memory for unstored trades is used up: reading stops until the store takes some."
                    );
                }
            }
            Event::ReadingResumed => debug!("Reading goes on."),
            Event::ChoreFailed { why } => warn!(%why, "A chore failed; it is tried again."),
        }
    }
}
