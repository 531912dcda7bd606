//! One host with a capture on it: its clocks, its connections, what waits to be read, and its outbox.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, UNIX_EPOCH};

use tickflux::binance::stream::{ConnectionId, Group};
use tickflux::capture::backlog::Route;
use tickflux::capture::exchange_clock::Moment;
use tickflux::capture::input::Input;
use tickflux::capture::machine::Capture;
use tickflux::capture::sequencer::Hole;
use tickflux::capture::settings::Settings;
use tickflux::trade::{Symbol, TradeTime};

use crate::disk::Disk;
use crate::exchange::{Place, exchange_ms};
use crate::plan::Plan;
use crate::rest::Weight;
use crate::store::Client;
use crate::time::Time;
use crate::world::repair::Repair;

/// As the shell's.
const GROUP_MAX: usize = 512;
/// Turns in which time stands still, before it is a loop that does not rest.
const TURNS_MAX: u32 = 200_000;
/// How long two connections may overlap.
const OVERLAP_MAX: Duration = Duration::from_secs(60);
/// Binance allows so many attempts to connect in five minutes.
const ATTEMPTS_MAX: usize = 300;

const ROUTE: Route = Route { is_over_disk: true, slots: 2, batch_max: 10_000 };

#[derive(Debug)]
pub struct Connection {
    pub subset: usize,
    pub is_open: bool,
    pub opened: Time,
    /// Whether it has given anything.
    pub has_delivered: bool,
    /// Nothing is delivered before what was delivered before it.
    pub last_delivery: Time,
}

#[derive(Debug)]
pub struct Node {
    pub number: usize,
    /// Which process of this host it is: what was meant for an earlier one is nobody's.
    pub run: u64,
    pub capture: Option<Capture>,
    pub disk: Disk,
    /// What it is to repair, if it does nothing else.
    pub repair: Option<Repair>,
    /// What has been read from the streams and not been taken.
    pub inbox: VecDeque<(Input, Vec<Place>)>,
    pub connections: BTreeMap<ConnectionId, Connection>,
    pub weight: Weight,
    /// What it has learned of the store by writing.
    pub client: Client,
    attempts: VecDeque<Time>,
    pub clock_offset_ms: i64,
    pub drift_ppm: i64,
    /// How long the host has slept: its monotonic clock stood still.
    slept: Duration,
    pub asleep_until: Time,
    /// When the capture wants to be woken.
    pub wake: Time,
    turns: (Time, u32),
    origin: Instant,
    symbols: Vec<Symbol>,
}

impl Node {
    pub fn new(number: usize, symbols: Vec<Symbol>, is_real_disk: bool) -> Self {
        Self {
            number,
            run: 0,
            capture: None,
            disk: Disk::new("practice".parse().expect("a name"), is_real_disk),
            repair: None,
            inbox: VecDeque::new(),
            connections: BTreeMap::new(),
            weight: Weight::default(),
            client: Client::default(),
            attempts: VecDeque::new(),
            clock_offset_ms: 0,
            drift_ppm: 0,
            slept: Duration::ZERO,
            asleep_until: Time::default(),
            wake: Time::default(),
            turns: (Time::default(), 0),
            origin: Instant::now(),
            symbols,
        }
    }

    pub fn instant(&self, now: Time) -> Instant {
        self.origin + now.since_begin().saturating_sub(self.slept)
    }

    pub fn time(&self, instant: Instant) -> Time {
        Time::default() + (instant.saturating_duration_since(self.origin) + self.slept)
    }

    pub fn wall(&self, now: Time) -> TradeTime {
        let drift = now.ms() * self.drift_ppm / 1_000_000;
        TradeTime::from_ms((exchange_ms(now) + self.clock_offset_ms + drift).max(0)).expect("no clock is so far off")
    }

    pub fn moment(&self, now: Time) -> Moment {
        Moment { at: self.instant(now), wall: self.wall(now) }
    }

    pub fn start(&mut self, plan: &Plan, now: Time, seed: u64) {
        self.begin(
            Settings {
                symbols: self.symbols.clone(),
                subsets: plan.subsets.clone(),
                connections: plan.connections,
                route: Route { is_over_disk: !plan.is_near, ..ROUTE },
                outbox_limit: plan.outbox_limit,
                backfill: plan.backfill.filter(|_| self.run == 0),
                idle_timeout: Duration::from_secs(30),
                asks: true,
                repairs: true,
                verifies: plan.verifies,
                only_repair: None,
                count: None,
                duration: None,
                seed,
            },
            now,
        );
    }

    /// Starts a run that only repairs.
    pub fn repair(&mut self, holes: Vec<Hole>, now: Time, seed: u64) {
        self.repair = Some(Repair { holes: holes.clone(), ended: Vec::new() });
        self.begin(Settings::only_repairing(holes, ROUTE, seed), now);
    }

    fn begin(&mut self, settings: Settings, now: Time) {
        self.run += 1;
        self.capture = Some(Capture::new(settings, self.moment(now)));
        self.attempts.clear();
        // What a process knows of the limits, the next one does not.
        self.weight = Weight::default();
        self.client = Client::default();
    }

    /// The process is gone, and all that it had in memory.
    pub fn die(&mut self) {
        self.run += 1;
        self.capture = None;
        self.disk.kill();
        self.inbox.clear();
        self.connections.clear();
    }

    pub fn sleep(&mut self, now: Time, length: Duration) {
        self.slept += length;
        self.asleep_until = now + length;
    }

    /// A message came; what came before and is not taken yet is taken with it.
    pub fn receive(&mut self, id: ConnectionId, text: String, place: Option<Place>, now: Time) {
        if let Some((Input::StreamMessages(last, group), places)) = self.inbox.back_mut()
            && *last == id
            && group.texts.len() < GROUP_MAX
        {
            group.texts.push(text.into());
            places.extend(place);
            return;
        }
        let received_wall = UNIX_EPOCH + Duration::from_millis(self.wall(now).ms().unsigned_abs());
        let group = Group { received: self.instant(now), received_wall, texts: vec![text.into()], binary: 0 };
        self.inbox.push_back((Input::StreamMessages(id, group), place.into_iter().collect()));
    }

    /// A connection is opened. `Err` if that is more often than the exchange allows.
    pub fn open(&mut self, id: ConnectionId, subset: usize, now: Time) -> Result<(), String> {
        self.attempts.push_back(now);
        while self.attempts.front().is_some_and(|at| *at + Duration::from_secs(300) <= now) {
            self.attempts.pop_front();
        }
        self.connections
            .insert(id, Connection { subset, is_open: false, opened: now, has_delivered: false, last_delivery: now });
        let attempts = self.attempts.len();
        if attempts > ATTEMPTS_MAX { Err(format!("{attempts} attempts to connect in 5 minutes")) } else { Ok(()) }
    }

    /// A connection is closed by the capture. `Err` if nothing has taken its place.
    pub fn close(&mut self, id: ConnectionId, now: Time) -> Result<(), String> {
        let Some(closed) = self.connections.remove(&id) else { return Ok(()) };
        let takes_over = |other: &Connection| {
            let is_late = other.opened + OVERLAP_MAX <= now;
            other.subset == closed.subset && other.is_open && (other.has_delivered || is_late)
        };
        if !closed.is_open || self.connections.values().any(takes_over) {
            return Ok(());
        }
        Err(format!("stream {id} is closed before another one gave anything"))
    }

    /// Counts a turn. `Err` if there are so many that time has no chance to go on.
    pub fn turn(&mut self, now: Time) -> Result<(), String> {
        let stands_still = now.0 < self.turns.0.0 + 1_000;
        self.turns = if stands_still { (self.turns.0, self.turns.1 + 1) } else { (now, 0) };
        if self.turns.1 > TURNS_MAX { Err("the loop does not rest".to_owned()) } else { Ok(()) }
    }
}
