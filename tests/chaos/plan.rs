//! What happens in a run: a pure function of its seed.

use std::time::Duration;

use crate::support::proxy::Mode;

/// Kills and outages that every plan has at least.
pub(crate) const KILLS_MIN: usize = 3;

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
    /// tickflux is killed and started again while influxd is away, for this before and after.
    KillCaptureWhileInfluxdIsAway(Duration),
    /// What goes to InfluxDB has a fault for this.
    Fault(Mode, Duration),
    /// tickflux is killed and started again while it has one, for this before and after.
    KillCaptureInFault(Mode, Duration),
    /// The exchange's history has a fault for this, while the stream is away at first.
    HistoryFault(Mode, Duration),
    /// The stream is away for this.
    StreamAway(Duration),
    /// The stream is away for this while the history is slow; tickflux is killed so long after it noticed the hole.
    KillInRepair(Duration, Duration),
    /// The disk takes nothing for this.
    NoDisk(Duration),
    /// The disk takes nothing and influxd is away for this.
    NoDiskAndNoInfluxd(Duration),
    /// tickflux is killed when the disk took nothing for this.
    KillWithoutDisk(Duration),
    /// tickflux is killed and started again on a disk that takes nothing for this.
    StartWithoutDisk(Duration),
    /// What goes to InfluxDB is refused for this, in words that are not InfluxDB's about a line.
    Refusal(Mode, Duration),
    /// tickflux is killed and started again while it is refused, for this before and after.
    KillCaptureInRefusal(Mode, Duration),
    /// tickflux is asked to end, and started again while it is refused, for this before and after.
    StopCaptureInRefusal(Mode, Duration),
    /// The host's clock is off by so many seconds for this.
    ClockStep(i64, Duration),
    /// tickflux is killed and started again while the host's clock is off, for this before and after.
    KillCaptureInClockStep(i64, Duration),
}

impl Action {
    /// Whether it ends or takes away a part without a warning.
    fn is_kill_or_outage(self) -> bool {
        !matches!(self, Self::StopCapture | Self::Fault(Mode::Delay(_), _) | Self::HistoryFault(..))
    }

    /// What kind of thing it is.
    pub(crate) fn kind(self) -> String {
        let word = |text: String| text.split('(').next().unwrap_or_default().to_owned();
        match self {
            Self::Fault(mode, _) => word(format!("{mode:?}")),
            Self::KillCaptureInFault(mode, _) => format!("KillIn{}", word(format!("{mode:?}"))),
            Self::HistoryFault(mode, _) => format!("History{}", word(format!("{mode:?}"))),
            Self::Refusal(Mode::Refuse(status), _) => format!("Refuse{status}"),
            Self::KillCaptureInRefusal(Mode::Refuse(status), _) => format!("KillInRefuse{status}"),
            Self::StopCaptureInRefusal(Mode::Refuse(status), _) => format!("StopInRefuse{status}"),
            other => word(format!("{other:?}")),
        }
    }
}

/// What happens, and how long it is quiet before.
pub(crate) type Plan = Vec<(Duration, Action)>;

/// The plan of a seed: four to seven things that go wrong, and one to three refusals or steps of the clock.
pub(crate) fn plan(seed: u64) -> Plan {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut plan: Plan = Vec::new();
    for at in 0..rng.usize(4..8) {
        let quiet = millis(&mut rng, 100, 1_500);
        let mut drawn = action(&mut rng);
        while at < KILLS_MIN && !drawn.is_kill_or_outage() {
            drawn = action(&mut rng);
        }
        plan.push((quiet, drawn));
    }
    rng.shuffle(&mut plan);
    // Drawn apart, so that what a seed did before these were there stays what it does.
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x7469_636b);
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(0..=plan.len());
        plan.insert(at, (millis(&mut rng, 100, 1_000), refusal_or_clock(&mut rng)));
    }
    plan
}

fn refusal_or_clock(rng: &mut fastrand::Rng) -> Action {
    let mode = Mode::Refuse([400, 413, 422, 401][rng.usize(0..4)]);
    let seconds = [90_000, -90_000, 90, -90, 7 * 86_400, -400 * 86_400, 400 * 86_400][rng.usize(0..7)];
    match rng.u8(0..7) {
        0 | 1 => Action::Refusal(mode, millis(rng, 500, 4_000)),
        2 => Action::KillCaptureInRefusal(mode, millis(rng, 100, 1_500)),
        3 => Action::StopCaptureInRefusal(mode, millis(rng, 100, 1_500)),
        4 | 5 => Action::ClockStep(seconds, millis(rng, 500, 4_000)),
        _ => Action::KillCaptureInClockStep(seconds, millis(rng, 100, 1_500)),
    }
}

fn action(rng: &mut fastrand::Rng) -> Action {
    match rng.u8(0..18) {
        0 | 1 => Action::KillCapture(millis(rng, 0, 2_500)),
        2 => Action::StopCapture,
        3 | 4 => Action::KillInfluxd(millis(rng, 0, 2_500)),
        5 => Action::KillBoth(millis(rng, 0, 2_000)),
        6 => Action::KillCaptureWhileInfluxdIsAway(millis(rng, 300, 2_000)),
        7 | 8 => Action::Fault(fault(rng), millis(rng, 500, 3_000)),
        9 | 10 => Action::KillCaptureInFault(fault(rng), millis(rng, 100, 1_500)),
        11 => Action::HistoryFault(fault(rng), millis(rng, 3_500, 5_000)),
        12 => Action::StreamAway(millis(rng, 200, 2_500)),
        13 | 14 => Action::KillInRepair(millis(rng, 500, 2_500), millis(rng, 0, 1_000)),
        15 => match rng.bool() {
            true => Action::NoDisk(millis(rng, 100, 2_000)),
            false => Action::NoDiskAndNoInfluxd(millis(rng, 100, 1_500)),
        },
        16 => Action::KillWithoutDisk(millis(rng, 0, 1_500)),
        _ => Action::StartWithoutDisk(millis(rng, 100, 1_500)),
    }
}

fn fault(rng: &mut fastrand::Rng) -> Mode {
    match rng.u8(0..10) {
        0 => Mode::Delay(millis(rng, 50, 800)),
        1 => Mode::CutBefore,
        2 => Mode::CutWithin,
        3 | 4 => Mode::CutAfter,
        5 => Mode::Answer(500, None),
        6 => Mode::Answer(503, Some(1)),
        7 => Mode::Answer(429, Some(2)),
        8 => Mode::BlackHole,
        _ => Mode::Mixed(rng.u64(..)),
    }
}

fn millis(rng: &mut fastrand::Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.u64(from..=to))
}

#[test]
fn every_plan_is_its_seeds_own_and_has_enough_kills_or_outages() {
    for seed in 0..10_000 {
        let happens = plan(seed);
        assert_eq!(happens, plan(seed));
        let severe = happens.iter().filter(|(_, action)| action.is_kill_or_outage()).count();
        assert!(severe >= KILLS_MIN && (5..11).contains(&happens.len()), "seed {seed}: {happens:?}");
    }
}
