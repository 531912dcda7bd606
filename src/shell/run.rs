//! The one loop: what happened goes into the machine, and what it says is carried out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::handover::Got;
use super::record::Recorder;
use super::setup::{RunError, Setup};
use super::streams::Streams;
use super::telling::Telling;
use super::{disk, handover, history, minutes, stores};
use crate::binance::rest::Rest;
use crate::binance::stream_urls;
use crate::capture::backlog::Route;
use crate::capture::exchange_clock::Moment;
use crate::capture::input::{Command, DiskDone, DiskWork, Input};
use crate::capture::machine::{Capture, RunOutcome};
use crate::capture::settings::{Progress, Settings};
use crate::capture::summary::Usage;
use crate::outbox::{Changes, Opened, OutboxError, OutboxFile, Target};
use crate::store::{AnyStore, Scope};
use crate::telemetry::Event;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::process_usage;
use crate::trade::{Exchange, Symbol, TradeTime};

/// Events are held back for so long at most, while the checks of the start may still end in one line of their own.
const HELD_BACK_MAX: Duration = Duration::from_secs(10);

/// Captures until `stop` says so or the set-up's end is reached, then drains. `begun` is called when the checks of the
/// start have ended well, before anything is logged.
///
/// # Errors
///
/// [`RunError`]; never because the store or the stream cannot be reached.
///
/// # Cancel safety
///
/// Not safe: dropped before it ends, trades that were read may not be stored. Use `stop`.
pub async fn run(
    setup: Setup,
    store: AnyStore,
    health: Arc<Health>,
    stop: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
    begun: impl FnOnce() + Send,
) -> Result<RunOutcome, RunError> {
    let record = setup.record.clone();
    let (mut shell, capture) = Shell::start(setup, store, health, progress)?;
    let outcome = shell.drive(capture, stop, begun).await?;
    let failed = |source| RunError::Record { path: record.unwrap_or_default(), source };
    shell.streams.finish_recording().map_err(failed)?;
    Ok(outcome)
}

/// What carries out commands.
pub(super) struct Shell {
    pub(super) store: AnyStore,
    pub(super) rest: Option<Rest>,
    pub(super) symbols: Vec<Symbol>,
    pub(super) exchange: Exchange,
    pub(super) outbox: PathBuf,
    pub(super) clock: fn() -> TradeTime,
    pub(super) streams: Streams,
    pub(super) telling: Telling,
    pub(super) tasks: Tasks,
    pub(super) books: Books,
    /// Whether every symbol is read; none, if no other capture is to be followed.
    pub(super) overlap: Option<watch::Sender<bool>>,
}

/// Where the disk's work goes.
pub(super) enum Books {
    /// The outbox, while nobody works on it.
    Outbox(Option<OutboxFile>),
    /// No outbox: only what a ledger would be told is kept, for the caller.
    Changes(Changes),
}

/// What a task ends with.
enum TaskDone {
    Input(Input),
    Outbox(Box<Result<Got, OutboxError>>),
    OutboxAsked,
    Disk(Box<(OutboxFile, DiskDone)>),
    Chore(Result<(), String>),
}

impl Shell {
    fn start(
        setup: Setup,
        store: AnyStore,
        health: Arc<Health>,
        progress: watch::Sender<Progress>,
    ) -> Result<(Self, Capture), RunError> {
        let Setup { symbols, exchange, stream_url, network, rest, outbox, record, clock, .. } = setup;
        let failed = |path: &PathBuf, source| RunError::Record { path: path.clone(), source };
        let recorder = record.as_ref().map(|path| Recorder::create(path).map_err(|source| failed(path, source)));
        let (urls, subsets) = stream_urls(&stream_url, &symbols).into_iter().unzip();
        let now = Moment { at: Instant::now(), wall: clock() };
        let settings = Settings {
            symbols: symbols.clone(),
            subsets,
            connections: setup.connections,
            idle_timeout: setup.idle_timeout,
            route: Route { is_over_disk: store.lines().is_some(), slots: store.slots(), batch_max: store.batch_max() },
            outbox_limit: setup.outbox_limit,
            asks: rest.is_some(),
            repairs: setup.repairs && rest.is_some(),
            verifies: setup.verifies && rest.is_some(),
            only_repair: None,
            backfill: setup.backfill,
            count: setup.count,
            duration: setup.duration,
            seed: fastrand::u64(..),
        };
        let shell = Self {
            store,
            rest,
            symbols,
            exchange,
            clock,
            streams: Streams::new(urls, network, recorder.transpose()?),
            telling: Telling::new(health, progress, &outbox, now.at),
            outbox,
            tasks: Tasks::default(),
            books: Books::Outbox(None),
            overlap: setup.takes_over.then(|| watch::Sender::new(false)),
        };
        Ok((shell, Capture::new(settings, now)))
    }

    /// Carries out what the machine says, and tells it what happened, until it is over.
    pub(super) async fn drive(
        &mut self,
        mut capture: Capture,
        mut stop: watch::Receiver<bool>,
        begun: impl FnOnce() + Send,
    ) -> Result<RunOutcome, RunError> {
        let (mut begun, held_back_until) = (Some(begun), Instant::now() + HELD_BACK_MAX);
        let mut is_stopped = false;
        loop {
            let now = self.now();
            capture.advance(!self.streams.has_more(), now);
            self.carry_out(&mut capture);
            if let Some(failure) = capture.failure() {
                return Err(failure.clone().into());
            }
            let is_finished = capture.is_finished(now.at);
            if !self.telling.has_begun() && (capture.is_settled() || now.at >= held_back_until || is_finished) {
                begun.take().into_iter().for_each(|begun| begun());
                self.telling.begin();
            }
            self.telling.tell(&mut capture, now);
            if is_finished {
                let outcome = capture.finish(usage(), self.now());
                self.telling.end(&mut capture, now);
                return Ok(outcome);
            }
            let input = tokio::select! {
                biased;
                changed = stop.changed(), if !is_stopped => match changed {
                    Ok(()) if !*stop.borrow() => Input::Tick,
                    _ => { is_stopped = true; Input::Stop }
                },
                done = self.tasks.next() => self.take_back(done?, &mut capture)?,
                (input, recorded) = self.streams.next(), if capture.reads(now.at) => {
                    if let Err(error) = recorded {
                        capture.journal().note(Event::ChoreFailed(format!("the recording ends here: {error}")));
                    }
                    input
                }
                () = sleep_until(capture.deadline(now.at).into()) => Input::Tick,
            };
            capture.handle(input, self.now());
            if let Some(overlap) = &self.overlap
                && !*overlap.borrow()
                && capture.has_overlapped(Instant::now())
            {
                overlap.send_replace(true);
            }
        }
    }

    fn now(&self) -> Moment {
        Moment { at: Instant::now(), wall: (self.clock)() }
    }

    fn carry_out(&mut self, capture: &mut Capture) {
        while let Some(command) = capture.next_command() {
            match command {
                Command::OpenStream(id, subset) => self.streams.open(id, subset),
                Command::CloseStream(id) => self.streams.close(id),
                Command::EndStreams => self.streams.end(),
                Command::KeepDeadLetter(letter) => self.telling.keep(&letter, capture),
                Command::Disk(work) => self.work(*work),
                command => self.spawn(command),
            }
        }
    }

    /// Begins what takes its time.
    fn spawn(&mut self, command: Command) {
        let store = AnyStore::clone(&self.store);
        match command {
            Command::Ask(request) => {
                let Some(rest) = self.rest.clone() else { return };
                self.tasks.under_way.spawn(async move { TaskDone::Input(history::ask(&rest, request).await) });
            }
            Command::CheckSymbols => {
                let (rest, symbols) = (self.rest.clone(), self.symbols.clone());
                self.tasks.under_way.spawn(async move {
                    TaskDone::Input(match rest {
                        Some(rest) => history::check_symbols(&rest, &symbols).await,
                        None => Input::SymbolsChecked(Ok(None)),
                    })
                });
            }
            Command::CheckStore => {
                self.tasks.under_way.spawn(async move { TaskDone::Input(Input::StoreChecked(store.check().await)) });
            }
            Command::OpenOutbox(_) if matches!(self.books, Books::Changes(_)) => {
                self.tasks.done = Some(TaskDone::Input(Input::OutboxOpened(Box::default())));
            }
            Command::OpenOutbox(store_id) => {
                let target = Target { store_id, ..Target::at(&store, &self.exchange) };
                let folder = self.outbox.clone();
                let overlap = self.overlap.as_ref().map(watch::Sender::subscribe);
                let open = move || handover::open(&folder, &target, store.batch_max(), overlap.as_ref());
                self.tasks.under_way.spawn_blocking(move || TaskDone::Outbox(Box::new(open())));
            }
            Command::Write(batch, payload, attempt) => {
                self.tasks
                    .under_way
                    .spawn(async move { TaskDone::Input(stores::write(&store, batch, &payload, attempt).await) });
            }
            Command::Audit(symbol, since, until) => {
                let exchange = self.exchange.clone();
                self.tasks.under_way.spawn(async move {
                    TaskDone::Input(stores::audit(&store, &exchange, symbol, since, until).await)
                });
            }
            Command::AskCandles(stretch) => {
                let Some(rest) = self.rest.clone() else { return };
                self.tasks.under_way.spawn(async move { TaskDone::Input(history::candles(&rest, stretch).await) });
            }
            Command::ReadMinutes(stretch, candles) => {
                let exchange = self.exchange.clone();
                self.tasks.under_way.spawn(async move {
                    TaskDone::Input(Input::MinutesRead(minutes::read(&store, &exchange, &stretch, &candles).await))
                });
            }
            Command::KeepMinutes(points) => {
                self.tasks.under_way.spawn(async move {
                    let kept = store.keep_minutes(&points).await;
                    TaskDone::Input(Input::MinutesKept(points, kept))
                });
            }
            Command::AskKnownMinutes(since) => {
                let scope = Scope { symbols: self.symbols.clone(), exchange: Some(self.exchange.clone()) };
                self.tasks.under_way.spawn(async move {
                    TaskDone::Input(Input::MinutesKnown(minutes::known(&store, &scope, since).await))
                });
            }
            Command::ExpireStore(now) => {
                self.tasks
                    .under_way
                    .spawn(async move { TaskDone::Chore(store.expire(now).await.map_err(|error| error.to_string())) });
            }
            Command::OpenStream(..)
            | Command::CloseStream(_)
            | Command::EndStreams
            | Command::KeepDeadLetter(_)
            | Command::Disk(_) => {}
        }
    }

    fn work(&mut self, work: DiskWork) {
        let mut file = match &mut self.books {
            Books::Outbox(file) => {
                let Some(file) = file.take() else { return };
                file
            }
            Books::Changes(changes) => {
                changes.put_behind(work.changes);
                self.tasks.done = Some(TaskDone::Input(Input::Disk(Box::default())));
                return;
            }
        };
        if disk::is_small(&work, &file) {
            let done = disk::work(&mut file, work, &self.store);
            self.tasks.done = Some(TaskDone::Disk(Box::new((file, done))));
            return;
        }
        let store = AnyStore::clone(&self.store);
        self.tasks.under_way.spawn_blocking(move || {
            let done = disk::work(&mut file, work, &store);
            TaskDone::Disk(Box::new((file, done)))
        });
    }

    /// Takes back what was lent to a task, and gives what it tells.
    fn take_back(&mut self, done: TaskDone, capture: &mut Capture) -> Result<Input, RunError> {
        Ok(match done {
            TaskDone::Input(input) => input,
            TaskDone::Outbox(opened) => {
                let Got { opened: Opened { file, found }, waited } = (*opened)?;
                if let Some(waited) = waited {
                    capture.journal().note(Event::OutboxTakenOver(waited));
                }
                let path = file.path().to_owned();
                self.tasks.under_way.spawn(async move {
                    handover::asked(path).await;
                    TaskDone::OutboxAsked
                });
                self.books = Books::Outbox(Some(file));
                Input::OutboxOpened(Box::new(found))
            }
            TaskDone::OutboxAsked => {
                capture.journal().note(Event::OutboxAsked);
                Input::Stop
            }
            TaskDone::Disk(done) => {
                let (file, done) = *done;
                self.books = Books::Outbox(Some(file));
                Input::Disk(Box::new(done))
            }
            TaskDone::Chore(Ok(())) => Input::Tick,
            TaskDone::Chore(Err(why)) => Input::ChoreFailed(why),
        })
    }
}

/// What is under way.
#[derive(Default)]
pub(super) struct Tasks {
    under_way: JoinSet<TaskDone>,
    /// What was done without a task.
    done: Option<TaskDone>,
}

impl Tasks {
    /// What ends next; never, if nothing is under way. Safe to cancel: nothing that ended is lost.
    async fn next(&mut self) -> Result<TaskDone, RunError> {
        if let Some(done) = self.done.take() {
            return Ok(done);
        }
        match self.under_way.join_next().await {
            Some(done) => done.map_err(|error| RunError::Internal(error.to_string())),
            None => std::future::pending().await,
        }
    }
}

/// What the process took so far.
fn usage() -> Usage {
    let (cpu, peak_rss_bytes) = process_usage();
    Usage { cpu, peak_rss_bytes }
}
