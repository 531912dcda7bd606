//! Minutes of one symbol that are looked at together, and what is to be said of each.

use std::time::Duration;

use super::MinuteNumber;
use crate::store::MinutePoint;
use crate::trade::{IdRange, MINUTE_MS, Symbol, TradeTime};

/// For so long a hole may be repaired, and a candle change, before it is said that a minute differs.
const YOUNG_MS: i64 = 2 * MINUTE_MS;
/// To read a trade costs a few microseconds. Everything that is not due waits so long for each one that was read.
const REST_A_TRADE: Duration = Duration::from_micros(50);
const REST_A_VERIFIED_TRADE: Duration = Duration::from_millis(2);
const REST_MIN: Duration = Duration::from_millis(500);
/// What is verified is read again in stretches of about so many trades, and of so many minutes at most.
const VERIFIED_TRADES: u64 = 10_000;
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
    /// `is_of_run`: the minute ended in this run; `is_behind`: its candle has fewer trades than are stored.
    pub(super) fn judge(&self, point: &MinutePoint, is_of_run: bool, is_behind: bool) -> Judgement {
        if point.difference.is_none() {
            return Judgement::Agrees;
        }
        let end = point.start.later_by(MINUTE_MS);
        if self.begin.is_some_and(|begin| point.start <= begin) {
            return Judgement::IsNone;
        }
        // Its last trades may not have come: the ids say so only once a later one is there.
        let is_open = is_of_run && self.newest.is_none_or(|newest| newest < end);
        let is_young = self.exchange_now <= end.later_by(YOUNG_MS);
        let may_be_repaired = self.has_open_holes && (!is_of_run || is_young);
        if is_open || may_be_repaired || is_behind && is_young { Judgement::Waits } else { Judgement::Differs }
    }
}

impl Lane {
    /// How long everything that is not due waits after so many trades were read.
    pub(super) fn rest(self, trades: u64) -> Duration {
        let times = u32::try_from(trades).unwrap_or(u32::MAX);
        match self {
            Self::Due => Duration::ZERO,
            Self::Again | Self::Past => REST_MIN.max(REST_A_TRADE.saturating_mul(times)),
            Self::Verified => REST_MIN.max(REST_A_VERIFIED_TRADE.saturating_mul(times)),
        }
    }
}

/// How many verified minutes are read the next time, after so many had so many trades.
pub(super) fn next_length(length: u64, trades: u64) -> u64 {
    if trades < VERIFIED_TRADES / 2 {
        (length * 2).min(VERIFIED_AT_ONCE)
    } else if trades > VERIFIED_TRADES {
        (length / 2).max(1)
    } else {
        length
    }
}
