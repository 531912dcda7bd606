//! Which lasting faults are there now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::Lasting::{self, *};
use crate::time::Time;

#[derive(Debug, Default)]
pub struct Faults {
    until: BTreeMap<Lasting, Time>,
    /// When the last fault ended of those that keep a trade from the store.
    pub last_hold_up: Time,
    /// When a capture lost trades that it had taken: those come again by the history, as fast as that goes.
    pub last_loss: Time,
    pub injected: u64,
    has_healed: bool,
}

impl Faults {
    pub fn begin(&mut self, kind: Lasting, now: Time, length: Duration) {
        let until = self.until.entry(kind).or_default();
        *until = (*until).max(now + length);
        self.injected += 1;
        let until = *until;
        let holds_up = [
            StoreDown,
            StoreSlow,
            StoreDenies,
            StoreMute,
            StoreHolds,
            StoreRefuses,
            DiskRefuses,
            DiskSlow,
            DiskUnreadable,
            Burst,
        ];
        if holds_up.contains(&kind) {
            self.hold_up(until);
        }
    }

    pub fn is(&self, kind: Lasting, now: Time) -> bool {
        !self.has_healed && self.until.get(&kind).is_some_and(|until| now < *until)
    }

    pub fn any(&self, kinds: &[Lasting], now: Time) -> bool {
        kinds.iter().any(|kind| self.is(*kind, now))
    }

    /// What happens may keep trades from the store up to then.
    pub fn hold_up(&mut self, until: Time) {
        self.last_hold_up = self.last_hold_up.max(until);
    }

    /// Everything works from now on.
    pub fn heal(&mut self) {
        self.has_healed = true;
    }
}
