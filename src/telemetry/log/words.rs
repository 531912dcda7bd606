//! Events in words: one line each.

use tracing::{debug, error, info, warn};

use crate::telemetry::{Event, Replacement, Source, Suspicion};

/// The line of an event; `repeated` is how many of its kind were left out before it.
pub(super) fn write(event: &Event, repeated: Option<u64>) {
    match event {
        Event::ConnectionOpened(id) => info!(connection = id, repeated, "Stream connection opened."),
        Event::ConnectionClosed(id, why) => warn!(connection = id, %why, repeated, "Stream connection closed."),
        Event::ConnectionReplaced(id, why) => {
            info!(connection = id, ?why, repeated, "Stream connection is being replaced.")
        }
        Event::SymbolSilent(symbol) => {
            warn!(%symbol, repeated, "The stream keeps silent about a symbol that is traded: its connection is replaced.");
        }
        Event::RequestRefused(answer) => warn!(%answer, repeated, "The exchange refused a request."),
        Event::MessageRefused(why) => warn!(%why, repeated, "A message was refused and kept as a dead letter."),
        Event::TradeSuspected(symbol, id, why) => {
            warn!(%symbol, %id, why = why.words(), repeated, "A trade is kept as a dead letter until another agrees with it.");
        }
        Event::TradeBelieved(symbol, id, why) => {
            warn!(%symbol, %id, why = why.words(), repeated, "Another trade agrees: both are taken.");
        }
        Event::Duplicate | Event::BatchStored(_) | Event::MinutesVerified(..) => {}
        Event::HoleFound(symbol, range) => {
            warn!(%symbol, from_id = range.first, to_id = range.last, trades = range.count(), repeated, "Trades are missing.");
        }
        Event::HoleRepaired(symbol, range) => {
            info!(%symbol, from_id = range.first, to_id = range.last, repeated, "A hole was repaired.");
        }
        Event::HoleStays(symbol, range, state) => {
            warn!(%symbol, from_id = range.first, to_id = range.last, reason = %state, repeated, "A hole stays.");
        }
        Event::HistoryFailed(why) => {
            warn!(%why, repeated, "The exchange's history does not answer; it is asked again.")
        }
        Event::HistoryNotServed(why) => {
            warn!(%why, repeated, "The exchange's history is not served here: only its newest trades can be repaired.");
        }
        Event::CountRestarted(symbol, id) => {
            warn!(%symbol, %id, repeated, "The exchange restarted its count of trades.")
        }
        Event::LeftBatchStored(trades) => debug!(trades, repeated, "A batch of an earlier run was stored."),
        Event::WriteFailed { why, held, tries } => {
            warn!(%why, held, tries, repeated, "A batch could not be stored; it is kept and tried again.");
        }
        Event::WriteRecovered => info!(repeated, "The store takes batches again."),
        Event::StoreWarned(why) => warn!(repeated, "{why}"),
        Event::SymbolsUnchecked(why) => warn!(repeated, "The symbols could not be checked: {why}. Capture goes on."),
        Event::OutboxAsked => info!("Another capture takes over: this one ends."),
        Event::OutboxTakenOver(waited) => {
            info!(waited_ms = waited.as_millis() as u64, "The other capture has let go of the outbox.");
        }
        Event::OutboxLeft(trades) => {
            info!(trades, repeated, "The outbox holds trades of an earlier run: they go first.")
        }
        Event::OtherOutboxLeft(path, owner, trades) => warn!(
            path = %path.display(), %owner, trades,
            "Trades wait there for another store: start a capture into that one, or remove the file."
        ),
        Event::OutboxFailed { why, times } => {
            warn!(%why, times, repeated, "The outbox does not work: trades are in memory only until it does.");
        }
        Event::OutboxRecovered => info!(repeated, "The outbox works again."),
        Event::OutboxSetAside(path, why) => {
            error!(path = %path.display(), %why, repeated, "The outbox was damaged and is set aside; what it held comes from the exchange again.");
        }
        Event::OutboxLost(trades) => {
            error!(trades, repeated, "Trades were lost with a damaged outbox: they are holes now.")
        }
        Event::OutboxFull(_) => {
            error!(
                repeated,
                "The outbox is full: trades are dropped and become holes. Mend the store, or raise --outbox-limit."
            );
        }
        Event::LeftInOutbox(symbol, range) => {
            let (from_id, to_id) = (range.first, range.last);
            warn!(%symbol, from_id, to_id, repeated, "Only the outbox has these trades: the next capture sends them.");
        }
        Event::Known(symbol, span, source) => {
            let source = source.name();
            info!(%symbol, first_id = span.first, last_id = span.last, source, repeated, "Trades before this run are known.");
        }
        Event::StoreLost(symbol, trades) => error!(
            %symbol, trades, repeated,
            "The store does not have trades any more that it acknowledged: they are holes now."
        ),
        Event::StoreChanged(how) => error!(%how, repeated, "The store is not the one that the ledger knows."),
        Event::AuditFailed(symbol, why) => {
            warn!(%symbol, %why, repeated, "The store does not tell what it has; it is asked again.")
        }
        Event::NothingKnown(symbol, why) => {
            info!(%symbol, %why, repeated, "Nothing is known before now: what was missed earlier is not repaired.");
        }
        Event::Expired(trades) => warn!(trades, repeated, "Trades older than the retention were left out."),
        Event::LineRefused(why) => warn!(%why, repeated, "The store refused a line; it is kept as a dead letter."),
        Event::DeadLetterLost(why) => warn!(%why, repeated, "A dead letter could not be kept."),
        Event::ReadingPaused => {
            warn!(repeated, "The memory for unstored trades is used up: reading stops until the store takes some.");
        }
        Event::ReadingResumed => debug!(repeated, "Reading goes on."),
        Event::MinuteDiffers(symbol, minute, why) => {
            warn!(%symbol, %minute, %why, repeated, "A minute differs from the exchange's candle; nothing is changed.")
        }
        Event::MinuteAgrees(symbol, minute) => {
            info!(%symbol, %minute, repeated, "A minute that differed agrees with the exchange's candle now.")
        }
        Event::VerifyFailed(symbol, why) => {
            warn!(%symbol, %why, repeated, "Minutes stay unverified; they are tried again.")
        }
        Event::ClockDiffers { offset_ms, host } => warn!(
            offset_seconds = *offset_ms as f64 / 1_000.0, %host, repeated,
            "This host's clock differs from the exchange's: trades are judged by the exchange's time."
        ),
        Event::ClockAgrees => info!(repeated, "This host's clock agrees with the exchange's again."),
        Event::ChoreFailed(why) => warn!(%why, repeated, "A chore failed; it is tried again."),
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
