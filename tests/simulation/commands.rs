//! What the shell would do: a capture's commands, carried out in the world.

use std::time::Duration;

use tickflux::capture::backlog::Payload;
use tickflux::capture::input::{Command, DiskWork, Input};
use tickflux::outbox::Changes;
use tickflux::outbox::OutboxFound;
use tickflux::store::StoreError;
use tickflux::store::influx::line::encode_all;
use tickflux::text::Excerpt;

use super::{Happening, ToNode, World, Wrong};
use crate::disk::Trouble;
use crate::plan::Lasting;
use crate::{minutes, oracle, rest};

impl World {
    /// Begins what a capture wants to have done.
    pub(super) fn carry_out(&mut self, number: usize, command: Command) -> Result<(), Wrong> {
        self.trace.say(self.now, || format!("    {}", short(&command)));
        match command {
            Command::OpenStream(id, subset) => {
                self.nodes[number].open(id, subset, self.now)?;
                let after = self.ms(20, 300);
                self.put_to(number, after, ToNode::Opened(id));
            }
            Command::CloseStream(id) => self.nodes[number].close(id, self.now)?,
            Command::EndStreams => {
                self.nodes[number].connections.clear();
                self.put_to(number, Duration::from_millis(1), ToNode::StreamsEnded);
            }
            Command::Ask(request) => {
                let weight = &mut self.nodes[number].weight;
                let (answer, used, after) =
                    rest::ask(&self.exchange, &self.faults, weight, &request, self.now, &mut self.rng)?;
                oracle::note_bad_rows(&mut self.exchange, &request, &answer);
                self.put_to(number, after, ToNode::Input(Box::new(Input::History(answer, used))));
            }
            Command::CheckSymbols => {
                let fails = self.faults.is(Lasting::RestFails, self.now);
                let checked = if fails { Err(Excerpt::of("503: try later")) } else { Ok(None) };
                let after = self.ms(20, 200);
                self.put_to(number, after, ToNode::Input(Box::new(Input::SymbolsChecked(checked))));
            }
            Command::CheckStore => {
                let checked = self.store.check(&self.faults, self.now);
                let after = self.ms(5, 100);
                self.put_to(number, after, ToNode::Input(Box::new(Input::StoreChecked(checked))));
            }
            Command::OpenOutbox(id) => {
                let node = &mut self.nodes[number];
                let is_without = node.repair.is_some();
                let found = if is_without { OutboxFound::default() } else { node.disk.open(id.as_ref(), 10_000)? };
                let after = self.ms(1, 20);
                self.put_to(number, after, ToNode::Input(Box::new(Input::OutboxOpened(Box::new(found)))));
            }
            Command::Disk(work) => {
                oracle::check_changes(self, number, &work.changes)?;
                let is_slow = self.faults.is(Lasting::DiskSlow, self.now);
                let after = if is_slow { self.ms(10, 1_500) } else { Duration::from_micros(self.rng.u64(40..120)) };
                self.put_to(number, after, ToNode::Disk(work));
            }
            Command::Write(batch, Payload::Lines(lines), attempt) => {
                let is_slow = self.faults.is(Lasting::StoreSlow, self.now);
                let after = if is_slow { self.ms(200, 20_000) } else { self.ms(1, 8) };
                let (run, life) = (self.nodes[number].run, self.store.life);
                self.put(after, Happening::Write { node: number, run, batch, lines, attempt, life });
            }
            Command::Write(batch, Payload::Trades(trades), attempt) => {
                // What is compared, byte for byte, is what would be a line.
                let lines = encode_all(&trades, &"practice".parse().expect("a name"));
                return self.carry_out(number, Command::Write(batch, Payload::Lines(lines), attempt));
            }
            Command::Audit(symbol, since, until) => {
                let asked = (&symbol, since, until);
                let answer = self.store.audit(&self.exchange, &self.faults, asked, self.now);
                let after = self.ms(20, 2_000);
                self.put_to(number, after, ToNode::Input(Box::new(Input::Audited(symbol, answer))));
            }
            Command::AskCandles(stretch) => {
                let weight = &mut self.nodes[number].weight;
                let (answer, used, after) =
                    rest::candles(&self.exchange, &self.faults, weight, &stretch, self.now, &mut self.rng)?;
                self.put_to(number, after, ToNode::Input(Box::new(Input::Candles(answer, used))));
            }
            Command::ReadMinutes(stretch, candles) => {
                let read = minutes::read(&self.exchange, &self.faults, &stretch, &candles, self.now)?;
                let after = self.ms(5, 500);
                self.put_to(number, after, ToNode::Input(Box::new(Input::MinutesRead(read))));
            }
            Command::KeepMinutes(points) => {
                let is_down = self.faults.any(&[Lasting::StoreDown, Lasting::StoreHolds], self.now);
                let kept = if is_down {
                    Err(StoreError::Unusable("it takes nothing".to_owned()))
                } else {
                    self.minutes.keep(&points);
                    Ok(())
                };
                let after = self.ms(1, 20);
                self.put_to(number, after, ToNode::Input(Box::new(Input::MinutesKept(points, kept))));
            }
            Command::AskKnownMinutes(since) => {
                let is_down = self.faults.any(&[Lasting::StoreDown, Lasting::StoreTellsNothing], self.now);
                let known = if is_down {
                    Err(StoreError::Unusable("it does not answer".to_owned()))
                } else {
                    Ok(self.minutes.known(&self.exchange, since))
                };
                let after = self.ms(20, 2_000);
                self.put_to(number, after, ToNode::Input(Box::new(Input::MinutesKnown(known))));
            }
            Command::ExpireStore(_) => {
                // InfluxDB expires by itself; a store that does not may fail at it.
                let is_down = self.faults.is(Lasting::StoreDown, self.now);
                let told = if is_down { Input::ChoreFailed("it is down".to_owned()) } else { Input::Tick };
                let after = self.ms(1, 20);
                self.put_to(number, after, ToNode::Input(Box::new(told)));
            }
            Command::KeepDeadLetter(_) => {}
        }
        Ok(())
    }

    pub(super) fn disk(&mut self, number: usize, work: DiskWork) -> Result<(), Wrong> {
        let trouble = Trouble {
            refuses: self.faults.is(Lasting::DiskRefuses, self.now),
            unreadable: self.faults.is(Lasting::DiskUnreadable, self.now),
        };
        if let Some(repair) = &mut self.nodes[number].repair {
            repair.ended.extend(work.changes.ended);
            return self.tell(number, Input::Disk(Box::default()));
        }
        let done = self.nodes[number].disk.work(work, trouble)?;
        // A process may end when it is on disk and nobody knows.
        let after = Duration::from_micros(self.rng.u64(10..200));
        self.put_to(number, after, ToNode::Input(Box::new(Input::Disk(Box::new(done)))));
        Ok(())
    }
}

/// A command without the trades that it carries.
pub(super) fn short(command: &Command) -> String {
    match command {
        Command::Disk(work) => {
            let Changes { removed, stored, lost, ended, .. } = &work.changes;
            let batch = work.batch.as_ref().map(|(trades, _)| trades.len());
            format!(
                "disk: batch of {batch:?}, removed {removed:?}, stored {}, lost {}, ended {ended:?}, load {:?}",
                stored.count(),
                lost.count(),
                work.load
            )
        }
        Command::Write(batch, Payload::Lines(lines), attempt) => {
            format!("write {batch}: {} lines, attempt {}", lines.count, attempt.number)
        }
        other => format!("{other:?}"),
    }
}
