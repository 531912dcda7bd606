//! What the store had before this run, where no ledger tells: the store itself is asked, beside live capture.

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use crate::store::{AnyStore, Scope, StoreError};
use crate::trade::{Exchange, IdRanges, Symbol, TradeTime};

/// What a store has of one symbol.
#[derive(Debug)]
pub struct Audited {
    /// The symbol.
    pub symbol: Symbol,
    /// The stored ids within the retention.
    pub stored: IdRanges,
    /// The time of its newest trade.
    pub newest: TradeTime,
}

/// A store that does not answer is asked again after this.
pub const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Questions to a store, one a symbol.
#[derive(Debug, Default)]
pub struct Audits {
    tasks: JoinSet<(Symbol, Result<Option<Audited>, StoreError>)>,
}

impl Audits {
    /// Asks, after `wait`, for what is stored of a symbol since `since`.
    pub fn ask(&mut self, store: &AnyStore, exchange: &Exchange, symbol: Symbol, since: TradeTime, wait: Duration) {
        let scope = Scope { symbols: vec![symbol.clone()], exchange: Some(exchange.clone()) };
        let store = AnyStore::clone(store);
        self.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            let audited = audit(&store, &scope, since).await;
            (symbol, audited)
        });
    }

    /// The next answer; `None` if none is awaited. A symbol without a trade has nothing to tell.
    ///
    /// # Errors
    ///
    /// If asking panicked.
    ///
    /// # Cancel safety
    ///
    /// Safe: no answer is lost.
    pub async fn next(&mut self) -> Option<Result<(Symbol, Result<Option<Audited>, StoreError>), JoinError>> {
        self.tasks.join_next().await
    }
}

async fn audit(store: &AnyStore, scope: &Scope, since: TradeTime) -> Result<Option<Audited>, StoreError> {
    // The newest first: what is stored meanwhile is then newer than it, as it is.
    let newest = store.latest(scope).await?.into_iter().map(|stored| stored.trade.time).max();
    let gaps = store.gaps(scope, since).await?.into_iter().next();
    Ok(gaps.zip(newest).map(|(gaps, newest)| Audited { symbol: gaps.symbol.clone(), stored: gaps.stored(), newest }))
}
