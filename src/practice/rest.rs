//! REST as Binance's: paths, keys, weights, error codes.
//!
//! Source: Binance's `rest-api.md` and `errors.md`.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::faults::PageFault;
use super::klines;
use super::shared::Shared;
use super::tape::Listed;
use super::weight::OverLimit;
use super::wire::{aggregate_row, are_one_aggregate, bad_row, history_row};
use crate::trade::{Symbol, Trade};

/// Rows in an answer, at most.
const ROWS_MAX: usize = 1_000;
const ROWS_DEFAULT: usize = 500;
/// What the address has used in this minute.
const USED_WEIGHT: &str = "x-mbx-used-weight-1m";

type Parameters = Query<HashMap<String, String>>;
type Exchange = State<Arc<Shared>>;

/// An answer that says no, with Binance's code and words.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: i32,
    message: String,
    retry_after_seconds: Option<i64>,
}

impl Refusal {
    fn bad_request(code: i32, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into(), retry_after_seconds: None }
    }

    fn mandatory(name: &str) -> Self {
        let message = format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.");
        Self::bad_request(-1102, message)
    }

    fn illegal(name: &str) -> Self {
        Self::bad_request(-1100, format!("Illegal characters found in parameter '{name}'."))
    }

    fn invalid_symbol() -> Self {
        Self::bad_request(-1121, "Invalid symbol.")
    }

    /// What the exchange says on a bad day.
    fn fault(status: u16) -> Self {
        let (code, message, retry_after_seconds) = match status {
            429 => (-1003, "Too much request weight used.", Some(1)),
            418 => (-1003, "Way too much request weight used; IP banned.", Some(2)),
            451 => (0, super::wire::RESTRICTED, None),
            _ => (-1000, "An unknown error occurred while processing the request.", None),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code, message: message.to_owned(), retry_after_seconds }
    }

    fn over_limit(OverLimit { retry_after_seconds }: OverLimit) -> Self {
        let message = format!(
            "Too much request weight used; current limit is {} request weight per 1 MINUTE. Please use WebSocket \
             Streams for live updates to avoid polling the API.",
            super::weight::LIMIT
        );
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, code: -1003, message, retry_after_seconds: Some(retry_after_seconds) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"code": self.code, "msg": self.message}).to_string();
        let mut response = (self.status, JSON, body).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

pub(super) const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json;charset=UTF-8")];

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v3/ping", get(ping))
        .route("/api/v3/time", get(time))
        .route("/api/v3/exchangeInfo", get(exchange_info))
        .route("/api/v3/trades", get(trades))
        .route("/api/v3/historicalTrades", get(historical_trades))
        .route("/api/v3/aggTrades", get(aggregate_trades))
        .route("/api/v3/klines", get(klines))
        .route("/stats", get(stats))
}

async fn ping(exchange: Exchange) -> Response {
    weighed(&exchange, 1, || Ok("{}".to_owned())).await
}

async fn time(exchange: Exchange) -> Response {
    weighed(&exchange, 1, || Ok(json!({"serverTime": (exchange.clock)().ms()}).to_string())).await
}

async fn exchange_info(exchange: Exchange, Query(parameters): Parameters) -> Response {
    weighed(&exchange, 20, || info(&exchange, &parameters)).await
}

fn info(exchange: &Shared, parameters: &HashMap<String, String>) -> Result<String, Refusal> {
    let asked: Option<Vec<String>> = match (parameters.get("symbol"), parameters.get("symbols")) {
        (Some(symbol), _) => Some(vec![symbol.clone()]),
        (None, Some(symbols)) => Some(serde_json::from_str(symbols).map_err(|_| Refusal::illegal("symbols"))?),
        (None, None) => None,
    };
    let all: Vec<_> = exchange.tape.listed().iter().map(|listed| listed.symbol.to_string()).collect();
    if asked.iter().flatten().any(|symbol| !all.contains(symbol)) {
        return Err(Refusal::invalid_symbol());
    }
    let symbols: Vec<_> =
        asked.unwrap_or(all).iter().map(|name| json!({"symbol": name, "status": "TRADING"})).collect();
    let limit = json!({
        "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": super::weight::LIMIT
    });
    let now = (exchange.clock)().ms();
    let body = json!({
        "timezone": "UTC", "serverTime": now, "rateLimits": [limit], "exchangeFilters": [], "symbols": symbols
    });
    Ok(body.to_string())
}

async fn trades(exchange: Exchange, Query(parameters): Parameters) -> Response {
    weighed(&exchange, 25, || {
        let trades = exchange.tape.history(&symbol(&exchange, &parameters)?, None, limit(&parameters)?);
        Ok(page(&exchange, trades))
    })
    .await
}

async fn historical_trades(exchange: Exchange, Query(parameters): Parameters) -> Response {
    if exchange.market_data_only {
        return absent(&exchange);
    }
    weighed(&exchange, 25, || {
        let from_id = number(&parameters, "fromId")?;
        let trades = exchange.tape.history(&symbol(&exchange, &parameters)?, from_id, limit(&parameters)?);
        Ok(page(&exchange, trades))
    })
    .await
}

async fn aggregate_trades(exchange: Exchange, Query(parameters): Parameters) -> Response {
    weighed(&exchange, 4, || {
        let (symbol, limit) = (symbol(&exchange, &parameters)?, limit(&parameters)?);
        let until = number(&parameters, "endTime")?.unwrap_or(i64::MAX).min(served_until(&exchange));
        let from_id = match (number(&parameters, "fromId")?, number(&parameters, "startTime")?) {
            (None, Some(start)) => Some(exchange.tape.first_id_from(&symbol, start).unwrap_or(u64::MAX)),
            (from_id, _) => from_id,
        };
        let groups = exchange.tape.groups(&symbol, from_id, until, limit, are_one_aggregate);
        Ok(rows(groups.iter().filter_map(|group| aggregate_row(group))))
    })
    .await
}

async fn klines(exchange: Exchange, Query(parameters): Parameters) -> Response {
    weighed(&exchange, 2, || {
        let (symbol, limit) = (symbol(&exchange, &parameters)?, limit(&parameters)?);
        let name = parameters.get("interval").ok_or_else(|| Refusal::mandatory("interval"))?;
        let every = klines::interval_ms(name).ok_or_else(|| Refusal::bad_request(-1120, "Invalid interval."))?;
        let until = number(&parameters, "endTime")?.unwrap_or(i64::MAX).min(served_until(&exchange));
        let until = until.min((exchange.clock)().ms());
        let stretch = klines::Stretch { from: number(&parameters, "startTime")?, until, every, most: limit };
        let trades = match exchange.tape.first_id_from(&symbol, stretch.begin()) {
            // With the one before them.
            Some(first) => exchange.tape.history(&symbol, Some(first.saturating_sub(1)), usize::MAX),
            None => exchange.tape.history(&symbol, None, 1),
        };
        Ok(rows(klines::klines(&trades, stretch).into_iter()))
    })
    .await
}

/// Ours: what the exchange has done so far.
async fn stats(State(exchange): Exchange) -> Response {
    let numbers =
        |listed: &Listed| json!({"first_id": listed.first_id, "last_id": listed.last_id, "trades": listed.trades});
    let listed = exchange.tape.listed();
    let symbols: serde_json::Map<_, _> =
        listed.iter().map(|listed| (listed.symbol.to_string(), numbers(listed))).collect();
    let used = exchange.weight.lock().unwrap_or_else(PoisonError::into_inner).used();
    let body = json!({
        "shift_minutes": exchange.shift_minutes,
        "ended": exchange.tape.has_ended(),
        "subscribers": exchange.tape.subscribers(),
        "weight_used": used,
        "symbols": symbols,
    });
    (JSON, body.to_string()).into_response()
}

/// An answer that costs `weight`, also if it says no.
async fn weighed(exchange: &Shared, weight: u32, answer: impl FnOnce() -> Result<String, Refusal>) -> Response {
    let is_calm = exchange.is_calm();
    if !is_calm && !exchange.faults.rest_delay.is_zero() {
        tokio::time::sleep(exchange.faults.rest_delay).await;
    }
    let now = (exchange.clock)().ms();
    let (taken, used) = {
        let mut weights = exchange.weight.lock().unwrap_or_else(PoisonError::into_inner);
        (weights.take(weight, now), weights.used())
    };
    let status = if is_calm { None } else { exchange.rest_faults().status() };
    let answered = match status {
        Some(status) => Err(Refusal::fault(status)),
        None => taken.map_err(Refusal::over_limit).and_then(|()| answer()),
    };
    let mut response = answered.map(|body| (JSON, body)).into_response();
    response.headers_mut().insert(USED_WEIGHT, HeaderValue::from(used));
    response
}

/// What Binance's hosts for market data only say to a path that they do not serve. It has no weight.
fn absent(exchange: &Shared) -> Response {
    let used = exchange.weight.lock().unwrap_or_else(PoisonError::into_inner).used();
    let mut response =
        (StatusCode::NOT_FOUND, Html("<html><body><h1>404 Not Found</h1></body></html>")).into_response();
    response.headers_mut().insert(USED_WEIGHT, HeaderValue::from(used));
    response
}

/// A page of trades, as far as REST serves them.
fn page(exchange: &Shared, mut trades: Vec<Trade>) -> String {
    let until = served_until(exchange);
    trades.retain(|trade| trade.time.ms() <= until);
    let fault = if exchange.is_calm() { None } else { exchange.rest_faults().page(trades.len()) };
    match fault {
        Some(PageFault::Short(most)) => trades.truncate(most),
        Some(PageFault::Shifted(by)) => drop(trades.drain(..by)),
        None => {}
    }
    let bad = if exchange.is_calm() { None } else { exchange.rest_faults().bad_row(trades.len()) };
    rows(trades.iter().enumerate().map(|(at, trade)| if Some(at) == bad { bad_row(trade) } else { history_row(trade) }))
}

/// The time of the newest trade that REST serves, in milliseconds.
fn served_until(exchange: &Shared) -> i64 {
    let lag = if exchange.is_calm() { Duration::ZERO } else { exchange.faults.rest_lag };
    if lag.is_zero() { i64::MAX } else { (exchange.clock)().ms() - i64::try_from(lag.as_millis()).unwrap_or(i64::MAX) }
}

fn rows(rows: impl Iterator<Item = String>) -> String {
    format!("[{}]", rows.collect::<Vec<_>>().join(","))
}

fn symbol(exchange: &Shared, parameters: &HashMap<String, String>) -> Result<Symbol, Refusal> {
    let text = parameters.get("symbol").filter(|text| !text.is_empty()).ok_or_else(|| Refusal::mandatory("symbol"))?;
    let symbol: Symbol = text.parse().map_err(|_| Refusal::illegal("symbol"))?;
    // Binance wants symbols as it writes them.
    let is_listed = symbol.as_str() == text && exchange.tape.lists(&symbol);
    if is_listed { Ok(symbol) } else { Err(Refusal::invalid_symbol()) }
}

fn limit(parameters: &HashMap<String, String>) -> Result<usize, Refusal> {
    Ok(number(parameters, "limit")?.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX))
}

fn number<T: FromStr>(parameters: &HashMap<String, String>, name: &str) -> Result<Option<T>, Refusal> {
    parameters.get(name).map(|text| text.parse().map_err(|_| Refusal::illegal(name))).transpose()
}
