//! The run loop: the thin shell around the state machines.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::batcher::Batcher;
use super::connections::Connections;
use super::dead_letters::DeadLetters;
use super::history::{Answer, History};
use super::intake::Intake;
use super::record::Recorder;
use super::sequencer::GRACE;
use super::streams::Streams;
use super::summary::{Latencies, Summary};
use super::writes::{Tried, Writes};
use crate::binance::combined_stream_url;
use crate::binance::rest::Rest;
use crate::binance::stream::{ConnectionId, StreamEvent};
use crate::store::{AnyStore, WriteError};
use crate::telemetry::health::{Health, Part};
use crate::telemetry::{Event, Tally};
use crate::trade::{Symbol, TradeTime};

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
    #[error("cannot record to {path}: {source}: name a new file, none is overwritten, in a folder that exists")]
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
            Some(answer) = capture.history.next() => {
                capture.repaired(answer.map_err(|error| CaptureError::Internal(error.to_string()))?);
            }
            event = capture.streams.next(), if capture.reads() => match event {
                Some((id, event)) => capture.stream_event(id, event),
                None => capture.drained = true,
            },
            () = sleep_until(wake) => {}
        }
    }
}

struct Capture {
    store: AnyStore,
    health: Arc<Health>,
    progress: watch::Sender<Progress>,
    rng: fastrand::Rng,
    tally: Tally,
    intake: Intake,
    streams: Streams,
    history: History,
    writes: Writes,
    latencies: Latencies,
    clock: fn() -> TradeTime,
    idle_timeout: Duration,
    count: Option<u64>,
    /// When to stop, if that was said.
    end: Option<Instant>,
    record: Option<PathBuf>,
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
        let Settings { symbols, stream_url, tls, idle_timeout, record, .. } = settings;
        let recorder = record
            .as_ref()
            .map(|path| Recorder::create(path).map_err(|source| CaptureError::Record { path: path.clone(), source }));
        let now = Instant::now();
        let batcher = Batcher::new(store.slots(), store.batch_max());
        let connections = Connections::new(settings.connections, symbols.len(), idle_timeout, now);
        health.failing(Part::Stream, "no connection yet");
        Ok(Self {
            intake: Intake::new(&symbols, batcher, DeadLetters::new(&settings.outbox), recorder.transpose()?),
            streams: Streams::new(connections, combined_stream_url(&stream_url, &symbols), tls),
            history: History::new(settings.history, now),
            writes: Writes::new(AnyStore::clone(&store)),
            latencies: Latencies::new().map_err(|error| CaptureError::Internal(error.to_string()))?,
            store,
            health,
            progress,
            rng: fastrand::Rng::new(),
            tally: Tally::default(),
            clock: settings.clock,
            idle_timeout,
            count: settings.count,
            end: settings.duration.map(|duration| now + duration),
            record,
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
        let is_over =
            self.count.is_some_and(|count| self.tally.trades >= count) || self.end.is_some_and(|end| now >= end);
        if is_over && !self.is_stopping() {
            self.stop(now);
        }
        self.streams.tend(now, &mut self.rng, &mut self.tally);
        for hole in self.intake.sequencer.due_holes(now) {
            self.history.add(hole, now, &mut self.tally);
        }
        if self.may_ask() {
            self.history.ask(now);
        }
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

    /// Sends what may go; while more is ready to be read, only full batches.
    fn send_batches(&mut self) {
        let drained = !self.streams.has_more();
        while let Some(batch) = self.intake.batcher.next(drained) {
            self.writes.send(batch);
        }
    }

    fn stream_event(&mut self, id: ConnectionId, event: StreamEvent) {
        let now = Instant::now();
        match event {
            StreamEvent::Opened => {
                self.streams.opened(id, now, &mut self.tally);
                if self.streams.last_trade().is_none() {
                    self.health.failing(Part::Stream, "connected, and no trade yet");
                }
            }
            StreamEvent::Closed(why) => {
                self.streams.closed(id, &why, now, &mut self.rng, &mut self.tally);
                if self.streams.open_count() == 0 {
                    self.health.failing(Part::Stream, why.to_string());
                }
            }
            StreamEvent::Messages(group) => {
                let heard = self.intake.take(&group, &mut self.tally);
                self.streams.heard(id, &heard, group.received);
            }
        }
    }

    fn repaired(&mut self, answer: Answer) {
        let now = Instant::now();
        let trades = self.history.answered(answer, now, &mut self.rng, &mut self.tally);
        self.intake.take_repaired(trades, now);
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
        let (store, now) = (AnyStore::clone(&self.store), (self.clock)());
        self.history.expire(now, &mut self.tally);
        tokio::spawn(async move {
            if let Err(error) = store.expire(now).await {
                Tally::default().note(&Event::ChoreFailed { why: &error.to_string() });
            }
        });
    }

    fn tell_progress(&self, now: Instant) {
        if let Some(last) = self.streams.last_trade() {
            let silence = now.duration_since(last);
            if silence < self.idle_timeout {
                self.health.working(Part::Stream);
            } else {
                self.health.failing(Part::Stream, format!("no trade for {} s", silence.as_secs()));
            }
        }
        // Nobody may be looking.
        let _ = self.progress.send(Progress {
            trades: self.tally.trades,
            held: self.intake.batcher.held(),
            holes: self.tally.holes_found,
            connections: self.streams.open_count(),
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

    /// Closes the connections; what they have read is still stored.
    fn stop(&mut self, now: Instant) {
        self.stopping_since = Some(now);
        self.streams.close();
    }

    fn is_finished(&self, now: Instant) -> bool {
        let Some(since) = self.stopping_since else { return false };
        self.drained && self.intake.batcher.is_idle() || now.duration_since(since) >= DRAIN_MAX
    }

    fn deadline(&self, now: Instant) -> Instant {
        let end = self.end.filter(|_| !self.is_stopping());
        let drain_end = self.stopping_since.map(|since| since + DRAIN_MAX);
        let repair = self.history.deadline(now).filter(|_| self.may_ask());
        let holes = self.intake.sequencer.next_due();
        let others = [end, drain_end, self.streams.deadline(now), holes, repair, Some(self.next_expire)];
        others.into_iter().flatten().fold(self.next_progress, Instant::min)
    }

    fn finish(mut self) -> Result<Summary, CaptureError> {
        for hole in self.intake.sequencer.due_holes(Instant::now() + GRACE) {
            self.tally.note(&Event::HoleFound(&hole.symbol, hole.range));
        }
        let failed = |source| CaptureError::Record { path: self.record.unwrap_or_default(), source };
        self.intake.finish_recording().map_err(failed)?;
        Ok(Summary::new(&self.tally, &self.intake, &self.latencies, self.last_acknowledgement))
    }
}
