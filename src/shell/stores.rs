//! The store, written and asked as told.

use std::time::Instant;

use crate::capture::backlog::{BatchId, Payload};
use crate::capture::input::{Audited, Input};
use crate::store::{AnyStore, Attempt, Scope, StoreError, WriteError};
use crate::trade::{Exchange, Symbol, TradeTime};

/// Tries once to write a batch.
///
/// # Cancel safety
///
/// Safe: what was written is written, and may be written again.
pub async fn write(store: &AnyStore, batch: BatchId, payload: &Payload, attempt: Attempt) -> Input {
    let result = match (payload, store.lines()) {
        (Payload::Trades(trades), _) => store.write(trades, attempt).await,
        (Payload::Lines(lines), Some(store)) => store.write_lines(lines, attempt).await,
        (Payload::Lines(_), None) => Err(WriteError::Held { why: "the store takes no lines".to_owned() }),
    };
    Input::Written(batch, result, Instant::now())
}

/// Asks what the store has of a symbol from `since` on and before `until`.
///
/// # Cancel safety
///
/// Safe: it only reads.
pub async fn audit(
    store: &AnyStore,
    exchange: &Exchange,
    symbol: Symbol,
    since: TradeTime,
    until: Option<TradeTime>,
) -> Input {
    let scope = Scope::of((exchange, &symbol));
    let ask = async || -> Result<Option<Audited>, StoreError> {
        // The newest first: what is stored meanwhile is then newer than it, as it is.
        let newest = store.latest(&scope).await?.into_iter().map(|stored| stored.trade.time).max();
        // Of several counts the newest comes last.
        let gaps = store.gaps(&scope, since, until).await?.pop();
        Ok(gaps.zip(newest).map(|(gaps, newest)| Audited { stored: gaps.stored(), newest }))
    };
    let answer = ask().await;
    Input::Audited(symbol, answer)
}
