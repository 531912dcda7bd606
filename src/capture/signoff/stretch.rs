//! Minutes of one symbol that are looked at together, and what is to be said of each.

use std::time::{Duration, Instant};

use super::MinuteNumber;
use crate::store::MinutePoint;
use crate::trade::{IdRange, MINUTE_MS, Symbol, TradeTime};

/// A hole may be repaired for so long before what it makes of its minute is said.
const REPAIR_MS: i64 = 2 * MINUTE_MS;
/// Everything that is not due waits so many times as long as the store was read for.
const REST_TIMES: u32 = 20;
const REST_TIMES_OF_VERIFIED: u32 = 200;
const REST_MIN: Duration = Duration::from_millis(500);
/// A reading of what is verified is to take about so long.
const READ_MIN: Duration = Duration::from_millis(40);
const READ_MAX: Duration = Duration::from_millis(100);
/// Minutes of one such reading, at most.
const VERIFIED_AT_ONCE: u64 = 60;

/// Minutes of one symbol that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Whose.
    pub symbol: Symbol,
    /// The begin of the first minute.
    pub first: TradeTime,
    /// The begin of the last one.
    pub last: TradeTime,
}

/// Why minutes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// They are over.
    Due,
    /// They differed, or had no candle.
    Again,
    /// They were before this run.
    Past,
    /// They are verified: someone may have changed the store since.
    Verified,
}

/// Minutes that are under way.
#[derive(Debug)]
pub(super) struct Reading {
    /// Whose, by place.
    pub(super) series: usize,
    pub(super) range: IdRange,
    pub(super) lane: Lane,
    /// When it was begun; once the candles are there, when that was.
    pub(super) since: Instant,
    /// What is to be said of each minute, once it is kept.
    pub(super) outcome: Vec<(MinuteNumber, Judgement)>,
}

/// What is to be said of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is verified.
    Agrees,
    /// It differs.
    Differs,
    /// Nothing yet: it may still become whole.
    Waits,
    /// Nothing: the exchange tells no candle of it.
    Untold,
    /// Nothing at all: the store has only a part of it, for it began there.
    IsNone,
}

/// What else is known when minutes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// The exchange's time.
    pub exchange_now: TradeTime,
    /// When the first stored trade of the symbol happened, if it is not before these minutes.
    pub begin: Option<TradeTime>,
    /// When the newest trade of the symbol happened that the streams gave.
    pub newest: Option<TradeTime>,
    /// Whether ids of the symbol are missing that may still come.
    pub has_open_holes: bool,
}

impl Circumstances {
    /// `is_of_run`: the minute ended in this run.
    pub(super) fn judge(&self, point: &MinutePoint, is_of_run: bool) -> Judgement {
        if point.difference.is_none() {
            return Judgement::Agrees;
        }
        let end = point.start.later_by(MINUTE_MS);
        if self.begin.is_some_and(|begin| point.start <= begin) {
            return Judgement::IsNone;
        }
        // Its last trades may not have come: the ids say so only once a later one is there.
        let is_open = is_of_run && self.newest.is_none_or(|newest| newest < end);
        let may_be_repaired = !is_of_run || self.exchange_now <= end.later_by(REPAIR_MS);
        if is_open || self.has_open_holes && may_be_repaired { Judgement::Waits } else { Judgement::Differs }
    }
}

impl Lane {
    /// How long everything that is not due waits after a reading that took so long.
    pub(super) fn rest(self, took: Duration) -> Duration {
        match self {
            Self::Due => Duration::ZERO,
            Self::Again | Self::Past => REST_MIN.max(took.saturating_mul(REST_TIMES)),
            Self::Verified => REST_MIN.max(took.saturating_mul(REST_TIMES_OF_VERIFIED)),
        }
    }
}

/// How many verified minutes are read the next time, after so many took so long.
pub(super) fn next_length(length: u64, took: Duration) -> u64 {
    if took < READ_MIN {
        (length * 2).min(VERIFIED_AT_ONCE)
    } else if took > READ_MAX {
        (length / 2).max(1)
    } else {
        length
    }
}
