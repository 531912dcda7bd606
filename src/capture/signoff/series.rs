//! The minutes of one symbol, and how far each is.

use std::time::{Duration, Instant};

use super::MinuteNumber;
use super::stretch::{Judgement, Lane};
use crate::capture::backoff::Backoff;
use crate::trade::{IdRange, IdRanges, Symbol};

/// Minutes that are due and follow each other, at once at most.
const DUE_AT_ONCE: u64 = 30;
/// And minutes of before this run, or of which one differs.
const PAST_AT_ONCE: u64 = 10;
/// What differs, and what has no candle, is looked at again after so long.
/// What failed is tried again after so long, and ever longer.
const BACKOFF_FIRST: Duration = Duration::from_secs(5);
const BACKOFF_CAP: Duration = Duration::from_secs(120);
const AGAIN_EVERY: Duration = Duration::from_secs(45);

/// The minutes of one symbol: each of them in one of the sets at most, but for what differs, which is looked at again, too.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) symbol: Symbol,
    /// Of this run, and not looked at.
    due: IdRanges,
    /// Of before this run, and not looked at.
    past: IdRanges,
    /// To be looked at again.
    again: IdRanges,
    /// When, and from which minute on.
    again_at: Instant,
    again_from: MinuteNumber,
    different: IdRanges,
    verified: IdRanges,
    /// The verified minutes from here on were read again in this round; every other turn are the newest ones.
    read_from: Option<MinuteNumber>,
    is_turn_of_newest: bool,
    /// After a failure the others go on.
    backoff: Backoff,
    not_before: Instant,
}

/// What was known of a minute before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) was_verified: bool,
    pub(super) differed: bool,
}

impl Series {
    pub(super) fn new(symbol: Symbol, now: Instant) -> Self {
        let none = IdRanges::default;
        Self {
            symbol,
            due: none(),
            past: none(),
            again: none(),
            again_at: now,
            again_from: 0,
            different: none(),
            verified: none(),
            read_from: None,
            is_turn_of_newest: false,
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_CAP),
            not_before: now,
        }
    }

    /// A minute is over, and what was taken by then is acknowledged.
    pub(super) fn is_over(&mut self, minute: MinuteNumber) {
        self.due.insert(one(minute));
    }

    /// An earlier run looked at it.
    pub(super) fn was_kept(&mut self, minute: MinuteNumber, is_verified: bool) {
        // What this run said of it since counts.
        if self.due.contains(minute) || self.again.contains(minute) || self.is_verified(minute) {
            return;
        }
        if is_verified {
            self.verified.insert(one(minute));
        } else {
            self.different.insert(one(minute));
        }
    }

    /// What is stored begins in this minute: everything from there up to `end` that is not verified is to be looked at.
    pub(super) fn begins(&mut self, begin: MinuteNumber, end: MinuteNumber) {
        let Some(last) = end.checked_sub(1).filter(|last| begin <= *last) else { return };
        for range in self.verified.absent_in(IdRange { first: begin, last }) {
            self.past.insert(range);
        }
        for other in [&self.due, &self.again] {
            other.iter().for_each(|range| self.past.remove(range));
        }
    }

    pub(super) fn forget_before(&mut self, oldest: MinuteNumber) {
        let Some(last) = oldest.checked_sub(1) else { return };
        let old = IdRange { first: 0, last };
        [&mut self.due, &mut self.past, &mut self.again, &mut self.different, &mut self.verified]
            .into_iter()
            .for_each(|minutes| minutes.remove(old));
    }

    /// What is to be looked at again is so now.
    pub(super) fn hurry(&mut self, now: Instant) {
        (self.again_at, self.again_from) = (now, 0);
    }

    pub(super) fn is_verified(&self, minute: MinuteNumber) -> bool {
        self.verified.contains(minute)
    }

    pub(super) fn different(&self) -> u64 {
        self.different.iter().map(IdRange::count).sum()
    }

    pub(super) fn newest_verified(&self) -> Option<MinuteNumber> {
        self.verified.span().map(|span| span.last)
    }

    /// Something of it could not be done.
    pub(super) fn failed(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        self.not_before = now + self.backoff.after_failure(rng);
    }

    /// Something of it was done.
    pub(super) fn worked(&mut self) {
        self.backoff.reset();
    }

    pub(super) fn may_be_tried(&self, now: Instant) -> bool {
        now >= self.not_before
    }

    /// The oldest that are due.
    pub(super) fn next_due(&self, now: Instant) -> Option<IdRange> {
        self.due.iter().next().filter(|_| self.may_be_tried(now)).map(|range| begin_of(range, DUE_AT_ONCE))
    }

    /// The next of those that are to be looked at again, if it is time.
    pub(super) fn next_again(&mut self, now: Instant) -> Option<IdRange> {
        if now < self.again_at {
            return None;
        }
        let from = self.again_from;
        let Some(range) = self.again.iter().find(|range| range.last >= from) else {
            // Each was looked at in this round.
            (self.again_at, self.again_from) = (now + AGAIN_EVERY, 0);
            return None;
        };
        let range = begin_of(IdRange { first: range.first.max(from), ..range }, PAST_AT_ONCE);
        self.again_from = range.last + 1;
        Some(range)
    }

    /// The newest of before this run.
    pub(super) fn next_past(&self) -> Option<IdRange> {
        self.past.iter().last().map(|range| end_of(range, PAST_AT_ONCE))
    }

    /// So many of the verified ones: the newest, and by turns those before the last ones.
    pub(super) fn next_verified(&mut self, length: u64) -> Option<IdRange> {
        self.is_turn_of_newest = !self.is_turn_of_newest;
        let newest = self.verified.iter().last()?;
        if self.is_turn_of_newest {
            return Some(end_of(newest, length));
        }
        let mut before = self.verified.clone();
        if let Some(from) = self.read_from {
            before.remove(IdRange { first: from, last: u64::MAX - 1 });
        }
        let range = end_of(before.iter().last().unwrap_or(newest), length);
        self.read_from = Some(range.first);
        Some(range)
    }

    /// What became of a minute that was looked at.
    pub(super) fn settle(&mut self, minute: MinuteNumber, judgement: Judgement, lane: Lane, now: Instant) -> Before {
        let before = Before { was_verified: self.is_verified(minute), differed: self.different.contains(minute) };
        let it = one(minute);
        self.due.remove(it);
        self.past.remove(it);
        if self.again.runs() == 0 {
            (self.again_at, self.again_from) = (now + AGAIN_EVERY, 0);
        }
        self.again.remove(it);
        match judgement {
            Judgement::Agrees => {
                self.different.remove(it);
                self.verified.insert(it);
            }
            Judgement::Differs => {
                self.verified.remove(it);
                self.different.insert(it);
                self.again.insert(it);
            }
            Judgement::Untold | Judgement::Waits if before.was_verified => {}
            // Of what was before this run the exchange tells no more later on.
            Judgement::Untold if lane == Lane::Past => {}
            Judgement::Untold | Judgement::Waits => {
                self.again.insert(it);
            }
            Judgement::IsNone => {
                self.different.remove(it);
            }
        }
        before
    }
}

fn one(minute: MinuteNumber) -> IdRange {
    IdRange { first: minute, last: minute }
}

fn begin_of(range: IdRange, most: u64) -> IdRange {
    IdRange { first: range.first, last: range.last.min(range.first + most - 1) }
}

fn end_of(range: IdRange, most: u64) -> IdRange {
    IdRange { first: range.first.max((range.last + 1).saturating_sub(most)), last: range.last }
}
