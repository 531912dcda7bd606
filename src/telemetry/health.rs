//! Whether the capture does its job, for people and container health checks.
//!
//! What [`Health`] says is in the log, too, because it writes it there itself: each part that begins to fail is one warning
//! with its reason, each that works again one line. Further reasons, and parts that come and go, are held back for
//! [`EVERY`](super::throttle::EVERY); what lasts longer is said then.

mod account;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use self::account::{Account, Line};

/// The capture's loop turns twice a second at least: one that has not for so long is stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(10);

/// A part of the capture that can fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Trades come from the exchange.
    Stream,
    /// The store takes batches.
    Store,
    /// There is memory for what is read.
    Memory,
    /// The disk takes batches until the store does.
    Outbox,
    /// This host's clock agrees with the exchange's.
    Clock,
    /// No trade is expired, dropped or refused.
    Trades,
    /// No minute was found to differ from the exchange's candle.
    Minutes,
    /// The capture's own loop moves.
    Loop,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 8] =
        [Self::Stream, Self::Store, Self::Memory, Self::Outbox, Self::Clock, Self::Trades, Self::Minutes, Self::Loop];

    /// Its name, for people and as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Store => "store",
            Self::Memory => "memory",
            Self::Outbox => "outbox",
            Self::Clock => "clock",
            Self::Trades => "trades",
            Self::Minutes => "minutes",
            Self::Loop => "loop",
        }
    }
}

/// What fails now, with the reason.
#[derive(Debug)]
pub struct Health {
    account: Mutex<Account>,
    began: Instant,
    /// When the loop last turned, in milliseconds since `began`; 0 before it first does.
    turned_ms: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        let began = Instant::now();
        Self { account: Mutex::new(Account::new(began)), began, turned_ms: AtomicU64::new(0) }
    }
}

impl Health {
    /// `part` does not work, because of `why`.
    pub fn failing(&self, part: Part, why: impl AsRef<str>) {
        say(self.account().failing(part, why.as_ref(), Instant::now()));
    }

    /// `part` works.
    pub fn working(&self, part: Part) {
        say(self.account().working(part));
    }

    /// Whether `part` works.
    pub fn is_working(&self, part: Part) -> bool {
        !self.account().fails(part)
    }

    /// Every reason why the capture is not well.
    pub fn reasons(&self) -> Vec<String> {
        self.account().reasons()
    }

    /// The capture's loop turns. As often as it likes: only once a second this is more than a store to memory.
    pub fn turn(&self) {
        let now = Instant::now();
        let now_ms = self.since_begin_ms(now);
        let before_ms = self.turned_ms.swap(now_ms, Ordering::Relaxed);
        if before_ms / 1_000 != now_ms / 1_000 {
            self.working(Part::Loop);
            let overdue = self.account().overdue(now);
            overdue.into_iter().for_each(|line| say(Some(line)));
        }
    }

    /// Looks whether the capture's loop still turns, from outside of it.
    pub fn watch(&self) {
        let turned_ms = self.turned_ms.load(Ordering::Relaxed);
        let still = Duration::from_millis(self.since_begin_ms(Instant::now()).saturating_sub(turned_ms));
        if turned_ms > 0 && still > STUCK_AFTER {
            self.failing(Part::Loop, format!("has not moved for {} s", still.as_secs()));
        }
    }

    fn since_begin_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn say(line: Option<Line>) {
    match line {
        Some(Line::Fails { part, why, repeated }) => {
            warn!(part = part.name(), %why, repeated, "A part of the capture fails.");
        }
        Some(Line::Works { part }) => info!(part = part.name(), "A part of the capture works again."),
        None => {}
    }
}
