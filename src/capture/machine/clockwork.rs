//! What is due by the clock: old trades are dropped, the clocks are compared, and losses are shown for a while.

use std::time::{Duration, Instant};

use super::Capture;
use crate::capture::exchange_clock::{Moment, OFFSET_FAILING_MS, OFFSET_SAID_MS};
use crate::capture::history::Lookup;
use crate::capture::input::Command;
use crate::store::RETENTION_MS;
use crate::telemetry::Event;
use crate::telemetry::health::Part;

/// REST is asked for the time so often.
const TIME_EVERY: Duration = Duration::from_secs(10 * 60);
/// And so often while the stream speaks of another one.
const TIME_EVERY_IF_IN_DOUBT: Duration = Duration::from_secs(60);
/// The words about a wrong clock are renewed so often.
const SAID_EVERY: Duration = Duration::from_secs(10);
/// Trades that were lost are a failure for so long after the last one.
const LOSS_SHOWN: Duration = Duration::from_secs(60);

/// When what was done last.
#[derive(Debug)]
pub(super) struct Clockwork {
    time_asked: Instant,
    said: Option<(Instant, i64)>,
    has_lost: bool,
    lost_at: Option<Instant>,
}

impl Clockwork {
    pub(super) fn new(now: Instant) -> Self {
        Self { time_asked: now, said: None, has_lost: false, lost_at: None }
    }
}

impl Capture {
    /// A trade was refused, dropped or left out.
    pub(super) fn note_loss(&mut self) {
        self.clockwork.has_lost = true;
    }

    /// Whether what a store is asked is about the day that is meant: by a wrong clock it, or this host, may look for another one.
    pub(super) fn is_clock_right(&self, now: Moment) -> bool {
        self.clock.host_offset_ms(now).is_none_or(|ms| ms.abs() < OFFSET_FAILING_MS)
    }

    /// Drops what is older than the retention for sure: by a wrong clock it would drop what is young.
    pub(super) fn expire(&mut self, now: Moment) {
        // What someone wants repaired is asked for whatever its age.
        let Some(exchange_now) = self.clock.surely(now).filter(|_| !self.only_repairs()) else { return };
        let ended = self.history.expire(exchange_now);
        self.note_ended(ended);
        let bound = exchange_now.earlier_by(RETENTION_MS);
        self.ledger.forget_before(bound);
        self.disk.pending().forget_before = Some(bound);
        self.commands.push_back(Command::ExpireStore(exchange_now));
    }

    /// Compares the host's clock with the exchange's, and shows what was lost lately.
    pub(super) fn watch_clocks(&mut self, now: Moment) {
        self.show_losses(now.at);
        let since = |every: Duration| now.at.checked_sub(every).unwrap_or(now.at);
        let asked = self.clockwork.time_asked;
        let is_in_doubt = self.clock.wants_word(since(TIME_EVERY_IF_IN_DOUBT), now);
        if asked <= since(TIME_EVERY) || is_in_doubt && asked <= since(TIME_EVERY_IF_IN_DOUBT) {
            self.clockwork.time_asked = now.at;
            self.history.look_up(Lookup::Time, now.at);
        }
        let Some(offset_ms) = self.clock.host_offset_ms(now) else { return };
        self.say_offset(offset_ms, now);
    }

    fn say_offset(&mut self, offset_ms: i64, now: Moment) {
        if offset_ms.abs() <= OFFSET_SAID_MS {
            if self.clockwork.said.take().is_some() {
                self.journal.note(Event::ClockAgrees);
                if self.past.take_unjudged() {
                    self.past.ask_about(&self.settings.symbols);
                }
            }
            self.condition.working(Part::Clock);
            return;
        }
        let is_news = |(at, said): (Instant, i64)| {
            now.at.saturating_duration_since(at) >= SAID_EVERY || (said - offset_ms).abs() > OFFSET_SAID_MS
        };
        if !self.clockwork.said.is_none_or(is_news) {
            return;
        }
        if self.clockwork.said.is_none_or(|(_, said)| (said - offset_ms).abs() > OFFSET_SAID_MS) {
            self.journal.note(Event::ClockDiffers { offset_ms, host: now.wall });
        }
        self.clockwork.said = Some((now.at, offset_ms));
        if offset_ms.abs() > OFFSET_FAILING_MS {
            let exchange = now.wall.earlier_by(offset_ms);
            let why = format!("this host says {}, the exchange says {exchange}: set the host's clock", now.wall);
            self.condition.failing(Part::Clock, &why);
        } else {
            self.condition.working(Part::Clock);
        }
    }

    fn show_losses(&mut self, now: Instant) {
        if std::mem::take(&mut self.clockwork.has_lost) {
            self.clockwork.lost_at = Some(now);
            let tally = self.journal.tally();
            let (expired, dropped, refused) = (tally.expired, tally.dropped, tally.dead_letters());
            let why = format!(
                "{expired} expired, {dropped} dropped and {refused} refused in this run, the last a moment ago"
            );
            self.condition.failing(Part::Trades, &why);
        } else if self.clockwork.lost_at.is_some_and(|at| now.saturating_duration_since(at) >= LOSS_SHOWN) {
            self.clockwork.lost_at = None;
            self.condition.working(Part::Trades);
        }
    }
}
