//! The life of connections on a clock of the test's own.

use super::*;

const IDLE: Duration = Duration::from_secs(30);

struct Bench {
    now: Instant,
    rng: fastrand::Rng,
    connections: Connections,
}

fn bench(wanted: usize) -> Bench {
    let now = Instant::now();
    Bench { now, rng: fastrand::Rng::with_seed(3), connections: Connections::new(wanted, 2, IDLE, now) }
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
        assert_eq!(bench.commands(), [Command::Open(0)]);
        bench.open(0);
        bench.deliver(0, &["BTCUSDT", "ETHUSDT"]);
        bench
    }
}

#[test]
fn as_many_as_wanted_are_opened_at_once() {
    assert_eq!(bench(3).commands(), [Command::Open(0), Command::Open(1), Command::Open(2)]);
}

#[test]
fn a_closed_connection_is_opened_again_within_the_backoff() {
    let mut bench = Bench::running();
    bench.closed(0);
    let again = bench.connections.deadline(bench.now).unwrap();
    assert!(again <= bench.now + BACKOFF_FIRST);
    bench.now = again;
    assert_eq!(bench.commands(), [Command::Open(1)]);
}

#[test]
fn a_dead_exchange_is_never_tried_more_often_than_it_allows() {
    let mut bench = bench(1);
    let (start, mut opened) = (bench.now, Vec::new());
    while bench.now < start + Duration::from_secs(3600) {
        for command in bench.commands() {
            let Command::Open(id) = command else { panic!("{command:?}") };
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
            let Command::Open(id) = command else { panic!("{command:?}") };
            opened.push(bench.now);
            bench.open(id);
            bench.deliver(id, &["BTCUSDT"]);
            bench.closed(id);
        }
        bench.now = bench.connections.deadline(bench.now).unwrap().max(bench.now + Duration::from_millis(1));
    }
    assert!(opened.len() > 1_000, "the backoff alone would allow more: {}", opened.len());
    assert!(opened.windows(300).all(|window| window[299] - window[0] >= Duration::from_secs(300)));
}

#[test]
fn an_old_connection_closes_when_its_replacement_delivered_every_symbol() {
    let mut bench = Bench::running();
    bench.connections.server_shutdown(0);
    assert_eq!(bench.commands(), [Command::Open(1)], "at once, and the old one stays");
    bench.open(1);
    bench.deliver(1, &["BTCUSDT"]);
    assert_eq!(bench.commands(), []);
    bench.deliver(1, &["ETHUSDT"]);
    assert_eq!(bench.commands(), [Command::Close(0)]);
}

#[test]
fn an_old_connection_closes_a_minute_after_its_replacement_opened() {
    let mut bench = Bench::running();
    bench.connections.server_shutdown(0);
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
    assert_eq!(bench.commands(), [Command::Open(1)]);
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
            if let Command::Open(id) = command {
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
    bench.connections.server_shutdown(0);
    assert_eq!(bench.commands(), [Command::Open(2)]);
    bench.open(2);
    bench.deliver(2, &["BTCUSDT", "ETHUSDT"]);
    assert_eq!(bench.commands(), [Command::Close(0)]);
    assert_eq!(bench.connections.open_count(), 2);
}
