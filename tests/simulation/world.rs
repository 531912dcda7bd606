//! The world: one queue of what happens, in the order of its time, and the captures that it happens to.

#[path = "commands.rs"]
mod commands;
#[path = "happening.rs"]
mod happening;
#[path = "harm.rs"]
mod harm;
#[path = "repair.rs"]
pub mod repair;
#[path = "trading.rs"]
mod trading;

use std::collections::BTreeMap;
use std::time::Duration;

use tickflux::capture::input::Input;
use tickflux::capture::summary::Usage;
use tickflux::telemetry::Event;
use tickflux::text::Excerpt;

use self::happening::{Happening, ToNode};
use crate::coverage::{self, Coverage};
use crate::exchange::{Exchange, flag};
use crate::faults::Faults;
use crate::minutes::Minutes;
use crate::node::Node;
use crate::oracle;
use crate::plan::{Fault, Lasting, Plan};
use crate::store::{Arrival, Client, Store};
use crate::time::Time;
use crate::trace::{Trace, kind};

/// The exchange ends a connection after a day.
const CONNECTION_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// How long everything may take to be in order once all faults are over: the last doubt about an id lasts an hour.
const SETTLE_MAX: Duration = Duration::from_secs(4 * 3_600);

#[derive(Debug)]
pub struct World {
    pub plan: Plan,
    pub now: Time,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    rng: fastrand::Rng,
    pub exchange: Exchange,
    pub store: Store,
    pub minutes: Minutes,
    pub faults: Faults,
    pub nodes: Vec<Node>,
    pub trace: Trace,
    pub coverage: Coverage,
    /// Disks were damaged, or lost power: what a ledger knew may be gone.
    pub lost_books: bool,
    /// The store was restored from a backup.
    pub lost_store: bool,
    is_healed: bool,
}

/// Why a world is wrong.
pub type Wrong = String;

impl World {
    pub fn new(seed: u64, plan: Plan, in_words: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let exchange = Exchange::new(plan.markets, plan.per_second, &mut rng);
        let symbols: Vec<_> = exchange.markets.iter().map(|market| market.symbol.clone()).collect();
        let mut nodes: Vec<_> =
            (0..plan.captures).map(|number| Node::new(number, symbols.clone(), plan.is_real_disk)).collect();
        if !plan.repairs.is_empty() {
            nodes.push(Node::new(plan.captures, symbols, false));
        }
        let mut world = Self {
            now: Time::default(),
            queue: BTreeMap::new(),
            sequence: 0,
            rng,
            exchange,
            store: Store::new(),
            minutes: Minutes::default(),
            faults: Faults::default(),
            nodes,
            trace: Trace::new(in_words),
            coverage: Coverage::default(),
            lost_books: false,
            lost_store: false,
            is_healed: false,
            plan,
        };
        for market in 0..world.plan.markets {
            world.put(Duration::from_millis(market as u64), Happening::Trade(market));
        }
        for node in 0..world.plan.captures {
            world.put(Duration::from_secs(60 + node as u64), Happening::Start(node));
        }
        for (at, node, fault) in world.plan.faults.clone() {
            world.put(at.since_begin() + Duration::from_secs(60), Happening::Fault(node, fault));
        }
        for at in world.plan.repairs.clone() {
            world.put(at.since_begin(), Happening::Repair(world.plan.captures));
        }
        world.put(Duration::from_secs(3_600), Happening::Hour);
        world.put(Duration::from_secs(60), Happening::Minute);
        world.put(world.plan.length, Happening::Heal);
        world
    }

    /// Lets all of it happen. `Err` says what went wrong.
    pub fn run(&mut self) -> Result<(), Wrong> {
        loop {
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let awake = |node: &&Node| node.capture.is_some();
            let woken = self.nodes.iter().filter(awake).min_by_key(|node| node.wake.max(node.asleep_until));
            let woken = woken.map(|node| (node.wake.max(node.asleep_until), node.number));
            match (queued, woken) {
                (queued, Some((at, node))) if queued.is_none_or(|queued| at <= queued) => {
                    // The machine's clock is finer than the world's.
                    self.now = self.now.max(at) + Duration::from_micros(u64::from(at <= self.now));
                    self.tell(node, Input::Tick)?;
                }
                (Some(at), _) => {
                    self.now = self.now.max(at);
                    if let Some((_, happening)) = self.queue.pop_first() {
                        self.happen(happening)?;
                    }
                }
                (None, _) => return Err("nothing happens any more".to_owned()),
            }
            if self.is_healed
                && self.nodes.iter().all(|node| node.capture.is_none())
                && self.nodes[..self.plan.captures].iter().all(|node| node.run > 0)
                && self.queue_is_over()
            {
                return oracle::verify(self);
            }
        }
    }

    /// Whether rows of an outbox may have been given up because they could not be read.
    pub fn has_unreadable_rows(&self) -> bool {
        self.plan.faults.iter().any(|(_, _, fault)| matches!(fault, Fault::Lasting(Lasting::DiskUnreadable, _)))
    }

    fn queue_is_over(&self) -> bool {
        !self.queue.values().any(|happening| matches!(happening, Happening::Start(_) | Happening::Write { .. }))
    }

    fn put(&mut self, after: Duration, happening: Happening) {
        self.put_at(self.now + after, happening);
    }

    fn put_at(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    fn put_to(&mut self, node: usize, after: Duration, what: ToNode) {
        let run = self.nodes[node].run;
        self.put(after, Happening::ToNode(node, run, what));
    }

    fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_micros(self.rng.u64(least * 1_000..=most * 1_000))
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Wrong> {
        match happening {
            Happening::Trade(market) => self.trade(market),
            Happening::Fault(node, fault) => self.fault(node, fault)?,
            Happening::Start(node) => {
                if self.nodes[node].capture.is_none() {
                    let seed = self.rng.u64(..);
                    self.trace.step(self.now, node, "start", &[seed]);
                    self.faults.hold_up(self.now);
                    self.nodes[node].start(&self.plan, self.now, seed);
                    self.turn(node)?;
                }
            }
            Happening::Repair(node) => self.begin_repair(node)?,
            Happening::ToNode(node, run, what) => return self.reach_node(node, run, what),
            Happening::Write { node, run, batch, lines, attempt, life } => {
                // What a process has learned is gone with it.
                let mut gone = Client::default();
                let alive = self.nodes.get_mut(node).filter(|node| node.run == run).map(|node| &mut node.client);
                let arrival = Arrival { lines: &lines, attempt, life };
                let (answer, oldest) = self.store.write(
                    &mut self.exchange,
                    &self.faults,
                    alive.unwrap_or(&mut gone),
                    &arrival,
                    (self.now, &mut self.rng),
                )?;
                oracle::check_fresh(self, oldest)?;
                if self.nodes[node].run == run {
                    let answered = self.nodes[node].instant(self.now.max(self.nodes[node].asleep_until));
                    let answer = Input::Written(batch, answer, answered);
                    self.put_to(node, Duration::ZERO, ToNode::Input(Box::new(answer)));
                }
            }
            Happening::Hour => {
                self.store.back_up(&self.exchange);
                self.put(Duration::from_secs(3_600), Happening::Hour);
            }
            Happening::Minute => {
                oracle::check_bounds(self)?;
                oracle::check_stored(self)?;
                if self.is_healed {
                    self.settle();
                }
                self.put(Duration::from_secs(60), Happening::Minute);
            }
            Happening::Heal => {
                self.trace.say(self.now, || "all faults are over".to_owned());
                self.faults.heal();
                self.is_healed = true;
                for node in 0..self.nodes.len() {
                    // A start asks the store what it has; a wrong clock is set right.
                    self.nodes[node].clock_offset_ms = 0;
                    self.nodes[node].drift_ppm = 0;
                    self.put(Duration::from_secs(1), Happening::Stop(node));
                }
                for node in 0..self.plan.captures {
                    self.put(Duration::from_secs(60), Happening::Start(node));
                }
            }
            Happening::Stop(node) => {
                if self.nodes[node].capture.is_some() {
                    self.tell(node, Input::Stop)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the captures once nothing is open any more.
    fn settle(&mut self) {
        if self.now.since_begin() < self.plan.length + Duration::from_secs(180) {
            return;
        }
        let now = self.now;
        let is_over = self.nodes.iter().all(|node| {
            node.capture.as_ref().is_none_or(|capture| {
                let state = capture.state(node.moment(now));
                state.open_holes == 0 && state.waiting < 100
            })
        });
        let gave_up = now.since_begin() > self.plan.length + SETTLE_MAX;
        if is_over && oracle::is_whole(self) || gave_up {
            (0..self.nodes.len()).for_each(|node| self.put(Duration::from_secs(5), Happening::Stop(node)));
        }
    }

    fn reach_node(&mut self, number: usize, run: u64, what: ToNode) -> Result<(), Wrong> {
        let node = &mut self.nodes[number];
        if node.run != run || node.capture.is_none() {
            return Ok(());
        }
        if node.asleep_until > self.now {
            let at = node.asleep_until;
            self.put_at(at, Happening::ToNode(number, run, what));
            return Ok(());
        }
        match what {
            ToNode::Input(input) => return self.tell(number, *input),
            ToNode::Disk(work) => return self.disk(number, *work),
            ToNode::Opened(id) => {
                let Some(connection) = node.connections.get_mut(&id) else { return Ok(()) };
                if self.faults.is(Lasting::StreamsRefused, self.now) {
                    node.connections.remove(&id);
                    node.inbox.push_back((Input::StreamClosed(id, Excerpt::of("refused")), Vec::new()));
                } else {
                    connection.is_open = true;
                    connection.opened = self.now;
                    connection.last_delivery = self.now;
                    node.inbox.push_back((Input::StreamOpened(id), Vec::new()));
                    self.put_to(number, CONNECTION_LIFE, ToNode::Closed(id, "its day is over"));
                }
            }
            ToNode::Message(id, text, place) => {
                if let Some(connection) = node.connections.get_mut(&id).filter(|connection| connection.is_open) {
                    connection.has_delivered = true;
                    node.receive(id, text, place, self.now);
                }
            }
            ToNode::Closed(id, why) => {
                if node.connections.remove(&id).is_some() {
                    node.inbox.push_back((Input::StreamClosed(id, Excerpt::of(why)), Vec::new()));
                }
            }
            ToNode::StreamsEnded => node.inbox.push_back((Input::StreamsEnded, Vec::new())),
        }
        self.turn(number)
    }

    fn tell(&mut self, number: usize, input: Input) -> Result<(), Wrong> {
        let node = &mut self.nodes[number];
        let now = node.moment(self.now);
        let Some(capture) = &mut node.capture else { return Ok(()) };
        self.trace.step(self.now, number, kind(&input), &[]);
        capture.handle(input, now);
        self.turn(number)
    }

    /// As the shell's loop: the machine goes on, its commands are begun, and what was read is taken.
    fn turn(&mut self, number: usize) -> Result<(), Wrong> {
        loop {
            let node = &mut self.nodes[number];
            node.turn(self.now)?;
            let now = node.moment(self.now);
            let Some(capture) = &mut node.capture else { return Ok(()) };
            capture.advance(node.inbox.is_empty(), now);
            let commands: Vec<_> = std::iter::from_fn(|| capture.next_command()).collect();
            let has_failed = capture.failure().is_some();
            let is_finished = capture.is_finished(now.at);
            let mut events = capture.journal().take();
            let outcome = is_finished.then(|| capture.finish(Usage::default(), now));
            events.extend(capture.journal().take());
            for event in &events {
                self.note(number, event);
            }
            for command in commands {
                self.carry_out(number, command)?;
            }
            if let Some(outcome) = outcome {
                // What only memory has is gone with the process, and its last line says so.
                if outcome.summary.outbox_left > self.nodes[number].disk.trades() {
                    self.faults.last_loss = self.now;
                }
                oracle::check_claim(self, &outcome)?;
                self.end_repair(number, &outcome)?;
            }
            if has_failed || is_finished {
                self.trace.step(self.now, number, "end", &[]);
                self.nodes[number].die();
                // However long its end took, someone starts it again.
                if !self.is_healed && self.nodes[number].repair.is_none() {
                    self.put(Duration::from_secs(30), Happening::Start(number));
                }
                return Ok(());
            }
            let node = &mut self.nodes[number];
            let Some(capture) = &mut node.capture else { return Ok(()) };
            let next = if capture.reads(now.at) { node.inbox.pop_front() } else { None };
            let Some((input, places)) = next else {
                let deadline = capture.deadline(now.at);
                node.wake = node.time(deadline);
                return Ok(());
            };
            self.trace.step(self.now, number, kind(&input), &[places.len() as u64]);
            let taken_ms = self.now.short_ms();
            for place in places {
                let tick = self.exchange.tick(place);
                if tick.flags & flag::TAKEN == 0 {
                    (tick.flags, tick.taken_ms) = (tick.flags | flag::TAKEN, taken_ms);
                }
            }
            capture.handle(input, now);
        }
    }

    fn note(&mut self, number: usize, event: &Event) {
        let name = coverage::name(event);
        self.coverage.see(name);
        if matches!(
            event,
            Event::OutboxLost(_) | Event::OutboxFull(_) | Event::StoreLost(..) | Event::OutboxSetAside(..)
        ) {
            self.faults.last_loss = self.now;
        }
        // What is not believed is a dead letter until another trade agrees with it.
        match event {
            Event::TradeSuspected(symbol, id, _) => self.exchange.note_taken(symbol, id.get(), None),
            Event::TradeBelieved(symbol, id, _) => {
                self.exchange.note_taken(symbol, id.get(), Some(self.now.short_ms()))
            }
            _ => {}
        }
        self.trace.step(self.now, number, name, &[]);
        self.trace.say(self.now, || format!("    {event:?}"));
    }
}
