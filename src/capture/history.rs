//! What to ask the exchange's REST for, and when: pages for holes, single ids, the time.
//!
//! One request at a time over all symbols, within one budget of weight that believes the exchange's own account of it;
//! live capture never waits for it. Pure: the shell asks and tells.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::holes::{Brought, EndedHole, Holes, PageRequest};
use super::page::Page;
use super::sequencer::Hole;
use crate::binance::weight::{AGGREGATE_WEIGHT, HISTORY_WEIGHT, KLINES_WEIGHT, TIME_WEIGHT, WeightBudget};
use crate::text::Excerpt;
use crate::trade::{Symbol, TradeTime};

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_CAP: Duration = Duration::from_secs(60);
/// A hole whose page failed waits behind the others for so long.
const BEHIND_OTHERS: Duration = Duration::from_secs(1);
/// A lookup that failed is tried again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// A host that does not serve this place, or its history, will not do so in a minute either.
const NOT_SERVED_WAIT: Duration = Duration::from_secs(300);
/// No wish to wait is granted for longer; Binance bans for three days at most.
const WAIT_MAX: Duration = Duration::from_secs(72 * 3_600);

/// Something single to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The first id of a symbol from a time on.
    First(Symbol, TradeTime),
    /// The newest id of a symbol.
    Newest(Symbol),
    /// The exchange's time.
    Time,
}

/// What to ask the exchange for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A page of its history.
    Page(PageRequest),
    /// The newest trades of a symbol: all that a market-data-only host serves.
    NewestTrades(Symbol),
    /// Something single.
    Lookup(Lookup),
}

/// What a lookup found: an id with the time of its trade; for the time only the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The id, 0 for the time.
    pub id: u64,
    /// The exchange's time.
    pub time: TradeTime,
}

/// Why the exchange gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of which kind.
    pub kind: RefusalKind,
    /// In words, and what to do.
    pub why: Excerpt,
}

/// What a refusal means for the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// It may come the next time.
    Failed,
    /// The limits of the address are reached: wait so long.
    Limited(Duration),
    /// This place is not served.
    NotFromHere,
    /// This host does not serve its history, at most the newest trades.
    NotServed,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryAnswer {
    /// A page, of the history or of the newest trades.
    Page(Page),
    /// What was looked up; `None` if there is nothing.
    Found(Option<Found>),
    /// None that can be used.
    Refused(Refusal),
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Trades, and holes that ended.
    Brought(Brought),
    /// What was looked up.
    Found(Lookup, Found),
    /// Nothing, and why.
    Failed(Refusal),
    /// Nothing worth a word.
    Nothing,
}

/// Requests to the exchange's REST.
#[derive(Debug)]
pub struct History {
    holes: Holes,
    lookups: VecDeque<(Lookup, Instant)>,
    /// The request whose answer is awaited, and when it was made.
    asking: Option<(Request, Instant)>,
    budget: WeightBudget,
    backoff: Backoff,
    not_before: Instant,
    /// Until when only the newest trades are asked for.
    newest_only_until: Option<Instant>,
}

impl History {
    /// Nothing to ask for yet.
    pub fn new(now: Instant) -> Self {
        Self {
            holes: Holes::default(),
            lookups: VecDeque::new(),
            asking: None,
            budget: WeightBudget::new(now),
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_CAP),
            not_before: now,
            newest_only_until: None,
        }
    }

    /// Takes a hole on, as [`Holes::add`].
    pub fn add(&mut self, hole: Hole, now: Instant) -> (Option<EndedHole>, bool) {
        self.holes.add(hole, now)
    }

    /// Takes on ids that an earlier run gave up, as [`Holes::doubt`].
    pub fn doubt(&mut self, hole: Hole, now: Instant) {
        self.holes.doubt(hole, now);
    }

    /// Looks something up, unless that is waiting or asked for already.
    pub fn look_up(&mut self, lookup: Lookup, now: Instant) {
        let is_asked = matches!(&self.asking, Some((Request::Lookup(asked), _)) if *asked == lookup);
        if !is_asked && self.lookups.iter().all(|(waiting, _)| *waiting != lookup) {
            self.lookups.push_back((lookup, now));
        }
    }

    /// The exchange started a symbol's count again: its old ids are not there any more.
    pub fn restarted(&mut self, symbol: &Symbol) {
        self.holes.forget(symbol);
        self.lookups.retain(|(lookup, _)| !matches!(lookup, Lookup::First(other, _) if other == symbol));
    }

    /// The next request, if one is due at `now` and none is awaited. Pages wait unless `may_repair`.
    pub fn next_request(&mut self, may_repair: bool, now: Instant) -> Option<Request> {
        if self.asking.is_some() || self.not_before > now {
            return None;
        }
        let request = self.next_lookup(now).or_else(|| may_repair.then(|| self.next_page(now)).flatten())?;
        self.asking = Some((request.clone(), now));
        Some(request)
    }

    /// The answer to the request that is awaited came; `used_weight` is what the exchange says that this address has
    /// used in this minute of its own clock, of which `minute_left` is left.
    pub fn answered(
        &mut self,
        answer: HistoryAnswer,
        used_weight: Option<(u32, Duration)>,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> Outcome {
        let Some((request, _)) = self.asking.take() else { return Outcome::Nothing };
        self.believe(used_weight, now);
        match (request, answer) {
            (Request::Page(_), HistoryAnswer::Page(page)) => match self.holes.page(page, now) {
                Some(brought) => {
                    self.backoff.reset();
                    Outcome::Brought(brought)
                }
                None => {
                    let wait = self.backoff.after_failure(rng);
                    self.wait_until(now + wait);
                    Outcome::Nothing
                }
            },
            (Request::NewestTrades(_), HistoryAnswer::Page(page)) => {
                self.backoff.reset();
                Outcome::Brought(self.holes.newest(page, now))
            }
            (Request::Lookup(lookup), HistoryAnswer::Found(found)) => {
                self.backoff.reset();
                found.map_or(Outcome::Nothing, |found| Outcome::Found(lookup, found))
            }
            (request, HistoryAnswer::Refused(refusal)) => self.refused(request, refusal, now, rng),
            // An answer to another question.
            (_, HistoryAnswer::Page(_) | HistoryAnswer::Found(_)) => {
                self.holes.failed(now + BEHIND_OTHERS);
                Outcome::Nothing
            }
        }
    }

    /// Whether candles may be asked for at `now`; counts the weight if so. What repairs goes before: while a page is due, and
    /// unless enough is left for one, they wait. They are asked for beside the one request.
    pub fn may_ask_candles(&mut self, may_repair: bool, now: Instant) -> bool {
        let is_page_due = may_repair && self.holes.next_due().is_some_and(|due| due <= now);
        let has_room = self.budget.next_allowed(KLINES_WEIGHT + HISTORY_WEIGHT, now) <= now;
        self.not_before <= now && !is_page_due && has_room && self.may_use(KLINES_WEIGHT, now)
    }

    /// Candles came, or were refused: limits are those of the address, whatever was asked for.
    pub fn candles_answered(&mut self, refusal: Option<&Refusal>, used_weight: Option<(u32, Duration)>, now: Instant) {
        self.believe(used_weight, now);
        if let Some(Refusal { kind: RefusalKind::Limited(wait), .. }) = refusal {
            self.wait_until(now + (*wait).min(WAIT_MAX));
        }
    }

    /// When the request that is awaited was made.
    pub fn asked_at(&self) -> Option<Instant> {
        self.asking.as_ref().map(|(_, at)| *at)
    }

    /// Gives up the holes that are older than the retention.
    pub fn expire(&mut self, now: TradeTime) -> Vec<EndedHole> {
        self.holes.expire(now)
    }

    /// Whether no hole is open and nothing is awaited.
    pub fn is_idle(&self) -> bool {
        self.holes.is_idle() && self.asking.is_none()
    }

    /// When to ask again, if nothing happens before.
    pub fn deadline(&self, may_repair: bool, now: Instant) -> Option<Instant> {
        if self.asking.is_some() {
            return None;
        }
        let allowed = |weight| self.budget.next_allowed(weight, now).max(self.not_before);
        let lookup = self.lookups.iter().map(|(_, not_before)| *not_before).min();
        let lookup = lookup.map(|due| due.max(allowed(AGGREGATE_WEIGHT)));
        let page = self.holes.next_due().filter(|_| may_repair).map(|due| due.max(allowed(HISTORY_WEIGHT)));
        [lookup, page].into_iter().flatten().min()
    }

    /// Takes what the exchange says of the weight that this address has used, if it says it.
    fn believe(&mut self, used_weight: Option<(u32, Duration)>, now: Instant) {
        if let Some((used, minute_left)) = used_weight {
            self.budget.believe(used, minute_left, now);
        }
    }

    /// Asks for nothing before `at`, nor before what was said earlier: two answers may come beside each other.
    fn wait_until(&mut self, at: Instant) {
        self.not_before = self.not_before.max(at);
    }

    fn next_lookup(&mut self, now: Instant) -> Option<Request> {
        let at = self.lookups.iter().position(|(_, not_before)| *not_before <= now)?;
        let weight = match self.lookups.get(at)?.0 {
            Lookup::Time => TIME_WEIGHT,
            Lookup::First(..) | Lookup::Newest(_) => AGGREGATE_WEIGHT,
        };
        self.may_use(weight, now).then(|| self.lookups.remove(at)).flatten().map(|(lookup, _)| Request::Lookup(lookup))
    }

    fn next_page(&mut self, now: Instant) -> Option<Request> {
        if self.holes.next_due().is_none_or(|due| due > now) || !self.may_use(HISTORY_WEIGHT, now) {
            return None;
        }
        if self.newest_only_until.is_some_and(|until| now < until) {
            return self.holes.next_newest(now).map(Request::NewestTrades);
        }
        self.holes.next_page(now).map(Request::Page)
    }

    /// Whether `weight` may be used at `now`; counts it.
    fn may_use(&mut self, weight: u32, now: Instant) -> bool {
        let is_allowed = self.budget.next_allowed(weight, now) <= now;
        if is_allowed {
            self.budget.count(weight, now);
        }
        is_allowed
    }

    fn refused(&mut self, request: Request, refusal: Refusal, now: Instant, rng: &mut fastrand::Rng) -> Outcome {
        if refusal.kind == RefusalKind::NotServed && matches!(request, Request::Page(_)) {
            // What it serves is asked for at once.
            self.newest_only_until = Some(now + NOT_SERVED_WAIT);
            self.holes.failed(now);
            return Outcome::Failed(refusal);
        }
        let wait = match refusal.kind {
            RefusalKind::Limited(wait) => wait.min(WAIT_MAX),
            RefusalKind::NotFromHere => NOT_SERVED_WAIT,
            RefusalKind::NotServed | RefusalKind::Failed => Duration::ZERO,
        };
        let backoff = self.backoff.after_failure(rng);
        self.wait_until(now + wait + backoff);
        match request {
            Request::Page(_) | Request::NewestTrades(_) => self.holes.failed(self.not_before + BEHIND_OTHERS),
            // It is asked for again when the clock wants it.
            Request::Lookup(Lookup::Time) => {}
            Request::Lookup(lookup) => self.lookups.push_back((lookup, now + LOOK_AGAIN)),
        }
        Outcome::Failed(refusal)
    }
}

#[cfg(test)]
mod tests;
