//! What a fault does to the world.

use std::time::Duration;

use tickflux::binance::stream::ConnectionId;
use tickflux::capture::input::Input;

use super::{Happening, ToNode, World, Wrong};
use crate::exchange::message;
use crate::plan::{Fault, Lasting, Sudden};

impl World {
    pub(super) fn fault(&mut self, number: usize, fault: Fault) -> Result<(), Wrong> {
        self.trace.say(self.now, || format!("{fault:?}"));
        self.trace.step(self.now, number, "fault", &[]);
        let sudden = match fault {
            Fault::Lasting(kind, length) => {
                self.faults.begin(kind, self.now, length);
                if kind == Lasting::StreamsRefused {
                    self.cut("refused");
                }
                return Ok(());
            }
            Fault::Sudden(sudden) => sudden,
        };
        self.faults.injected += 1;
        self.faults.hold_up(self.now);
        match sudden {
            Sudden::Cut => self.cut("connection reset"),
            Sudden::ServerShutdown => {
                let text = r#"{"stream":"x","data":{"e":"serverShutdown","E":1}}"#;
                self.say_to_all(text);
                for (node, id) in self.connections() {
                    self.put_to(node, Duration::from_secs(600), ToNode::Closed(id, "shutdown"));
                }
            }
            Sudden::Impossible { by_id } => {
                let market = &self.exchange.markets[0];
                let Some(tick) = market.counts.last().and_then(|count| count.ticks.last()) else { return Ok(()) };
                let Some((id, _)) = market.newest() else { return Ok(()) };
                let mut tick = *tick;
                let id = if by_id { (1 << 63) - 1 } else { id + 1_000 };
                if !by_id {
                    // No two of them agree.
                    tick.time_ms += self.rng.i64(100_000_000_000..5_000_000_000_000);
                }
                let text = message(&market.symbol, id, &tick);
                self.say_to_all(&text);
            }
            Sudden::RefuseRequest => self.say_to_all(r#"{"error":{"code":2,"msg":"Invalid request"},"id":1}"#),
            Sudden::KillStore => {
                self.store.life += 1;
                self.faults.begin(Lasting::StoreDown, self.now, Duration::from_secs(20));
            }
            Sudden::RestoreBackup { is_other } => {
                self.lost_store = true;
                self.faults.last_loss = self.now;
                self.store.restore(&mut self.exchange, is_other);
                self.faults.begin(Lasting::StoreDown, self.now, Duration::from_secs(90));
            }
            Sudden::Damage => {
                self.lost_books = true;
                self.nodes[number].disk.is_damaged = true;
            }
            Sudden::StepClock { ms } => self.nodes[number].clock_offset_ms += ms,
            Sudden::DriftClock { ppm } => self.nodes[number].drift_ppm = ppm,
            Sudden::Suspend { for_ } => {
                self.faults.hold_up(self.now + for_);
                if self.nodes[number].asleep_until <= self.now {
                    self.nodes[number].sleep(self.now, for_);
                    let ids: Vec<_> = self.nodes[number].connections.keys().copied().collect();
                    ids.into_iter().for_each(|id| self.put_to(number, for_, ToNode::Closed(id, "slept")));
                }
            }
            Sudden::Kill { down } => self.end(number, down),
            Sudden::PowerLoss { down } => {
                self.lost_books = true;
                self.nodes[number].disk.lose_power(&mut self.rng);
                self.end(number, down);
            }
            Sudden::Stop { down } => {
                self.faults.hold_up(self.now + down + Duration::from_secs(60));
                self.put(down + Duration::from_secs(30), Happening::Start(number));
                if self.nodes[number].asleep_until <= self.now {
                    self.tell(number, Input::Stop)?;
                }
            }
            Sudden::RestartCount => {
                let market = self.rng.usize(0..self.plan.markets);
                self.exchange.restart_count(market, &mut self.rng);
            }
        }
        Ok(())
    }

    fn end(&mut self, number: usize, down: Duration) {
        self.faults.last_loss = self.now;
        self.faults.hold_up(self.now + down);
        self.nodes[number].die();
        self.put(down, Happening::Start(number));
    }

    /// Every connection of every capture.
    fn connections(&self) -> Vec<(usize, ConnectionId)> {
        self.nodes.iter().flat_map(|node| node.connections.keys().map(|id| (node.number, *id))).collect()
    }

    fn cut(&mut self, why: &'static str) {
        for (node, id) in self.connections() {
            self.put_to(node, Duration::from_millis(1), ToNode::Closed(id, why));
        }
    }

    fn say_to_all(&mut self, text: &str) {
        for (node, id) in self.connections() {
            self.put_to(node, Duration::from_millis(5), ToNode::Message(id, text.to_owned(), None));
        }
    }
}
