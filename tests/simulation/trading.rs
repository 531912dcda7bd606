//! Trades, and how streams deliver them.

use std::time::Duration;

use super::{Happening, ToNode, World};
use crate::exchange::Place;
use crate::plan::Lasting;

impl World {
    /// A trade happens, unless nobody trades; and when the next one does.
    pub(super) fn trade(&mut self, market: usize) {
        let quiet = self.faults.is(Lasting::Quiet, self.now);
        if !quiet {
            let place = self.exchange.trade(market, self.now, &mut self.rng);
            self.deliver(place);
        }
        let mean = if self.faults.is(Lasting::Burst, self.now) {
            500 * self.plan.markets as u64
        } else {
            self.exchange.markets[market].mean_gap_us
        };
        // Trades come in clusters: one of five is right behind the one before it.
        let gap = if self.rng.u32(0..5) == 0 {
            self.rng.f64() * 500.0
        } else {
            -(1.0 - self.rng.f64()).ln() * mean as f64 * 1.25
        };
        self.put(Duration::from_micros(gap as u64), Happening::Trade(market));
    }

    /// Sends a trade over every connection that carries its market.
    fn deliver(&mut self, place: Place) {
        let (faults, now) = (&self.faults, self.now);
        let is = |kind| faults.is(kind, now);
        if is(Lasting::StreamsSilent) || is(Lasting::MarketSilent) && place.market == 0 {
            return;
        }
        let (late, reorder, double) =
            (is(Lasting::StreamsLate), is(Lasting::StreamsReorder), is(Lasting::StreamsDouble));
        let (loses, garbage) = (is(Lasting::StreamsLose), is(Lasting::StreamsGarbage));
        let subset = self.plan.subsets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        let subset = subset.take_while(|end| *end <= place.market).count();
        let mut sent = Vec::new();
        for node in &mut self.nodes {
            for (id, connection) in node.connections.iter_mut().filter(|(_, it)| it.is_open && it.subset == subset) {
                if loses && self.rng.u32(0..10) == 0 {
                    continue;
                }
                let lag = if late { self.rng.u64(1_000_000..4_000_000) } else { self.rng.u64(2_000..40_000) };
                let mut at = now + Duration::from_micros(lag);
                if !reorder {
                    at = at.max(connection.last_delivery);
                    connection.last_delivery = at;
                }
                let mut text = self.exchange.markets[place.market].message(place);
                let is_garbage = garbage && self.rng.u32(0..20) == 0;
                if is_garbage {
                    text.truncate(self.rng.usize(0..text.len()));
                }
                for _ in 0..=usize::from(double && self.rng.bool()) {
                    let what = ToNode::Message(*id, text.clone(), Some(place).filter(|_| !is_garbage));
                    sent.push((at, Happening::ToNode(node.number, node.run, what)));
                }
            }
        }
        sent.into_iter().for_each(|(at, happening)| self.put_at(at, happening));
    }
}
