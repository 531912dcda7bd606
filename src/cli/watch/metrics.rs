//! What a running capture says at `/metrics`: the part of it that is watched.

use std::collections::VecDeque;

use crate::trade::{Symbol, TradeTime};

/// Latencies are those of so long a time.
const LATENCY_MS: i64 = 60_000;
/// Answers that are kept to tell what happened between them, at most.
const ANSWERS_MAX: usize = 120;

/// What the capture counted by one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metrics {
    /// Trades that the store acknowledged.
    pub(super) stored: u64,
    /// Trades that the store has not acknowledged yet.
    pub(super) waiting: u64,
    /// Bytes that these take on disk.
    pub(super) outbox_bytes: u64,
    /// Runs of ids that are open.
    pub(super) open_holes: u64,
    /// Stream connections.
    pub(super) connections: u64,
    /// The newest id of each symbol.
    pub(super) newest: Vec<(Symbol, u64)>,
    /// Trades that took at most so many seconds, by the seconds; the last one has no bound.
    latencies: Vec<(f64, u64)>,
}

impl Metrics {
    /// Reads Prometheus' text format; `None` if it is not a capture's.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut metrics = Self::default();
        let mut is_capture = false;
        for line in text.lines().filter(|line| line.starts_with("tickflux_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            // Counts far below 2^53; what is none becomes 0.
            let count = value as u64;
            match series {
                "tickflux_trades_stored_total" => {
                    metrics.stored = count;
                    is_capture = true;
                }
                "tickflux_trades_waiting" => metrics.waiting = count,
                "tickflux_outbox_bytes" => metrics.outbox_bytes = count,
                "tickflux_holes_open" => metrics.open_holes = count,
                "tickflux_connections_open" => metrics.connections = count,
                _ => {
                    if let Some(bound) = label(series, "tickflux_latency_seconds_bucket{le=\"") {
                        metrics.latencies.extend(bound.parse().map(|bound| (bound, count)));
                    } else if let Some(symbol) = label(series, "tickflux_trade_id_newest{symbol=\"") {
                        metrics.newest.extend(symbol.parse().map(|symbol| (symbol, count)));
                    }
                }
            }
        }
        metrics.newest.sort();
        is_capture.then_some(metrics)
    }
}

/// The value of a series' only label.
fn label<'a>(series: &'a str, begin: &str) -> Option<&'a str> {
    series.strip_prefix(begin)?.strip_suffix("\"}")
}

/// How long a share of the trades took, at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Latency {
    /// So many milliseconds, as near as the buckets allow.
    Ms(f64),
    /// More than so many milliseconds.
    AboveMs(f64),
}

/// The answers of the last minute, to tell what happened between them.
#[derive(Debug, Default)]
pub(super) struct Answers(VecDeque<(TradeTime, Metrics)>);

impl Answers {
    /// Takes what the capture said at `now`.
    pub(super) fn take(&mut self, metrics: Metrics, now: TradeTime) {
        // Another capture has begun to count.
        if self.0.back().is_some_and(|(_, before)| before.stored > metrics.stored) {
            self.0.clear();
        }
        self.0.push_back((now, metrics));
        let is_old = |(then, _): &(TradeTime, Metrics)| then.ms() < now.ms() - LATENCY_MS;
        while self.0.len() > ANSWERS_MAX || self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
    }

    /// The newest answer.
    pub(super) fn newest(&self) -> Option<&Metrics> {
        self.0.back().map(|(_, metrics)| metrics)
    }

    /// Trades a second that were stored between the answers.
    pub(super) fn trades_per_second(&self) -> Option<f64> {
        self.per_second(|metrics| Some(metrics.stored))
    }

    /// Ids a second by which a symbol's newest one grew.
    pub(super) fn ids_per_second(&self, symbol: &Symbol) -> Option<f64> {
        let id = |metrics: &Metrics| metrics.newest.iter().find(|(of, _)| of == symbol).map(|(_, id)| *id);
        self.per_second(id)
    }

    fn per_second(&self, count: impl Fn(&Metrics) -> Option<u64>) -> Option<f64> {
        let ((begin, first), (end, last)) = (self.0.front()?, self.0.back()?);
        let grew = count(last)?.saturating_sub(count(first)?);
        (end > begin).then(|| grew as f64 * 1_000.0 / (end.ms() - begin.ms()) as f64)
    }

    /// How long this share of the trades of the last minute took, from the socket to the store; before the second answer, of
    /// all trades. `None` without a trade.
    pub(super) fn latency(&self, share: f64) -> Option<Latency> {
        let last = &self.newest()?.latencies;
        let before = self.0.front().filter(|_| self.0.len() > 1).map(|(_, metrics)| &metrics.latencies);
        let before = |at: usize| before.and_then(|before| before.get(at)).map_or(0, |(_, count)| *count);
        let counts: Vec<_> = last.iter().enumerate().map(|(at, (_, count))| count.saturating_sub(before(at))).collect();
        let all = *counts.last().filter(|all| **all > 0)?;
        let wanted = all as f64 * share;
        let at = counts.iter().position(|count| *count as f64 >= wanted)?;
        let (lower, below) = at.checked_sub(1).map_or((0.0, 0), |at| (last[at].0, counts[at]));
        let upper = last[at].0;
        if upper.is_infinite() {
            return Some(Latency::AboveMs(lower * 1_000.0));
        }
        let part = (wanted - below as f64) / (counts[at] - below).max(1) as f64;
        Some(Latency::Ms((lower + (upper - lower) * part) * 1_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(stored: u64, counts: [u64; 3]) -> String {
        format!(
            "# TYPE tickflux_trades_stored_total counter\ntickflux_trades_stored_total {stored}\n\
             tickflux_trades_waiting 12\ntickflux_outbox_bytes 3400\ntickflux_holes_open 1\ntickflux_connections_open 2\n\
             tickflux_trade_id_newest{{symbol=\"ETHUSDT\"}} {}\ntickflux_healthy{{part=\"store\"}} 1\n\
             tickflux_latency_seconds_bucket{{le=\"0.001\"}} {}\ntickflux_latency_seconds_bucket{{le=\"0.002\"}} {}\n\
             tickflux_latency_seconds_bucket{{le=\"+Inf\"}} {}\nother 1\n",
            stored + 7,
            counts[0],
            counts[1],
            counts[2]
        )
    }

    fn answers(said: &[(i64, u64, [u64; 3])]) -> Answers {
        let mut answers = Answers::default();
        for (seconds, stored, counts) in said {
            let now = TradeTime::from_ms(1_767_268_800_000 + seconds * 1_000).unwrap();
            answers.take(Metrics::parse(&text(*stored, *counts)).unwrap(), now);
        }
        answers
    }

    #[test]
    fn what_a_capture_says_is_read_and_what_is_none_is_told() {
        let metrics = Metrics::parse(&text(100, [1, 2, 3])).unwrap();
        let counts = (metrics.stored, metrics.waiting, metrics.outbox_bytes, metrics.open_holes, metrics.connections);
        assert_eq!(counts, (100, 12, 3_400, 1, 2));
        assert_eq!(metrics.newest, [("ETHUSDT".parse().unwrap(), 107)]);
        assert_eq!(metrics.latencies, [(0.001, 1), (0.002, 2), (f64::INFINITY, 3)]);
        for foreign in ["", "up 1\n", "tickflux_trades_stored_total\n", "tickflux_trades_stored_total x\n"] {
            assert_eq!(Metrics::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn rates_and_latencies_are_those_between_the_answers() {
        let one = answers(&[(0, 100, [50, 100, 100])]);
        assert_eq!((one.trades_per_second(), one.latency(0.5)), (None, Some(Latency::Ms(1.0))));
        let two = answers(&[(0, 100, [50, 100, 100]), (10, 300, [50, 300, 300])]);
        assert_eq!(
            (two.trades_per_second(), two.ids_per_second(&"ETHUSDT".parse().unwrap())),
            (Some(20.0), Some(20.0))
        );
        assert_eq!((two.latency(0.5), two.latency(1.0)), (Some(Latency::Ms(1.5)), Some(Latency::Ms(2.0))));
        let slow = answers(&[(0, 100, [50, 100, 100]), (10, 300, [50, 100, 300])]);
        assert_eq!(slow.latency(0.99), Some(Latency::AboveMs(2.0)));
        let none = answers(&[(0, 100, [50, 100, 100]), (10, 100, [50, 100, 100])]);
        assert_eq!(none.latency(0.5), None);
    }

    #[test]
    fn a_capture_that_began_again_is_not_compared_with_the_one_before() {
        let answers = answers(&[(0, 500, [500, 500, 500]), (1, 3, [3, 3, 3]), (2, 5, [5, 5, 5])]);
        assert_eq!(answers.trades_per_second(), Some(2.0));
        assert_eq!(super::Answers::default().latency(0.5), None);
    }

    #[test]
    fn answers_older_than_a_minute_are_let_go() {
        let answers = answers(&[(0, 0, [0; 3]), (50, 100, [100; 3]), (100, 600, [600; 3])]);
        assert_eq!(answers.trades_per_second(), Some(10.0));
    }
}
