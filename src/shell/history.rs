//! The exchange's REST, asked as the capture says.

use crate::binance::rest::{Aggregate, Answered, Rest, RestError};
use crate::capture::history::{Found, HistoryAnswer, Lookup, Refusal, RefusalKind, Request};
use crate::capture::holes::PageRequest;
use crate::capture::input::Input;
use crate::capture::signoff::Stretch;
use crate::text::Excerpt;
use crate::trade::{Symbol, TradeTime};

/// Asks for what is wanted.
///
/// # Cancel safety
///
/// Safe: it only reads.
pub async fn ask(rest: &Rest, request: Request) -> Input {
    let answer = match request {
        Request::Page(PageRequest { symbol, from_id, limit }) => {
            rest.history(&symbol, from_id, limit).await.map(|page| page.map(HistoryAnswer::Page))
        }
        Request::NewestTrades(symbol) => rest.newest_trades(&symbol).await.map(|page| page.map(HistoryAnswer::Page)),
        Request::Lookup(Lookup::Time) => {
            rest.time().await.map(|time| time.map(|time| HistoryAnswer::Found(Some(Found { id: 0, time }))))
        }
        Request::Lookup(Lookup::First(symbol, since)) => {
            let found = |first: Aggregate| Found { id: first.first_id.cast_unsigned(), time: since };
            let first = rest.aggregate(&symbol, Some(since)).await;
            first.map(|first| first.map(|first| HistoryAnswer::Found(first.map(found))))
        }
        Request::Lookup(Lookup::Newest(symbol)) => {
            let found = |newest: Aggregate| Found {
                id: newest.last_id.cast_unsigned(),
                time: TradeTime::from_ms(newest.time_ms).unwrap_or(TradeTime::EPOCH),
            };
            let newest = rest.aggregate(&symbol, None).await;
            newest.map(|newest| newest.map(|newest| HistoryAnswer::Found(newest.map(found))))
        }
    };
    match answer {
        Ok(Answered { value, used_weight }) => Input::History(value, used_weight),
        Err(error) => Input::History(HistoryAnswer::Refused(refusal(&error)), None),
    }
}

/// Asks for the candles of these minutes.
///
/// # Cancel safety
///
/// Safe: it only reads.
pub async fn candles(rest: &Rest, stretch: Stretch) -> Input {
    let Stretch { symbol, first, last } = stretch;
    match rest.klines(&symbol, first, last).await {
        Ok(Answered { value, used_weight }) => Input::Candles(Ok(value), used_weight),
        Err(error) => Input::Candles(Err(refusal(&error)), None),
    }
}

/// Asks whether the exchange lists all of `symbols`.
///
/// # Cancel safety
///
/// Safe: it only reads.
pub async fn check_symbols(rest: &Rest, symbols: &[Symbol]) -> Input {
    let checked = rest.unlisted(symbols).await;
    let checked = checked.map(|unlisted| unlisted.value.cloned());
    Input::SymbolsChecked(checked.map_err(|error| Excerpt::line(&crate::error_chain(&error))))
}

/// What an error means for the next request.
pub fn refusal(error: &RestError) -> Refusal {
    let kind = match error {
        RestError::Limited { wait, .. } => RefusalKind::Limited(*wait),
        RestError::NotFromHere { .. } => RefusalKind::NotFromHere,
        RestError::NotServed { .. } => RefusalKind::NotServed,
        _ => RefusalKind::Failed,
    };
    Refusal { kind, why: Excerpt::line(&crate::error_chain(error)) }
}
