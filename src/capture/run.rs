//! The run loop: the thin shell around the state machines.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::batcher::Batcher;
use super::connections::{Command, Connections};
use super::dead_letters::DeadLetters;
use super::intake::Intake;
use super::record::Recorder;
use super::repair::{Brought, Ended, Repairs};
use super::sequencer::{GRACE, IdRange};
use super::summary::{Ids, Latencies, Summary, process_usage};
use super::writes::{Tried, Writes};
use crate::binance::combined_stream_url;
use crate::binance::rest::{Rest, RestError};
use crate::binance::stream::{self, ConnectionId, Group, StreamEvent};
use crate::store::{AnyStore, WriteError};
use crate::telemetry::health::{Health, Part};
use crate::telemetry::{Event, Tally};
use crate::trade::{Symbol, Trade, TradeTime};

/// Groups of messages between the connections and the loop; with a group's own bound this bounds memory (P6).
const GROUPS_MAX: usize = 16;
/// How long the end waits for the store to take what was read.
pub const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How often expired trades are deleted and the progress is told.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What to capture, and until when.
#[derive(Debug)]
pub struct Settings {
    /// Whose trades.
    pub symbols: Vec<Symbol>,
    /// Base of the stream's URL.
    pub stream_url: String,
    /// TLS for the stream.
    pub tls: Arc<rustls::ClientConfig>,
    /// The exchange's history to repair holes with, if they are to be repaired.
    pub history: Option<Rest>,
    /// Stream connections to keep.
    pub connections: usize,
    /// A connection without any trade for so long is replaced.
    pub idle_timeout: Duration,
    /// Where dead letters go.
    pub outbox: PathBuf,
    /// Stop when so many trades of this run are acknowledged.
    pub count: Option<u64>,
    /// Stop after so long.
    pub duration: Option<Duration>,
    /// Where to record the session.
    pub record: Option<PathBuf>,
    /// The wall clock, in milliseconds.
    pub clock: fn() -> TradeTime,
}

/// Why a capture could not run, or could not end well.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The recording cannot be made.
    #[error("cannot record to {path}: {source}: name a new file in a folder that exists")]
    Record {
        /// The recording.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A part of the program failed in a way that it should not.
    #[error("the capture failed inside: {0}")]
    Internal(String),
}

/// How far a capture is, for a status line.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Trades that the store acknowledged.
    pub trades: u64,
    /// Trades that wait for the store.
    pub held: usize,
    /// Runs of missing ids found so far.
    pub holes: u64,
    /// Open stream connections.
    pub connections: usize,
}

/// Captures until `stop` says so or the settings' end is reached, then drains.
///
/// # Errors
///
/// [`CaptureError`]; never because the store or the stream cannot be reached.
///
/// # Cancel safety
///
/// Not safe: dropped before it ends, trades that were read may not be stored. Use `stop`.
pub async fn run(
    settings: Settings,
    store: AnyStore,
    health: Arc<Health>,
    mut stop: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
) -> Result<Summary, CaptureError> {
    let mut capture = Capture::new(settings, store, health, progress)?;
    loop {
        let now = Instant::now();
        capture.advance(now);
        if capture.is_finished(now) {
            return capture.finish();
        }
        let wake = capture.deadline(now).into();
        tokio::select! {
            biased;
            changed = stop.changed(), if !capture.is_stopping() => match changed {
                Ok(()) if !*stop.borrow() => {}
                _ => capture.stop(Instant::now()),
            },
            Some(tried) = capture.writes.next() => {
                capture.tried(tried.map_err(|error| CaptureError::Internal(error.to_string()))?);
            }
            Some(answer) = capture.asking.join_next() => {
                capture.history(answer.map_err(|error| CaptureError::Internal(error.to_string()))?);
            }
            event = capture.events.recv(), if capture.reads() => match event {
                Some((id, event)) => capture.stream_event(id, event),
                None => capture.drained = true,
            },
            () = sleep_until(wake) => {}
        }
    }
}

struct Capture {
    settings: Settings,
    store: AnyStore,
    health: Arc<Health>,
    progress: watch::Sender<Progress>,
    rng: fastrand::Rng,
    tally: Tally,
    intake: Intake,
    connections: Connections,
    writes: Writes,
    repairs: Repairs,
    /// The page of history that is awaited.
    asking: JoinSet<Result<Vec<Trade>, RestError>>,
    latencies: Latencies,
    events: mpsc::Receiver<(ConnectionId, StreamEvent)>,
    /// `None` once the capture stops: the channel ends with the last connection.
    to_events: Option<mpsc::Sender<(ConnectionId, StreamEvent)>>,
    /// Dropping an entry closes the connection.
    open: HashMap<ConnectionId, oneshot::Sender<()>>,
    started: Instant,
    stopping_since: Option<Instant>,
    drained: bool,
    paused: bool,
    writing_fails: bool,
    last_acknowledgement: Option<Instant>,
    next_expire: Instant,
    next_progress: Instant,
}

impl Capture {
    fn new(
        settings: Settings,
        store: AnyStore,
        health: Arc<Health>,
        progress: watch::Sender<Progress>,
    ) -> Result<Self, CaptureError> {
        let recorder = settings
            .record
            .as_ref()
            .map(|path| Recorder::create(path).map_err(|source| CaptureError::Record { path: path.clone(), source }));
        let batcher = Batcher::new(store.slots(), store.batch_max());
        let dead_letters = DeadLetters::new(&settings.outbox);
        let (to_events, events) = mpsc::channel(GROUPS_MAX);
        let now = Instant::now();
        health.failing(Part::Stream, "no connection yet");
        Ok(Self {
            intake: Intake::new(&settings.symbols, batcher, dead_letters, recorder.transpose()?),
            connections: Connections::new(settings.connections, settings.symbols.len(), settings.idle_timeout, now),
            writes: Writes::new(AnyStore::clone(&store)),
            repairs: Repairs::new(now),
            asking: JoinSet::new(),
            latencies: Latencies::new().map_err(|error| CaptureError::Internal(error.to_string()))?,
            settings,
            store,
            health,
            progress,
            rng: fastrand::Rng::new(),
            tally: Tally::default(),
            events,
            to_events: Some(to_events),
            open: HashMap::new(),
            started: now,
            stopping_since: None,
            drained: false,
            paused: false,
            writing_fails: false,
            last_acknowledgement: None,
            next_expire: now,
            next_progress: now,
        })
    }

    /// Does all that can be done at `now` without waiting.
    fn advance(&mut self, now: Instant) {
        let is_over = self.settings.count.is_some_and(|count| self.tally.trades >= count)
            || self.settings.duration.is_some_and(|duration| now >= self.started + duration);
        if is_over && !self.is_stopping() {
            self.stop(now);
        }
        if !self.is_stopping() {
            self.tend_connections(now);
        }
        self.tend_holes(now);
        self.send_batches();
        self.note_pause();
        if now >= self.next_expire {
            self.next_expire = now + EXPIRE_EVERY;
            self.expire();
        }
        if now >= self.next_progress {
            self.next_progress = now + PROGRESS_EVERY;
            self.tell_progress(now);
        }
    }

    fn tend_connections(&mut self, now: Instant) {
        for (id, why) in self.connections.replace_due(now, &mut self.rng) {
            self.tally.note(&Event::ConnectionReplaced(id, why));
        }
        while let Some(command) = self.connections.next_command(now) {
            match command {
                Command::Close(id) => drop(self.open.remove(&id)),
                Command::Open(id) => self.open_connection(id),
            }
        }
    }

    fn open_connection(&mut self, id: ConnectionId) {
        let Some(events) = self.to_events.clone() else { return };
        let (closer, closed) = oneshot::channel();
        let url = combined_stream_url(&self.settings.stream_url, &self.settings.symbols);
        tokio::spawn(stream::run(url, Arc::clone(&self.settings.tls), id, events, closed));
        self.open.insert(id, closer);
    }

    /// Reports holes whose grace is over, and asks the exchange for what they lack.
    fn tend_holes(&mut self, now: Instant) {
        for hole in self.intake.sequencer.due_holes(now) {
            self.tally.note(&Event::HoleFound(&hole.symbol, hole.range));
            if self.settings.history.is_some()
                && let Some(ended) = self.repairs.add(hole, now)
            {
                self.note_ended(&ended);
            }
        }
        if !self.may_ask() {
            return;
        }
        let Some(history) = &self.settings.history else { return };
        if let Some(request) = self.repairs.next_request(now) {
            let history = history.clone();
            self.asking.spawn(async move { history.history(&request.symbol, request.from_id, request.limit).await });
        }
    }

    fn history(&mut self, answer: Result<Vec<Trade>, RestError>) {
        let now = Instant::now();
        match answer {
            Ok(page) => {
                let Brought { trades, ended } = self.repairs.page(page, now, &mut self.rng);
                self.intake.take_repaired(trades, now);
                for ended in &ended {
                    self.note_ended(ended);
                }
            }
            Err(error) => {
                let why = crate::error_chain(&error);
                self.tally.note(&Event::HistoryFailed { why: &why });
                self.repairs.failed(&error, now, &mut self.rng);
            }
        }
    }

    fn note_ended(&mut self, (symbol, range, end): &Ended) {
        self.tally.note(&Event::HoleEnded(symbol, *range, *end));
    }

    /// Sends what may go; while more is ready to be read, only full batches.
    fn send_batches(&mut self) {
        let drained = self.events.is_empty();
        while let Some(batch) = self.intake.batcher.next(drained) {
            self.writes.send(batch);
        }
    }

    fn stream_event(&mut self, id: ConnectionId, event: StreamEvent) {
        let now = Instant::now();
        match event {
            StreamEvent::Opened => {
                self.tally.note(&Event::ConnectionOpened(id));
                self.connections.opened(id, now);
            }
            StreamEvent::Closed(why) => {
                self.tally.note(&Event::ConnectionClosed(id, &why));
                self.open.remove(&id);
                self.connections.closed(id, now, &mut self.rng);
                if self.connections.open_count() == 0 {
                    self.health.failing(Part::Stream, why.to_string());
                }
            }
            StreamEvent::Messages(group) => self.messages(id, &group),
        }
    }

    fn messages(&mut self, id: ConnectionId, group: &Group) {
        let heard = self.intake.take(group, &mut self.tally);
        for symbol in &heard.symbols {
            self.connections.delivered(id, symbol, group.received);
        }
        if heard.server_shutdown {
            self.connections.server_shutdown(id);
        }
    }

    fn tried(&mut self, tried: Tried) {
        let trades = tried.batch.trades.len();
        match &tried.result {
            Ok(written) => {
                let stored = (trades as u64).saturating_sub(written.expired + written.dead.len() as u64);
                self.intake.batcher.finished(trades);
                self.tally.note(&Event::BatchStored(stored));
                if written.expired > 0 {
                    self.tally.note(&Event::Expired(written.expired));
                }
                for dead in &written.dead {
                    self.intake.keep_dead_line(&dead.line, &dead.reason, &mut self.tally);
                }
                self.latencies.count(&tried.batch, tried.answered);
                self.last_acknowledgement = Some(tried.answered);
                self.health.working(Part::Store);
                if std::mem::take(&mut self.writing_fails) {
                    self.tally.note(&Event::WriteRecovered);
                }
            }
            Err(error) => {
                let why = error.to_string();
                let held = matches!(error, WriteError::Held { .. });
                self.tally.note(&Event::WriteFailed { why: &why, held, tries: tried.tries });
                self.health.failing(Part::Store, why);
                self.writing_fails = true;
                self.writes.send_again(tried, &mut self.rng);
            }
        }
    }

    /// A full memory stops the reading until the store takes something.
    fn note_pause(&mut self) {
        let is_full = self.intake.batcher.is_full();
        if is_full && !self.paused {
            self.tally.note(&Event::ReadingPaused);
            self.health.failing(Part::Memory, "full of trades that the store has not taken");
        } else if !is_full && self.paused {
            self.tally.note(&Event::ReadingResumed);
            self.health.working(Part::Memory);
        }
        self.paused = is_full;
    }

    fn expire(&mut self) {
        for ended in self.repairs.expire((self.settings.clock)()) {
            self.note_ended(&ended);
        }
        let (store, now) = (AnyStore::clone(&self.store), (self.settings.clock)());
        tokio::spawn(async move {
            if let Err(error) = store.expire(now).await {
                Tally::default().note(&Event::ChoreFailed { why: &error.to_string() });
            }
        });
    }

    fn tell_progress(&self, now: Instant) {
        if let Some(last) = self.connections.last_trade() {
            if now.duration_since(last) < self.settings.idle_timeout {
                self.health.working(Part::Stream);
            } else {
                self.health.failing(Part::Stream, format!("no trade for {} s", now.duration_since(last).as_secs()));
            }
        }
        // Nobody may be looking.
        let _ = self.progress.send(Progress {
            trades: self.tally.trades,
            held: self.intake.batcher.held(),
            holes: self.tally.holes_found,
            connections: self.connections.open_count(),
        });
    }

    fn reads(&self) -> bool {
        !self.drained && !self.intake.batcher.is_full()
    }

    /// What the store cannot take now, the exchange's history keeps.
    fn may_ask(&self) -> bool {
        !self.is_stopping() && !self.intake.batcher.is_full()
    }

    fn is_stopping(&self) -> bool {
        self.stopping_since.is_some()
    }

    /// Closes the connections; what they have read still comes.
    fn stop(&mut self, now: Instant) {
        self.stopping_since = Some(now);
        self.to_events = None;
        self.open.clear();
    }

    fn is_finished(&self, now: Instant) -> bool {
        let Some(since) = self.stopping_since else { return false };
        self.drained && self.intake.batcher.is_idle() || now.duration_since(since) >= DRAIN_MAX
    }

    fn deadline(&self, now: Instant) -> Instant {
        let end = self.settings.duration.map(|duration| self.started + duration).filter(|_| !self.is_stopping());
        let drain_end = self.stopping_since.map(|since| since + DRAIN_MAX);
        let connections = self.connections.deadline(now).filter(|_| !self.is_stopping());
        let holes = self.intake.sequencer.next_due();
        let repair = self.repairs.next_due(now).filter(|_| self.may_ask());
        let others = [end, drain_end, connections, holes, repair, Some(self.next_expire)];
        others.into_iter().flatten().fold(self.next_progress, Instant::min)
    }

    fn finish(mut self) -> Result<Summary, CaptureError> {
        for hole in self.intake.sequencer.due_holes(Instant::now() + GRACE) {
            self.tally.note(&Event::HoleFound(&hole.symbol, hole.range));
        }
        self.intake.finish_recording().map_err(|source| CaptureError::Record {
            path: self.settings.record.clone().unwrap_or_default(),
            source,
        })?;
        let Self { intake, tally, latencies, last_acknowledgement, .. } = self;
        let seconds = match (intake.first_trade(), last_acknowledgement) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        let (cpu, peak_rss_bytes) = process_usage();
        let ids = |range: IdRange| Ids { first_id: range.first, last_id: range.last };
        Ok(Summary {
            trades: tally.trades,
            seconds,
            trades_per_second: if seconds > 0.0 { tally.trades as f64 / seconds } else { 0.0 },
            cpu_seconds: cpu.as_secs_f64(),
            peak_rss_bytes,
            batches: tally.batches,
            retries: tally.retries,
            duplicates: tally.duplicates,
            holes_found: tally.holes_found,
            holes_repaired: tally.holes_repaired,
            holes_open: intake.sequencer.missing().len() as u64,
            expired: tally.expired,
            dead_letters: tally.dead_letters,
            outbox_left: intake.batcher.held() as u64,
            symbols: intake.sequencer.spans().map(|(symbol, span)| (symbol.to_string(), ids(span))).collect(),
            latency_ms: latencies.figures(),
        })
    }
}
