//! The capture as one state machine: it is told what happened and when, and says what is to be done.
//!
//! ```text
//!  inputs ─▶ streaming ─▶ sequencer ─▶ backlog ─▶ delivering ─▶ commands
//!               ▲             │ holes                 ▲
//!               └─ repairing ◀┘        knowing, clockwork, ending
//! ```
//!
//! Nothing here reads a clock, starts anything or draws from a generator that is not seeded. The parts:
//! `streaming` takes what streams give, `repairing` asks the exchange for what is missing, `delivering` brings batches to the
//! disk and to the store, `knowing` learns what there was before the run, `clockwork` watches the clocks, `ending`
//! ends the run, `signing` holds minutes against the exchange's candles, and `mending` is about a run that only repairs.

mod clockwork;
mod delivering;
mod ending;
mod knowing;
mod mending;
mod repairing;
mod signing;
mod streaming;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::clockwork::Clockwork;
use self::delivering::Disk;
use self::ending::Ending;
pub use self::ending::{CaptureFailure, RunOutcome, Shortfall};
use self::mending::Mending;
use super::backlog::Backlog;
use super::condition::Condition;
use super::connections::{ConnectionCommand, Connections};
use super::exchange_clock::{ExchangeClock, Moment};
use super::history::{Found, History, Lookup};
use super::input::{Command, Input};
use super::past::Past;
use super::sequencer::Sequencer;
use super::settings::{Progress, Settings};
use super::signoff::SignOff;
use super::silence::Silence;
use super::summary::Latencies;
use super::suspects::Suspects;
use crate::binance::message::SymbolTable;
use crate::telemetry::health::Part;
use crate::telemetry::{Event, Journal, metrics};
use crate::text::Excerpt;
use crate::trade::{Price, Symbol, SymbolMap, TradeIds};

/// How often old trades are dropped, and the progress is told.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// A capture.
#[derive(Debug)]
pub struct Capture {
    settings: Settings,
    symbols: SymbolTable,
    /// The subset that carries each symbol.
    subset_of: SymbolMap<usize>,
    rng: fastrand::Rng,
    commands: VecDeque<Command>,
    journal: Journal,
    condition: Condition,
    clock: ExchangeClock,
    clockwork: Clockwork,
    connections: Connections,
    suspects: Suspects,
    sequencer: Sequencer,
    silence: Silence,
    /// The newest trade of a silent symbol, by its id and time: if it does not come, the stream is at fault.
    awaited: SymbolMap<Found>,
    history: History,
    sign_off: SignOff,
    /// When a minute was last found to differ.
    differed_at: Option<Instant>,
    backlog: Backlog,
    disk: Disk,
    past: Past,
    /// The ids that the ledger says the store has.
    ledger: TradeIds,
    latencies: Latencies,
    ending: Ending,
    /// Set in a run that only repairs.
    mending: Option<Mending>,
    /// When the first trade was read, and the newest acknowledgement came.
    first_trade: Option<Instant>,
    last_acknowledgement: Option<Instant>,
    /// What the streams said last of why nothing comes.
    stream_trouble: Excerpt,
    is_paused: bool,
    next_expire: Instant,
    next_progress: Instant,
}

impl Capture {
    /// A capture that begins now.
    pub fn new(mut settings: Settings, now: Moment) -> Self {
        let at = now.at;
        let to_repair = settings.only_repair.take();
        let subset_of = settings.subsets.iter().enumerate().flat_map(|(subset, count)| vec![subset; *count]);
        let mut capture = Self {
            symbols: settings.symbols.iter().cloned().collect(),
            subset_of: settings.symbols.iter().cloned().zip(subset_of).collect(),
            rng: fastrand::Rng::with_seed(settings.seed),
            commands: VecDeque::new(),
            journal: Journal::default(),
            condition: Condition::default(),
            clock: ExchangeClock::new(at),
            clockwork: Clockwork::new(at),
            connections: Connections::new(settings.connections, &settings.subsets, settings.idle_timeout, at),
            suspects: Suspects::default(),
            sequencer: Sequencer::default(),
            silence: Silence::new(&settings.symbols, settings.idle_timeout, at),
            awaited: SymbolMap::default(),
            history: History::new(at),
            sign_off: SignOff::new(&settings.symbols, at),
            differed_at: None,
            backlog: Backlog::new(settings.route),
            disk: Disk::new(at),
            past: Past::default(),
            ledger: TradeIds::default(),
            latencies: Latencies::default(),
            ending: Ending::new(settings.duration.map(|duration| at + duration)),
            mending: to_repair.as_ref().map(|_| Mending::default()),
            first_trade: None,
            last_acknowledgement: None,
            stream_trouble: Excerpt::of("no connection yet"),
            is_paused: false,
            next_expire: at + EXPIRE_EVERY,
            next_progress: at,
            settings,
        };
        // Streams open first: what a check takes is no trade lost.
        capture.tend_streams(at);
        capture.commands.push_back(Command::CheckStore);
        capture.history.look_up(Lookup::Time, at);
        if let Some(holes) = to_repair {
            capture.ending.note_symbols_checked();
            capture.begin_mending(holes, at);
        } else {
            capture.condition.failing(Part::Stream, "no connection yet");
            capture.commands.push_back(Command::CheckSymbols);
        }
        capture
    }

    /// Takes what happened by `now`.
    pub fn handle(&mut self, input: Input, now: Moment) {
        match input {
            Input::Tick => {}
            Input::StreamOpened(id) => self.stream_opened(id, now.at),
            Input::StreamMessages(id, group) => self.stream_messages(id, &group),
            Input::StreamClosed(id, why) => self.stream_closed(id, why, now.at),
            Input::StreamsEnded => self.ending.note_drained(),
            Input::History(answer, used_weight) => self.history_answered(answer, used_weight, now),
            Input::SymbolsChecked(checked) => self.symbols_checked(checked),
            Input::StoreChecked(checked) => self.store_checked(checked),
            Input::OutboxOpened(found) => self.outbox_opened(*found),
            Input::Disk(done) => self.disk_done(*done, now.at),
            Input::Written(batch, result, answered) => self.written(batch, result, answered, now),
            Input::Audited(symbol, answer) => self.audited(&symbol, answer, now),
            Input::Candles(answer, used_weight) => self.candles_answered(answer, used_weight, now),
            Input::MinutesRead(read) => self.minutes_read(read, now),
            Input::MinutesKept(points, kept) => self.minutes_kept(points, kept, now),
            Input::MinutesKnown(known) => self.minutes_known(known, now.at),
            Input::ChoreFailed(why) => self.journal.note(Event::ChoreFailed(why)),
            Input::Stop => self.stop(now.at),
        }
    }

    /// Does all that can be done at `now`; `is_drained` says that nothing more is ready to be read.
    pub fn advance(&mut self, is_drained: bool, now: Moment) {
        let at = now.at;
        if self.is_over(at) {
            self.stop(at);
        }
        self.tend_streams(at);
        self.report_holes(at);
        self.ask_history(now);
        self.ask_candles(now);
        self.ask_past(now);
        self.deliver(is_drained, now);
        self.note_pause();
        if at >= self.next_expire {
            self.next_expire = at + EXPIRE_EVERY;
            self.expire(now);
        }
        if at >= self.next_progress {
            self.next_progress = at + PROGRESS_EVERY;
            self.watch_streams(at);
            self.watch_clocks(now);
            self.watch_minutes(now);
        }
    }

    /// The next thing to do.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When to advance again, if nothing happens before.
    pub fn deadline(&self, now: Instant) -> Instant {
        let streams = if self.is_stopping() { None } else { self.connections.deadline(now) };
        let history = self.history.deadline(self.may_repair(), now).filter(|_| self.may_ask());
        let others = [
            streams,
            history,
            self.ending.deadline(now),
            self.sequencer.next_due(),
            self.delivery_deadline(now),
            self.past.deadline().filter(|_| !self.is_stopping()),
            Some(self.next_expire),
        ];
        others.into_iter().flatten().fold(self.next_progress, Instant::min)
    }

    /// Whether streams are to be read: not while the memory is full, nor while the store is about to take what fills it.
    pub fn reads(&self, now: Instant) -> bool {
        !self.ending.is_drained() && !self.backlog.is_full() && !self.asks_to_wait(now)
    }

    /// Whether the checks of the start have ended, one way or the other.
    pub fn is_settled(&self) -> bool {
        self.ending.are_symbols_checked() && self.disk.is_open()
    }

    /// Whether whoever read the symbols before may stop: each was delivered here, or had its connection for a minute.
    pub fn has_overlapped(&self, now: Instant) -> bool {
        self.connections.has_overlapped(now)
    }

    /// Everything that happened, counted, and told when it is taken.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// What works, and what does not.
    pub fn condition(&mut self) -> &mut Condition {
        &mut self.condition
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let open = self.sequencer.open();
        Progress {
            trades: self.journal.tally().trades,
            waiting: self.backlog.weight().trades as u64,
            open_holes: open.len(),
            missing: open.iter().map(|(_, range)| range.count()).sum(),
            connections: self.connections.open_count(),
            prices: self.prices(),
            newest: self.sequencer.newest_time(),
        }
    }

    /// The newest prices, in the order of the symbols.
    fn prices(&self) -> Vec<(Symbol, Price)> {
        let price = |symbol: &Symbol| Some((symbol.clone(), self.sequencer.newest_price(symbol)?));
        self.settings.symbols.iter().filter_map(price).take(Progress::PRICES_MAX).collect()
    }

    /// The state as metrics show it.
    pub fn state(&self, now: Moment) -> metrics::State {
        let weight = self.backlog.weight();
        metrics::State {
            connections: self.connections.open_count(),
            waiting: weight.trades as u64,
            open_holes: self.sequencer.open_holes(),
            outbox_bytes: weight.disk_bytes,
            clock_offset_ms: self.clock.host_offset_ms(now),
            different_minutes: self.sign_off.different(),
            verified_age_ms: self.verified_age_ms(now),
        }
    }

    /// The highest id that this run took of each symbol.
    pub fn newest_ids(&self) -> impl Iterator<Item = (&Symbol, u64)> {
        self.sequencer.spans().map(|(symbol, span)| (symbol, span.last))
    }

    /// Opens, replaces and closes the streams that are due.
    fn tend_streams(&mut self, now: Instant) {
        if self.is_stopping() {
            return;
        }
        for (id, why) in self.connections.replace_due(now, &mut self.rng) {
            self.journal.note(Event::ConnectionReplaced(id, why));
        }
        while let Some(command) = self.connections.next_command(now) {
            self.commands.push_back(match command {
                ConnectionCommand::Open(id, subset) => Command::OpenStream(id, subset),
                ConnectionCommand::Close(id) => Command::CloseStream(id),
            });
        }
    }

    /// A full memory stops the reading until the store takes something.
    fn note_pause(&mut self) {
        let is_full = self.backlog.is_full();
        if is_full && !self.is_paused {
            self.journal.note(Event::ReadingPaused);
            self.condition.failing(Part::Memory, "full of trades that the store has not taken: nothing is read");
        } else if !is_full && self.is_paused {
            self.journal.note(Event::ReadingResumed);
            self.condition.working(Part::Memory);
        }
        self.is_paused = is_full;
    }
}

#[cfg(test)]
mod tests;
