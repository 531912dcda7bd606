//! `gaps --repair` beside the captures: a process of its own, which is told what the store misses and has no outbox.

use tickflux::capture::machine::RunOutcome;
use tickflux::capture::sequencer::Hole;
use tickflux::outbox::Ended;
use tickflux::trade::TradeTime;

use super::{World, Wrong};
use crate::exchange::{exchange_ms, flag};

const DAY_MS: i64 = 24 * 3_600_000;

/// What it was told, and what it says of ids that stay missing.
#[derive(Debug, Default)]
pub struct Repair {
    pub holes: Vec<Hole>,
    pub ended: Vec<Ended>,
}

impl World {
    /// Someone asks the store what it misses, and has that repaired. A store that says nothing ends it there.
    pub(super) fn begin_repair(&mut self, number: usize) -> Result<(), Wrong> {
        let since = TradeTime::from_ms(exchange_ms(self.now) - DAY_MS).expect("times are of today");
        if self.nodes[number].capture.is_some() {
            return Ok(());
        }
        let mut holes = Vec::new();
        for market in &self.exchange.markets {
            let asked = (&market.symbol, since, None);
            let Ok(Some(audited)) = self.store.audit(&self.exchange, &self.faults, asked, self.now) else { continue };
            let span = audited.stored.span().into_iter();
            let absent = span.flat_map(|span| audited.stored.absent_in(span)).collect::<Vec<_>>();
            holes.extend(absent.into_iter().map(|range| Hole {
                symbol: market.symbol.clone(),
                range,
                time: audited.newest,
            }));
        }
        let seed = self.rng.u64(..);
        self.trace.step(self.now, number, "repair", &[seed, holes.len() as u64]);
        self.trace.say(self.now, || format!("repair {holes:?}"));
        self.nodes[number].repair(holes, self.now, seed);
        self.turn(number)
    }

    /// What it was told is stored, or it says why not: unless it says that it did not come to that.
    pub(super) fn end_repair(&self, number: usize, outcome: &RunOutcome) -> Result<(), Wrong> {
        let Some(Repair { holes, ended }) = &self.nodes[number].repair else { return Ok(()) };
        if outcome.shortfall.is_some() {
            return Ok(());
        }
        for hole in holes {
            let market = self.exchange.market_of(hole.symbol.as_str()).ok_or("a symbol of nobody's")?;
            let counts = &self.exchange.markets[market].counts;
            for id in hole.range.first..=hole.range.last {
                let acknowledged =
                    |index: usize, ticks: &[crate::exchange::Tick]| ticks[index].flags & flag::ACKNOWLEDGED != 0;
                let is_stored = counts.iter().any(|it| it.index(id).is_some_and(|at| acknowledged(at, &it.ticks)));
                let says = |it: &Ended| it.symbol == hole.symbol && (it.range.first..=it.range.last).contains(&id);
                if !is_stored && !ended.iter().any(says) {
                    return Err(format!("a repair says that it is done, and {} {id} is nowhere", hole.symbol));
                }
            }
        }
        Ok(())
    }
}
