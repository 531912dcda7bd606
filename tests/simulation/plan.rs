//! What a seed lets happen: how much is traded, by how many captures it is taken, and which faults come when.

use std::time::Duration;

use crate::time::Time;

/// A fault that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lasting {
    /// No stream can be opened, and none goes on.
    StreamsRefused,
    /// Streams stay open and give nothing.
    StreamsSilent,
    /// The same, of the first market alone.
    MarketSilent,
    StreamsLate,
    StreamsReorder,
    StreamsDouble,
    /// One message of ten never comes.
    StreamsLose,
    StreamsGarbage,
    RestFails,
    RestSlow,
    RestLimits,
    RestBans,
    RestNotServed,
    RestNotFromHere,
    /// Pages of a few rows.
    RestShort,
    /// Pages that begin too late.
    RestShifted,
    /// Pages that skip an id.
    RestSkips,
    /// Rows that are no trades.
    RestBadRows,
    /// The newest trades reach the history late.
    RestLags,
    /// Others use the address's weight.
    RestCrowded,
    StoreDown,
    StoreSlow,
    /// Stored, and the answer says that it failed.
    StoreDenies,
    /// One batch of two is stored, and no answer says so.
    StoreMute,
    /// Someone has to mend it: no token, no bucket.
    StoreHolds,
    /// It does not take some lines.
    StoreRefuses,
    /// It takes writes and answers no questions.
    StoreTellsNothing,
    DiskRefuses,
    DiskSlow,
    /// Rows of the outbox cannot be read.
    DiskUnreadable,
    /// Nobody trades.
    Quiet,
    /// Two thousand trades a second.
    Burst,
}

/// A fault of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sudden {
    Cut,
    ServerShutdown,
    /// A message that no one could have meant: far ahead in time, or in id.
    Impossible {
        by_id: bool,
    },
    RefuseRequest,
    /// The store is killed: writes on their way are lost, or not.
    KillStore,
    /// The store comes back as it was an hour ago, as the same bucket or as another one.
    RestoreBackup {
        is_other: bool,
    },
    /// The outbox is damaged and set aside.
    Damage,
    StepClock {
        ms: i64,
    },
    DriftClock {
        ppm: i64,
    },
    /// The host sleeps.
    Suspend {
        for_: Duration,
    },
    Kill {
        down: Duration,
    },
    PowerLoss {
        down: Duration,
    },
    Stop {
        down: Duration,
    },
    RestartCount,
}

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Lasting(Lasting, Duration),
    Sudden(Sudden),
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub markets: usize,
    pub per_second: f64,
    pub captures: usize,
    /// How many of the markets share a connection each.
    pub subsets: Vec<usize>,
    pub connections: usize,
    pub outbox_limit: u64,
    /// The outbox is the real one, on a file.
    pub is_real_disk: bool,
    /// The store is as near as a file: trades go into it without an outbox.
    pub is_near: bool,
    /// Minutes are held against the exchange's candles.
    pub verifies: bool,
    /// When someone runs `gaps --repair` beside the captures.
    pub repairs: Vec<Time>,
    pub backfill: Option<Duration>,
    pub length: Duration,
    /// In the order of time; of which capture, where it is one's.
    pub faults: Vec<(Time, usize, Fault)>,
}

/// A time between these two, the short ones as likely as the long ones.
fn between(rng: &mut fastrand::Rng, least: Duration, most: Duration) -> Duration {
    let (low, high) = (least.as_secs_f64().ln(), most.as_secs_f64().ln());
    Duration::from_millis(((low + (high - low) * rng.f64()).exp() * 1e3) as u64)
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn lasting(rng: &mut fastrand::Rng) -> Fault {
    use Lasting::*;
    let kinds = [
        StreamsRefused,
        StreamsSilent,
        MarketSilent,
        StreamsLate,
        StreamsReorder,
        StreamsDouble,
        StreamsLose,
        StreamsGarbage,
        RestFails,
        RestSlow,
        RestLimits,
        RestBans,
        RestNotServed,
        RestNotFromHere,
        RestShort,
        RestShifted,
        RestSkips,
        RestBadRows,
        RestLags,
        RestCrowded,
        StoreDown,
        StoreSlow,
        StoreDenies,
        StoreMute,
        StoreHolds,
        StoreRefuses,
        StoreTellsNothing,
        DiskRefuses,
        DiskSlow,
        DiskUnreadable,
        Quiet,
        Burst,
    ];
    let kind = *rng.choice(&kinds).expect("there are some");
    let (least, most) = match kind {
        Burst => (SECOND, 5 * SECOND),
        StreamsGarbage | StreamsLose | RestBadRows => (SECOND, MINUTE),
        RestSkips => (SECOND, 3 * MINUTE),
        StoreRefuses => (SECOND / 2, 5 * SECOND),
        _ => (SECOND, 30 * MINUTE),
    };
    Fault::Lasting(kind, between(rng, least, most))
}

fn sudden(rng: &mut fastrand::Rng) -> Fault {
    let down = between(rng, SECOND, 20 * MINUTE);
    Fault::Sudden(match rng.u32(0..18) {
        0 | 1 => Sudden::Cut,
        2 => Sudden::ServerShutdown,
        3 => Sudden::Impossible { by_id: rng.bool() },
        4 => Sudden::RefuseRequest,
        5 => Sudden::KillStore,
        6 => Sudden::RestoreBackup { is_other: rng.bool() },
        7 => Sudden::Damage,
        8 => {
            let length = if rng.bool() { between(rng, SECOND, 20 * 60 * MINUTE) } else { 25 * 60 * MINUTE };
            let ms = i64::try_from(length.as_millis()).expect("a day");
            Sudden::StepClock { ms: if rng.bool() { ms } else { -ms } }
        }
        9 => Sudden::DriftClock { ppm: rng.i64(-500..501) },
        10 | 11 => Sudden::Suspend { for_: down },
        12 | 13 => Sudden::Kill { down },
        14 => Sudden::PowerLoss { down },
        15 | 16 => Sudden::Stop { down },
        _ => Sudden::RestartCount,
    })
}

/// The plan of a seed. Every tenth has a burst at its begin, every fiftieth 400 symbols, every fourth two captures, every tenth a store without an outbox before it, every third someone who
/// repairs beside them; of a
/// hundred one fills the memory, and one has a store that is away for longer than the retention.
pub fn plan(seed: u64, length: Duration) -> Plan {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x706c_616e);
    let is_wide = seed % 50 == 7;
    let markets = if is_wide { 400 } else { 2 };
    let is_real_disk = seed % 20 == 19;
    let length = if is_wide {
        length.min(60 * MINUTE)
    } else if is_real_disk {
        length.min(6 * 60 * MINUTE)
    } else {
        length
    };
    let mut faults = Vec::new();
    let mut at = between(&mut rng, 2 * SECOND, 20 * MINUTE);
    let end = length.saturating_sub(30 * MINUTE).max(length / 2);
    let captures = if seed % 4 == 3 { 2 } else { 1 };
    let most = *rng.choice(&[10 * MINUTE, 40 * MINUTE, 120 * MINUTE]).expect("there are some");
    if seed % 10 == 3 {
        faults.push((Time(0) + 5 * SECOND, 0, Fault::Lasting(Lasting::Burst, 3 * SECOND)));
    }
    if seed % 100 == 13 {
        let length = 240 * SECOND;
        for kind in [Lasting::Burst, Lasting::DiskRefuses, Lasting::StoreDown] {
            faults.push((Time(0) + 10 * SECOND, 0, Fault::Lasting(kind, length)));
        }
    }
    let is_long = seed % 100 == 61;
    if is_long {
        faults.push((Time(0) + 30 * MINUTE, 0, Fault::Lasting(Lasting::StoreDown, 25 * 60 * MINUTE)));
    }
    let (length, per_second) = if is_long { (27 * 60 * MINUTE, 1.0) } else { (length, 10.0) };
    while at < end {
        let fault = if rng.u32(0..3) < 2 { lasting(&mut rng) } else { sudden(&mut rng) };
        faults.push((Time(0) + at, rng.usize(0..captures), fault));
        // Faults often come together.
        at += if rng.u32(0..3) == 0 {
            between(&mut rng, SECOND / 100, 5 * SECOND)
        } else {
            between(&mut rng, SECOND, most)
        };
    }
    if is_real_disk {
        // What only the model can do.
        faults.retain(|(.., fault)| {
            use Lasting::{DiskRefuses, DiskUnreadable};
            let is_disks = matches!(fault, Fault::Lasting(DiskRefuses | DiskUnreadable, _));
            !is_disks && !matches!(fault, Fault::Sudden(Sudden::Damage | Sudden::PowerLoss { .. }))
        });
    }
    if is_long {
        // With the outbox's file gone, too, nobody could know what is missing: what the store had has expired.
        faults.retain(|(.., fault)| !matches!(fault, Fault::Sudden(Sudden::Damage)));
    }
    faults.sort_by_key(|(at, ..)| *at);
    let is_repaired = seed % 3 == 1;
    let mut when = fastrand::Rng::with_seed(seed ^ 0x7265_7061);
    let repairs = if is_repaired { 6 } else { 0 };
    let repairs = (0..repairs).map(|_| Time(0) + when.u32(1..1_000) * (length / 1_000)).collect();
    Plan {
        markets,
        per_second,
        is_real_disk,
        is_near: seed % 10 == 8,
        verifies: seed % 3 != 1,
        repairs,
        captures,
        subsets: if is_wide { vec![200, 200] } else { vec![2] },
        connections: if rng.u32(0..4) == 0 { 2 } else { 1 },
        outbox_limit: if rng.u32(0..6) == 0 { 60_000 } else { 2 << 30 },
        backfill: (rng.u32(0..6) == 0).then(|| 10 * MINUTE),
        length,
        faults,
    }
}
