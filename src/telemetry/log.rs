//! Events as lines of the log.

mod words;

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use self::words::write;
use super::Event;
use super::metrics::counter_of;
use super::throttle::{EVERY, Throttle};
use crate::trade::Symbol;

/// Writes events as lines: of a kind at most one in [`EVERY`], with how many were left out.
#[derive(Debug, Default)]
pub struct Log {
    throttle: Throttle<Kind>,
    /// The newest event of each kind that was left out since its last line.
    left_out: HashMap<Kind, Event>,
    /// Lines that are not written yet, because the checks of the start may end in one line of their own.
    held_back: Option<Vec<(Event, Option<u64>)>>,
    pauses: u64,
    is_outbox_full: bool,
    /// Symbols whose minutes are known not to be verified.
    unverified: HashSet<Symbol>,
}

/// What tells lines apart that may follow each other at once: never foreign text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    counter: &'static str,
    label: Option<&'static str>,
    symbol: Option<Symbol>,
}

impl Log {
    /// A log that keeps its lines until [`Log::begin`].
    pub fn holding_back() -> Self {
        Self { held_back: Some(Vec::new()), ..Self::default() }
    }

    /// Writes `event` as a line, or keeps it for later.
    pub fn write(&mut self, event: Event, now: Instant) {
        if !self.is_worth_a_line(&event) {
            return;
        }
        let Some(kind) = Kind::of(&event) else { return self.say(event, None) };
        match self.throttle.turn(kind.clone(), now) {
            Some(turn) => {
                self.left_out.remove(&kind);
                self.say(event, turn.repeated);
            }
            None => drop(self.left_out.insert(kind, event)),
        }
    }

    /// Says of what was left out for long how often it happened.
    pub fn overdue(&mut self, now: Instant) {
        for (kind, times) in self.throttle.overdue(now) {
            if let Some(event) = self.left_out.remove(&kind) {
                self.say(event, Some(times - 1).filter(|others| *others > 0));
            }
        }
    }

    /// From now on lines are written at once.
    pub fn begin(&mut self) {
        self.held_back.take().iter().flatten().for_each(|(event, repeated)| write(event, *repeated));
    }

    /// Whether lines are written at once.
    pub fn has_begun(&self) -> bool {
        self.held_back.is_none()
    }

    /// Writes what is still left out, for there is no later.
    pub fn end(&mut self, now: Instant) {
        self.begin();
        self.overdue(now + EVERY);
    }

    fn say(&mut self, event: Event, repeated: Option<u64>) {
        match &mut self.held_back {
            Some(held_back) => held_back.push((event, repeated)),
            None => write(&event, repeated),
        }
    }

    /// What lasts is said at its begin, then ever more rarely.
    fn is_worth_a_line(&mut self, event: &Event) -> bool {
        match event {
            Event::Duplicate => false,
            Event::MinutesVerified(symbol, _) => {
                self.unverified.remove(symbol);
                false
            }
            Event::VerifyFailed(symbol, _) => self.unverified.insert(symbol.clone()),
            Event::BatchStored(_) => {
                self.is_outbox_full = false;
                false
            }
            Event::OutboxFull(_) => !std::mem::replace(&mut self.is_outbox_full, true),
            Event::WriteFailed { tries, .. } | Event::OutboxFailed { times: tries, .. } => tries.is_power_of_two(),
            Event::ReadingPaused => {
                self.pauses += 1;
                self.pauses.is_power_of_two()
            }
            _ => true,
        }
    }
}

impl Kind {
    /// None for what happens once, or once a symbol.
    fn of(event: &Event) -> Option<Self> {
        let symbol = match event {
            Event::OutboxAsked | Event::OutboxTakenOver(_) => return None,
            Event::OtherOutboxLeft(..) | Event::OutboxSetAside(..) | Event::StoreWarned(_) => return None,
            Event::Known(..) | Event::NothingKnown(..) => return None,
            // The attempts are limited.
            Event::ConnectionOpened(_) => return None,
            Event::SymbolSilent(symbol)
            | Event::TradeSuspected(symbol, ..)
            | Event::TradeBelieved(symbol, ..)
            | Event::HoleFound(symbol, _)
            | Event::HoleRepaired(symbol, _)
            | Event::HoleStays(symbol, ..)
            | Event::CountRestarted(symbol, _)
            | Event::LeftInOutbox(symbol, _)
            | Event::StoreLost(symbol, _)
            | Event::MinuteDiffers(symbol, ..)
            | Event::MinuteAgrees(symbol, _)
            | Event::AuditFailed(symbol, _) => Some(symbol.clone()),
            _ => None,
        };
        let counter = counter_of(event)?;
        Some(Self { counter: counter.name, label: counter.label.map(|(_, value)| value), symbol })
    }
}

#[cfg(test)]
mod tests;
