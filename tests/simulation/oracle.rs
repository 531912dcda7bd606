//! What has to hold, at every step and at the end, whatever happened.

use std::time::Duration;

use tickflux::capture::history::{HistoryAnswer, Request};
use tickflux::capture::machine::RunOutcome;
use tickflux::capture::page::Row;
use tickflux::outbox::Changes;
use tickflux::trade::HoleState;

use crate::disk::BYTES_A_TRADE;
use crate::exchange::{Count, Exchange, Tick, exchange_ms, flag};
use crate::time::Time;
use crate::world::{World, Wrong};

/// After the last fault that may hold trades up, what has gathered meanwhile is stored within this.
const RECOVERY: Duration = Duration::from_secs(120);
/// No live trade waits longer for a store that works: a try every ten seconds at least.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// What was lost is not asked for when it is as old as the retention; the clocks of the world may differ by this.
const RETENTION_MS: i64 = 24 * 3_600_000;
const EDGE_MS: i64 = 20 * 60_000;
/// Trades that are looked at behind the first one that is not stored.
const LOOKED_AT: usize = 20_000;
/// Trades that wait in memory and on disk, for plans of a few days.
const OUTBOX_OVER: u64 = 400_000;
/// Trades that only memory has: 128 MiB, of which each takes 256 bytes at least, and what was on its way.
const MEMORY_TRADES_MAX: u64 = (128 << 20) / 256 + 10_000;

/// A trade was acknowledged that was taken then.
pub fn check_fresh(world: &World, taken_ms: Option<u32>) -> Result<(), Wrong> {
    let Some(taken_ms) = taken_ms else { return Ok(()) };
    let taken = Time(u64::from(taken_ms) * 1_000);
    if taken <= world.faults.last_loss {
        return Ok(());
    }
    let from = taken.max(world.faults.last_hold_up + RECOVERY);
    if world.now > from + WAIT_MAX {
        let waited = world.now.since_begin() - Duration::from_millis(u64::from(taken_ms));
        return Err(format!("a trade waited {} s for a store that works", waited.as_secs()));
    }
    Ok(())
}

/// What was taken long ago is stored, should no acknowledgement ever have said so.
pub fn check_stored(world: &mut World) -> Result<(), Wrong> {
    const SETTLED: u8 = flag::STORED | flag::EXPIRED | flag::REFUSED | flag::BAD_ROW;
    let (now, loss) = (world.now, world.faults.last_loss);
    let works_since = world.faults.last_hold_up + RECOVERY;
    for market in &mut world.exchange.markets {
        let symbol = market.symbol.clone();
        let Some(count) = market.counts.last_mut() else { continue };
        let is_settled = |tick: &Tick| tick.flags & SETTLED != 0;
        count.settled += count.ticks[count.settled..].iter().take_while(|tick| is_settled(tick)).count();
        for (index, tick) in count.ticks.iter().enumerate().skip(count.settled).take(LOOKED_AT) {
            let taken = Time(u64::from(tick.taken_ms) * 1_000);
            let is_due = taken > loss && now > taken.max(works_since) + WAIT_MAX;
            if tick.flags & flag::TAKEN != 0 && !is_settled(tick) && is_due {
                let id = count.first_id + index as u64;
                let taken = taken.since_begin().as_secs_f64();
                return Err(format!("{symbol} {id} was taken at {taken} and is nowhere, though the store works"));
            }
        }
    }
    Ok(())
}

/// Memory and disk are bounded.
pub fn check_bounds(world: &World) -> Result<(), Wrong> {
    for node in &world.nodes {
        let Some(capture) = &node.capture else { continue };
        let state = capture.state(node.moment(world.now));
        if state.outbox_bytes > world.plan.outbox_limit + OUTBOX_OVER {
            return Err(format!("the outbox takes {} bytes", state.outbox_bytes));
        }
        let in_memory = state.waiting.saturating_sub(state.outbox_bytes / BYTES_A_TRADE);
        if !world.plan.is_real_disk && in_memory > MEMORY_TRADES_MAX {
            return Err(format!("{in_memory} trades are in memory alone"));
        }
    }
    Ok(())
}

/// Nothing leaves the outbox that the store has not acknowledged, and the ledger claims nothing else.
pub fn check_changes(world: &World, number: usize, changes: &Changes) -> Result<(), Wrong> {
    const DONE: u8 = flag::ACKNOWLEDGED | flag::EXPIRED | flag::REFUSED;
    let exchange = &world.exchange;
    for (symbol, range, _) in changes.stored.ranges() {
        let market = exchange.market_of(symbol.as_str()).ok_or("a symbol of nobody's")?;
        // A count that was started again uses its ids again.
        let counts = &exchange.markets[market].counts;
        let is_known = |id| {
            counts
                .iter()
                .any(|count| count.index(id).is_some_and(|index| count.ticks[index].flags & flag::ACKNOWLEDGED != 0))
        };
        if let Some(id) = (range.first..=range.last).find(|id| !is_known(*id)) {
            return Err(format!("the ledger claims {symbol} {id}, which no store has acknowledged"));
        }
    }
    if world.lost_books || world.has_unreadable_rows() {
        return Ok(());
    }
    for trade in world.nodes[number].disk.trades_of(&changes.removed) {
        let market = exchange.market_of(trade.symbol.as_str()).ok_or("a symbol of nobody's")?;
        let place = exchange.place(market, trade.id.get(), trade.time.ms()).ok_or("a trade of nobody's")?;
        if exchange.markets[market].counts[place.count].ticks[place.index].flags & DONE == 0 {
            let (symbol, id) = (&trade.symbol, trade.id.get());
            return Err(format!("{symbol} {id} leaves the outbox, and no store has acknowledged it"));
        }
    }
    Ok(())
}

/// A run whose last line says that all is done has had acknowledged, or found in the store, what lies between its first and its
/// last trade.
pub fn check_claim(world: &World, outcome: &RunOutcome) -> Result<(), Wrong> {
    // What was stored without an answer, the store itself tells at the next start.
    const THERE: u8 = flag::ACKNOWLEDGED | flag::STORED;
    let it = &outcome.summary;
    let lacking = it.outbox_left + it.dead_letters + it.expired + it.holes_stay + it.holes_open_in_run;
    if outcome.shortfall.is_some() || lacking > 0 {
        return Ok(());
    }
    for (symbol, ids) in &it.symbols {
        let market = world.exchange.market_of(symbol).ok_or("a symbol of nobody's")?;
        let Some(count) = world.exchange.markets[market].counts.last() else { continue };
        // Of a count that began again while it ran only the new one has a first id.
        let first = ids.first_id.max(count.first_id);
        let is_there = |id: &u64| count.index(*id).is_none_or(|index| count.ticks[index].flags & THERE != 0);
        // What an earlier run gave up is said by the ledger.
        let mut absent = (first..=ids.last_id).filter(|id| !is_there(id));
        if let Some(id) = absent.find(|id| !world.lost_books && !is_given_up(world, symbol, *id)) {
            return Err(format!("a run ends with 0, and {symbol} {id} was never acknowledged"));
        }
    }
    Ok(())
}

/// Rows of a page that are no trades: nobody can have these.
pub fn note_bad_rows(exchange: &mut Exchange, request: &Request, answer: &HistoryAnswer) {
    let (Request::Page(page), HistoryAnswer::Page(answer)) = (request, answer) else { return };
    let market = exchange.market_of(page.symbol.as_str()).expect("only ours is asked for");
    let count = exchange.markets[market].counts.last_mut().expect("a market has a count");
    for row in &answer.rows {
        if let Row::Bad(row) = row
            && let Some(index) = row.id.and_then(|id| count.index(id))
        {
            count.ticks[index].flags |= flag::BAD_ROW;
        }
    }
}

/// From the first trade that the store acknowledged up to the last one that a capture took. Where both books were lost, the
/// ledger and the store's own, nobody can know what was before the first stored trade.
fn span(world: &World, count: &Count) -> Option<(usize, usize)> {
    let has_no_ledger = world.lost_books || world.plan.is_near;
    let begins = if has_no_ledger && world.lost_store { flag::STORED } else { flag::ACKNOWLEDGED };
    let first = count.ticks.iter().position(|tick| tick.flags & begins != 0)?;
    let last = count.ticks.iter().rposition(|tick| tick.flags & flag::TAKEN != 0)?;
    Some((first, last))
}

/// Which trades of the newest counts the store should have and does not: market, id and flags.
fn absent(world: &World) -> Vec<(usize, u64, i64, u8)> {
    let mut absent = Vec::new();
    for (at, market) in world.exchange.markets.iter().enumerate() {
        let Some(count) = market.counts.last() else { continue };
        let Some((first, last)) = span(world, count) else { continue };
        for (index, tick) in count.ticks.iter().enumerate().take(last + 1).skip(first) {
            if tick.flags & flag::STORED == 0 {
                absent.push((at, count.first_id + index as u64, tick.time_ms, tick.flags));
            }
        }
    }
    absent
}

fn is_too_old(world: &World, time_ms: i64) -> bool {
    time_ms < exchange_ms(world.now) - RETENTION_MS + EDGE_MS
}

/// Whether everything is stored that can be; what was taken a moment ago may be on its way.
pub fn is_whole(world: &World) -> bool {
    let young = exchange_ms(world.now) - 10_000;
    absent(world).iter().all(|(_, _, time_ms, flags)| *time_ms > young || is_excused(world, *time_ms, *flags))
}

/// Whether a ledger says why an id will never come.
fn is_given_up(world: &World, symbol: &str, id: u64) -> bool {
    world.nodes.iter().flat_map(|node| node.disk.ended()).any(|ended| {
        ended.symbol.as_str() == symbol
            && (ended.range.first..=ended.range.last).contains(&id)
            && ended.state != HoleState::Open
    })
}

fn is_excused(world: &World, time_ms: i64, flags: u8) -> bool {
    flags & (flag::EXPIRED | flag::REFUSED | flag::BAD_ROW) != 0 || is_too_old(world, time_ms)
}

/// The end: the store is the exchange's list, but for what the captures themselves say.
pub fn verify(world: &mut World) -> Result<(), Wrong> {
    let mut unexcused = 0;
    let mut example = None;
    for (market, id, time_ms, flags) in absent(world) {
        let symbol = world.exchange.markets[market].symbol.clone();
        if !is_excused(world, time_ms, flags) {
            unexcused += 1;
            example.get_or_insert(format!("{symbol} {id} of {time_ms}, flags {flags:#b}"));
            continue;
        }
        let is_said = is_given_up(world, symbol.as_str(), id);
        if !is_said && !world.lost_books && !is_too_old(world, time_ms) {
            return Err(format!("{symbol} {id} is not stored, and no ledger says why (flags {flags:#b})"));
        }
    }
    match example {
        Some(example) => Err(format!("{unexcused} trades are not stored, the first is {example}")),
        None => Ok(()),
    }
}
