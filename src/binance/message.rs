//! One text message of a stream: a trade, or something else.
//!
//! Combined (`{"stream":…,"data":{…}}`) and raw forms are both understood.
//! Unknown fields and unknown events are tolerated: Binance adds them without
//! notice.

mod scan;

use std::borrow::Cow;

use foldhash::HashMap;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use self::scan::scan;
use crate::trade::{Price, Quantity, Symbol, Trade, TradeError, TradeId, TradeTime};

/// The captured symbols by the text that messages name them with.
#[derive(Debug, Clone, Default)]
pub struct SymbolTable(HashMap<String, Symbol>);

impl FromIterator<Symbol> for SymbolTable {
    fn from_iter<I: IntoIterator<Item = Symbol>>(symbols: I) -> Self {
        Self(symbols.into_iter().map(|symbol| (symbol.as_str().to_owned(), symbol)).collect())
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A trade of a captured symbol.
    Trade(Trade),
    /// The exchange will close the connection soon: open another at once.
    ServerShutdown,
    /// The answer to a subscription request.
    Acknowledgement,
    /// The exchange refused a request: its own words.
    Refusal(String),
    /// An event that is not a trade.
    OtherEvent,
}

/// Why a message could not be taken.
#[derive(Debug, Error)]
pub enum MessageError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// JSON of no form that Binance documents.
    #[error("neither an event nor an answer")]
    Unknown,
    /// A trade event that lacks something or has it in another type.
    #[error("trade event not understood: {0}")]
    Event(#[source] serde_json::Error),
    /// A trade event whose values are not a trade's.
    #[error(transparent)]
    Trade(#[from] TradeError),
    /// A trade of a symbol that was not asked for.
    #[error("trade of {0:?}, which was not asked for")]
    Symbol(String),
}

#[derive(Deserialize)]
struct Combined<'a> {
    #[serde(borrow)]
    data: TradeEvent<'a>,
}

/// `e`, `s`, `t`, `p`, `q`, `T` and `m` of a trade event, borrowed from the message.
#[derive(Debug, PartialEq, Deserialize)]
struct TradeEvent<'a> {
    #[serde(rename = "e")]
    event: &'a str,
    #[serde(rename = "s", borrow)]
    symbol: Cow<'a, str>,
    #[serde(rename = "t")]
    id: u64,
    #[serde(rename = "p")]
    price: &'a str,
    #[serde(rename = "q")]
    quantity: &'a str,
    #[serde(rename = "T")]
    time_ms: i64,
    #[serde(rename = "m")]
    buyer_is_maker: bool,
}

/// Reads one text message.
///
/// # Errors
///
/// [`MessageError`] if it is not JSON of a documented form, or a trade event that is not a trade.
pub fn decode(text: &str, symbols: &SymbolTable) -> Result<Message, MessageError> {
    if let Some(event) = scan(text) {
        return trade(&event, symbols);
    }
    match serde_json::from_str::<Combined<'_>>(text) {
        Ok(Combined { data }) if data.event == "trade" => trade(&data, symbols),
        _ => decode_slowly(text, symbols),
    }
}

fn trade(event: &TradeEvent<'_>, symbols: &SymbolTable) -> Result<Message, MessageError> {
    let symbol = symbols.0.get(event.symbol.as_ref()).ok_or_else(|| MessageError::Symbol(event.symbol.to_string()))?;
    Ok(Message::Trade(Trade {
        symbol: symbol.clone(),
        id: TradeId::new(event.id)?,
        time: TradeTime::from_ms(event.time_ms)?,
        price: Price::new(event.price)?,
        quantity: Quantity::new(event.quantity)?,
        buyer_is_maker: event.buyer_is_maker,
    }))
}

/// Raw events, and everything that is not a well-formed trade event.
fn decode_slowly(text: &str, symbols: &SymbolTable) -> Result<Message, MessageError> {
    let value: Value = serde_json::from_str(text).map_err(MessageError::Json)?;
    let event = value.get("data").unwrap_or(&value);
    match event.get("e").and_then(Value::as_str) {
        Some("trade") => trade(&TradeEvent::deserialize(event).map_err(MessageError::Event)?, symbols),
        Some("serverShutdown") => Ok(Message::ServerShutdown),
        Some(_) => Ok(Message::OtherEvent),
        None if value.get("error").is_some() || value.get("code").is_some() => Ok(Message::Refusal(text.to_owned())),
        None if value.get("result").is_some() => Ok(Message::Acknowledgement),
        None => Err(MessageError::Unknown),
    }
}

#[cfg(test)]
mod tests;
