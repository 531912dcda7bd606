//! What is missing, and asking the exchange's REST for it.

use std::time::{Duration, Instant};

use super::Capture;
use crate::capture::exchange_clock::Moment;
use crate::capture::history::{Found, HistoryAnswer, Lookup, Outcome, RefusalKind};
use crate::capture::holes::{Brought, End, EndedHole};
use crate::capture::input::Command;
use crate::outbox;
use crate::telemetry::health::Part;
use crate::telemetry::{Event, Replacement};
use crate::trade::{HoleState, IdRange, IdRanges, Symbol};

/// What the exchange's newest trade and the moments of ours may be apart without meaning anything.
const CLOCKS_APART: Duration = Duration::from_secs(2);

impl Capture {
    /// Takes on the holes whose grace is over; a run that only repairs has been told of all of them.
    pub(super) fn report_holes(&mut self, now: Instant) {
        if self.only_repairs() {
            return;
        }
        for hole in self.sequencer.due_holes(now) {
            let is_awaited = |found: &Found| (hole.range.first..=hole.range.last).contains(&found.id);
            if let Some(found) = self.awaited.get(&hole.symbol).copied().filter(is_awaited) {
                self.awaited.remove(&hole.symbol);
                self.symbol_is_silent(&hole.symbol, found, now);
            }
            if !self.settings.repairs {
                self.journal.note(Event::HoleFound(hole.symbol, hole.range));
                continue;
            }
            let found = Event::HoleFound(hole.symbol.clone(), hole.range);
            let (ended, is_its_own) = self.history.add(hole, now);
            if is_its_own {
                self.journal.note(found);
            }
            self.note_ended(ended);
        }
    }

    /// Whether REST is to be asked at all.
    pub(super) fn may_ask(&self) -> bool {
        self.settings.asks && !self.is_stopping()
    }

    /// Whether pages may be asked for: what the store cannot take now, the exchange keeps as well.
    pub(super) fn may_repair(&self) -> bool {
        self.settings.repairs && !self.backlog.is_full() && self.has_room()
    }

    pub(super) fn ask_history(&mut self, now: Moment) {
        if !self.may_ask() {
            return;
        }
        if let Some(request) = self.history.next_request(self.may_repair(), now.at) {
            self.commands.push_back(Command::Ask(request));
        }
    }

    pub(super) fn history_answered(&mut self, answer: HistoryAnswer, used_weight: Option<u32>, now: Moment) {
        let asked = self.history.asked_at();
        let used_weight = used_weight.map(|used| (used, self.minute_left(now.at)));
        match self.history.answered(answer, used_weight, now.at, &mut self.rng) {
            Outcome::Brought(brought) => {
                self.note_page();
                self.take_repaired(brought);
            }
            Outcome::Found(Lookup::Time, found) => {
                self.clock.told(found.time, asked.unwrap_or(now.at), now.at);
                self.release_suspects(now);
            }
            Outcome::Found(Lookup::First(symbol, since), found) => {
                // As if the trade before it had been the last one known: all from it on is wanted.
                let before = IdRange { first: found.id.saturating_sub(1), last: found.id.saturating_sub(1) };
                self.sign_off.fetched(&symbol, since);
                self.sequencer.learn(&symbol, &before.into(), &IdRanges::default(), since);
            }
            Outcome::Found(Lookup::Newest(symbol), found) => self.heard_of_newest(&symbol, found, now.at),
            Outcome::Failed(refusal) => {
                self.note_refusal(&refusal);
                self.journal.note(match refusal.kind {
                    RefusalKind::NotServed => Event::HistoryNotServed(refusal.why),
                    _ => Event::HistoryFailed(refusal.why),
                });
            }
            Outcome::Nothing => {}
        }
    }

    /// Ids that stay missing are not open any more, and the ledger keeps why.
    pub(super) fn end_ids(&mut self, symbol: &Symbol, range: IdRange, state: HoleState) {
        self.sequencer.end(symbol, range);
        self.disk.pending().end(outbox::Ended { symbol: symbol.clone(), range, state });
    }

    /// Looks for a reason why streams say nothing, or nothing of one symbol.
    pub(super) fn watch_streams(&mut self, now: Instant) {
        let Some(last) = self.connections.last_trade() else { return };
        let silence = now.saturating_duration_since(last);
        if silence >= self.settings.idle_timeout {
            self.condition.failing(Part::Stream, &format!("no trade for {} s", silence.as_secs()));
            // While nothing comes at all, the connections are at fault.
            return;
        }
        if self.connections.carries_all() {
            self.condition.working(Part::Stream);
        }
        if self.settings.repairs {
            for symbol in self.silence.due(now) {
                self.history.look_up(Lookup::Newest(symbol), now);
            }
        }
    }

    fn take_repaired(&mut self, brought: Brought) {
        for trade in brought.trades {
            if self.sequencer.fill(&trade) {
                self.backlog.push(trade, None);
            }
        }
        self.note_ended(brought.ended);
        for (symbol, row) in brought.bad_rows {
            self.refuse_message(&row.text, &row.why);
            let range = row.id.map(|id| IdRange { first: id, last: id });
            self.note_ended(range.map(|range| (symbol, range, End::Stays(HoleState::NotAtExchange))));
        }
    }

    pub(super) fn note_ended(&mut self, ended: impl IntoIterator<Item = EndedHole>) {
        for (symbol, range, end) in ended {
            match end {
                End::Repaired => {
                    self.sign_off.repaired(&symbol, self.backlog.taken());
                    self.journal.note(Event::HoleRepaired(symbol, range));
                }
                End::Stays(state) => {
                    self.sign_off.repaired(&symbol, self.backlog.taken());
                    self.end_ids(&symbol, range, state);
                    self.journal.note(Event::HoleStays(symbol, range, state));
                }
            }
        }
    }

    /// The exchange has a trade of a symbol that the stream keeps silent about: it may be on its way.
    fn heard_of_newest(&mut self, symbol: &Symbol, newest: Found, now: Instant) {
        if self.sequencer.reach(symbol, newest.id, newest.time, now) {
            self.awaited.insert(symbol.clone(), newest);
        }
    }

    /// A trade that the exchange has did not come. That is its connection's fault only if that was open when it happened.
    fn symbol_is_silent(&mut self, symbol: &Symbol, missed: Found, now: Instant) {
        let Some((exchange_now, subset)) = self.clock.now(now).zip(self.subset_of.get(symbol).copied()) else { return };
        let missed_for = u64::try_from(exchange_now.ms().saturating_sub(missed.time.ms())).unwrap_or(0);
        let replaced = self.connections.silent(subset, Duration::from_millis(missed_for) + CLOCKS_APART, now);
        if !replaced.is_empty() {
            self.journal.note(Event::SymbolSilent(symbol.clone()));
        }
        for id in replaced {
            self.journal.note(Event::ConnectionReplaced(id, Replacement::SilentSymbol));
        }
    }

    /// How much of the exchange's current minute is left: its limits are by the minute.
    pub(super) fn minute_left(&self, now: Instant) -> Duration {
        let passed = self.clock.now(now).map_or(0, |time| time.ms().rem_euclid(60_000));
        Duration::from_millis(60_000_u64.saturating_sub(passed.unsigned_abs()))
    }
}
