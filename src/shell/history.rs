//! The exchange's REST, asked as the capture says.

use crate::binance::rest::{Rest, RestError};
use crate::capture::history::{Answer, Found, Lookup, Refusal, RefusalKind, Request};
use crate::capture::holes::PageRequest;
use crate::capture::input::Input;
use crate::capture::page::{Page, Row};
use crate::text::Excerpt;
use crate::trade::{Symbol, Trade, TradeTime};

/// Asks for what is wanted.
///
/// # Cancel safety
///
/// Safe: it only reads.
pub async fn ask(rest: &Rest, request: Request) -> Input {
    let answer = match request {
        Request::Page(PageRequest { symbol, from_id, limit }) => rest.history(&symbol, from_id, limit).await.map(page),
        Request::NewestTrades(symbol) => rest.newest_trades(&symbol).await.map(page),
        Request::Lookup(Lookup::Time) => rest.time().await.map(|time| Answer::Found(Some(Found { id: 0, time }))),
        Request::Lookup(Lookup::First(symbol, since)) => {
            let first = rest.aggregate(&symbol, Some(since)).await;
            first.map(|found| {
                Answer::Found(found.map(|found| Found { id: found.first_id.cast_unsigned(), time: since }))
            })
        }
        Request::Lookup(Lookup::Newest(symbol)) => {
            let newest = rest.aggregate(&symbol, None).await;
            newest.map(|found| {
                Answer::Found(found.map(|found| Found {
                    id: found.last_id.cast_unsigned(),
                    time: TradeTime::from_ms(found.time_ms).unwrap_or(TradeTime::EPOCH),
                }))
            })
        }
    };
    Input::History(answer.unwrap_or_else(|error| Answer::Refused(refusal(&error))), None)
}

/// Asks whether the exchange lists all of `symbols`.
///
/// # Cancel safety
///
/// Safe: it only reads.
pub async fn check_symbols(rest: &Rest, symbols: &[Symbol]) -> Input {
    let checked = rest.unlisted(symbols).await;
    Input::SymbolsChecked(
        checked.map(Option::<&Symbol>::cloned).map_err(|error| Excerpt::line(&crate::error_chain(&error))),
    )
}

/// What an error means for the next request.
pub fn refusal(error: &RestError) -> Refusal {
    let kind = match error {
        RestError::Limited { wait, .. } => RefusalKind::Limited(*wait),
        RestError::NotFromHere { .. } => RefusalKind::NotFromHere,
        _ => RefusalKind::Failed,
    };
    Refusal { kind, why: Excerpt::line(&crate::error_chain(error)) }
}

fn page(trades: Vec<Trade>) -> Answer {
    Answer::Page(Page { rows: trades.into_iter().map(Row::Trade).collect() })
}
