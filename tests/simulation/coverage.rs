//! Which events of the capture a run of seeds has seen: what was never seen was never proven.

use std::collections::BTreeMap;

use tickflux::telemetry::Event;

/// Every event of the machine. What is not here comes from the shell, which is not simulated, or is counted only.
pub const EVENTS: [&str; 44] = [
    "AuditFailed",
    "BatchStored",
    "ChoreFailed",
    "ClockAgrees",
    "ClockDiffers",
    "ConnectionClosed",
    "ConnectionOpened",
    "ConnectionReplaced",
    "CountRestarted",
    "Expired",
    "HistoryFailed",
    "HistoryNotServed",
    "HoleFound",
    "HoleRepaired",
    "HoleStays",
    "Known",
    "LeftBatchStored",
    "LeftInOutbox",
    "LineRefused",
    "MessageRefused",
    "MinuteAgrees",
    "MinuteDiffers",
    "MinutesVerified",
    "NothingKnown",
    "OtherOutboxLeft",
    "OutboxFailed",
    "OutboxFull",
    "OutboxLeft",
    "OutboxLost",
    "OutboxRecovered",
    "OutboxSetAside",
    "ReadingPaused",
    "ReadingResumed",
    "RequestRefused",
    "StoreChanged",
    "StoreLost",
    "StoreWarned",
    "SymbolSilent",
    "SymbolsUnchecked",
    "TradeBelieved",
    "TradeSuspected",
    "VerifyFailed",
    "WriteFailed",
    "WriteRecovered",
];
/// The name of an event; a new one does not compile before it has one.
pub fn name(event: &Event) -> &'static str {
    match event {
        Event::AuditFailed(..) => "AuditFailed",
        Event::BatchStored(_) => "BatchStored",
        Event::ChoreFailed(_) => "ChoreFailed",
        Event::ClockAgrees => "ClockAgrees",
        Event::ClockDiffers { .. } => "ClockDiffers",
        Event::ConnectionClosed(..) => "ConnectionClosed",
        Event::ConnectionOpened(_) => "ConnectionOpened",
        Event::ConnectionReplaced(..) => "ConnectionReplaced",
        Event::CountRestarted(..) => "CountRestarted",
        Event::DeadLetterLost(_) => "DeadLetterLost",
        Event::Duplicate => "Duplicate",
        Event::Expired(_) => "Expired",
        Event::HistoryFailed(_) => "HistoryFailed",
        Event::HistoryNotServed(_) => "HistoryNotServed",
        Event::HoleFound(..) => "HoleFound",
        Event::HoleRepaired(..) => "HoleRepaired",
        Event::HoleStays(..) => "HoleStays",
        Event::Known(..) => "Known",
        Event::LeftBatchStored(_) => "LeftBatchStored",
        Event::LeftInOutbox(..) => "LeftInOutbox",
        Event::LineRefused(_) => "LineRefused",
        Event::MessageRefused(_) => "MessageRefused",
        Event::MinuteAgrees(..) => "MinuteAgrees",
        Event::MinuteDiffers(..) => "MinuteDiffers",
        Event::MinutesVerified(..) => "MinutesVerified",
        Event::NothingKnown(..) => "NothingKnown",
        Event::OtherOutboxLeft(..) => "OtherOutboxLeft",
        Event::OutboxFailed { .. } => "OutboxFailed",
        Event::OutboxFull(_) => "OutboxFull",
        Event::OutboxLeft(_) => "OutboxLeft",
        Event::OutboxLost(_) => "OutboxLost",
        Event::OutboxAsked => "OutboxAsked",
        Event::OutboxRecovered => "OutboxRecovered",
        Event::OutboxSetAside(..) => "OutboxSetAside",
        Event::OutboxTakenOver(_) => "OutboxTakenOver",
        Event::ReadingPaused => "ReadingPaused",
        Event::ReadingResumed => "ReadingResumed",
        Event::RequestRefused(_) => "RequestRefused",
        Event::StoreChanged(_) => "StoreChanged",
        Event::StoreLost(..) => "StoreLost",
        Event::StoreWarned(_) => "StoreWarned",
        Event::SymbolSilent(_) => "SymbolSilent",
        Event::SymbolsUnchecked(_) => "SymbolsUnchecked",
        Event::TradeBelieved(..) => "TradeBelieved",
        Event::TradeSuspected(..) => "TradeSuspected",
        Event::VerifyFailed(..) => "VerifyFailed",
        Event::WriteFailed { .. } => "WriteFailed",
        Event::WriteRecovered => "WriteRecovered",
    }
}

/// How often each event was seen.
#[derive(Debug, Default, Clone)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    pub fn see(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, times)| *self.0.entry(name).or_default() += times);
    }

    pub fn unseen(&self) -> Vec<&'static str> {
        EVENTS.into_iter().filter(|name| !self.0.contains_key(name)).collect()
    }
}
