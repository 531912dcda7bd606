//! What becomes of a message: a trade for the batcher, or an event.

use std::time::Instant;

use super::batcher::Batcher;
use super::dead_letters::DeadLetters;
use super::record::Recorder;
use super::sequencer::{Sequencer, Verdict};
use crate::binance::message::{Message, SymbolTable, decode};
use crate::binance::stream::Group;
use crate::outbox::TradeIds;
use crate::telemetry::{Event, Tally};
use crate::trade::{Symbol, Trade};

/// From text to trades, in order.
#[derive(Debug)]
pub struct Intake {
    symbols: SymbolTable,
    /// The ids seen so far.
    pub sequencer: Sequencer,
    /// What waits for the store.
    pub batcher: Batcher,
    dead_letters: DeadLetters,
    recorder: Option<Recorder>,
    first_trade: Option<Instant>,
}

/// What a group of messages says about its connection.
#[derive(Debug, Default)]
pub struct Heard {
    /// Symbols that had a trade, one entry for each run of the same symbol.
    pub symbols: Vec<Symbol>,
    /// Symbols whose count the exchange started again.
    pub restarted: Vec<Symbol>,
    /// The exchange announced that it will close the connection.
    pub server_shutdown: bool,
}

impl Intake {
    /// For these symbols; dead letters and a recording go where they are told to.
    pub fn new(symbols: &[Symbol], batcher: Batcher, dead_letters: DeadLetters, recorder: Option<Recorder>) -> Self {
        Self {
            symbols: symbols.iter().cloned().collect(),
            sequencer: Sequencer::default(),
            batcher,
            dead_letters,
            recorder,
            first_trade: None,
        }
    }

    /// Takes the messages that one wake-up of a connection gave.
    pub fn take(&mut self, group: &Group, tally: &mut Tally) -> Heard {
        let mut heard = Heard::default();
        for text in &group.texts {
            self.record(group, text, tally);
            match decode(text, &self.symbols) {
                Ok(Message::Trade(trade)) => {
                    self.first_trade.get_or_insert(group.received);
                    if heard.symbols.last() != Some(&trade.symbol) {
                        heard.symbols.push(trade.symbol.clone());
                    }
                    match self.sequencer.take(&trade, group.received) {
                        Verdict::New => {}
                        Verdict::Reset => {
                            tally.note(&Event::CountRestarted(&trade.symbol, trade.id.get()));
                            heard.restarted.push(trade.symbol.clone());
                        }
                        Verdict::Duplicate => {
                            tally.note(&Event::Duplicate);
                            continue;
                        }
                    }
                    self.batcher.push(trade, Some(group.received));
                }
                Ok(Message::ServerShutdown) => heard.server_shutdown = true,
                Ok(Message::Refusal(answer)) => tally.note(&Event::RequestRefused(&answer)),
                Ok(Message::Acknowledgement | Message::OtherEvent) => {}
                Err(why) => {
                    let why = why.to_string();
                    tally.note(&Event::MessageRefused { why: &why });
                    note_lost(self.dead_letters.keep_message(&why, text), tally);
                }
            }
        }
        heard
    }

    /// Takes trades that the exchange's history gave; ids that came live meanwhile are dropped.
    pub fn take_repaired(&mut self, trades: Vec<Trade>, now: Instant) {
        for trade in trades {
            if self.sequencer.take(&trade, now) == Verdict::New {
                self.batcher.push(trade, None);
            }
        }
    }

    /// Trades that were taken are lost again: their ids are holes.
    pub fn lose(&mut self, ids: &TradeIds) {
        for (symbol, range, _) in ids.ranges() {
            self.sequencer.lose(symbol, range);
        }
    }

    /// Keeps a line that the store refused.
    pub fn keep_dead_line(&self, line: &str, why: &str, tally: &mut Tally) {
        tally.note(&Event::LineRefused { why });
        note_lost(self.dead_letters.keep_line(why, line), tally);
    }

    /// When the first trade of the run was read.
    pub fn first_trade(&self) -> Option<Instant> {
        self.first_trade
    }

    /// Ends the recording, if there is one.
    ///
    /// # Errors
    ///
    /// If its file cannot be written.
    pub fn finish_recording(&mut self) -> std::io::Result<()> {
        self.recorder.take().map_or(Ok(()), Recorder::finish)
    }

    fn record(&mut self, group: &Group, text: &str, tally: &mut Tally) {
        let Some(recorder) = &mut self.recorder else { return };
        if let Err(error) = recorder.record(group.received_wall, text) {
            // A recording with a hole is worth less than none that goes on.
            tally.note(&Event::ChoreFailed { why: &format!("the recording ends here: {error}") });
            self.recorder = None;
        }
    }
}

fn note_lost(kept: std::io::Result<()>, tally: &mut Tally) {
    if let Err(error) = kept {
        tally.note(&Event::DeadLetterLost { why: &error.to_string() });
    }
}
