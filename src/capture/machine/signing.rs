//! Minutes that are held against the exchange's own candles, beside live capture and behind every repair.

use std::time::{Duration, Instant};

use super::Capture;
use crate::binance::rest::Kline;
use crate::capture::exchange_clock::Moment;
use crate::capture::history::Refusal;
use crate::capture::input::{Command, MinutesKnown, MinutesRead};
use crate::capture::signoff::Circumstances;
use crate::store::{MinutePoint, RETENTION_MS, StoreError};
use crate::telemetry::Event;
use crate::telemetry::health::Part;
use crate::text::Excerpt;
use crate::trade::MINUTE_MS;

/// A minute that differs is a failure for so long after it was found.
const DIFFERENCE_SHOWN: Duration = Duration::from_secs(60);

impl Capture {
    fn may_verify(&self, now: Moment) -> bool {
        self.settings.verifies && self.may_ask() && !self.only_repairs() && self.is_clock_right(now)
    }

    /// Takes note of the minutes that are over, and asks once what was verified before this run.
    pub(super) fn watch_minutes(&mut self, now: Moment) {
        if self.differed_at.is_some_and(|at| now.at.saturating_duration_since(at) >= DIFFERENCE_SHOWN) {
            self.differed_at = None;
            self.condition.working(Part::Minutes);
        }
        let Some(exchange_now) = self.clock.surely(now).filter(|_| self.may_verify(now)) else { return };
        self.sign_off.pass(exchange_now, (self.backlog.taken(), self.backlog.settled()), now.at);
        if self.past.is_idle() && self.sign_off.asks_for_known(now.at) {
            self.commands.push_back(Command::AskKnownMinutes(exchange_now.earlier_by(RETENTION_MS)));
        }
    }

    /// Asks for the candles of the minutes whose turn it is.
    pub(super) fn ask_candles(&mut self, now: Moment) {
        // One question at a time: what was before the run comes first.
        if !self.past.is_idle() || !self.may_verify(now) {
            return;
        }
        let (may_repair, history) = (self.may_repair(), &mut self.history);
        if let Some(stretch) = self.sign_off.next(now.at, || history.may_ask_candles(may_repair, now.at)) {
            self.commands.push_back(Command::AskCandles(stretch));
        }
    }

    pub(super) fn candles_answered(
        &mut self,
        answer: Result<Vec<Kline>, Refusal>,
        used_weight: Option<u32>,
        now: Moment,
    ) {
        let used_weight = used_weight.map(|used| (used, self.minute_left(now.at)));
        self.history.candles_answered(answer.as_ref().err(), used_weight, now.at);
        match answer {
            Ok(candles) => {
                if let Some(stretch) = self.sign_off.under_way() {
                    self.commands.push_back(Command::ReadMinutes(stretch, candles));
                }
            }
            Err(refusal) => self.verify_failed(refusal.why, now.at),
        }
    }

    pub(super) fn minutes_read(&mut self, read: Result<MinutesRead, StoreError>, now: Moment) {
        let MinutesRead { findings, begin } = match read {
            Ok(read) => read,
            Err(error) => return self.verify_failed(Excerpt::line(&error.to_string()), now.at),
        };
        // The clock may have been set meanwhile.
        if !self.is_clock_right(now) {
            return self.sign_off.failed(now.at, &mut self.rng);
        }
        let Some(stretch) = self.sign_off.under_way() else { return };
        let about = Circumstances {
            exchange_now: self.clock.surely(now).unwrap_or(now.wall),
            begin,
            newest: self.sequencer.newest_time_of(&stretch.symbol),
            has_open_holes: self.sequencer.has_open(&stretch.symbol),
        };
        let keep = self.sign_off.found(findings, &about, now.at);
        if keep.is_empty() {
            self.minutes_kept(keep, Ok(()), now);
        } else {
            self.commands.push_back(Command::KeepMinutes(keep));
        }
    }

    pub(super) fn minutes_kept(&mut self, points: Vec<MinutePoint>, kept: Result<(), StoreError>, now: Moment) {
        if let Err(error) = kept {
            return self.verify_failed(Excerpt::line(&error.to_string()), now.at);
        }
        let Some(stretch) = self.sign_off.under_way() else { return };
        let kept = self.sign_off.kept(points, now.at);
        if kept.verified > 0 {
            self.journal.note(Event::MinutesVerified(stretch.symbol.clone(), kept.verified));
        }
        for start in kept.agree_now {
            self.journal.note(Event::MinuteAgrees(stretch.symbol.clone(), start));
        }
        for point in kept.differ_now {
            let why = point.difference.unwrap_or_default();
            self.condition.failing(Part::Minutes, &format!("{} {}: {why}", point.symbol, point.start));
            self.differed_at = Some(now.at);
            self.journal.note(Event::MinuteDiffers(point.symbol, point.start, why));
        }
    }

    pub(super) fn minutes_known(&mut self, known: Result<MinutesKnown, StoreError>, now: Instant) {
        match known {
            Ok(MinutesKnown { kept, begins }) => self.sign_off.known(&kept, &begins),
            Err(error) => {
                self.journal.note(Event::ChoreFailed(format!("cannot learn which minutes are verified: {error}")));
                self.sign_off.not_known(now);
            }
        }
    }

    /// How old the newest minute is that is verified of every symbol, from its end on.
    pub(super) fn verified_age_ms(&self, now: Moment) -> Option<i64> {
        let end = self.sign_off.newest_verified()?.later_by(MINUTE_MS);
        Some(self.clock.now(now.at)?.ms() - end.ms())
    }

    fn verify_failed(&mut self, why: Excerpt, now: Instant) {
        let Some(stretch) = self.sign_off.under_way() else { return };
        self.sign_off.failed(now, &mut self.rng);
        self.journal.note(Event::VerifyFailed(stretch.symbol, why));
    }
}
