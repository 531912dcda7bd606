//! The exchange's REST as a model: what it answers, and after how long.

use std::collections::VecDeque;
use std::time::Duration;

use tickflux::binance::rest::Kline;
use tickflux::binance::weight::{AGGREGATE_WEIGHT, HISTORY_WEIGHT, KLINES_WEIGHT, TIME_WEIGHT};
use tickflux::capture::history::{Found, HistoryAnswer, Lookup, Refusal, RefusalKind, Request};
use tickflux::capture::page::{BadRow, Page, Row};
use tickflux::capture::signoff::Stretch;
use tickflux::text::Excerpt;
use tickflux::trade::TradeTime;

use crate::exchange::{Exchange, exchange_ms};
use crate::faults::Faults;
use crate::minutes;
use crate::plan::Lasting;
use crate::time::Time;

/// What a capture may use of the address's weight in any minute.
const WEIGHT_MAX: u32 = 3_000;

/// The weight that one address has used.
#[derive(Debug, Default)]
pub struct Weight {
    used: VecDeque<(Time, u32)>,
    sum: u32,
    /// From when up to when the process was told to ask nothing; the next process does not know of it.
    pub told_to_wait: (Time, Time),
}

impl Weight {
    /// Whether the process knows that it is to ask nothing: another question may have been on its way when that was said.
    fn is_to_wait(&self, now: Time) -> bool {
        let (from, until) = self.told_to_wait;
        from < now && now < until
    }

    /// Counts a request; says why if it breaks the limit.
    fn count(&mut self, weight: u32, now: Time) -> Result<u32, String> {
        while self.used.front().is_some_and(|(at, _)| *at + Duration::from_secs(60) <= now) {
            self.sum -= self.used.pop_front().map_or(0, |(_, weight)| weight);
        }
        self.used.push_back((now, weight));
        self.sum += weight;
        if self.sum > WEIGHT_MAX { Err(format!("a weight of {} in a minute", self.sum)) } else { Ok(self.sum) }
    }
}

fn refused(kind: RefusalKind, why: &str) -> Option<Refusal> {
    Some(Refusal { kind, why: Excerpt::of(why) })
}

/// Why a request is not answered, if so.
fn refusal(faults: &Faults, is_history: bool, now: Time, rng: &mut fastrand::Rng) -> Option<Refusal> {
    if faults.is(Lasting::RestFails, now) {
        refused(RefusalKind::Failed, "503: try later")
    } else if faults.is(Lasting::RestBans, now) {
        refused(RefusalKind::Limited(Duration::from_secs(rng.u64(120..600))), "418: banned")
    } else if faults.is(Lasting::RestLimits, now) {
        refused(RefusalKind::Limited(Duration::from_secs(rng.u64(1..60))), "429: too many requests")
    } else if faults.is(Lasting::RestNotFromHere, now) {
        refused(RefusalKind::NotFromHere, "451: not from here")
    } else if is_history && faults.is(Lasting::RestNotServed, now) {
        refused(RefusalKind::NotServed, "404: not served here")
    } else {
        None
    }
}

/// Up to when REST knows of trades, in the exchange's ms.
fn known_ms(faults: &Faults, now: Time) -> i64 {
    exchange_ms(now) - if faults.is(Lasting::RestLags, now) { 20_000 } else { 300 }
}

/// What is answered to a request for candles, and after how long.
pub fn candles(
    exchange: &Exchange,
    faults: &Faults,
    weight: &mut Weight,
    stretch: &Stretch,
    now: Time,
    rng: &mut fastrand::Rng,
) -> Result<(Result<Vec<Kline>, Refusal>, Option<u32>, Duration), String> {
    if weight.is_to_wait(now) {
        return Err(format!("{stretch:?} before it may ask again"));
    }
    let used = weight.count(KLINES_WEIGHT, now)?;
    let latency = latency(faults, now, rng);
    let refusal = refusal(faults, false, now, rng);
    if let Some(Refusal { kind: RefusalKind::Limited(wait), .. }) = &refusal {
        weight.told_to_wait = (now + latency, now + latency + *wait);
    }
    Ok(match refusal {
        Some(refusal) => (Err(refusal), None, latency),
        None => (Ok(minutes::candles(exchange, stretch, known_ms(faults, now))), Some(used), latency),
    })
}

fn latency(faults: &Faults, now: Time, rng: &mut fastrand::Rng) -> Duration {
    let slow = faults.is(Lasting::RestSlow, now);
    Duration::from_millis(if slow { rng.u64(500..9_900) } else { rng.u64(20..200) })
}

fn time(ms: i64) -> TradeTime {
    TradeTime::from_ms(ms).expect("times are of today")
}

/// What is answered, and after how long.
pub fn ask(
    exchange: &Exchange,
    faults: &Faults,
    weight: &mut Weight,
    request: &Request,
    now: Time,
    rng: &mut fastrand::Rng,
) -> Result<(HistoryAnswer, Option<u32>, Duration), String> {
    let costs = match request {
        Request::Page(_) | Request::NewestTrades(_) => HISTORY_WEIGHT,
        Request::Lookup(Lookup::Time) => TIME_WEIGHT,
        Request::Lookup(_) => AGGREGATE_WEIGHT,
    };
    if weight.is_to_wait(now) {
        return Err(format!("{request:?} before it may ask again"));
    }
    let used = weight.count(costs, now)?;
    let crowd = if faults.is(Lasting::RestCrowded, now) { 5_000 } else { 0 };
    let latency = latency(faults, now, rng);
    let is_history = matches!(request, Request::Page(_));
    let (answer, used) = match refusal(faults, is_history, now, rng) {
        Some(refusal) => (HistoryAnswer::Refused(refusal), None),
        None => (answer(exchange, faults, request, now, rng), Some(used + crowd)),
    };
    if let HistoryAnswer::Refused(Refusal { kind: RefusalKind::Limited(wait), .. }) = &answer {
        weight.told_to_wait = (now + latency, now + latency + *wait);
    }
    Ok((answer, used, latency))
}

fn answer(
    exchange: &Exchange,
    faults: &Faults,
    request: &Request,
    now: Time,
    rng: &mut fastrand::Rng,
) -> HistoryAnswer {
    let known_ms = known_ms(faults, now);
    let market =
        |symbol: &tickflux::trade::Symbol| exchange.market_of(symbol.as_str()).expect("only ours is asked for");
    match request {
        Request::Page(page) => {
            let at = market(&page.symbol);
            let limit = if faults.is(Lasting::RestShort, now) { 7 } else { page.limit };
            let shift = if faults.is(Lasting::RestShifted, now) { rng.u64(1..50) } else { 0 };
            let mut rows = rows(exchange, at, page.from_id + shift, limit, known_ms);
            if faults.is(Lasting::RestSkips, now) && rows.len() > 2 {
                rows.remove(rng.usize(0..rows.len()));
            }
            if faults.is(Lasting::RestBadRows, now) && !rows.is_empty() {
                let bad = rng.usize(0..rows.len());
                let id = rows[bad].id();
                rows[bad] = Row::Bad(BadRow { id, why: Excerpt::of("a price of zero"), text: "{}".to_owned() });
            }
            HistoryAnswer::Page(Page { rows })
        }
        Request::NewestTrades(symbol) => {
            let at = market(symbol);
            let last = exchange.markets[at].newest().map_or(0, |(id, _)| id);
            HistoryAnswer::Page(Page { rows: rows(exchange, at, last.saturating_sub(999), 1_000, known_ms) })
        }
        Request::Lookup(Lookup::Time) => HistoryAnswer::Found(Some(Found { id: 0, time: time(exchange_ms(now)) })),
        Request::Lookup(Lookup::First(symbol, since)) => {
            let count = exchange.markets[market(symbol)].counts.last().expect("a market has a count");
            let at = count.ticks.partition_point(|tick| tick.time_ms < since.ms());
            let found = count.ticks.get(at).filter(|tick| tick.time_ms <= known_ms);
            HistoryAnswer::Found(found.map(|_| Found { id: count.first_id + at as u64, time: *since }))
        }
        Request::Lookup(Lookup::Newest(symbol)) => {
            let count = exchange.markets[market(symbol)].counts.last().expect("a market has a count");
            let known = count.ticks.partition_point(|tick| tick.time_ms <= known_ms);
            let newest = known.checked_sub(1);
            HistoryAnswer::Found(
                newest.map(|at| Found { id: count.first_id + at as u64, time: time(count.ticks[at].time_ms) }),
            )
        }
    }
}

/// Trades of the newest count from an id on.
fn rows(exchange: &Exchange, market: usize, from_id: u64, limit: u64, known_ms: i64) -> Vec<Row> {
    let market = &exchange.markets[market];
    let at = market.counts.len() - 1;
    let count = &market.counts[at];
    let from = usize::try_from(from_id.saturating_sub(count.first_id)).unwrap_or(usize::MAX).min(count.ticks.len());
    let known = count.ticks.partition_point(|tick| tick.time_ms <= known_ms).max(from);
    let end = known.min(from.saturating_add(usize::try_from(limit).expect("a page")));
    (from..end).map(|index| Row::Trade(market.trade(at, index))).collect()
}
