//! What happens in a run: a pure function of its seed.

use std::time::Duration;

use crate::support::proxy::Mode;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// tickflux is killed, and started again after this.
    KillCapture(Duration),
    /// tickflux is asked to end, and started again.
    StopCapture,
    /// influxd is killed, and started again after this.
    KillInfluxd(Duration),
    /// Both are killed, and started again after this.
    KillBoth(Duration),
    /// tickflux is killed and started again while influxd is away, for this.
    KillCaptureWhileInfluxdIsAway(Duration),
    /// The proxy has a fault for this.
    Fault(Mode, Duration),
    /// The stream is away for this.
    StreamAway(Duration),
    /// The stream is away for a moment, and tickflux is killed this long after it noticed.
    KillInRepair(Duration),
    /// The disk takes nothing for this.
    NoDisk(Duration),
    /// The disk takes nothing and influxd is away for this.
    NoDiskAndNoInfluxd(Duration),
}

/// What happens, and how long it is quiet before.
pub(crate) type Plan = Vec<(Duration, Action)>;

/// The plan of a seed: four to seven things that go wrong.
pub(crate) fn plan(seed: u64) -> Plan {
    let mut rng = fastrand::Rng::with_seed(seed);
    let actions = rng.usize(4..8);
    (0..actions).map(|_| (millis(&mut rng, 200, 1_500), action(&mut rng))).collect()
}

fn action(rng: &mut fastrand::Rng) -> Action {
    match rng.u8(0..13) {
        0 | 1 => Action::KillCapture(millis(rng, 0, 2_500)),
        2 => Action::StopCapture,
        3 | 4 => Action::KillInfluxd(millis(rng, 0, 2_500)),
        5 => Action::KillBoth(millis(rng, 0, 2_000)),
        6 => Action::KillCaptureWhileInfluxdIsAway(millis(rng, 500, 2_500)),
        7 | 8 => Action::Fault(fault(rng), millis(rng, 500, 3_000)),
        9 => Action::StreamAway(millis(rng, 200, 2_500)),
        10 => Action::KillInRepair(millis(rng, 0, 400)),
        11 => Action::NoDisk(millis(rng, 300, 2_000)),
        _ => Action::NoDiskAndNoInfluxd(millis(rng, 300, 1_500)),
    }
}

fn fault(rng: &mut fastrand::Rng) -> Mode {
    match rng.u8(0..7) {
        0 => Mode::Delay(millis(rng, 50, 800)),
        1 => Mode::CutBefore,
        2 => Mode::CutAfter,
        3 => Mode::Answer(500, None),
        4 => Mode::Answer(503, Some(1)),
        5 => Mode::Answer(429, Some(2)),
        _ => Mode::BlackHole,
    }
}

fn millis(rng: &mut fastrand::Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.u64(from..=to))
}
