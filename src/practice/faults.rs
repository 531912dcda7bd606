//! Bad days: what the exchange does wrong, from a seed.
//!
//! Faults change what is delivered, never what happened: the exchange's own list stays the
//! truth. Pure: time and randomness come in.

use std::time::Duration;

/// How far a held message falls back, at most.
const REORDER_MAX: u64 = 5;
/// Garbage of the kinds that streams have been seen to carry; none of it is a trade.
const GARBAGE: [&str; 8] = [
    "",
    "not JSON at all",
    r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":17"#,
    r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":"7","p":1,"q":2,"T":3,"m":true}}"#,
    r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":7,"p":"-1.0","q":"1","T":3,"m":true}}"#,
    r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":7,"p":"1e5","q":"1","T":3,"m":true}}"#,
    r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT"}}"#,
    "[1,2,3]",
];

/// What goes wrong, and how often. Shares go from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// The same seed gives the same faults to the same connection.
    pub seed: u64,
    /// After so long nothing goes wrong any more.
    pub ends_after: Option<Duration>,
    /// Share of trades that a stream drops.
    pub drop: f64,
    /// Share of trades that it sends twice.
    pub duplicate: f64,
    /// Share of trades that it sends behind later ones.
    pub reorder: f64,
    /// Share of messages that garbage follows.
    pub malformed: f64,
    /// A connection breaks after so long, without a close frame.
    pub cut_every: Option<Duration>,
    /// A connection falls silent every so often, pings included,
    pub silence_every: Option<Duration>,
    /// for so long.
    pub silence: Duration,
    /// A connection announces its end after so long, and closes 5 s later.
    pub shutdown_every: Option<Duration>,
    /// After so many trades every symbol's ids begin again at 1.
    pub reset_after: Option<u64>,
    /// Every REST answer takes so long.
    pub rest_delay: Duration,
    /// REST does not have the trades of the last so long yet.
    pub rest_lag: Duration,
    /// Share of pages that hold fewer rows than there are.
    pub rest_short: f64,
    /// Share of pages that begin later than asked.
    pub rest_shifted: f64,
    /// Share of pages with a row whose price is 0, as an exchange's history has had.
    pub rest_bad_row: f64,
    /// Every opening of a stream is answered with 451.
    pub stream_451: bool,
    /// Share of requests that are answered with a status: 429, 418, 500, 451.
    pub rest_status: [f64; 4],
}

/// The statuses of [`Faults::rest_status`].
pub(super) const STATUSES: [u16; 4] = [429, 418, 500, 451];

impl Faults {
    /// Whether messages of a stream can go wrong.
    fn is_of_messages(&self) -> bool {
        [self.drop, self.duplicate, self.reorder, self.malformed].iter().any(|share| *share > 0.0)
    }
}

/// The messages of one connection.
#[derive(Debug)]
pub(super) struct MessageFaults {
    faults: Faults,
    rng: fastrand::Rng,
    passed: u64,
    /// Held messages, each until so many have passed.
    held: Vec<(u64, String)>,
}

impl MessageFaults {
    /// For the connection with this number; `None` if no message can go wrong.
    pub(super) fn new(faults: &Faults, connection: u64) -> Option<Self> {
        let rng = fastrand::Rng::with_seed(faults.seed.wrapping_add(connection.wrapping_mul(0x9e37_79b9)));
        faults.is_of_messages().then(|| Self { faults: faults.clone(), rng, passed: 0, held: Vec::new() })
    }

    /// What is sent in the place of `message`.
    pub(super) fn pass(&mut self, message: String, into: &mut Vec<String>) {
        self.passed += 1;
        let garbage = self.happens(self.faults.malformed).then(|| GARBAGE[self.rng.usize(..GARBAGE.len())]);
        if self.happens(self.faults.reorder) {
            self.held.push((self.passed + self.rng.u64(1..=REORDER_MAX), message));
        } else if !self.happens(self.faults.drop) {
            if self.happens(self.faults.duplicate) {
                into.push(message.clone());
            }
            into.push(message);
        }
        into.extend(garbage.map(str::to_owned));
        let passed = self.passed;
        into.extend(self.held.extract_if(.., |(until, _)| *until <= passed).map(|(_, message)| message));
    }

    /// Gives everything that is held.
    pub(super) fn release(&mut self) -> impl Iterator<Item = String> + '_ {
        self.held.drain(..).map(|(_, message)| message)
    }

    /// Whether anything is held.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }
}

/// What happens to a connection as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionFault {
    /// It breaks.
    Cut,
    /// It falls silent for so long.
    Silence(Duration),
    /// It announces its end.
    Shutdown,
}

/// When things happen to one connection, reckoned from its opening.
#[derive(Debug)]
pub(super) struct ConnectionFaults {
    due: Vec<(Duration, ConnectionFault)>,
    silence_every: Option<Duration>,
}

impl ConnectionFaults {
    pub(super) fn new(faults: &Faults) -> Self {
        let silence = ConnectionFault::Silence(faults.silence);
        let due = [
            faults.cut_every.map(|at| (at, ConnectionFault::Cut)),
            faults.silence_every.map(|at| (at, silence)),
            faults.shutdown_every.map(|at| (at, ConnectionFault::Shutdown)),
        ];
        Self { due: due.into_iter().flatten().collect(), silence_every: faults.silence_every }
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.due.iter().map(|(at, _)| *at).min()
    }

    /// What happens at `age`, if anything is due.
    pub(super) fn take(&mut self, age: Duration) -> Option<ConnectionFault> {
        let at = self.due.iter().position(|(at, _)| *at <= age)?;
        let (_, fault) = self.due.swap_remove(at);
        if let (ConnectionFault::Silence(time), Some(every)) = (fault, self.silence_every) {
            self.due.push((age.saturating_add(time).saturating_add(every), fault));
        }
        Some(fault)
    }
}

/// What happens to a page of trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageFault {
    /// Only so many rows of it are given.
    Short(usize),
    /// So many rows at its beginning are not given.
    Shifted(usize),
}

/// REST requests.
#[derive(Debug)]
pub(super) struct RestFaults {
    faults: Faults,
    rng: fastrand::Rng,
}

impl RestFaults {
    pub(super) fn new(faults: &Faults) -> Self {
        Self { faults: faults.clone(), rng: fastrand::Rng::with_seed(faults.seed) }
    }

    /// The status of the next answer, if it is none of success.
    pub(super) fn status(&mut self) -> Option<u16> {
        let shares = self.faults.rest_status;
        if shares == [0.0; 4] {
            return None;
        }
        let (mut drawn, mut found) = (self.rng.f64(), None);
        for (status, share) in STATUSES.into_iter().zip(shares) {
            if found.is_none() && drawn < share {
                found = Some(status);
            }
            drawn -= share;
        }
        found
    }

    /// What happens to a page of `rows`.
    pub(super) fn page(&mut self, rows: usize) -> Option<PageFault> {
        let Faults { rest_short, rest_shifted, .. } = self.faults;
        if rows < 2 || rest_short + rest_shifted <= 0.0 {
            return None;
        }
        let drawn = self.rng.f64();
        if drawn < rest_short {
            Some(PageFault::Short(self.rng.usize(1..rows)))
        } else if drawn < rest_short + rest_shifted {
            Some(PageFault::Shifted(self.rng.usize(1..rows.min(6))))
        } else {
            None
        }
    }

    /// Which of a page's `rows` is bad, if one is.
    pub(super) fn bad_row(&mut self, rows: usize) -> Option<usize> {
        let share = self.faults.rest_bad_row;
        (rows > 0 && share > 0.0 && self.rng.f64() < share).then(|| self.rng.usize(..rows))
    }
}

#[cfg(test)]
mod tests;
