//! Which minutes are held against the exchange's own candles next: the sign-off.
//!
//! ```text
//! over ─▶ due ─▶ candles asked for ─▶ trades read ─▶ kept: verified ─▶ read again, some at a time
//!          ▲                               └─▶ differs, or no candle yet ─▶ again a minute later
//!  minutes of before this run
//! ```
//!
//! A minute is due once it is over and what had been taken by then is acknowledged: what is compared is what the store has. One
//! stretch of minutes of one symbol is under way at a time. What is new goes first; everything else waits the longer the more
//! trades were read, so that it costs little however much there is. Pure: time comes in.

mod series;
mod stretch;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::series::Series;
pub use self::stretch::{Circumstances, Judgement, Stretch};
use self::stretch::{Lane, Reading};
use super::backoff::Backoff;
use crate::store::{KeptMinute, MinutePoint, RETENTION_MS};
use crate::trade::{IdRange, MINUTE_MS, Symbol, SymbolMap, TradeTime};
use crate::verify::Findings;

/// So long after its end a minute is over: its last trades may be on their way, and its candle on its.
const SETTLED_MS: i64 = 5_000;
/// What is about to leave the retention is not looked at any more.
const LEAVING_MS: i64 = 2 * MINUTE_MS;
/// After a failure nothing is tried for so long, and ever longer while nothing works.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_CAP: Duration = Duration::from_secs(10);
/// A store that does not tell what it knows is asked again after so long.
const ASK_KNOWN_AGAIN: Duration = Duration::from_secs(30);
/// Where nothing is due it is not looked for each time.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The number of a minute since the epoch.
type MinuteNumber = u64;

/// The sign-off of every symbol.
#[derive(Debug)]
pub struct SignOff {
    series: Vec<Series>,
    /// Where each symbol's is.
    places: SymbolMap<usize>,
    /// The first minute that ended in this run, and the first one that is not over.
    first: MinuteNumber,
    next: Option<MinuteNumber>,
    /// Minutes that are over, each with how many trades had been taken by then.
    passing: VecDeque<(MinuteNumber, u64)>,
    /// Where what is fetched of a series begins, if it was said before the exchange's time was known.
    fetched: Vec<(Symbol, TradeTime)>,
    /// Series of which trades were fetched that were missing, each with how many trades had been taken by then.
    mended: VecDeque<(usize, u64)>,
    /// What is under way.
    under_way: Option<Reading>,
    backoff: Backoff,
    /// Nothing is begun before.
    not_before: Instant,
    /// Nothing but what is due is begun before.
    rest_until: Instant,
    /// How many minutes are read again at a time, and whose turn it is.
    again_minutes: u64,
    turn: usize,
    /// When the store is to be asked what it knows; `None` once it was.
    ask_known_at: Option<Instant>,
}

/// What became of minutes that were kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many are verified that were not before.
    pub verified: u64,
    /// Those that differed before and do not any more.
    pub agree_now: Vec<TradeTime>,
    /// Those that differ and did not before, and in what.
    pub differ_now: Vec<MinutePoint>,
}

impl SignOff {
    /// Nothing is due yet.
    pub fn new(symbols: &[Symbol], now: Instant) -> Self {
        Self {
            series: symbols.iter().map(|symbol| Series::new(symbol.clone(), now)).collect(),
            places: symbols.iter().cloned().zip(0..).collect(),
            first: 0,
            next: None,
            passing: VecDeque::new(),
            fetched: Vec::new(),
            mended: VecDeque::new(),
            under_way: None,
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_CAP),
            not_before: now,
            rest_until: now,
            again_minutes: 1,
            turn: 0,
            ask_known_at: Some(now),
        }
    }

    /// It is `exchange_now` for sure; so many trades were `taken`, of which the first `settled` ones are acknowledged.
    pub fn pass(&mut self, exchange_now: TradeTime, (taken, settled): (u64, u64), now: Instant) {
        let over = number(exchange_now.earlier_by(SETTLED_MS));
        if self.next.is_none() {
            self.first = number(exchange_now);
            self.next = Some(self.first);
            let fetched = std::mem::take(&mut self.fetched);
            fetched.into_iter().for_each(|(symbol, since)| self.fetched(&symbol, since));
        }
        let running = self.next.unwrap_or(self.first);
        if over > running {
            // No clock jumps over more than the store keeps.
            let first = running.max(over.saturating_sub(1_440));
            self.passing.extend((first..over).map(|minute| (minute, taken)));
            self.next = Some(over);
            let oldest = number(exchange_now.earlier_by(RETENTION_MS - LEAVING_MS));
            self.passing.retain(|(minute, _)| *minute >= oldest);
            self.series.iter_mut().for_each(|series| series.forget_before(oldest));
        }
        while let Some((minute, _)) = self.passing.pop_front_if(|(_, taken)| *taken <= settled) {
            self.series.iter_mut().for_each(|series| series.is_over(minute));
        }
        while let Some((at, _)) = self.mended.pop_front_if(|(_, taken)| *taken <= settled) {
            self.series[at].hurry(now);
            self.rest_until = self.rest_until.min(now);
        }
    }

    /// Whether the store is to be asked now what was verified before this run; says so once.
    pub fn asks_for_known(&mut self, now: Instant) -> bool {
        self.next.is_some() && self.ask_known_at.take_if(|at| *at <= now).is_some()
    }

    /// It did not answer: it is to be asked again.
    pub fn not_known(&mut self, now: Instant) {
        self.ask_known_at = Some(now + ASK_KNOWN_AGAIN);
    }

    /// The store told what it keeps of minutes, and when its first trade of each symbol happened: what lies between that and
    /// this run and is not verified is due, too.
    pub fn known(&mut self, kept: &[KeptMinute], begins: &[(Symbol, TradeTime)]) {
        for minute in kept {
            if let Some(series) = self.of(&minute.symbol) {
                series.was_kept(number(minute.start), minute.is_verified);
            }
        }
        let end = self.first_to_pass();
        for (symbol, time) in begins {
            if let Some(series) = self.of(symbol) {
                series.begins(number(*time), end);
            }
        }
    }

    fn of(&mut self, symbol: &Symbol) -> Option<&mut Series> {
        self.series.get_mut(*self.places.get(symbol)?)
    }

    /// What happened from `since` on was fetched from the exchange's history.
    pub fn fetched(&mut self, symbol: &Symbol, since: TradeTime) {
        if self.next.is_none() {
            return self.fetched.push((symbol.clone(), since));
        }
        let end = self.first_to_pass();
        if let Some(series) = self.of(symbol) {
            series.begins(number(since), end);
        }
    }

    /// The first minute that is not due yet: those before it are, or were before this run.
    fn first_to_pass(&self) -> MinuteNumber {
        self.passing.front().map(|(minute, _)| *minute).or(self.next).unwrap_or(self.first)
    }

    /// Trades of a symbol that were missing are among the `taken` ones: what differs is looked at again once they are stored.
    pub fn repaired(&mut self, symbol: &Symbol, taken: u64) {
        let Some(at) = self.places.get(symbol).copied() else { return };
        self.mended.retain(|(other, _)| *other != at);
        self.mended.push_back((at, taken));
    }

    /// The next minutes whose candles are to be asked for, if `may_ask`.
    pub fn next(&mut self, now: Instant, may_ask: impl FnOnce() -> bool) -> Option<Stretch> {
        if self.under_way.is_some() || now < self.not_before || self.series.is_empty() {
            return None;
        }
        let Some((at, range, lane)) = self.choose(now).filter(|_| may_ask()) else {
            self.not_before = now + LOOK_EVERY;
            return None;
        };
        self.under_way = Some(Reading { series: at, range, lane, outcome: Vec::new() });
        self.under_way()
    }

    /// What is under way.
    pub fn under_way(&self) -> Option<Stretch> {
        let Reading { series, range, .. } = self.under_way.as_ref()?;
        Some(Stretch { symbol: self.series[*series].symbol.clone(), first: time(range.first), last: time(range.last) })
    }

    /// What is under way cannot be done now.
    pub fn failed(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        if let Some(reading) = self.under_way.take() {
            self.series[reading.series].failed(now, rng);
        }
        self.not_before = now + self.backoff.after_failure(rng);
    }

    /// The store was read; gives what is to be kept.
    pub fn found(&mut self, findings: Findings, about: &Circumstances, now: Instant) -> Vec<MinutePoint> {
        let Some(reading) = &mut self.under_way else { return Vec::new() };
        let series = &self.series[reading.series];
        let Findings { points, untold, behind } = findings;
        let trades = points.iter().fold(0, |sum: u64, point| sum.saturating_add(point.trades));
        let mut keep = Vec::new();
        for point in points {
            let minute = number(point.start);
            let judgement = about.judge(&point, minute >= self.first, behind.contains(&point.start));
            let is_news =
                judgement == Judgement::Differs || judgement == Judgement::Agrees && !series.is_verified(minute);
            reading.outcome.push((minute, judgement));
            keep.extend(Some(point).filter(|_| is_news));
        }
        let untold = untold.into_iter().map(|start| (number(start), Judgement::Untold));
        reading.outcome.extend(untold);
        self.rest_until = self.rest_until.max(now + reading.lane.rest(trades));
        if reading.lane == Lane::Verified {
            self.again_minutes = stretch::next_length(self.again_minutes, trades);
        }
        keep
    }

    /// What was to be kept is: `points`, which may be none.
    pub fn kept(&mut self, points: Vec<MinutePoint>, now: Instant) -> Kept {
        let mut kept = Kept::default();
        let Some(Reading { series, lane, outcome, .. }) = self.under_way.take() else { return kept };
        self.backoff.reset();
        let series = &mut self.series[series];
        series.worked();
        for (minute, judgement) in outcome {
            let before = series.settle(minute, judgement, lane, now);
            match judgement {
                Judgement::Agrees => {
                    kept.verified += u64::from(!before.was_verified);
                    kept.agree_now.extend(Some(time(minute)).filter(|_| before.differed));
                }
                Judgement::Differs if !before.differed => {
                    kept.differ_now.extend(points.iter().find(|point| number(point.start) == minute).cloned());
                }
                Judgement::Differs | Judgement::Waits | Judgement::Untold | Judgement::IsNone => {}
            }
        }
        kept
    }

    /// How many minutes differ, as far as is known.
    pub fn different(&self) -> u64 {
        self.series.iter().map(Series::different).sum()
    }

    /// The begin of the newest minute that is verified of every symbol.
    pub fn newest_verified(&self) -> Option<TradeTime> {
        self.series.iter().map(Series::newest_verified).min().flatten().map(time)
    }

    /// Whose turn it is, which minutes, and why.
    fn choose(&mut self, now: Instant) -> Option<(usize, IdRange, Lane)> {
        let due = self.series.iter().enumerate().filter_map(|(at, series)| Some((at, series.next_due(now)?)));
        if let Some((at, range)) = due.min_by_key(|(_, range)| range.first) {
            return Some((at, range, Lane::Due));
        }
        if now < self.rest_until {
            return None;
        }
        let count = self.series.len();
        let (turn, length, series) = (self.turn, self.again_minutes, &mut self.series);
        let mut first = |lane: Lane, of: &dyn Fn(&mut Series) -> Option<IdRange>| {
            let mut round = (turn..turn + count).map(|at| at % count);
            round.find_map(|at| {
                let series = &mut series[at];
                if series.may_be_tried(now) { Some((at, of(series)?, lane)) } else { None }
            })
        };
        let chosen = first(Lane::Again, &|series| series.next_again(now))
            .or_else(|| first(Lane::Past, &|series| series.next_past()))
            .or_else(|| first(Lane::Verified, &|series| series.next_verified(length)))?;
        self.turn = (chosen.0 + 1) % count;
        Some(chosen)
    }
}

/// The number of the minute that holds a time.
fn number(time: TradeTime) -> MinuteNumber {
    (time.ms() / MINUTE_MS).unsigned_abs()
}

/// The begin of a minute.
fn time(minute: MinuteNumber) -> TradeTime {
    TradeTime::EPOCH.later_by(i64::try_from(minute).unwrap_or(i64::MAX).saturating_mul(MINUTE_MS))
}

#[cfg(test)]
mod tests;
