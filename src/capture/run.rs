//! The run loop: the thin shell around the state machines.

mod end;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::sleep_until;

use super::batcher::Batcher;
use super::connections::Connections;
use super::dead_letters::DeadLetters;
use super::delivery::{Delivered, Delivery};
use super::history::{Answer, Brings, History, Lookup};
use super::intake::Intake;
use super::past::Past;
use super::record::Recorder;
use super::settings::{CaptureError, Progress, Settings};
use super::silence::Silence;
use super::streams::Streams;
use super::summary::{Latencies, Summary};
use super::writes::{Parcel, Tried};
use crate::binance::stream::{ConnectionId, StreamEvent};
use crate::binance::stream_urls;
use crate::store::{AnyStore, RETENTION_MS, WriteError};
use crate::telemetry::health::{Health, Part};
use crate::telemetry::{Event, Tally, metrics};
use crate::trade::{IdRange, IdRanges, TradeTime};

/// How often expired trades are deleted and the progress is told.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

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
            delivered = capture.delivery.next() => capture.delivered(delivered.map_err(internal)?),
            Some(answer) = capture.history.next() => capture.repaired(answer.map_err(internal)?),
            Some(audited) = capture.past.next() => {
                let since = capture.retention_begin();
                let sequencer = &mut capture.intake.sequencer;
                capture.past.answered(audited.map_err(internal)?, since, sequencer, &mut capture.tally);
            }
            event = capture.streams.next(), if capture.reads(now) => match event {
                Some((id, event)) => capture.stream_event(id, event),
                None => capture.drained = true,
            },
            () = sleep_until(wake) => {}
        }
    }
}

fn internal(error: JoinError) -> CaptureError {
    CaptureError::Internal(error.to_string())
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
    past: Past,
    silence: Silence,
    delivery: Delivery,
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
        let Settings { symbols, stream_url, network, idle_timeout, record, .. } = settings;
        let recorder = record
            .as_ref()
            .map(|path| Recorder::create(path).map_err(|source| CaptureError::Record { path: path.clone(), source }));
        let now = Instant::now();
        let mut tally = Tally::default();
        let (delivery, known) = Delivery::open(
            AnyStore::clone(&store),
            &settings.exchange,
            &settings.outbox,
            settings.outbox_limit,
            now,
            &mut tally,
        )?;
        let batcher = Batcher::new(Delivery::slots(&store), store.batch_max());
        let (urls, subsets): (Vec<_>, Vec<_>) = stream_urls(&stream_url, &symbols).into_iter().unzip();
        let connections = Connections::new(settings.connections, &subsets, idle_timeout, now);
        health.failing(Part::Stream, "no connection yet");
        let mut capture = Self {
            intake: Intake::new(&symbols, batcher, DeadLetters::new(&settings.outbox), recorder.transpose()?),
            streams: Streams::new(connections, urls, network),
            history: History::new(settings.history, now),
            past: Past::new(AnyStore::clone(&store), settings.exchange),
            silence: Silence::new(&symbols, idle_timeout, now),
            delivery,
            latencies: Latencies::new().map_err(|error| CaptureError::Internal(error.to_string()))?,
            store,
            health,
            progress,
            rng: fastrand::Rng::new(),
            tally,
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
        };
        let since = capture.retention_begin();
        capture.past.begin(&symbols, &known, since, &mut capture.intake.sequencer, &mut capture.tally);
        if let Some(ago) = settings.backfill {
            let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            let since = TradeTime::from_ms((capture.clock)().ms().saturating_sub(ago)).unwrap_or(since).max(since);
            symbols.iter().for_each(|symbol| capture.history.look_up(Lookup::First(symbol.clone(), since), now));
        }
        Ok(capture)
    }

    fn retention_begin(&self) -> TradeTime {
        TradeTime::from_ms(((self.clock)().ms() - RETENTION_MS).max(0)).unwrap_or(TradeTime::EPOCH)
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
        self.deliver(now);
        self.note_pause();
        if now >= self.next_expire {
            self.next_expire = now + EXPIRE_EVERY;
            self.expire();
        }
        if now >= self.next_progress {
            self.next_progress = now + PROGRESS_EVERY;
            self.tell_progress(now);
            // While nothing comes at all, the connection is at fault.
            if self.streams.last_trade().is_some_and(|last| now.duration_since(last) < self.idle_timeout) {
                for symbol in self.silence.due(now) {
                    self.history.look_up(Lookup::Newest(symbol), now);
                }
            }
        }
    }

    /// Passes on what may go; while more is ready to be read, only full batches.
    fn deliver(&mut self, now: Instant) {
        for ended in self.history.take_ended() {
            self.delivery.ended(ended, now);
        }
        let drained = !self.streams.has_more();
        if let Some(dropped) = self.delivery.advance(&mut self.intake.batcher, drained, now, (self.clock)()) {
            self.tally.note(&Event::OutboxFull(dropped.count()));
            self.health.failing(Part::Outbox, "full: mend the store, or raise --outbox-limit");
            self.intake.lose(&dropped);
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
                if !self.streams.carries_all() {
                    self.health.failing(Part::Stream, why.to_string());
                }
            }
            StreamEvent::Messages(group) => {
                let heard = self.intake.take(&group, &mut self.tally);
                self.streams.heard(id, &heard, group.received);
                heard.symbols.iter().for_each(|symbol| self.silence.heard(symbol, now));
                for symbol in heard.restarted {
                    self.history.restarted(&symbol);
                    self.delivery.restarted(symbol, now);
                }
            }
        }
    }

    fn repaired(&mut self, answer: Answer) {
        let now = Instant::now();
        match self.history.answered(answer, now, &mut self.rng, &mut self.tally) {
            Brings::Trades(trades) => self.intake.take_repaired(trades, now),
            Brings::Found(Lookup::First(symbol, since), first) => {
                // As if the trade before it had been the last one known: all from it on is wanted.
                let mut ids = IdRanges::default();
                let before = first.first_id.cast_unsigned().saturating_sub(1);
                ids.insert(IdRange { first: before, last: before });
                self.intake.sequencer.learn(&symbol, &ids, since);
            }
            Brings::Found(Lookup::Newest(symbol), newest) => {
                let (id, time) = (newest.last_id.cast_unsigned(), TradeTime::from_ms(newest.time_ms));
                let time = time.unwrap_or(TradeTime::EPOCH);
                if self.intake.sequencer.reach(&symbol, id, time, now) {
                    self.tally.note(&Event::SymbolSilent(&symbol));
                    self.streams.replace_all();
                }
            }
        }
    }

    fn delivered(&mut self, delivered: Delivered) {
        let now = Instant::now();
        match delivered {
            Delivered::Worked(worked) => {
                for batch in self.delivery.worked(*worked, &mut self.intake.batcher, now, &mut self.tally) {
                    self.tally.note(&Event::OutboxLost(batch.trades as u64));
                    self.intake.lose(&batch.ids);
                }
                match self.delivery.failure() {
                    Some(why) => self.health.failing(Part::Outbox, why),
                    None if self.delivery.has_room() => self.health.working(Part::Outbox),
                    None => {}
                }
            }
            Delivered::Tried(tried) => self.tried(*tried, now),
        }
    }

    fn tried(&mut self, tried: Tried, now: Instant) {
        match tried {
            Tried { result: Ok(written), parcel, answered, .. } => {
                let trades = parcel.trades() as u64;
                let stored = trades.saturating_sub(written.expired + written.dead.len() as u64);
                let is_of_this_run = match &parcel {
                    Parcel::Lines(batch) => batch.about.is_of_this_run,
                    Parcel::Trades(_) => true,
                };
                self.tally.note(&if is_of_this_run {
                    Event::BatchStored(stored)
                } else {
                    Event::LeftBatchStored(stored)
                });
                if written.expired > 0 {
                    self.tally.note(&Event::Expired(written.expired));
                }
                for dead in &written.dead {
                    self.intake.keep_dead_line(&dead.line, &dead.reason, &mut self.tally);
                }
                self.latencies.count(parcel.arrivals(), answered);
                self.delivery.stored(parcel, &mut self.intake.batcher, now);
                self.last_acknowledgement = Some(answered);
                self.health.working(Part::Store);
                if std::mem::take(&mut self.writing_fails) {
                    self.tally.note(&Event::WriteRecovered);
                }
            }
            tried => {
                if let Err(error) = &tried.result {
                    let why = error.to_string();
                    let held = matches!(error, WriteError::Held { .. });
                    self.tally.note(&Event::WriteFailed { why: &why, held, tries: tried.tries });
                    self.health.failing(Part::Store, why);
                }
                self.writing_fails = true;
                self.delivery.send_again(tried, &mut self.rng);
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
        self.delivery.trim(Instant::now());
        tokio::spawn(async move {
            if let Err(error) = store.expire(now).await {
                Tally::default().note(&Event::ChoreFailed { why: &error.to_string() });
            }
        });
    }

    fn tell_progress(&self, now: Instant) {
        if let Some(last) = self.streams.last_trade() {
            let silence = now.duration_since(last);
            if silence >= self.idle_timeout {
                self.health.failing(Part::Stream, format!("no trade for {} s", silence.as_secs()));
            } else if self.streams.carries_all() {
                self.health.working(Part::Stream);
            }
        }
        metrics::publish(
            metrics::State {
                connections: self.streams.open_count(),
                waiting: self.left(),
                holes: self.intake.sequencer.missing().len(),
                outbox_bytes: self.delivery.disk_bytes(),
            },
            &self.health,
            &self.tally,
        );
        for (symbol, span) in self.intake.sequencer.spans() {
            metrics::publish_newest(symbol, span.last);
        }
        // Nobody may be looking.
        let _ = self.progress.send(Progress {
            trades: self.tally.trades,
            held: self.left(),
            holes: self.tally.holes_found,
            connections: self.streams.open_count(),
        });
    }

    fn reads(&self, now: Instant) -> bool {
        !self.drained && !self.intake.batcher.is_full() && !self.delivery.asks_to_wait(now)
    }

    /// What the store cannot take now, the exchange's history keeps.
    fn may_ask(&self) -> bool {
        !self.is_stopping() && !self.intake.batcher.is_full() && self.delivery.has_room()
    }

    fn deadline(&self, now: Instant) -> Instant {
        let end = self.end.filter(|_| !self.is_stopping());
        let drain_end = self.drain_end(now);
        let delivery = self.delivery.deadline(now);
        let repair = self.history.deadline(now).filter(|_| self.may_ask());
        let holes = self.intake.sequencer.next_due();
        let others = [end, drain_end, self.streams.deadline(now), holes, repair, delivery, Some(self.next_expire)];
        others.into_iter().flatten().fold(self.next_progress, Instant::min)
    }
}
