//! When to open and close stream connections, so that no trade falls between two of them.
//!
//! Each connection carries one subset of the symbols, as many as Binance allows. A
//! connection is replaced before the exchange's 24 h limit, on `serverShutdown`, when no trade came for the idle
//! timeout, and when it keeps silent about a symbol that is traded. The old one is kept until its replacement
//! has delivered every symbol, or for 60 s after the replacement opened; the overlap is dropped by id. Attempts keep a
//! distance over all subsets, replacements of a subset a larger one. Pure: the shell carries the commands out.

use std::time::{Duration, Instant};

use super::backoff::{AttemptLimit, Backoff};
use crate::binance::stream::ConnectionId;
use crate::telemetry::Replacement;
use crate::trade::{Symbol, SymbolSet};

/// Binance ends a connection after 24 h (`web-socket-streams.md`); ours ends before that.
const LIFETIME: Duration = Duration::from_secs(23 * 3600 + 50 * 60);
/// How long an old connection is kept after its replacement opened.
const OVERLAP_MAX: Duration = Duration::from_secs(60);
/// Binance allows 300 attempts per 5 minutes and address; other programs need some: 20 at once, then one every 1.5 s.
const ATTEMPTS_SAVED: u32 = 20;
const ATTEMPT_EVERY: Duration = Duration::from_millis(1_500);
/// Each connection of a subset is replaced once in so long, at most.
const REPLACE_EVERY: Duration = Duration::from_secs(5);
/// A connection that is said to be silent about a symbol is replaced no sooner after the last time.
const SILENT_EVERY: Duration = Duration::from_secs(60);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// What the shell is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionCommand {
    /// Open a connection that carries this subset of the symbols, and call it this.
    Open(ConnectionId, usize),
    /// Close this connection.
    Close(ConnectionId),
}

/// The life of every stream connection.
#[derive(Debug)]
pub struct Connections {
    wanted: usize,
    subsets: Vec<Subset>,
    idle_timeout: Duration,
    connections: Vec<Connection>,
    next_id: ConnectionId,
    attempts: AttemptLimit,
}

/// Symbols that share a connection; one subset's trouble does not delay another.
#[derive(Debug)]
struct Subset {
    symbols: usize,
    backoff: Backoff,
    open_not_before: Instant,
    replacements: AttemptLimit,
    /// When one was replaced last because it was silent about a symbol.
    silent: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    subset: usize,
    opened: Option<Instant>,
    last_trade: Option<Instant>,
    delivered: SymbolSet,
    /// Being replaced; closed at the latest at the inner time, once that is known.
    retiring: Option<Option<Instant>>,
}

impl Connections {
    /// Keeps `wanted` connections for each subset; `subsets` says how many symbols each has.
    pub fn new(wanted: usize, subsets: &[usize], idle_timeout: Duration, now: Instant) -> Self {
        let subset = |&symbols| Subset {
            symbols,
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_CAP),
            open_not_before: now,
            replacements: AttemptLimit::new(u32::try_from(wanted).unwrap_or(1), REPLACE_EVERY, now),
            silent: None,
        };
        Self {
            wanted,
            subsets: subsets.iter().map(subset).collect(),
            idle_timeout,
            connections: Vec::new(),
            next_id: 0,
            attempts: AttemptLimit::new(ATTEMPTS_SAVED, ATTEMPT_EVERY, now),
        }
    }

    /// The next thing to do at `now`, if any; call until there is none.
    pub fn next_command(&mut self, now: Instant) -> Option<ConnectionCommand> {
        if let Some(at) = self.connections.iter().position(|connection| self.may_close(connection, now)) {
            return Some(ConnectionCommand::Close(self.connections.remove(at).id));
        }
        let subset = self.short_of_connections().find(|subset| now >= self.next_open(*subset, now))?;
        self.attempts.count(now);
        let id = self.next_id;
        self.next_id += 1;
        self.connections.push(Connection {
            id,
            subset,
            opened: None,
            last_trade: None,
            delivered: SymbolSet::default(),
            retiring: None,
        });
        Some(ConnectionCommand::Open(id, subset))
    }

    /// When to look again, if nothing happens before.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let open = self.short_of_connections().map(|subset| self.next_open(subset, now));
        let close = self.connections.iter().filter_map(|connection| connection.retiring.flatten());
        let replace = self.current().filter_map(|connection| self.replace_at(connection)).map(|(at, _)| at);
        open.chain(close).chain(replace).min()
    }

    /// Starts to replace what must be replaced at `now`, and says what and why.
    pub fn replace_due(&mut self, now: Instant, rng: &mut fastrand::Rng) -> Vec<(ConnectionId, Replacement)> {
        let due: Vec<_> = self
            .current()
            .filter_map(|connection| self.replace_at(connection).map(|(at, why)| (connection, at, why)))
            .filter(|(_, at, _)| *at <= now)
            .map(|(connection, _, why)| (connection.id, connection.subset, why))
            .collect();
        for (id, subset, why) in &due {
            self.retire(*id, now);
            if *why == Replacement::Idle {
                // During maintenance every new connection is idle too.
                self.delay_next_open(*subset, now, rng);
            }
        }
        due.into_iter().map(|(id, _, why)| (id, why)).collect()
    }

    /// The connection is open.
    pub fn opened(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.get(id) else { return };
        connection.opened = Some(now);
        let subset = connection.subset;
        for connection in self.connections.iter_mut().filter(|connection| connection.subset == subset) {
            if let Some(close_at @ None) = &mut connection.retiring {
                *close_at = Some(now + OVERLAP_MAX);
            }
        }
    }

    /// The connection delivered a trade of `symbol`.
    pub fn delivered(&mut self, id: ConnectionId, symbol: &Symbol, now: Instant) {
        let Some(connection) = self.get(id) else { return };
        connection.last_trade = Some(now);
        if !connection.delivered.contains(symbol) {
            connection.delivered.insert(symbol.clone());
            let subset = connection.subset;
            self.subsets[subset].backoff.reset();
        }
    }

    /// The exchange announced that it will close the connection. Says whether it begins to be replaced.
    pub fn server_shutdown(&mut self, id: ConnectionId, now: Instant) -> bool {
        self.retire(id, now)
    }

    /// The connections of a subset miss a trade that happened `missed_for` ago. Those that were open then are replaced,
    /// unless that was done a short while ago; gives which.
    pub fn silent(&mut self, subset: usize, missed_for: Duration, now: Instant) -> Vec<ConnectionId> {
        let is_too_soon = |silent: Instant| now.saturating_duration_since(silent) < SILENT_EVERY;
        if self.subsets.get(subset).is_none_or(|subset| subset.silent.is_some_and(is_too_soon)) {
            return Vec::new();
        }
        let was_open = |connection: &&Connection| {
            connection.opened.is_some_and(|opened| now.saturating_duration_since(opened) > missed_for)
        };
        let silent: Vec<_> = self.current_of(subset).filter(was_open).map(|connection| connection.id).collect();
        if !silent.is_empty() {
            self.subsets[subset].silent = Some(now);
        }
        silent.iter().for_each(|id| _ = self.retire(*id, now));
        silent
    }

    /// The connection ended by itself, or could not be opened.
    pub fn closed(&mut self, id: ConnectionId, now: Instant, rng: &mut fastrand::Rng) {
        let Some(at) = self.connections.iter().position(|connection| connection.id == id) else { return };
        let connection = self.connections.remove(at);
        if connection.retiring.is_none() {
            self.delay_next_open(connection.subset, now, rng);
        }
    }

    /// When the newest trade of any connection came.
    pub fn last_trade(&self) -> Option<Instant> {
        self.connections.iter().filter_map(|connection| connection.last_trade).max()
    }

    /// Connections that are open now.
    pub fn open_count(&self) -> usize {
        self.connections.iter().filter(|connection| connection.opened.is_some()).count()
    }

    /// Whether every symbol has a connection that is open.
    pub fn carries_all(&self) -> bool {
        let is_open = |connection: &Connection| connection.opened.is_some();
        let carries =
            |subset| self.connections.iter().any(|connection| connection.subset == subset && is_open(connection));
        (0..self.subsets.len()).all(carries)
    }

    /// Whether the connections have taken over from others, by the rule for those that are replaced.
    pub fn has_overlapped(&self, now: Instant) -> bool {
        let is_long_open =
            |connection: &Connection| connection.opened.is_some_and(|opened| opened + OVERLAP_MAX <= now);
        (0..self.subsets.len())
            .all(|subset| self.has_delivered(subset) >= self.wanted || self.current_of(subset).any(is_long_open))
    }

    /// Connections of a subset that have delivered each of its symbols.
    fn has_delivered(&self, subset: usize) -> usize {
        let symbols = self.subsets[subset].symbols;
        self.current_of(subset).filter(|current| current.delivered.len() >= symbols).count()
    }

    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.id == id)
    }

    /// Those that are not being replaced.
    fn current(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(|connection| connection.retiring.is_none())
    }

    fn current_of(&self, subset: usize) -> impl Iterator<Item = &Connection> {
        self.current().filter(move |connection| connection.subset == subset)
    }

    /// Subsets with fewer connections than wanted.
    fn short_of_connections(&self) -> impl Iterator<Item = usize> {
        (0..self.subsets.len()).filter(|subset| self.current_of(*subset).count() < self.wanted)
    }

    /// Says whether it was not retiring before.
    fn retire(&mut self, id: ConnectionId, now: Instant) -> bool {
        let Some(connection) = self.get(id).filter(|connection| connection.retiring.is_none()) else { return false };
        connection.retiring = Some(None);
        let subset = connection.subset;
        // Replacements in a row, as when each new connection is told to go at once, keep a distance.
        let subset = &mut self.subsets[subset];
        subset.open_not_before = subset.replacements.next_allowed(now).max(subset.open_not_before);
        subset.replacements.count(subset.open_not_before);
        true
    }

    fn replace_at(&self, connection: &Connection) -> Option<(Instant, Replacement)> {
        let opened = connection.opened?;
        let idle = connection.last_trade.unwrap_or(opened) + self.idle_timeout;
        let lifetime = opened + LIFETIME;
        Some(if idle < lifetime { (idle, Replacement::Idle) } else { (lifetime, Replacement::Lifetime) })
    }

    fn may_close(&self, connection: &Connection, now: Instant) -> bool {
        let Some(close_at) = connection.retiring else { return false };
        self.has_delivered(connection.subset) >= self.wanted || close_at.is_some_and(|at| at <= now)
    }

    fn next_open(&self, subset: usize, now: Instant) -> Instant {
        self.attempts.next_allowed(now).max(self.subsets[subset].open_not_before)
    }

    fn delay_next_open(&mut self, subset: usize, now: Instant, rng: &mut fastrand::Rng) {
        let subset = &mut self.subsets[subset];
        subset.open_not_before = now + subset.backoff.after_failure(rng);
    }
}

#[cfg(test)]
mod tests;
