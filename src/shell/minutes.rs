//! Minutes of the store, read trade by trade to be held against the exchange's candles.

use crate::binance::rest::Kline;
use crate::capture::input::{MinutesKnown, MinutesRead};
use crate::capture::signoff::Stretch;
use crate::store::minutes::add_up;
use crate::store::{AHEAD_MS, AnyStore, Minute, RETENTION_MS, Scope, StoreError};
use crate::trade::{Exchange, MINUTE_MS, TradeTime};
use crate::verify::find;

/// Reads every trade of these minutes, and holds them against the candles.
///
/// # Errors
///
/// [`StoreError`] if the store does not answer.
///
/// # Cancel safety
///
/// Safe: it only reads.
pub async fn read(
    store: &AnyStore,
    exchange: &Exchange,
    stretch: &Stretch,
    candles: &[Kline],
) -> Result<MinutesRead, StoreError> {
    let Stretch { symbol, first, last } = stretch;
    let (series, until) = ((exchange, symbol), last.later_by(MINUTE_MS));
    let find = |minutes: Vec<Minute>| {
        let findings = find(symbol, *first, *last, &minutes, candles);
        let is_different = findings.points.iter().any(|point| point.difference.is_some());
        (findings, is_different)
    };
    let (findings, is_different) = find(store.exact_minutes(series, *first, until).await?);
    if !is_different {
        return Ok(MinutesRead { findings, begin: None });
    }
    let (findings, is_different) = find(add_up(store.as_ref(), series, *first, until, || ()).await?);
    let begin = if is_different { begin(store, &Scope::of(series), *first).await? } else { None };
    Ok(MinutesRead { findings, begin })
}

/// When the first stored trade happened, if none is stored before `first`.
async fn begin(store: &AnyStore, scope: &Scope, first: TradeTime) -> Result<Option<TradeTime>, StoreError> {
    let nearest = store.price_at(scope, first.earlier_by(1), true).await?;
    if !nearest.is_empty() {
        return Ok(None);
    }
    let nearest = store.price_at(scope, first, false).await?;
    Ok(nearest.first().map(|stored| stored.trade.time))
}

/// Asks what the store knows of minutes from `since` on.
///
/// # Errors
///
/// [`StoreError`] if the store does not answer.
///
/// # Cancel safety
///
/// Safe: it only reads.
pub async fn known(store: &AnyStore, scope: &Scope, since: TradeTime) -> Result<MinutesKnown, StoreError> {
    let kept = store.kept_minutes(scope, since, since.later_by(RETENTION_MS + AHEAD_MS)).await?;
    let begins = store.price_at(scope, since, false).await?;
    let begins = begins.into_iter().map(|stored| (stored.trade.symbol, stored.trade.time)).collect();
    Ok(MinutesKnown { kept, begins })
}
