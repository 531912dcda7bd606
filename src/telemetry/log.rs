//! Events as lines of the log.

use tracing::{debug, error, info, warn};

use super::event::Suspicion;
use super::{Event, Replacement, Source};

/// What the log has said, so that it does not say the same a thousand times.
#[derive(Debug, Default)]
pub struct Log {
    pauses: u64,
    is_outbox_full: bool,
}

impl Log {
    /// Writes `event` as a line.
    pub fn write(&mut self, event: &Event) {
        match event {
            Event::ConnectionOpened(id) => info!(connection = id, "Stream connection opened."),
            Event::ConnectionClosed(id, why) => warn!(connection = id, %why, "Stream connection closed."),
            Event::ConnectionReplaced(id, why) => info!(connection = id, ?why, "Stream connection is being replaced."),
            Event::SymbolSilent(symbol) => {
                warn!(%symbol, "The stream keeps silent about a symbol that is traded: its connection is replaced.");
            }
            Event::RequestRefused(answer) => warn!(%answer, "The exchange refused a request."),
            Event::MessageRefused(why) => warn!(%why, "A message was refused and kept as a dead letter."),
            Event::TradeSuspected(symbol, id, why) => {
                warn!(%symbol, %id, why = why.words(), "A trade is kept as a dead letter until another agrees with it.");
            }
            Event::TradeBelieved(symbol, id, why) => {
                warn!(%symbol, %id, why = why.words(), "Another trade agrees: both are taken.");
            }
            Event::Duplicate => {}
            Event::HoleFound(symbol, range) => {
                warn!(%symbol, from_id = range.first, to_id = range.last, trades = range.count(), "Trades are missing.");
            }
            Event::HoleRepaired(symbol, range) => {
                info!(%symbol, from_id = range.first, to_id = range.last, "A hole was repaired.");
            }
            Event::HoleStays(symbol, range, state) => {
                warn!(%symbol, from_id = range.first, to_id = range.last, reason = %state, "A hole stays.");
            }
            Event::HistoryFailed(why) => warn!(%why, "The exchange's history does not answer; it is asked again."),
            Event::HistoryNotServed(why) => {
                warn!(%why, "The exchange's history is not served here: only its newest trades can be repaired.");
            }
            Event::CountRestarted(symbol, id) => warn!(%symbol, %id, "The exchange restarted its count of trades."),
            Event::BatchStored(_) => self.is_outbox_full = false,
            Event::LeftBatchStored(trades) => debug!(trades, "A batch of an earlier run was stored."),
            Event::WriteFailed { why, held, tries } => {
                // The first try of an outage, then ever fewer.
                if tries.is_power_of_two() {
                    warn!(%why, held, tries, "A batch could not be stored; it is kept and tried again.");
                }
            }
            Event::WriteRecovered => info!("The store takes batches again."),
            Event::StoreWarned(why) => warn!("{why}"),
            Event::SymbolsUnchecked(why) => warn!("The symbols could not be checked: {why}. Capture goes on."),
            Event::OutboxLeft(trades) => info!(trades, "The outbox holds trades of an earlier run: they go first."),
            Event::OtherOutboxLeft(path, owner, trades) => warn!(
                path = %path.display(), %owner, trades,
                "Trades wait there for another store: start a capture into that one, or remove the file."
            ),
            Event::OutboxFailed { why, times } => {
                if times.is_power_of_two() {
                    warn!(%why, times, "The outbox does not work: trades are in memory only until it does.");
                }
            }
            Event::OutboxRecovered => info!("The outbox works again."),
            Event::OutboxSetAside(path, why) => {
                error!(path = %path.display(), %why, "The outbox was damaged and is set aside; what it held comes from the exchange again.");
            }
            Event::OutboxLost(trades) => error!(trades, "Trades were lost with a damaged outbox: they are holes now."),
            Event::OutboxFull(_) => {
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
            Event::Known(symbol, span, source) => {
                let source = source.name();
                info!(%symbol, first_id = span.first, last_id = span.last, source, "Trades before this run are known.");
            }
            Event::StoreLost(symbol, trades) => error!(
                %symbol, trades,
                "The store does not have trades any more that it acknowledged: they are holes now."
            ),
            Event::StoreChanged(how) => error!(%how, "The store is not the one that the ledger knows."),
            Event::AuditFailed(symbol, why) => {
                warn!(%symbol, %why, "The store does not tell what it has; it is asked again.")
            }
            Event::NothingKnown(symbol, why) => {
                info!(%symbol, %why, "Nothing is known before now: what was missed earlier is not repaired.");
            }
            Event::Expired(trades) => warn!(trades, "Trades older than the retention were left out."),
            Event::LineRefused(why) => warn!(%why, "The store refused a line; it is kept as a dead letter."),
            Event::DeadLetterLost(why) => warn!(%why, "A dead letter could not be kept."),
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
            Event::ClockDiffers { offset_ms, host } => warn!(
                offset_seconds = *offset_ms as f64 / 1_000.0, %host,
                "This host's clock differs from the exchange's: trades are judged by the exchange's time."
            ),
            Event::ClockAgrees => info!("This host's clock agrees with the exchange's again."),
            Event::LogLinesDropped(lines) => warn!(lines, "Lines of the log were dropped because nobody read them."),
            Event::ChoreFailed(why) => warn!(%why, "A chore failed; it is tried again."),
        }
    }
}

impl Suspicion {
    /// What is wrong with the trade, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::TimeAhead => "its time is far ahead of the exchange's",
            Self::TimeBehind => "its time is more than 24 h past",
            Self::IdAhead => "its id is far ahead of the others",
            Self::IdBehind => "its id lies behind, its time ahead: the count may have begun again",
        }
    }
}

impl Replacement {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::ServerShutdown => "server_shutdown",
            Self::Idle => "idle",
            Self::SilentSymbol => "silent_symbol",
        }
    }
}

impl Source {
    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Store => "store",
        }
    }
}
