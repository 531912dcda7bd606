//! InfluxDB as a model, as measured of 2.9.1: what is acknowledged is stored and synced, what is not may be stored all the
//! same, and what is older than the retention is dropped with a word.

use tickflux::capture::input::Audited;
use tickflux::store::{Attempt, Checked, Lines, RETENTION_MS, RefusedLine, StoreError, WriteError, Written};
use tickflux::text::Excerpt;
use tickflux::trade::{IdRange, IdRanges, Symbol, TradeId, TradeTime};

use crate::exchange::{Exchange, Place, Tick, decimal, exchange_ms, flag};
use crate::faults::Faults;
use crate::plan::Lasting;
use crate::time::Time;

/// What is older than the retention by so much is not even sent.
const MARGIN_MS: i64 = 120_000;

#[derive(Debug)]
pub struct Store {
    /// The number of the bucket.
    bucket: u64,
    /// Rises whenever it is killed: a write that began before gets no answer.
    pub life: u64,
    /// What was stored an hour ago or two, by market and count.
    backups: Vec<Vec<Vec<Vec<bool>>>>,
}

fn transient(why: &str) -> WriteError {
    WriteError::Transient { why: why.to_owned(), wait: None }
}

/// The line that this trade has to be, in plain words of the data model.
fn line_of(symbol: &Symbol, id: u64, tick: &Tick) -> String {
    let (price, quantity) = (decimal(tick.price), decimal(tick.quantity));
    let ns = tick.time_ms * 1_000_000 + i64::try_from(id % 1_000_000).expect("six digits");
    format!(
        "trade,exchange=practice,symbol={symbol} price=\"{price}\",price_float={price},quantity=\"{quantity}\",\
         quantity_float={quantity},trade_id={id}i,buyer_is_maker={} {ns}",
        tick.buyer_is_maker,
    )
}

/// The market's name, the id and the time of a line.
fn parts(line: &str) -> Option<(&str, u64, i64)> {
    let (_, rest) = line.split_once(",symbol=")?;
    let (symbol, rest) = rest.split_once(' ')?;
    let (_, rest) = rest.split_once(",trade_id=")?;
    let (id, rest) = rest.split_once('i')?;
    let (_, ns) = rest.rsplit_once(' ')?;
    Some((symbol, id.parse().ok()?, ns.parse::<i64>().ok()? / 1_000_000))
}

/// Which trades these lines are. `Err` if one is no trade of the exchange, byte for byte.
fn places(exchange: &Exchange, lines: &Lines) -> Result<Vec<Place>, String> {
    let text = std::str::from_utf8(&lines.bytes).map_err(|error| format!("lines that are no text: {error}"))?;
    let place = |line: &str| {
        let (symbol, id, time_ms) = parts(line)?;
        let market = exchange.market_of(symbol)?;
        let place = exchange.place(market, id, time_ms)?;
        let tick = &exchange.markets[market].counts[place.count].ticks[place.index];
        (line_of(&exchange.markets[market].symbol, id, tick) == line).then_some(place)
    };
    let wrong = |line: &str| format!("a line that is no trade of the exchange: {line}");
    let places: Vec<_> = text.lines().map(|line| place(line).ok_or_else(|| wrong(line))).collect::<Result<_, _>>()?;
    if places.len() == lines.count { Ok(places) } else { Err(format!("{} lines, not {}", places.len(), lines.count)) }
}

impl Store {
    pub fn new() -> Self {
        Self { bucket: 1, life: 0, backups: Vec::new() }
    }

    fn id(&self) -> Option<String> {
        Some(format!("bucket {}", self.bucket))
    }

    pub fn check(&self, faults: &Faults, now: Time) -> Result<Checked, StoreError> {
        let away = (faults.any(&[Lasting::StoreDown, Lasting::StoreMute], now)).then(|| "it is down".to_owned());
        if faults.is(Lasting::StoreHolds, now) {
            // At a start that ends the run, as the contract says; the world starts no capture then.
            return Ok(Checked { away: Some("it says no".to_owned()), ..Checked::default() });
        }
        let warnings =
            if self.bucket.is_multiple_of(2) { vec!["its shard groups are long".to_owned()] } else { Vec::new() };
        let id = if away.is_some() { None } else { self.id() };
        Ok(Checked { warnings, away, id })
    }

    /// A write arrives, and is answered; gives with it when the trade was taken that waited longest, in ms of the world.
    /// `life` is that of the store when it was sent. The outer error is a lie of the program's that no store may see.
    pub fn write(
        &mut self,
        exchange: &mut Exchange,
        faults: &Faults,
        (lines, attempt, life): (&Lines, Attempt, u64),
        now: Time,
        rng: &mut fastrand::Rng,
    ) -> Result<(Result<Written, WriteError>, Option<u32>), String> {
        let is_killed = life != self.life;
        if is_killed && rng.bool() || faults.is(Lasting::StoreDown, now) {
            return Ok((Err(transient("connection refused")), None));
        }
        if faults.is(Lasting::StoreHolds, now) {
            return Ok((Err(WriteError::Held { why: "401 unauthorized".to_owned() }), None));
        }
        let is_mute = faults.is(Lasting::StoreMute, now);
        if is_mute && rng.bool() {
            return Ok((Err(transient("no answer within 30 s")), None));
        }
        let places = places(exchange, lines)?;
        let mut written = Written::default();
        let left_out = attempt.exchange_time.map(|time| time.ms() - RETENTION_MS - MARGIN_MS);
        let dropped = exchange_ms(now) - RETENTION_MS;
        let refuses = faults.is(Lasting::StoreRefuses, now) && places.len() < 500;
        let refused = if refuses { rng.usize(0..places.len()) } else { usize::MAX };
        let mut oldest = None;
        let answers = !(is_killed || is_mute || faults.is(Lasting::StoreDenies, now));
        for (at, place) in places.into_iter().enumerate() {
            let symbol = exchange.markets[place.market].symbol.clone();
            let id = exchange.markets[place.market].counts[place.count].first_id + place.index as u64;
            let tick = exchange.tick(place);
            let time = TradeTime::from_ms(tick.time_ms).expect("times are of today");
            if left_out.is_some_and(|bound| tick.time_ms < bound) || tick.time_ms < dropped {
                if tick.time_ms > dropped + MARGIN_MS {
                    return Err(format!("{symbol} {id} of {time} is left out for its age at {}", exchange_ms(now)));
                }
                tick.flags |= flag::EXPIRED;
                written.expired.add(&symbol, IdRange { first: id, last: id }, time);
            } else if at == refused && answers {
                tick.flags |= flag::REFUSED;
                let (id, line) = (TradeId::new(id).expect("ids are small"), line_of(&symbol, id, tick));
                written.refused.push(RefusedLine { symbol, id, time, line, why: Excerpt::of("poison") });
            } else {
                const TOLD: u8 = flag::ACKNOWLEDGED | flag::REFUSED | flag::EXPIRED;
                if answers && tick.flags & (flag::TAKEN | TOLD) == flag::TAKEN {
                    oldest = Some(oldest.map_or(tick.taken_ms, |oldest: u32| oldest.min(tick.taken_ms)));
                }
                tick.flags |= flag::STORED | if answers { flag::ACKNOWLEDGED } else { 0 };
            }
        }
        Ok((if answers { Ok(written) } else { Err(transient("500: it failed inside")) }, oldest))
    }

    /// What it has of a symbol between two times.
    pub fn audit(
        &self,
        exchange: &Exchange,
        faults: &Faults,
        (symbol, since, until): (&Symbol, TradeTime, Option<TradeTime>),
        now: Time,
    ) -> Result<Option<Audited>, StoreError> {
        let silent = [Lasting::StoreDown, Lasting::StoreMute, Lasting::StoreTellsNothing, Lasting::StoreHolds];
        if faults.any(&silent, now) {
            return Err(StoreError::Unusable("it does not answer".to_owned()));
        }
        let market = &exchange.markets[exchange.market_of(symbol.as_str()).expect("only ours is asked for")];
        let until = until.map_or(i64::MAX, TradeTime::ms);
        // The newest count of which it has anything.
        let found = market.counts.iter().rev().find_map(|count| {
            let from = count.ticks.partition_point(|tick| tick.time_ms < since.ms());
            let end = count.ticks.partition_point(|tick| tick.time_ms < until).max(from);
            let is_stored = |index: &usize| count.ticks[*index].flags & flag::STORED != 0;
            let newest = (from..count.ticks.len()).rev().find(is_stored)?;
            let id = |index: usize| count.first_id + index as u64;
            let stored: IdRanges =
                (from..end).filter(is_stored).map(|index| IdRange { first: id(index), last: id(index) }).collect();
            let newest = TradeTime::from_ms(count.ticks[newest].time_ms).expect("times are of today");
            stored.span().map(|_| Audited { stored, newest })
        });
        Ok(found)
    }

    /// Remembers what it has; called once an hour.
    pub fn back_up(&mut self, exchange: &Exchange) {
        let is_stored = |tick: &Tick| tick.flags & flag::STORED != 0;
        let of_market = |counts: &Vec<crate::exchange::Count>| {
            counts.iter().map(|count| count.ticks.iter().map(is_stored).collect()).collect()
        };
        self.backups.push(exchange.markets.iter().map(|market| of_market(&market.counts)).collect());
        if self.backups.len() > 2 {
            self.backups.remove(0);
        }
    }

    /// It is what it was at the backup before the last one.
    pub fn restore(&mut self, exchange: &mut Exchange, is_other: bool) {
        self.life += 1;
        self.bucket += u64::from(is_other);
        let backup = self.backups.first();
        for (at, market) in exchange.markets.iter_mut().enumerate() {
            for (number, count) in market.counts.iter_mut().enumerate() {
                for (index, tick) in count.ticks.iter_mut().enumerate() {
                    let had = backup.and_then(|backup| backup.get(at)?.get(number)?.get(index).copied());
                    if had != Some(true) {
                        tick.flags &= !flag::STORED;
                    }
                }
            }
        }
    }
}
