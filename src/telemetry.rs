//! What happened, said once: an event is counted, logged and a metric in one place each (P7).
//!
//! The capture notes events in a [`Journal`], which counts them at once; the shell around it writes them to the log and to the
//! metrics.

pub mod ask;
mod event;
pub mod health;
pub mod lines;
mod log;
pub mod metrics;
pub mod server;
pub mod throttle;

pub use self::event::{Event, Replacement, Source, Suspicion};
pub use self::log::Log;

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
    /// Runs of missing ids that stay missing.
    pub holes_stay: u64,
    /// Trades older than the retention.
    pub expired: u64,
    /// Messages and lines that were refused.
    pub refused: u64,
    /// Trades that were not believed and with which no other agreed so far.
    pub suspected: u64,
    /// Trades that a full outbox did not take.
    pub dropped: u64,
    /// Minutes of which the exchange's candle says the same.
    pub minutes_verified: u64,
    /// Minutes that were found to differ from it.
    pub minutes_different: u64,
}

impl Tally {
    /// Dead letters of which no trade came after all.
    pub fn dead_letters(&self) -> u64 {
        self.refused + self.suspected
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::Duplicate => self.duplicates += 1,
            Event::BatchStored(trades) => {
                self.batches += 1;
                self.trades += trades;
            }
            Event::LeftBatchStored(_) => self.batches += 1,
            Event::WriteFailed { .. } => self.retries += 1,
            Event::HoleFound(..) => self.holes_found += 1,
            Event::HoleRepaired(..) => self.holes_repaired += 1,
            Event::HoleStays(..) => self.holes_stay += 1,
            Event::Expired(trades) => self.expired += trades,
            Event::MessageRefused(_) | Event::LineRefused(_) => self.refused += 1,
            Event::TradeSuspected(..) => self.suspected += 1,
            Event::TradeBelieved(..) => self.suspected = self.suspected.saturating_sub(1),
            Event::OutboxFull(trades) => self.dropped += trades,
            Event::MinutesVerified(_, minutes) => self.minutes_verified += minutes,
            Event::MinuteDiffers(..) => self.minutes_different += 1,
            _ => {}
        }
    }
}

/// The account of events: counted when they are noted, told when someone takes them.
#[derive(Debug, Default)]
pub struct Journal {
    tally: Tally,
    untold: Vec<Event>,
}

impl Journal {
    /// Notes that something happened.
    pub fn note(&mut self, event: Event) {
        self.tally.count(&event);
        // It comes by the trade; the metrics take the tally's number.
        if event != Event::Duplicate {
            self.untold.push(event);
        }
    }

    /// What was counted so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What was noted since this was asked last.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.untold)
    }
}
