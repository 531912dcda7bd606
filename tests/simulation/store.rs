//! InfluxDB as a model, as measured of 2.9.1: what is acknowledged is stored and synced, what is not may be stored all the
//! same, and what is older than the retention is dropped with a word.

use tickflux::capture::input::Audited;
use tickflux::store::influx::refusals::Refusals;
use tickflux::store::influx::writing::{BodyLimit, Reply, Writing};
use tickflux::store::{Attempt, Checked, Lines, StoreError, WriteError, Written};
use tickflux::trade::{IdRange, IdRanges, Symbol, TradeTime};

use crate::exchange::{Exchange, Place, Tick, decimal, exchange_ms, flag};
use crate::faults::Faults;
use crate::plan::Lasting;
use crate::time::Time;

/// What a bucket keeps.
const DAY_MS: i64 = 24 * 3_600_000;
/// What is older than that by so much is not even sent, and what is younger by so much may never be given up.
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

/// Which trade a line is. `Err` if it is none of the exchange's, byte for byte.
fn place_of(exchange: &Exchange, line: &str) -> Result<Place, String> {
    let found = || {
        let (symbol, id, time_ms) = parts(line)?;
        let market = exchange.market_of(symbol)?;
        let place = exchange.place(market, id, time_ms)?;
        let tick = &exchange.markets[market].counts[place.count].ticks[place.index];
        (line_of(&exchange.markets[market].symbol, id, tick) == line).then_some(place)
    };
    found().ok_or_else(|| format!("a line that is no trade of the exchange: {line}"))
}

/// One process' side of the writing: what it learned of the server.
#[derive(Debug, Default)]
pub struct Client {
    limit: BodyLimit,
    refusals: Refusals,
}

/// A write as it arrives.
#[derive(Debug)]
pub struct Arrival<'a> {
    pub lines: &'a Lines,
    pub attempt: Attempt,
    /// The life of the store when it was sent.
    pub life: u64,
}

/// What answers a body.
struct Server<'a> {
    /// The line that it refuses.
    poison: Option<&'a str>,
    /// It was killed while the body was on its way.
    is_killed: bool,
}

/// What InfluxDB, a proxy or someone else says while nothing can be written.
const REFUSALS: [(u16, &str); 11] = [
    (401, r#"{"code":"unauthorized","message":"unauthorized access"}"#),
    (404, r#"{"code":"not found","message":"bucket \"ticks\" not found"}"#),
    (400, r#"{"code":"invalid","message":"Please provide either orgID or org"}"#),
    (400, "Client sent an HTTP request to an HTTPS server.\n"),
    (400, "<html><h1>400 Bad Request</h1></html>"),
    (403, "<html>Forbidden</html>"),
    (413, "<html>Request Entity Too Large</html>"),
    (422, "<html>Unprocessable</html>"),
    (407, ""),
    (302, ""),
    (200, "<html>please log in</html>"),
];

impl Server<'_> {
    /// The answer to a body, its status and text; `None` if there is none. A line that no one may see is an error.
    fn post(
        &self,
        exchange: &mut Exchange,
        faults: &Faults,
        body: &[u8],
        oldest: &mut Option<u32>,
        (now, rng): (Time, &mut fastrand::Rng),
    ) -> Result<Option<(u16, String)>, String> {
        const TOLD: u8 = flag::ACKNOWLEDGED | flag::REFUSED | flag::EXPIRED;
        let is = |kind| faults.is(kind, now);
        if self.is_killed && rng.bool() || is(Lasting::StoreDown) || is(Lasting::StoreMute) && rng.bool() {
            return Ok(None);
        }
        if is(Lasting::StoreHolds) {
            return Ok(rng.choice(&REFUSALS).map(|(status, text)| (*status, (*text).to_owned())));
        }
        let text = std::str::from_utf8(body).map_err(|error| format!("a body that is no text: {error}"))?;
        // A 400 stores nothing.
        if let Some(poison) = self.poison.filter(|poison| text.lines().any(|line| line == *poison)) {
            let message = format!("unable to parse '{poison}': poison");
            return Ok(Some((400, own("invalid", &message))));
        }
        let is_silent = self.is_killed || is(Lasting::StoreMute);
        let acknowledges = !is_silent && !is(Lasting::StoreDenies);
        let bound = exchange_ms(now) - DAY_MS;
        let mut dropped = 0;
        for line in text.lines() {
            let tick = exchange.tick(place_of(exchange, line)?);
            if tick.time_ms < bound {
                dropped += 1;
                continue;
            }
            if acknowledges && tick.flags & (flag::TAKEN | TOLD) == flag::TAKEN {
                *oldest = Some(oldest.map_or(tick.taken_ms, |oldest: u32| oldest.min(tick.taken_ms)));
            }
            tick.flags |= flag::STORED | if acknowledges { flag::ACKNOWLEDGED } else { 0 };
        }
        Ok(match (is_silent, acknowledges) {
            (true, _) => None,
            (false, false) => Some((500, own("internal error", "timeout"))),
            (false, true) if dropped > 0 => Some((422, own("unprocessable entity", &too_old(dropped, bound)))),
            (false, true) => Some((204, String::new())),
        })
    }
}

/// InfluxDB's own words.
fn own(code: &str, message: &str) -> String {
    format!(r#"{{"code":"{code}","message":"{}"}}"#, message.replace('\\', r"\\").replace('"', r#"\""#))
}

/// As 2.9.1 says that it has dropped points for their age.
fn too_old(points: usize, bound_ms: i64) -> String {
    let bound = TradeTime::from_ms(bound_ms).expect("times are of today");
    format!(
        "failure writing points to database: partial write: dropped {points} points outside retention policy of duration \
         24h0m0s - oldest point trade at {bound} dropped because it violates a Retention Policy Lower Bound at {bound}, \
         newest point trade at {bound} dropped because it violates a Retention Policy Lower Bound at {bound} \
         dropped={points} for database: 722150a211b62329 for retention policy: autogen"
    )
}

/// What a capture gave up. `Err` if it is too young for that.
fn note_given_up(exchange: &mut Exchange, written: &Written, now: Time) -> Result<(), String> {
    let bound = exchange_ms(now) - DAY_MS + MARGIN_MS;
    for line in &written.refused {
        let market = exchange.market_of(line.symbol.as_str()).ok_or("a symbol of nobody's")?;
        let place = exchange.place(market, line.id.get(), line.time.ms()).ok_or("a refused trade of nobody's")?;
        exchange.tick(place).flags |= flag::REFUSED;
    }
    for (symbol, range, _) in written.expired.ranges() {
        let market = exchange.market_of(symbol.as_str()).ok_or("a symbol of nobody's")?;
        for id in range.first..=range.last {
            // A count that began again uses ids again.
            let counts = exchange.markets[market].counts.iter_mut();
            let ticks = counts.filter_map(|count| count.index(id).map(|index| &mut count.ticks[index]));
            let old: Vec<_> = ticks.filter(|tick| tick.time_ms <= bound).collect();
            if old.is_empty() {
                return Err(format!("{symbol} {id} is left out for its age at {}", exchange_ms(now)));
            }
            old.into_iter().for_each(|tick| tick.flags |= flag::EXPIRED);
        }
    }
    Ok(())
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
    /// The outer error is a lie of the program's that no store may see.
    pub fn write(
        &mut self,
        exchange: &mut Exchange,
        faults: &Faults,
        client: &mut Client,
        arrival: &Arrival<'_>,
        (now, rng): (Time, &mut fastrand::Rng),
    ) -> Result<(Result<Written, WriteError>, Option<u32>), String> {
        let Arrival { lines, attempt, life } = arrival;
        let mut oldest = None;
        let exchange_now = TradeTime::from_ms(exchange_ms(now)).expect("times are of today");
        let mut writing = Writing::new(lines, *attempt, &client.limit, client.refusals.clone());
        // One line of them is refused, whatever it is sent with.
        let text = std::str::from_utf8(&lines.bytes).map_err(|error| format!("lines that are no text: {error}"))?;
        let refuses = faults.is(Lasting::StoreRefuses, now) && lines.count < 500;
        let poison = if refuses { text.lines().nth(rng.usize(0..lines.count)) } else { None };
        let server = Server { poison, is_killed: *life != self.life };
        while let Some(body) = writing.next_body() {
            let Some((status, body)) = server.post(exchange, faults, &body, &mut oldest, (now, rng))? else {
                return Ok((Err(transient("no answer")), oldest));
            };
            let reply = Reply { status, body, retry_after: None };
            if let Err(error) = writing.answered(&reply, exchange_now, || format!("it answered {}", reply.status)) {
                return Ok((Err(error), oldest));
            }
        }
        let (written, batch) = writing.finish();
        client.refusals.append(&batch);
        note_given_up(exchange, &written, now)?;
        Ok((Ok(written), oldest))
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
