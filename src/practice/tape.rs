//! The tape: every trade that the exchange made so far, in order.
//!
//! Each subscriber is a cursor into the tape, and REST reads the same trades:
//! no queue per subscriber, nothing that can lag in silence. The tape is
//! bounded; a cursor that falls off its start is told so.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::trade::{Symbol, Trade};

/// A trade with the time at which the exchange pushes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    /// The trade.
    pub trade: Trade,
    /// `E`, in milliseconds since the epoch.
    pub event_ms: i64,
}

/// The trades so far, shared by the market, the streams and REST.
#[derive(Debug)]
pub struct Tape {
    inner: Mutex<Inner>,
    end: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    prints: VecDeque<Print>,
    /// The position of the first print that is still there.
    start: u64,
    limit: usize,
    /// Per symbol the ids, rising, with the position of each.
    ids: HashMap<Symbol, VecDeque<(u64, u64)>>,
    /// How far each subscriber has read.
    cursors: HashMap<u64, u64>,
    ended: bool,
}

/// A symbol of the exchange and the trades of it that the tape has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The symbol.
    pub symbol: Symbol,
    /// The lowest id, if it has traded.
    pub first_id: Option<u64>,
    /// The highest id, if it has traded.
    pub last_id: Option<u64>,
    /// How many trades.
    pub trades: usize,
}

/// A cursor is no longer on the tape: its reader was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FellOff;

impl Tape {
    /// An empty tape for trades of `symbols` that keeps the newest `limit` prints.
    pub fn new(symbols: &[Symbol], limit: usize) -> Self {
        let ids = symbols.iter().map(|symbol| (symbol.clone(), VecDeque::new())).collect();
        let inner = Inner { prints: VecDeque::new(), start: 0, limit, ids, cursors: HashMap::new(), ended: false };
        Self { inner: Mutex::new(inner), end: watch::Sender::new(0) }
    }

    /// Puts prints behind the others and wakes who waits for them.
    ///
    /// An id that does not rise begins the symbol anew, as a testnet's reset
    /// does: streams still have what was before, REST no longer.
    pub fn append(&self, prints: impl IntoIterator<Item = Print>) {
        let mut inner = self.inner();
        for print in prints {
            let (position, id) = (inner.end(), print.trade.id.get());
            let ids = inner.ids.entry(print.trade.symbol.clone()).or_default();
            if ids.back().is_some_and(|(last, _)| *last >= id) {
                ids.clear();
            }
            ids.push_back((id, position));
            inner.prints.push_back(print);
            if inner.prints.len() > inner.limit {
                inner.drop_oldest();
            }
        }
        let end = inner.end();
        drop(inner);
        self.end.send_replace(end);
    }

    /// The position behind the last print, and a way to wait for it to move.
    pub fn end(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// Copies up to `most` prints from `position` on.
    ///
    /// # Errors
    ///
    /// [`FellOff`] if the tape no longer has that position.
    pub fn read(&self, position: u64, most: usize, into: &mut Vec<Print>) -> Result<(), FellOff> {
        let inner = self.inner();
        let from = position.checked_sub(inner.start).ok_or(FellOff)?;
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(inner.prints.len());
        let to = (from + most).min(inner.prints.len());
        into.clear();
        into.extend(inner.prints.range(from..to).cloned());
        Ok(())
    }

    /// Whether the exchange lists `symbol`.
    pub fn lists(&self, symbol: &Symbol) -> bool {
        self.inner().ids.contains_key(symbol)
    }

    /// Every listed symbol, sorted.
    pub fn listed(&self) -> Vec<Listed> {
        let inner = self.inner();
        let listed = |(symbol, ids): (&Symbol, &VecDeque<(u64, u64)>)| Listed {
            symbol: symbol.clone(),
            first_id: ids.front().map(|(id, _)| *id),
            last_id: ids.back().map(|(id, _)| *id),
            trades: ids.len(),
        };
        let mut all: Vec<_> = inner.ids.iter().map(listed).collect();
        all.sort_by(|one, other| one.symbol.cmp(&other.symbol));
        all
    }

    /// Up to `most` trades of `symbol` with ids from `from_id` on, or the newest ones.
    pub fn history(&self, symbol: &Symbol, from_id: Option<u64>, most: usize) -> Vec<Trade> {
        let inner = self.inner();
        let Some(ids) = inner.ids.get(symbol) else { return Vec::new() };
        let first = match from_id {
            Some(from_id) => ids.partition_point(|(id, _)| *id < from_id),
            None => ids.len().saturating_sub(most),
        };
        ids.range(first..).take(most).filter_map(|(_, position)| Some(inner.print(*position)?.trade.clone())).collect()
    }

    /// Up to `most` groups of neighbours that `are_one` holds together, none of
    /// them cut: those that begin at `from_id` or later, or the newest, and none
    /// that begins after `until_ms`.
    pub fn groups(
        &self,
        symbol: &Symbol,
        from_id: Option<u64>,
        until_ms: i64,
        most: usize,
        are_one: fn(&Trade, &Trade) -> bool,
    ) -> Vec<Vec<Trade>> {
        let inner = self.inner();
        let Some(ids) = inner.ids.get(symbol) else { return Vec::new() };
        let trade = |at: usize| ids.get(at).and_then(|(_, position)| inner.print(*position)).map(|print| &print.trade);
        let begins = |at: &usize| match (at.checked_sub(1).and_then(trade), trade(*at)) {
            (Some(before), Some(this)) => !are_one(before, this),
            _ => true,
        };
        let end = ids.partition_point(|(_, position)| inner.time_ms(*position) <= until_ms);
        let first = match from_id {
            Some(from_id) => (ids.partition_point(|(id, _)| *id < from_id)..end).find(begins),
            None => (0..end).rev().filter(begins).take(most).last(),
        };
        let mut groups: Vec<Vec<Trade>> = Vec::new();
        for at in first.unwrap_or(end)..end {
            if begins(&at) {
                if groups.len() == most {
                    break;
                }
                groups.push(Vec::new());
            }
            if let (Some(group), Some(trade)) = (groups.last_mut(), trade(at)) {
                group.push(trade.clone());
            }
        }
        groups
    }

    /// The first id of `symbol` with `T` at or after `ms`.
    pub fn first_id_from(&self, symbol: &Symbol, ms: i64) -> Option<u64> {
        let inner = self.inner();
        let ids = inner.ids.get(symbol)?;
        ids.get(ids.partition_point(|(_, position)| inner.time_ms(*position) < ms)).map(|(id, _)| *id)
    }

    /// The first and the last id of `symbol` with `T` from `from_ms` on and before `until_ms`.
    pub fn ids_between(&self, symbol: &Symbol, from_ms: i64, until_ms: i64) -> Option<(u64, u64)> {
        let inner = self.inner();
        let ids = inner.ids.get(symbol)?;
        let before = |ms: i64| ids.partition_point(|(_, position)| inner.time_ms(*position) < ms);
        let (from, until) = (before(from_ms), before(until_ms));
        let last = until.checked_sub(1).filter(|last| *last >= from)?;
        Some((ids.get(from)?.0, ids.get(last)?.0))
    }

    /// Notes how far a subscriber has read; `None` when it leaves.
    pub fn note_cursor(&self, subscriber: u64, position: Option<u64>) {
        let mut inner = self.inner();
        match position {
            Some(position) => inner.cursors.insert(subscriber, position),
            None => inner.cursors.remove(&subscriber),
        };
    }

    /// Prints that the slowest subscriber has not read yet.
    pub fn backlog(&self) -> u64 {
        let inner = self.inner();
        inner.cursors.values().min().map_or(0, |slowest| inner.end().saturating_sub(*slowest))
    }

    /// Subscribers now.
    pub fn subscribers(&self) -> usize {
        self.inner().cursors.len()
    }

    /// No more prints will come.
    pub fn set_ended(&self) {
        self.inner().ended = true;
    }

    /// Whether no more prints will come.
    pub fn has_ended(&self) -> bool {
        self.inner().ended
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn end(&self) -> u64 {
        self.start + self.prints.len() as u64
    }

    fn print(&self, position: u64) -> Option<&Print> {
        let at = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.prints.get(at)
    }

    fn time_ms(&self, position: u64) -> i64 {
        self.print(position).map_or(i64::MIN, |print| print.trade.time.ms())
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.prints.pop_front() {
            let position = self.start;
            self.start += 1;
            if let Some(ids) = self.ids.get_mut(&oldest.trade.symbol)
                && ids.front().is_some_and(|(_, first)| *first == position)
            {
                ids.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::{Price, Quantity, TradeId, TradeTime};

    fn print(symbol: &str, id: u64, ms: i64) -> Print {
        let trade = Trade {
            symbol: symbol.parse().unwrap(),
            id: TradeId::new(id).unwrap(),
            time: TradeTime::from_ms(ms).unwrap(),
            price: Price::new("1").unwrap(),
            quantity: Quantity::new("1").unwrap(),
            buyer_is_maker: false,
        };
        Print { trade, event_ms: ms }
    }

    fn tape(limit: usize) -> (Tape, Symbol, Symbol) {
        let (a, b): (Symbol, Symbol) = ("A".parse().unwrap(), "B".parse().unwrap());
        let tape = Tape::new(&[a.clone(), b.clone()], limit);
        tape.append([print("A", 7, 10), print("B", 1, 10), print("A", 8, 20), print("A", 9, 20), print("B", 2, 30)]);
        (tape, a, b)
    }

    fn ids(trades: &[Trade]) -> Vec<u64> {
        trades.iter().map(|trade| trade.id.get()).collect()
    }

    #[test]
    fn a_cursor_reads_everything_in_order() {
        let (tape, ..) = tape(100);
        let mut read = Vec::new();
        tape.read(3, 10, &mut read).unwrap();
        assert_eq!(read, [print("A", 9, 20), print("B", 2, 30)]);
        tape.read(0, 2, &mut read).unwrap();
        assert_eq!(read.len(), 2);
        tape.read(99, 2, &mut read).unwrap();
        assert_eq!(read, []);
        assert_eq!(*tape.end().borrow(), 5);
    }

    #[test]
    fn a_cursor_that_fell_off_is_told_so() {
        let (tape, a, b) = tape(3);
        assert_eq!(tape.read(1, 10, &mut Vec::new()), Err(FellOff));
        assert_eq!(tape.read(2, 10, &mut Vec::new()), Ok(()));
        assert_eq!(ids(&tape.history(&a, Some(0), 10)), [8, 9], "REST begins later too");
        assert_eq!(ids(&tape.history(&b, Some(0), 10)), [2]);
    }

    #[test]
    fn history_is_by_id_and_bounded() {
        let (tape, a, _) = tape(100);
        assert_eq!(ids(&tape.history(&a, Some(8), 10)), [8, 9]);
        assert_eq!(ids(&tape.history(&a, Some(0), 2)), [7, 8]);
        assert_eq!(ids(&tape.history(&a, Some(10), 2)), [] as [u64; 0]);
        assert_eq!(ids(&tape.history(&a, None, 2)), [8, 9]);
        assert_eq!(tape.first_id_from(&a, 11), Some(8));
        assert_eq!(tape.first_id_from(&a, 21), None);
    }

    #[test]
    fn groups_are_never_cut() {
        let (tape, a, _) = tape(100);
        let same_time = |one: &Trade, next: &Trade| one.time == next.time;
        let groups = |from_id, until_ms, most| {
            tape.groups(&a, from_id, until_ms, most, same_time).iter().map(|group| ids(group)).collect::<Vec<_>>()
        };
        assert_eq!(groups(None, i64::MAX, 10), [vec![7], vec![8, 9]]);
        assert_eq!(groups(None, i64::MAX, 1), [[8, 9]]);
        assert_eq!(groups(None, 19, 1), [[7]]);
        assert_eq!(groups(Some(0), i64::MAX, 1), [[7]]);
        assert_eq!(groups(Some(8), i64::MAX, 1), [[8, 9]]);
        assert_eq!(groups(Some(9), i64::MAX, 1), [[0u64; 0]; 0], "9 begins none");
        assert_eq!(groups(None, i64::MAX, 0), [[0u64; 0]; 0]);
    }

    #[test]
    fn an_id_that_falls_begins_the_symbol_anew() {
        let (tape, a, b) = tape(6);
        tape.append([print("A", 1, 40), print("A", 2, 50)]);
        assert_eq!(ids(&tape.history(&a, Some(0), 10)), [1, 2]);
        tape.append([print("B", 3, 60), print("B", 4, 70), print("B", 5, 80), print("B", 6, 90)]);
        assert_eq!(ids(&tape.history(&a, Some(0), 10)), [1, 2], "what went before them is dropped without them");
        assert_eq!(ids(&tape.history(&b, Some(0), 10)), [3, 4, 5, 6]);
    }

    #[test]
    fn the_backlog_is_the_slowest_subscribers() {
        let (tape, ..) = tape(100);
        assert_eq!(tape.backlog(), 0);
        tape.note_cursor(1, Some(4));
        tape.note_cursor(2, Some(1));
        assert_eq!((tape.backlog(), tape.subscribers()), (4, 2));
        tape.note_cursor(2, None);
        assert_eq!(tape.backlog(), 1);
    }
}
