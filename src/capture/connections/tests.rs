//! The life of connections on a clock of the test's own.

use super::ConnectionCommand as Command;
use super::*;

const IDLE: Duration = Duration::from_secs(30);

struct Bench {
    now: Instant,
    rng: fastrand::Rng,
    connections: Connections,
}

fn bench(wanted: usize) -> Bench {
    let now = Instant::now();
    Bench { now, rng: fastrand::Rng::with_seed(3), connections: Connections::new(wanted, &[2], IDLE, now) }
}

impl Bench {
    fn commands(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.connections.next_command(self.now)).collect()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn deliver(&mut self, id: ConnectionId, symbols: &[&str]) {
        for symbol in symbols {
            self.connections.delivered(id, &symbol.parse().unwrap(), self.now);
        }
    }

    fn open(&mut self, id: ConnectionId) {
        self.connections.opened(id, self.now);
    }

    fn closed(&mut self, id: ConnectionId) {
        self.connections.closed(id, self.now, &mut self.rng);
    }

    fn replaced(&mut self) -> Vec<(ConnectionId, Replacement)> {
        self.connections.replace_due(self.now, &mut self.rng)
    }

    /// One connection, open, with both symbols delivered.
    fn running() -> Self {
        let mut bench = bench(1);
        assert_eq!(bench.commands(), [Command::Open(0, 0)]);
        bench.open(0);
        bench.deliver(0, &["BTCUSDT", "ETHUSDT"]);
        bench
    }
}

#[test]
fn as_many_as_wanted_are_opened_at_once() {
    assert_eq!(bench(3).commands(), [Command::Open(0, 0), Command::Open(1, 0), Command::Open(2, 0)]);
}

#[test]
fn a_closed_connection_is_opened_again_within_the_backoff() {
    let mut bench = Bench::running();
    bench.closed(0);
    let again = bench.connections.deadline(bench.now).unwrap();
    assert!(again <= bench.now + BACKOFF_FIRST);
    bench.now = again;
    assert_eq!(bench.commands(), [Command::Open(1, 0)]);
}

#[test]
fn a_dead_exchange_is_never_tried_more_often_than_it_allows() {
    let mut bench = bench(1);
    let (start, mut opened) = (bench.now, Vec::new());
    while bench.now < start + Duration::from_secs(3600) {
        for command in bench.commands() {
            let Command::Open(id, 0) = command else { panic!("{command:?}") };
            opened.push(bench.now);
            bench.closed(id);
        }
        bench.now = bench.connections.deadline(bench.now).unwrap().max(bench.now + Duration::from_millis(1));
    }
    assert!(opened.windows(301).all(|window| window[300] - window[0] >= Duration::from_secs(300)));
    assert!(opened.len() > 100, "it does not give up: {} attempts", opened.len());
}

#[test]
fn connections_that_work_and_break_at_once_stay_within_the_limit_too() {
    let mut bench = bench(1);
    let (start, mut opened) = (bench.now, Vec::new());
    while bench.now < start + Duration::from_secs(1_800) {
        for command in bench.commands() {
            let Command::Open(id, 0) = command else { panic!("{command:?}") };
            opened.push(bench.now);
            bench.open(id);
            bench.deliver(id, &["BTCUSDT"]);
            bench.closed(id);
        }
        bench.now = bench.connections.deadline(bench.now).unwrap().max(bench.now + Duration::from_millis(1));
    }
    assert!(opened.len() > 1_000, "the backoff alone would allow more: {}", opened.len());
    assert!(opened.windows(251).all(|window| window[250] - window[0] >= Duration::from_secs(300)));
    // Nor is there a long wait behind a burst.
    assert!(opened.windows(2).all(|pair| pair[1] - pair[0] <= Duration::from_secs(2)));
}

#[test]
fn a_server_that_sends_every_new_connection_away_is_not_stormed() {
    let mut bench = Bench::running();
    let start = bench.now;
    let mut opened = 0;
    while bench.now < start + Duration::from_secs(300) {
        for command in bench.commands() {
            if let Command::Open(id, 0) = command {
                opened += 1;
                bench.open(id);
                bench.deliver(id, &["BTCUSDT"]);
                assert!(bench.connections.server_shutdown(id, bench.now));
                assert!(!bench.connections.server_shutdown(id, bench.now), "once");
            }
        }
        if opened == 0 {
            bench.connections.server_shutdown(0, bench.now);
        }
        bench.pass(Duration::from_millis(10));
    }
    assert!((50..=61).contains(&opened), "{opened} in 5 minutes");
}

#[test]
fn two_hundred_silent_symbols_of_a_connection_replace_it_once() {
    let mut bench = Bench::running();
    bench.pass(Duration::from_secs(120));
    let missed_for = Duration::from_secs(40);
    assert_eq!(bench.connections.silent(0, missed_for, bench.now), [0]);
    for _ in 0..200 {
        assert!(bench.connections.silent(0, missed_for, bench.now).is_empty());
    }
    assert_eq!(bench.commands(), [Command::Open(1, 0)]);
    bench.open(1);
    bench.pass(Duration::from_secs(59));
    assert!(bench.connections.silent(0, Duration::from_secs(1), bench.now).is_empty(), "it was replaced a moment ago");
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.connections.silent(0, Duration::from_secs(1), bench.now), [1]);
    assert!(bench.connections.silent(9, Duration::from_secs(1), bench.now).is_empty(), "no such subset");
}

#[test]
fn what_was_traded_before_a_connection_opened_does_not_make_it_silent() {
    let mut bench = Bench::running();
    bench.pass(Duration::from_secs(10));
    assert!(bench.connections.silent(0, Duration::from_secs(36), bench.now).is_empty(), "it happened during an outage");
    assert_eq!(bench.commands(), []);
    assert_eq!(bench.connections.silent(0, Duration::from_secs(9), bench.now), [0]);
}

#[test]
fn an_old_connection_closes_when_its_replacement_delivered_every_symbol() {
    let mut bench = Bench::running();
    bench.connections.server_shutdown(0, bench.now);
    assert_eq!(bench.commands(), [Command::Open(1, 0)], "at once, and the old one stays");
    bench.open(1);
    bench.deliver(1, &["BTCUSDT"]);
    assert_eq!(bench.commands(), []);
    bench.deliver(1, &["ETHUSDT"]);
    assert_eq!(bench.commands(), [Command::Close(0)]);
}

#[test]
fn an_old_connection_closes_a_minute_after_its_replacement_opened() {
    let mut bench = Bench::running();
    bench.connections.server_shutdown(0, bench.now);
    bench.commands();
    bench.pass(Duration::from_secs(300));
    assert_eq!(bench.commands(), [], "no replacement is open yet");
    bench.open(1);
    bench.pass(OVERLAP_MAX - Duration::from_secs(1));
    assert_eq!(bench.commands(), []);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.commands(), [Command::Close(0)]);
}

#[test]
fn a_connection_is_replaced_before_the_exchange_ends_it() {
    let mut bench = Bench::running();
    bench.pass(LIFETIME - Duration::from_secs(1));
    bench.deliver(0, &["BTCUSDT"]);
    assert_eq!(bench.replaced(), []);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.replaced(), [(0, Replacement::Lifetime)]);
    assert_eq!(bench.commands(), [Command::Open(1, 0)]);
    assert!(LIFETIME < Duration::from_secs(24 * 3600));
}

#[test]
fn a_silent_connection_is_replaced_after_the_idle_timeout() {
    let mut bench = Bench::running();
    bench.pass(IDLE / 2);
    bench.deliver(0, &["BTCUSDT"]);
    bench.pass(IDLE / 2);
    assert_eq!(bench.replaced(), [], "one symbol alone keeps it alive");
    bench.pass(IDLE / 2);
    assert_eq!(bench.replaced(), [(0, Replacement::Idle)]);
    assert_eq!(bench.replaced(), [], "once");
}

#[test]
fn during_maintenance_idle_replacements_back_off() {
    let mut bench = Bench::running();
    let mut opened = 0;
    for _ in 0..1_200 {
        bench.pass(Duration::from_secs(1));
        bench.replaced();
        for command in bench.commands() {
            if let Command::Open(id, 0) = command {
                bench.open(id);
                opened += 1;
            }
        }
    }
    assert!((20..=40).contains(&opened), "{opened} in 20 minutes");
}

#[test]
fn with_two_connections_one_is_replaced_and_the_other_stays() {
    let mut bench = bench(2);
    bench.commands();
    for id in [0, 1] {
        bench.open(id);
        bench.deliver(id, &["BTCUSDT", "ETHUSDT"]);
    }
    bench.connections.server_shutdown(0, bench.now);
    assert_eq!(bench.commands(), [Command::Open(2, 0)]);
    bench.open(2);
    bench.deliver(2, &["BTCUSDT", "ETHUSDT"]);
    assert_eq!(bench.commands(), [Command::Close(0)]);
    assert_eq!(bench.connections.open_count(), 2);
}

#[test]
fn subsets_are_opened_replaced_and_delayed_apart() {
    let mut bench = bench(1);
    bench.connections = Connections::new(1, &[2, 1], Duration::from_secs(3600), bench.now);
    assert_eq!(bench.commands(), [Command::Open(0, 0), Command::Open(1, 1)]);
    bench.open(0);
    assert!(!bench.connections.carries_all(), "the second subset has no open connection");
    bench.open(1);
    assert!(bench.connections.carries_all());
    bench.deliver(0, &["BTCUSDT", "ETHUSDT"]);
    bench.deliver(1, &["BNBUSDT"]);
    // A replacement for one subset takes nothing over from the other.
    bench.connections.server_shutdown(0, bench.now);
    assert_eq!(bench.commands(), [Command::Open(2, 0)]);
    bench.open(2);
    bench.deliver(1, &["BNBUSDT"]);
    bench.deliver(2, &["BTCUSDT"]);
    assert_eq!(bench.commands(), []);
    bench.deliver(2, &["ETHUSDT"]);
    assert_eq!(bench.commands(), [Command::Close(0)]);
    // While one subset backs off, the other is not kept waiting.
    let mut failing = 1;
    for _ in 0..10 {
        bench.closed(failing);
        bench.now = bench.connections.deadline(bench.now).unwrap();
        let [Command::Open(id, 1)] = bench.commands()[..] else { panic!("only the second subset lacks a connection") };
        failing = id;
    }
    bench.closed(failing);
    bench.closed(2);
    bench.pass(BACKOFF_FIRST);
    assert!(matches!(bench.commands()[..], [Command::Open(_, 0)]));
}
