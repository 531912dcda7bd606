//! Which minutes of a series are held against candles, and what is said of each.
//!
//! A store has whole minutes only between its first trade and its newest one. The minute that holds its first trade may have
//! begun before, and the one that holds the newest may go on: they are held against their candles if no trade is wanting there,
//! and else are parts of a minute, which is no difference. A minute between the two in which nothing is stored is a minute
//! without a trade, or it is missing.

use std::collections::BTreeMap;

use super::compare::{Comparison, Field, compare};
use crate::binance::rest::Kline;
use crate::store::gaps::RESTART;
use crate::store::minutes::Minute;
use crate::trade::{MINUTE_MS, TradeId, TradeTime};

/// What is known of a series beside its minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edges {
    /// The begin of the first minute that is looked at.
    pub first: TradeTime,
    /// The begin of the last one, which is over.
    pub last: TradeTime,
    /// The id of the last trade before the first minute, if one is stored.
    pub before: Option<TradeId>,
    /// When the newest trade happened, which may be after the last minute.
    pub newest: TradeTime,
}

/// The candles that the exchange told, by their begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    candles: BTreeMap<TradeTime, Kline>,
    /// Up to where a minute without a candle is one without a trade: the exchange leaves out minutes in which it was closed.
    complete_until: Option<TradeTime>,
}

/// What is said of a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides tell the same; also that there was no trade.
    Agrees,
    /// The two sides differ in these.
    Differs(Vec<Field>),
    /// The exchange has trades in it, and the store has none.
    Missing,
    /// The first stored trade is in it, and what was traded before that is not stored.
    Began,
    /// The newest stored trade is in it, and what was traded after that is not stored.
    Ended,
    /// The exchange told no candle of it.
    Untold,
    /// The store's sums do not tell: its trades have to be read.
    Unsure,
}

/// A minute, and what is said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged<'a> {
    /// Its begin.
    pub start: TradeTime,
    /// What the store has; nothing without a trade.
    pub minute: Option<&'a Minute>,
    /// What the exchange tells; nothing if it told no candle.
    pub candle: Option<&'a Kline>,
    /// Ids that are absent in it, between the minutes next to it, without those that the exchange tells of minutes between in
    /// which nothing is stored.
    pub missing: u64,
    /// What is to be said.
    pub verdict: Verdict,
}

impl Told {
    /// Takes candles; of the same minute the one that came last. Gives the first that it had otherwise.
    pub fn take(&mut self, candles: Vec<Kline>) -> Option<TradeTime> {
        let mut other = None;
        for candle in candles {
            let start = candle.start;
            if self.candles.insert(start, candle.clone()).is_some_and(|before| before != candle) {
                other = other.or(Some(start));
            }
        }
        other
    }

    /// How many trades the exchange tells of the minutes from `from` up to `until`.
    fn trades(&self, from: TradeTime, until: TradeTime) -> u64 {
        if from >= until {
            return 0;
        }
        self.candles.range(from..until).fold(0, |sum: u64, (_, candle)| sum.saturating_add(candle.trades))
    }

    /// Says that the exchange told all that it has up to its last candle.
    pub fn is_complete(&mut self) {
        self.complete_until = self.candles.keys().next_back().copied();
    }
}

/// What is said of each minute from the first stored one up to the newest one, in order. `minutes` are those of one series in
/// the order of time, from [`Edges::first`] on; they may go on past [`Edges::last`].
pub fn judge<'a>(edges: Edges, minutes: &'a [Minute], told: &'a Told) -> Vec<Judged<'a>> {
    let Some(first) = minutes.first() else { return Vec::new() };
    let begin = if edges.before.is_some() { edges.first } else { first.start };
    let mut at = 0;
    let mut judged = Vec::new();
    let mut start_ms = begin.ms();
    while let Ok(start) = TradeTime::from_ms(start_ms)
        && start <= edges.last
        && start <= edges.newest
    {
        let minute = minutes.get(at).filter(|minute| minute.start == start);
        let missing = minute.map_or(0, |minute| {
            let before = if at == 0 {
                edges.before.map(|id| (edges.first, id.get()))
            } else {
                Some((minutes[at - 1].start.later_by(MINUTE_MS), minutes[at - 1].ids.last))
            };
            let after = minutes.get(at + 1);
            let elsewhere = before
                .map_or(0, |(from, _)| told.trades(from, start))
                .saturating_add(after.map_or(0, |after| told.trades(start.later_by(MINUTE_MS), after.start)));
            missing(minute, before.map(|(_, id)| id), after.map(|after| after.ids.first)).saturating_sub(elsewhere)
        });
        let candle = told.candles.get(&start);
        let is_told = candle.is_some() || told.complete_until.is_some_and(|until| start <= until);
        let verdict = match (minute, candle) {
            _ if !is_told => Verdict::Untold,
            (None, candle) if candle.is_none_or(|candle| candle.trades == 0) => Verdict::Agrees,
            (None, _) => Verdict::Missing,
            (Some(_), None) => Verdict::Differs(vec![Field::Trades]),
            (Some(minute), Some(candle)) => {
                let is_part = candle.trades > minute.trades + missing;
                if is_part && at == 0 && edges.before.is_none() {
                    Verdict::Began
                } else if is_part && at + 1 == minutes.len() {
                    Verdict::Ended
                } else {
                    match compare(minute, candle) {
                        Comparison::Same => Verdict::Agrees,
                        Comparison::Unsure => Verdict::Unsure,
                        Comparison::Different(fields) => Verdict::Differs(fields),
                    }
                }
            }
        };
        at += usize::from(minute.is_some());
        judged.push(Judged { start, minute, candle, missing, verdict });
        start_ms += MINUTE_MS;
    }
    judged
}

/// Ids that are absent in a minute between the trades next to it; those of minutes between them, too, in which nothing is stored. A neighbour that is far above or below belongs to another
/// count, as in [`crate::store::gaps`].
fn missing(minute: &Minute, before: Option<u64>, after: Option<u64>) -> u64 {
    let ids = minute.ids;
    let before = before.filter(|before| *before < ids.first || *before <= ids.last.saturating_add(RESTART));
    let after = after.filter(|after| after.saturating_add(RESTART) >= ids.first);
    let from = before.map_or(ids.first, |before| ids.first.min(before.saturating_add(1)));
    let to = after.map_or(ids.last, |after| ids.last.max(after.saturating_sub(1)));
    (to - from + 1).saturating_sub(minute.trades)
}
