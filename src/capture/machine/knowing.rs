//! What there was before this run, and whether the store still has it.

use super::Capture;
use crate::capture::backlog::About;
use crate::capture::exchange_clock::Moment;
use crate::capture::history::Lookup;
use crate::capture::input::{Audited, Command};
use crate::capture::machine::ending::CaptureFailure;
use crate::capture::past::Asked;
use crate::capture::sequencer::Hole;
use crate::outbox::{Ended, Left, OutboxFound};
use crate::store::{Checked, RETENTION_MS, StoreError};
use crate::telemetry::health::Part;
use crate::telemetry::{Event, Source};
use crate::text::Excerpt;
use crate::trade::{IdRange, IdRanges, Symbol, SymbolMap, TradeTime};

/// What is about to leave the retention is not looked for: the store may have dropped it already.
const EDGE_MS: i64 = 10 * 60 * 1_000;
const NOTHING_STORED: &str = "the store has no trade of it";

impl Capture {
    /// The store said whether it can be written: at the start a definite no ends the run.
    pub(super) fn store_checked(&mut self, checked: Result<Checked, StoreError>) {
        if self.disk.is_open() {
            if let Ok(Checked { away: None, id, .. }) = checked {
                self.store_is_back(id);
            }
            return;
        }
        match checked {
            Ok(Checked { warnings, away, id }) => {
                for why in warnings.into_iter().chain(away.clone()) {
                    self.journal.note(Event::StoreWarned(why));
                }
                if let Some(why) = away {
                    self.condition.failing(Part::Store, &why);
                }
                self.past.set_store_id(id.clone());
                self.open_outbox(id);
            }
            Err(StoreError::Settings(why)) => self.fail(CaptureFailure::Settings(why)),
            Err(StoreError::Unusable(why)) => self.fail(CaptureFailure::Unusable(why)),
        }
    }

    /// Has the outbox of the store with this id opened, or of that at its address.
    pub(super) fn open_outbox(&mut self, store_id: Option<String>) {
        if self.disk.begin_opening() {
            self.commands.push_back(Command::OpenOutbox(store_id));
        }
    }

    pub(super) fn symbols_checked(&mut self, checked: Result<Option<Symbol>, Excerpt>) {
        self.ending.note_symbols_checked();
        match checked {
            Ok(None) => {}
            Ok(Some(symbol)) => self.fail(CaptureFailure::UnknownSymbol(symbol)),
            Err(why) => self.journal.note(Event::SymbolsUnchecked(why)),
        }
    }

    pub(super) fn outbox_opened(&mut self, found: OutboxFound) {
        let OutboxFound { left, known, set_aside, changed, others } = found;
        self.disk.open();
        if let Some((path, why)) = set_aside {
            self.journal.note(Event::OutboxSetAside(path, why));
        }
        for other in others {
            self.journal.note(Event::OtherOutboxLeft(other.path, other.owner, other.trades));
        }
        if let Some(how) = changed {
            self.journal.note(Event::StoreChanged(how));
        }
        let trades: usize = left.iter().map(|(left, _)| left.trades).sum();
        if trades > 0 {
            self.journal.note(Event::OutboxLeft(trades as u64));
        }
        let about = |left: Left| About {
            trades: left.trades,
            disk_bytes: left.bytes,
            ids: left.ids,
            arrivals: Vec::new(),
            is_of_this_run: false,
            taken_before: 0,
        };
        self.backlog.take_left(left.into_iter().map(|(left, rows)| (about(left), rows)).collect());
        self.ledger = known.stored;
        self.past.set_missing(known.ended, known.lost);
    }

    /// Learns the ledger as soon as the exchange's time is known, and asks the store then.
    pub(super) fn ask_past(&mut self, now: Moment) {
        let Some(exchange_now) = self.clock.surely(now).filter(|_| self.disk.is_open() && !self.is_stopping()) else {
            return;
        };
        let since = exchange_now.earlier_by(RETENTION_MS);
        if self.past.begin() {
            let ends = self.learn_ledger(since);
            self.past.ask_about_past(&self.settings.symbols, ends);
            if self.settings.repairs {
                self.doubt_absent(exchange_now, now);
            }
            if let Some(ago) = self.settings.backfill {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                let from = TradeTime::from_ms(exchange_now.ms().saturating_sub(ago).max(0)).unwrap_or(since).max(since);
                for symbol in &self.settings.symbols {
                    self.history.look_up(Lookup::First(symbol.clone(), from), now.at);
                }
            }
        }
        let sequencer = &self.sequencer;
        if let Some(asked) = self.past.next(now.at, |symbol| sequencer.begun(symbol)) {
            self.commands.push_back(Command::Audit(asked.symbol.clone(), since, asked.until));
        }
    }

    /// What the exchange did not have when it was asked last may be there now.
    fn doubt_absent(&mut self, exchange_now: TradeTime, now: Moment) {
        for Ended { symbol, range, .. } in self.past.absent() {
            if self.subset_of.contains_key(symbol) {
                let hole = Hole { symbol: symbol.clone(), range: *range, time: exchange_now };
                self.history.doubt(hole, now.at);
            }
        }
    }

    /// Stored, waiting and ended ids are one before anything is learned. Gives the time of each symbol's newest trade.
    fn learn_ledger(&mut self, since: TradeTime) -> SymbolMap<TradeTime> {
        self.ledger.forget_before(since);
        let mut stored = self.ledger.clone();
        stored.merge(&self.backlog.ids_on_disk());
        let mut ends = SymbolMap::default();
        for symbol in self.settings.symbols.clone() {
            let known = stored.of_symbol(&symbol);
            if let Some((ids, newest)) = &known {
                self.learn(&symbol, ids, *newest, Source::Ledger);
                ends.insert(symbol.clone(), *newest);
            }
            // What an earlier run lost and did not get again is missing still, also where nothing is known around it.
            let Some((lost, newest)) = self.past.take_lost(&symbol) else { continue };
            let known = known.map(|(ids, _)| ids).unwrap_or_default();
            let taken = self.sequencer.taken(&symbol).map(|(taken, _)| taken.clone()).unwrap_or_default();
            let absent = lost.iter().flat_map(|range| known.absent_in(range));
            for range in absent.flat_map(|range| taken.absent_in(range)) {
                self.sequencer.lose(&symbol, range, newest);
            }
        }
        ends
    }

    fn learn(&mut self, symbol: &Symbol, stored: &IdRanges, newest: TradeTime, source: Source) {
        if self.past.is_untold(symbol) {
            self.journal.note(match self.before_this_run(symbol, stored) {
                Some(span) => Event::Known(symbol.clone(), span, source),
                None => Event::NothingKnown(symbol.clone(), Excerpt::of(NOTHING_STORED)),
            });
        }
        let ended = self.past.ended(symbol);
        self.sequencer.learn(symbol, stored, &ended, newest);
    }

    /// From where to where `stored` reaches without what this run brought there.
    fn before_this_run(&self, symbol: &Symbol, stored: &IdRanges) -> Option<IdRange> {
        let mut before = stored.clone();
        if let Some((taken, _)) = self.sequencer.taken(symbol) {
            taken.iter().for_each(|range| before.remove(range));
        }
        before.span()
    }

    fn nothing_known(&mut self, symbol: &Symbol, why: &str) {
        if self.past.is_untold(symbol) {
            self.journal.note(Event::NothingKnown(symbol.clone(), Excerpt::line(why)));
        }
    }

    /// The store said what it has of a symbol.
    pub(super) fn audited(&mut self, symbol: &Symbol, answer: Result<Option<Audited>, StoreError>, now: Moment) {
        let Some(asked) = self.past.answered().filter(|asked| asked.symbol == *symbol) else { return };
        match answer {
            Ok(audited) => {
                let (stored, newest) = audited
                    .map_or_else(|| (IdRanges::default(), None), |audited| (audited.stored, Some(audited.newest)));
                self.find_lost(&asked, &stored, newest, now);
                match newest {
                    Some(newest) => self.learn(symbol, &stored, newest, Source::Store),
                    None => self.nothing_known(symbol, NOTHING_STORED),
                }
            }
            Err(StoreError::Settings(why)) => self.nothing_known(symbol, &why),
            Err(StoreError::Unusable(why)) => {
                self.journal.note(Event::AuditFailed(symbol.clone(), Excerpt::of(&why)));
                self.past.ask_again(symbol, now.at);
            }
        }
    }

    /// What the ledger says that the store has, and the store does not, is lost: the bucket was emptied, made anew or
    /// restored from an older copy. Its ids become holes.
    fn find_lost(&mut self, asked: &Asked, stored: &IdRanges, newest: Option<TradeTime>, now: Moment) {
        let symbol = &asked.symbol;
        if !self.is_clock_right(now) {
            self.past.note_unjudged();
            return;
        }
        let Some(exchange_now) = self.clock.surely(now) else { return };
        let bound = exchange_now.earlier_by(RETENTION_MS - EDGE_MS);
        let Some(first) = self.ledger.first_since(symbol, bound) else { return };
        let Some((claimed, claimed_newest)) = self.ledger.of_symbol(symbol) else { return };
        let is_same_count = stored.span().zip(newest).is_none_or(|(span, newest)| {
            claimed.span().is_none_or(|claimed| span.last >= claimed.first || newest <= claimed_newest)
        });
        if !is_same_count {
            return;
        }
        let mut missing = claimed;
        if first > 0 {
            missing.remove(IdRange { first: 0, last: first - 1 });
        }
        stored.iter().for_each(|range| missing.remove(range));
        let mut there = self.backlog.ids();
        there.merge(&asked.acknowledged);
        if let Some((ids, _)) = there.of_symbol(symbol) {
            ids.iter().for_each(|range| missing.remove(range));
        }
        // What this run brought was not asked for.
        if let Some((taken, _)) = self.sequencer.taken(symbol).filter(|_| asked.until.is_some()) {
            taken.iter().for_each(|range| missing.remove(range));
        }
        let trades: u64 = missing.iter().map(|range| range.count()).sum();
        if trades == 0 {
            return;
        }
        self.journal.note(Event::StoreLost(symbol.clone(), trades));
        for range in missing.iter() {
            self.ledger.remove_range(symbol, range);
            self.lose(symbol, range, claimed_newest);
        }
    }

    /// The store is there again: it may be another one, or an older state of the same.
    fn store_is_back(&mut self, id: Option<String>) {
        if let Some(id) = id {
            let known = self.past.set_store_id(Some(id.clone()));
            if let Some(known) = known.as_ref().filter(|known| **known != id) {
                self.journal.note(Event::StoreChanged(format!("it is {id} now, and was {known} before")));
            }
            self.disk.pending().store_id = Some(id).filter(|id| known.as_ref() != Some(id));
        }
        self.past.ask_about(&self.settings.symbols);
    }
}
