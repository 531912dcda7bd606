//! The whole machine, told what happens by hand, on clocks of the test's own.

mod believing;
mod delivering;
mod knowing;
mod mending;
mod running;

use std::time::UNIX_EPOCH;

use super::*;
use crate::binance::stream::Group;
use crate::capture::backlog::{Payload, Route};
use crate::capture::history::{HistoryAnswer, Request};
use crate::capture::input::{Audited, DiskDone, DiskWork, Loaded};
use crate::capture::page::{Page, Row};
use crate::capture::summary::Usage;
use crate::outbox::{Changes, Ended, Kept, Known, OutboxFound, Rows};
use crate::store::{Attempt, Checked, Lines, RefusedLine, StoreError, WriteError, Written};
use crate::telemetry::Source;
use crate::trade::example::trade;
use crate::trade::{HoleState, IdRange, IdRanges, Trade, TradeTime};

const NOON: i64 = 1_767_268_800_000;
const HOUR: i64 = 3_600_000;

/// A capture and what it has said so far; the exchange's clock is right, the host's may be off.
struct Bench {
    capture: Capture,
    begin: Instant,
    at: Instant,
    host_offset_ms: i64,
    commands: Vec<Command>,
    events: Vec<Event>,
    open: Vec<u64>,
    seq: i64,
    /// What was entered in the ledger and not looked at yet.
    entered: Changes,
}

fn settings(symbols: &[Symbol]) -> Settings {
    Settings {
        symbols: symbols.to_vec(),
        subsets: vec![symbols.len()],
        connections: 1,
        idle_timeout: Duration::from_secs(30),
        route: Route { is_over_disk: true, slots: 2, batch_max: 1_000 },
        outbox_limit: 1 << 30,
        asks: true,
        repairs: true,
        verifies: false,
        only_repair: None,
        backfill: None,
        count: None,
        duration: None,
        seed: 7,
    }
}

fn btc() -> Symbol {
    "BTCUSDT".parse().unwrap()
}

fn time(ms: i64) -> TradeTime {
    TradeTime::from_ms(ms).unwrap()
}

fn range(first: u64, last: u64) -> IdRange {
    IdRange { first, last }
}

fn message(trade: &Trade) -> String {
    let Trade { symbol, id, time, price, quantity, buyer_is_maker } = trade;
    format!(
        r#"{{"stream":"x@trade","data":{{"e":"trade","E":1,"s":"{symbol}","t":{id},"p":"{price}","q":"{quantity}","T":{},"m":{buyer_is_maker},"M":true}}}}"#,
        time.ms()
    )
}

impl Bench {
    fn with(settings: Settings, host_offset_ms: i64) -> Self {
        let begin = Instant::now();
        let now = Moment { at: begin, wall: time(NOON + host_offset_ms) };
        let capture = Capture::new(settings, now);
        let (commands, events, open) = (Vec::new(), Vec::new(), Vec::new());
        Self { capture, begin, at: begin, host_offset_ms, commands, events, open, seq: 0, entered: Changes::default() }
    }

    /// A capture of BTCUSDT that has begun: its outbox is open and knows this, its stream is open, the time is known.
    fn begun(known: Known) -> Self {
        let mut bench = Self::with(settings(&[btc()]), 0);
        bench.begin_with(known);
        bench
    }

    fn begin_with(&mut self, known: Known) {
        self.run();
        self.tell(Input::SymbolsChecked(Ok(None)));
        self.tell(Input::StoreChecked(Ok(Checked::default())));
        self.tell(Input::OutboxOpened(Box::new(found(known))));
        self.tell(Input::StreamOpened(0));
        let told = crate::capture::history::Found { id: 0, time: self.exchange_now() };
        self.tell(Input::History(HistoryAnswer::Found(Some(told)), None));
    }

    fn exchange_now(&self) -> TradeTime {
        time(NOON + i64::try_from((self.at - self.begin).as_millis()).unwrap())
    }

    fn now(&self) -> Moment {
        Moment { at: self.at, wall: time(self.exchange_now().ms() + self.host_offset_ms) }
    }

    fn run(&mut self) {
        // What was found to be due at the end of a turn is done in the next.
        for _ in 0..2 {
            self.capture.advance(true, self.now());
            while let Some(command) = self.capture.next_command() {
                if let Command::OpenStream(id, _) = &command {
                    self.open.push(*id);
                }
                self.commands.push(command);
            }
        }
        self.events.extend(self.capture.journal().take());
        assert!(self.capture.deadline(self.at) > self.at, "nothing more is due now: the loop would not rest");
    }

    fn tell(&mut self, input: Input) {
        self.capture.handle(input, self.now());
        self.run();
    }

    /// Lets time pass, waking up whenever the capture wants to.
    fn pass(&mut self, time: Duration) {
        let end = self.at + time;
        while self.at < end {
            self.at = self.capture.deadline(self.at).clamp(self.at + Duration::from_millis(1), end);
            self.run();
        }
    }

    fn hear(&mut self, trades: &[Trade]) {
        let received_wall = UNIX_EPOCH + Duration::from_millis(self.now().wall.ms().unsigned_abs());
        let texts = trades.iter().map(|trade| message(trade).into()).collect();
        let id = *self.open.last().unwrap();
        self.tell(Input::StreamMessages(id, Group { received: self.at, received_wall, texts, binary: 0 }));
    }

    /// Live trades of now with these ids.
    fn hear_ids(&mut self, ids: impl IntoIterator<Item = u64>) {
        let ms = self.exchange_now().ms();
        let trades: Vec<_> = ids.into_iter().map(|id| trade(id, ms)).collect();
        self.hear(&trades);
    }

    /// Takes the commands of a kind out.
    fn take<T>(&mut self, pick: impl Fn(Command) -> Result<T, Command>) -> Vec<T> {
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        for command in std::mem::take(&mut self.commands) {
            match pick(command) {
                Ok(one) => taken.push(one),
                Err(other) => others.push(other),
            }
        }
        self.commands = others;
        taken
    }

    fn disk_work(&mut self) -> Vec<DiskWork> {
        self.take(|command| if let Command::Disk(work) = command { Ok(*work) } else { Err(command) })
    }

    fn writes(&mut self) -> Vec<(u64, Payload, Attempt)> {
        self.take(|command| match command {
            Command::Write(batch, payload, attempt) => Ok((batch, payload, attempt)),
            other => Err(other),
        })
    }

    fn audits(&mut self) -> Vec<Symbol> {
        self.take(|command| if let Command::Audit(symbol, ..) = command { Ok(symbol) } else { Err(command) })
    }

    fn pages(&mut self) -> Vec<(u64, u64)> {
        self.take(|command| match command {
            Command::Ask(Request::Page(page)) => Ok((page.from_id, page.limit)),
            other => Err(other),
        })
    }

    fn count(&self, is_one: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is_one(event)).count()
    }

    /// Lets the disk do what it has to.
    fn disk_works(&mut self) {
        for _ in 0..100 {
            let Some(work) = self.disk_work().pop() else { break };
            let kept = work.batch.map(|(trades, _)| {
                self.seq += 1;
                let rows = Rows { first: self.seq, last: self.seq };
                (lines(trades.len()), Some(Kept { rows, bytes: 30 * trades.len() as u64 }))
            });
            let mut entered = work.changes;
            entered.put_before(std::mem::take(&mut self.entered));
            self.entered = entered;
            self.tell(Input::Disk(Box::new(DiskDone { batch: kept, ..DiskDone::default() })));
        }
    }

    /// Lets the disk do what it has to, and gives what was entered in the ledger since this was asked last.
    fn entered(&mut self) -> Changes {
        self.disk_works();
        std::mem::take(&mut self.entered)
    }

    /// Lets the store answer every write, and what follows, for some time.
    fn store_answers(&mut self, answer: impl Fn() -> Result<Written, WriteError>) {
        for _ in 0..20 {
            self.disk_works();
            for (batch, ..) in self.writes() {
                self.tell(Input::Written(batch, answer(), self.at));
            }
        }
    }

    fn healthy(&mut self, part: Part) -> bool {
        self.capture.condition().is_working(part)
    }

    fn why(&mut self, part: Part) -> String {
        self.capture.condition().why(part).map(ToString::to_string).unwrap_or_default()
    }
}

fn lines(count: usize) -> Lines {
    Lines { bytes: vec![b'x'; count * 200].into(), count, oldest: TradeTime::EPOCH }
}

fn found(known: Known) -> OutboxFound {
    OutboxFound { left: Vec::new(), known, set_aside: None, changed: None, others: Vec::new() }
}

/// A ledger that knows of these ids, an hour ago.
fn ledger(stored: &[(u64, u64)], ended: &[(u64, u64)]) -> Known {
    let mut known = Known::default();
    stored.iter().for_each(|(first, last)| known.stored.add(&btc(), range(*first, *last), time(NOON - HOUR)));
    let state = HoleState::NotAtExchange;
    known.ended.extend(ended.iter().map(|(first, last)| Ended { symbol: btc(), range: range(*first, *last), state }));
    known
}

fn audited(stored: &[(u64, u64)]) -> Option<Audited> {
    let stored: IdRanges = stored.iter().map(|(first, last)| range(*first, *last)).collect();
    Some(Audited { stored, newest: time(NOON - 1_000) })
}
