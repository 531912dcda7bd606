//! What streams give: trades in sequence for the backlog, and everything else that messages say.

use std::time::{Instant, UNIX_EPOCH};

use super::Capture;
use crate::binance::message::{Message, decode};
use crate::binance::stream::{ConnectionId, Group};
use crate::capture::exchange_clock::Moment;
use crate::capture::input::{Command, DeadLetter};
use crate::capture::sequencer::{TimeBounds, Verdict};
use crate::capture::suspects::{Judgement, time_bounds};
use crate::store::RETENTION_MS;
use crate::telemetry::health::Part;
use crate::telemetry::{Event, Replacement, Suspicion};
use crate::text::Excerpt;
use crate::trade::{Trade, TradeTime};

impl Capture {
    pub(super) fn stream_opened(&mut self, id: ConnectionId, now: Instant) {
        self.journal.note(Event::ConnectionOpened(id));
        self.connections.opened(id, now);
        if self.first_trade.is_none() {
            self.stream_trouble = Excerpt::of("connected, and no trade yet");
            self.condition.failing(Part::Stream, "connected, and no trade yet");
        }
    }

    pub(super) fn stream_closed(&mut self, id: ConnectionId, why: Excerpt, now: Instant) {
        self.connections.closed(id, now, &mut self.rng);
        if !self.connections.carries_all() {
            self.condition.failing(Part::Stream, why.as_str());
        }
        self.stream_trouble = why.clone();
        self.journal.note(Event::ConnectionClosed(id, why));
    }

    /// Takes the messages that one wake-up of a connection gave.
    pub(super) fn stream_messages(&mut self, id: ConnectionId, group: &Group) {
        let received = group.received;
        let wall = group.received_wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let wall = TradeTime::from_ms(i64::try_from(wall).unwrap_or(0)).unwrap_or(TradeTime::EPOCH);
        let moment = Moment { at: received, wall };
        let mut bounds = self.time_bounds(moment);
        let mut newest: Option<TradeTime> = None;
        for text in &group.texts {
            match decode(text, &self.symbols) {
                Ok(Message::Trade(trade)) => {
                    let time = trade.time;
                    self.connections.delivered(id, &trade.symbol, received);
                    self.silence.heard(&trade.symbol, received);
                    match self.sequencer.take(&trade, bounds, received) {
                        Verdict::New => self.take(trade, received),
                        Verdict::Duplicate => self.journal.note(Event::Duplicate),
                        Verdict::Suspect(why) => {
                            if !self.suspect(trade, why, text, moment) {
                                continue;
                            }
                            bounds = self.time_bounds(moment);
                        }
                    }
                    newest = newest.max(Some(time));
                }
                Ok(Message::ServerShutdown) => {
                    if self.connections.server_shutdown(id, received) {
                        self.journal.note(Event::ConnectionReplaced(id, Replacement::ServerShutdown));
                    }
                }
                Ok(Message::Refusal(answer)) => self.journal.note(Event::RequestRefused(Excerpt::of(&answer))),
                Ok(Message::Acknowledgement | Message::OtherEvent) => {}
                Err(why) => self.refuse_message(text, &Excerpt::of(&why.to_string())),
            }
        }
        if let Some(newest) = newest {
            self.clock.heard(newest, received);
        }
        if group.binary > 0 && self.first_trade.is_none() {
            let why = "only binary messages came, which no trade of the exchange is: see --stream-url";
            self.stream_trouble = Excerpt::of(why);
            self.condition.failing(Part::Stream, why);
        }
    }

    /// A message, or a row of the history, is no trade: a dead letter.
    pub(super) fn refuse_message(&mut self, text: &str, why: &Excerpt) {
        self.journal.note(Event::MessageRefused(why.clone()));
        self.note_loss();
        if self.first_trade.is_none() {
            self.stream_trouble = Excerpt::line(&format!("a message was refused: {why}"));
        }
        self.commands.push_back(Command::KeepDeadLetter(DeadLetter::Message(text.to_owned(), why.clone())));
    }

    fn take(&mut self, trade: Trade, received: Instant) {
        self.first_trade.get_or_insert(received);
        self.backlog.push(trade, Some(received));
    }

    /// Holds a trade that is not to be believed alone against others. Says whether it is believed.
    fn suspect(&mut self, trade: Trade, why: Suspicion, text: &str, moment: Moment) -> bool {
        match self.suspects.judge(&trade, why) {
            Judgement::Waits => {
                let reason = Excerpt::of(why.words());
                self.journal.note(Event::TradeSuspected(trade.symbol, trade.id, why));
                self.note_loss();
                self.commands.push_back(Command::KeepDeadLetter(DeadLetter::Message(text.to_owned(), reason)));
                false
            }
            Judgement::WaitsAlready => false,
            Judgement::Agrees(first, why) => {
                self.believe(first, trade, why, moment);
                true
            }
        }
    }

    /// Takes a suspected trade and the one that agrees with it.
    fn believe(&mut self, first: Trade, trade: Trade, why: Suspicion, moment: Moment) {
        self.journal.note(Event::TradeBelieved(first.symbol.clone(), first.id, why));
        self.clock.heard(first.time, moment.at);
        if self.sequencer.believe(&first, why, moment.at) {
            self.count_restarted(&first);
        }
        self.take(first, moment.at);
        self.release_suspects(moment);
        match self.sequencer.take(&trade, None, moment.at) {
            Verdict::New => self.take(trade, moment.at),
            Verdict::Duplicate => self.journal.note(Event::Duplicate),
            Verdict::Suspect(why) => {
                self.sequencer.believe(&trade, why, moment.at);
                self.take(trade, moment.at);
            }
        }
    }

    /// Takes the trades that were suspected for their time and are plausible by what is known of the exchange's time now.
    pub(super) fn release_suspects(&mut self, moment: Moment) {
        let Some(bounds) = self.time_bounds(moment) else { return };
        for (trade, why) in self.suspects.take_within(bounds) {
            match self.sequencer.take(&trade, None, moment.at) {
                Verdict::New => {
                    self.journal.note(Event::TradeBelieved(trade.symbol.clone(), trade.id, why));
                    self.take(trade, moment.at);
                }
                Verdict::Duplicate => self.journal.note(Event::Duplicate),
                // It waits on, for another reason.
                Verdict::Suspect(why) => {
                    if let Judgement::Agrees(first, why) = self.suspects.judge(&trade, why) {
                        self.believe(first, trade, why, moment);
                    }
                }
            }
        }
    }

    /// The exchange started a symbol's count again with this trade: what was known of the old one is of no use.
    fn count_restarted(&mut self, first: &Trade) {
        self.journal.note(Event::CountRestarted(first.symbol.clone(), first.id));
        self.backlog.restarted(&first.symbol);
        self.history.restarted(&first.symbol);
        self.past.restarted(&first.symbol);
        self.ledger.forget(&first.symbol);
        self.disk.pending().restart(&first.symbol, first.time);
    }

    fn time_bounds(&self, moment: Moment) -> Option<TimeBounds> {
        let (stream, rest) = (self.clock.by_stream(moment.at), self.clock.by_rest(moment.at));
        Some(time_bounds(stream, rest, moment.wall, RETENTION_MS))
    }
}
