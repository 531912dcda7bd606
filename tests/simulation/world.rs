//! The world: one queue of what happens, in the order of its time, and the captures that it happens to.

use std::collections::BTreeMap;
use std::time::Duration;

use tickflux::binance::stream::ConnectionId;
use tickflux::capture::backlog::{BatchId, Payload};
use tickflux::capture::input::{Command, DiskWork, Input};
use tickflux::capture::summary::Usage;
use tickflux::outbox::Changes;
use tickflux::store::{Attempt, Lines};
use tickflux::telemetry::Event;
use tickflux::text::Excerpt;

use crate::coverage::{self, Coverage};
use crate::disk::Trouble;
use crate::exchange::{Exchange, Place, flag, message};
use crate::faults::Faults;
use crate::node::Node;
use crate::plan::{Fault, Lasting, Plan, Sudden};
use crate::store::Store;
use crate::time::Time;
use crate::trace::Trace;
use crate::{oracle, rest};

/// The exchange ends a connection after a day.
const CONNECTION_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// How long everything may take to be in order once all faults are over: the last doubt about an id lasts an hour.
const SETTLE_MAX: Duration = Duration::from_secs(4 * 3_600);

/// Something that is going to happen.
#[derive(Debug)]
pub enum Happening {
    Trade(usize),
    Fault(usize, Fault),
    Start(usize),
    /// To one process of a host: what it is told.
    ToNode(usize, u64, ToNode),
    /// A write arrives at the store.
    Write {
        node: usize,
        run: u64,
        batch: BatchId,
        lines: Lines,
        attempt: Attempt,
        life: u64,
    },
    Hour,
    Minute,
    /// All faults are over.
    Heal,
    Stop(usize),
}

#[derive(Debug)]
pub enum ToNode {
    Opened(ConnectionId),
    Message(ConnectionId, String, Option<Place>),
    Closed(ConnectionId, &'static str),
    StreamsEnded,
    Disk(Box<DiskWork>),
    Input(Box<Input>),
}

#[derive(Debug)]
pub struct World {
    pub plan: Plan,
    pub now: Time,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    rng: fastrand::Rng,
    pub exchange: Exchange,
    pub store: Store,
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
        let nodes = (0..plan.captures).map(|number| Node::new(number, symbols.clone(), plan.is_real_disk)).collect();
        let mut world = Self {
            now: Time::default(),
            queue: BTreeMap::new(),
            sequence: 0,
            rng,
            exchange,
            store: Store::new(),
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
                && self.nodes.iter().all(|node| node.capture.is_none() && node.run > 0)
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
            Happening::ToNode(node, run, what) => return self.reach_node(node, run, what),
            Happening::Write { node, run, batch, lines, attempt, life } => {
                let life = (&lines, attempt, life);
                let (answer, oldest) =
                    self.store.write(&mut self.exchange, &self.faults, life, self.now, &mut self.rng)?;
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
                    self.settle()?;
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
    fn settle(&mut self) -> Result<(), Wrong> {
        if self.now.since_begin() < self.plan.length + Duration::from_secs(180) {
            return Ok(());
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
        Ok(())
    }

    fn trade(&mut self, market: usize) {
        let quiet = self.faults.is(Lasting::Quiet, self.now);
        if !quiet {
            let place = self.exchange.trade(market, self.now, &mut self.rng);
            self.deliver(place);
        }
        let mean = if self.faults.is(Lasting::Burst, self.now) {
            500 * self.plan.markets as u64
        } else {
            self.exchange.markets[market].mean_gap_us
        };
        // Trades come in clusters: one of five is right behind the one before it.
        let gap = if self.rng.u32(0..5) == 0 {
            self.rng.f64() * 500.0
        } else {
            -(1.0 - self.rng.f64()).ln() * mean as f64 * 1.25
        };
        self.put(Duration::from_micros(gap as u64), Happening::Trade(market));
    }

    /// Sends a trade over every connection that carries its market.
    fn deliver(&mut self, place: Place) {
        let (faults, now) = (&self.faults, self.now);
        let is = |kind| faults.is(kind, now);
        if is(Lasting::StreamsSilent) || is(Lasting::MarketSilent) && place.market == 0 {
            return;
        }
        let (late, reorder, double) =
            (is(Lasting::StreamsLate), is(Lasting::StreamsReorder), is(Lasting::StreamsDouble));
        let (loses, garbage) = (is(Lasting::StreamsLose), is(Lasting::StreamsGarbage));
        let subset = self.plan.subsets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        let subset = subset.take_while(|end| *end <= place.market).count();
        let mut sent = Vec::new();
        for node in &mut self.nodes {
            for (id, connection) in node.connections.iter_mut().filter(|(_, it)| it.is_open && it.subset == subset) {
                if loses && self.rng.u32(0..10) == 0 {
                    continue;
                }
                let lag = if late { self.rng.u64(1_000_000..4_000_000) } else { self.rng.u64(2_000..40_000) };
                let mut at = now + Duration::from_micros(lag);
                if !reorder {
                    at = at.max(connection.last_delivery);
                    connection.last_delivery = at;
                }
                let mut text = self.exchange.markets[place.market].message(place);
                let is_garbage = garbage && self.rng.u32(0..20) == 0;
                if is_garbage {
                    text.truncate(self.rng.usize(0..text.len()));
                }
                for _ in 0..=usize::from(double && self.rng.bool()) {
                    let what = ToNode::Message(*id, text.clone(), Some(place).filter(|_| !is_garbage));
                    sent.push((at, Happening::ToNode(node.number, node.run, what)));
                }
            }
        }
        sent.into_iter().for_each(|(at, happening)| self.put_at(at, happening));
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
            if is_finished {
                capture.finish(Usage::default(), now);
                events.extend(capture.journal().take());
            }
            for event in &events {
                self.note(number, event);
            }
            for command in commands {
                self.carry_out(number, command)?;
            }
            if has_failed || is_finished {
                self.trace.step(self.now, number, "end", &[]);
                self.nodes[number].die();
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
            let taken_ms = u32::try_from(self.now.ms()).expect("no world is so old");
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
        self.trace.step(self.now, number, name, &[]);
        self.trace.say(self.now, || format!("    {event:?}"));
    }

    fn carry_out(&mut self, number: usize, command: Command) -> Result<(), Wrong> {
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
                let found = self.nodes[number].disk.open(id.as_ref(), 10_000)?;
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
            Command::Write(_, Payload::Trades(_), _) => return Err("trades without lines".to_owned()),
            Command::Audit(symbol, since, until) => {
                let asked = (&symbol, since, until);
                let answer = self.store.audit(&self.exchange, &self.faults, asked, self.now);
                let after = self.ms(20, 2_000);
                self.put_to(number, after, ToNode::Input(Box::new(Input::Audited(symbol, answer))));
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

    fn disk(&mut self, number: usize, work: DiskWork) -> Result<(), Wrong> {
        let trouble = Trouble {
            refuses: self.faults.is(Lasting::DiskRefuses, self.now),
            unreadable: self.faults.is(Lasting::DiskUnreadable, self.now),
        };
        let done = self.nodes[number].disk.work(work, trouble)?;
        self.tell(number, Input::Disk(Box::new(done)))
    }

    fn fault(&mut self, number: usize, fault: Fault) -> Result<(), Wrong> {
        self.trace.say(self.now, || format!("{fault:?}"));
        self.trace.step(self.now, number, "fault", &[]);
        let sudden = match fault {
            Fault::Lasting(kind, length) => {
                self.faults.begin(kind, self.now, length);
                if kind == Lasting::StreamsRefused {
                    self.cut("refused");
                }
                return Ok(());
            }
            Fault::Sudden(sudden) => sudden,
        };
        self.faults.injected += 1;
        self.faults.hold_up(self.now);
        match sudden {
            Sudden::Cut => self.cut("connection reset"),
            Sudden::ServerShutdown => {
                let text = r#"{"stream":"x","data":{"e":"serverShutdown","E":1}}"#;
                self.say_to_all(text);
                self.nodes
                    .iter()
                    .flat_map(|node| node.connections.keys().map(|id| (node.number, *id)).collect::<Vec<_>>())
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|(node, id)| self.put_to(node, Duration::from_secs(600), ToNode::Closed(id, "shutdown")));
            }
            Sudden::Impossible { by_id } => {
                let market = &self.exchange.markets[0];
                let Some(tick) = market.counts.last().and_then(|count| count.ticks.last()) else { return Ok(()) };
                let Some((id, _)) = market.newest() else { return Ok(()) };
                let mut tick = *tick;
                let id = if by_id { (1 << 63) - 1 } else { id + 1_000 };
                if !by_id {
                    // No two of them agree.
                    tick.time_ms += self.rng.i64(100_000_000_000..5_000_000_000_000);
                }
                let text = message(&market.symbol, id, &tick);
                self.say_to_all(&text);
            }
            Sudden::RefuseRequest => self.say_to_all(r#"{"error":{"code":2,"msg":"Invalid request"},"id":1}"#),
            Sudden::KillStore => {
                self.store.life += 1;
                self.faults.begin(Lasting::StoreDown, self.now, Duration::from_secs(20));
            }
            Sudden::RestoreBackup { is_other } => {
                self.lost_store = true;
                self.faults.last_loss = self.now;
                self.store.restore(&mut self.exchange, is_other);
                self.faults.begin(Lasting::StoreDown, self.now, Duration::from_secs(90));
            }
            Sudden::Damage => {
                self.lost_books = true;
                self.nodes[number].disk.is_damaged = true;
            }
            Sudden::StepClock { ms } => self.nodes[number].clock_offset_ms += ms,
            Sudden::DriftClock { ppm } => self.nodes[number].drift_ppm = ppm,
            Sudden::Suspend { for_ } => {
                self.faults.hold_up(self.now + for_);
                if self.nodes[number].asleep_until <= self.now {
                    self.nodes[number].sleep(self.now, for_);
                    let ids: Vec<_> = self.nodes[number].connections.keys().copied().collect();
                    ids.into_iter().for_each(|id| self.put_to(number, for_, ToNode::Closed(id, "slept")));
                }
            }
            Sudden::Kill { down } => self.end(number, down),
            Sudden::PowerLoss { down } => {
                self.lost_books = true;
                self.nodes[number].disk.lose_power(&mut self.rng);
                self.end(number, down);
            }
            Sudden::Stop { down } => {
                self.faults.hold_up(self.now + down + Duration::from_secs(60));
                self.put(down + Duration::from_secs(30), Happening::Start(number));
                if self.nodes[number].asleep_until <= self.now {
                    self.tell(number, Input::Stop)?;
                }
            }
            Sudden::RestartCount => {
                let market = self.rng.usize(0..self.plan.markets);
                self.exchange.restart_count(market, &mut self.rng);
            }
        }
        Ok(())
    }

    fn end(&mut self, number: usize, down: Duration) {
        self.faults.last_loss = self.now;
        self.faults.hold_up(self.now + down);
        self.nodes[number].die();
        self.put(down, Happening::Start(number));
    }

    fn cut(&mut self, why: &'static str) {
        for node in 0..self.nodes.len() {
            let ids: Vec<_> = self.nodes[node].connections.keys().copied().collect();
            ids.into_iter().for_each(|id| self.put_to(node, Duration::from_millis(1), ToNode::Closed(id, why)));
        }
    }

    fn say_to_all(&mut self, text: &str) {
        for node in 0..self.nodes.len() {
            let ids: Vec<_> = self.nodes[node].connections.keys().copied().collect();
            for id in ids {
                self.put_to(node, Duration::from_millis(5), ToNode::Message(id, text.to_owned(), None));
            }
        }
    }
}

fn kind(input: &Input) -> &'static str {
    match input {
        Input::Tick => "tick",
        Input::StreamOpened(_) => "opened",
        Input::StreamMessages(..) => "messages",
        Input::StreamClosed(..) => "closed",
        Input::StreamsEnded => "streams ended",
        Input::History(..) => "history",
        Input::SymbolsChecked(_) => "symbols checked",
        Input::StoreChecked(_) => "store checked",
        Input::OutboxOpened(_) => "outbox opened",
        Input::Disk(_) => "disk",
        Input::Written(..) => "written",
        Input::Audited(..) => "audited",
        Input::ChoreFailed(_) => "chore failed",
        Input::Stop => "stop",
    }
}

/// A command without the trades that it carries.
fn short(command: &Command) -> String {
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
