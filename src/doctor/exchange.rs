//! The exchange: its stream, its REST, and what this host's clock is by its word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::finding::{Check, Finding};
use super::within;
use super::{Setup, clock};
use crate::binance::message::{Message, SymbolTable, decode};
use crate::binance::rest::{Answered, INVALID_SYMBOL, Rest, RestError};
use crate::binance::{DEFAULT_REST_URL, MARKET_DATA_REST_URL, MARKET_DATA_STREAM_URL, stream_urls, weight};
use crate::capture::exchange_clock::{ExchangeClock, Moment};
use crate::capture::input::Input;
use crate::shell::streams::Streams;
use crate::trade::Symbol;

/// How long a stream may take to open; the wait for trades comes on top.
const OPEN_MAX: Duration = Duration::from_secs(15);
/// How long REST may take to answer all that it is asked.
const REST_MAX: Duration = Duration::from_secs(15);
/// Symbols that a line names, at most.
const NAMED_MAX: usize = 10;

/// Every check of REST.
pub(super) const REST: [Check; 5] = [Check::Rest, Check::Clock, Check::Weight, Check::History, Check::Klines];

/// What came on the streams.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Of each symbol how old its first trade was, in milliseconds.
    ages: BTreeMap<Symbol, i64>,
    /// Streams that opened.
    opened: usize,
    /// Why streams did not open, or ended.
    failures: BTreeSet<String>,
}

/// Opens the streams as a capture does, and waits for one trade of each symbol.
pub(super) async fn listen(setup: &Setup) -> Heard {
    let (urls, _): (Vec<_>, Vec<_>) = stream_urls(&setup.stream_url, &setup.symbols).into_iter().unzip();
    let (count, table) = (urls.len(), setup.symbols.iter().cloned().collect::<SymbolTable>());
    let mut streams = Streams::new(urls, setup.network.clone(), None);
    (0..count).for_each(|at| streams.open(at as u64, at));
    let (mut heard, mut ended, mut deadline) = (Heard::default(), 0, Instant::now() + OPEN_MAX);
    while heard.ages.len() < setup.symbols.len() && ended < count {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some((input, _)) = within(left, streams.next()).await else { break };
        match input {
            Input::StreamOpened(_) => {
                heard.opened += 1;
                deadline = Instant::now() + setup.wait;
            }
            Input::StreamMessages(_, group) => {
                for text in &group.texts {
                    if let Ok(Message::Trade(trade)) = decode(text, &table) {
                        let age = (setup.clock)().ms() - trade.time.ms();
                        heard.ages.entry(trade.symbol).or_insert(age);
                    }
                }
            }
            Input::StreamClosed(_, why) => {
                ended += 1;
                heard.failures.insert(why.to_string());
            }
            _ => {}
        }
    }
    heard
}

impl Heard {
    /// The symbols of which nothing came.
    pub(super) fn silent(&self, symbols: &[Symbol]) -> Vec<Symbol> {
        symbols.iter().filter(|symbol| !self.ages.contains_key(symbol)).cloned().collect()
    }
}

/// Judges what came; `unlisted` is a silent symbol that the exchange does not list.
pub(super) fn judge_stream(setup: &Setup, heard: &Heard, unlisted: Option<&Symbol>) -> Finding {
    let (silent, all, wait) = (heard.silent(&setup.symbols), setup.symbols.len(), setup.wait.as_secs());
    let failures = || heard.failures.iter().cloned().collect::<Vec<_>>().join("; ");
    if let Some(unlisted) = unlisted {
        let found = format!("no trade of {}: the exchange does not list {unlisted}", named(&silent));
        return Finding::fail(Check::Stream, found, "give symbols that it lists with --symbols");
    }
    if heard.opened == 0 {
        let remedy = format!(
            "see --stream-url, and whether this network lets WebSockets out; market data is also at --stream-url \
             {MARKET_DATA_STREAM_URL} --rest-url {MARKET_DATA_REST_URL}"
        );
        let failures = failures();
        let why = if failures.is_empty() { format!("{} does not open", setup.stream_url) } else { failures };
        return Finding::fail(Check::Stream, why, remedy);
    }
    if silent.is_empty() {
        let slowest = heard.ages.values().max().copied().unwrap_or_default();
        return Finding::ok(
            Check::Stream,
            format!("{} came; the oldest trade was {slowest} ms old", named(&setup.symbols)),
        );
    }
    let failures = failures();
    let why = if failures.is_empty() { String::new() } else { format!(": {failures}") };
    let found = format!("{} of {all} symbols had no trade in {wait} s: {}{why}", silent.len(), named(&silent));
    if silent.len() == all {
        let remedy =
            "see --symbols and --stream-url: the stream is open and nothing comes; a longer --wait for quiet symbols";
        return Finding::fail(Check::Stream, found, remedy);
    }
    Finding::warn(Check::Stream, found, "see --symbols; for quiet symbols give a longer --wait, such as 2m")
}

fn named(symbols: &[Symbol]) -> String {
    let names: Vec<_> = symbols.iter().take(NAMED_MAX).map(Symbol::as_str).collect();
    let more = symbols.len().saturating_sub(NAMED_MAX);
    if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}

/// The first of `silent` that the exchange does not list, if it can be asked.
pub(super) async fn unlisted(rest: &Rest, silent: &[Symbol]) -> Option<Symbol> {
    within(REST_MAX, rest.unlisted(silent)).await?.ok()?.value.cloned()
}

/// Asks REST all that a capture needs of it. Gives a client if REST answers.
pub(super) async fn rest(setup: &Setup) -> (Option<Rest>, Vec<Finding>) {
    let failed = |finding| {
        let skipped = REST[1..].iter().map(|check| Finding::skipped(*check, Check::Rest));
        (None, [finding].into_iter().chain(skipped).collect())
    };
    let rest = match Rest::new(&setup.rest_url, &setup.network) {
        Ok(rest) => rest,
        Err(error) => return failed(refused(Check::Rest, &error)),
    };
    let asked = Instant::now();
    let mut clock = ExchangeClock::new(asked);
    let told = match within(REST_MAX, rest.time()).await {
        Some(Ok(told)) => told,
        Some(Err(error)) => return failed(refused(Check::Rest, &error)),
        None => return failed(late(Check::Rest)),
    };
    let now = Moment { at: Instant::now(), wall: (setup.clock)() };
    clock.told(told.value, asked, now.at);
    let took = now.at.saturating_duration_since(asked).as_millis();
    let answers = format!("{}{} answers in {took} ms", setup.rest_url, setup.network.via(setup.rest_url.url()));
    let mut findings = vec![Finding::ok(Check::Rest, answers)];
    findings.push(clock::judge(clock.host_offset_ms(now).unwrap_or_default()));
    let mut used = told.used_weight;
    if let Some(symbol) = setup.symbols.first() {
        let (history, klines) =
            tokio::join!(within(REST_MAX, rest.history(symbol, 0, 1)), within(REST_MAX, rest.newest_kline(symbol)));
        for weight in [weight_of(&history), weight_of(&klines)] {
            used = used.max(weight);
        }
        findings.push(served(Check::History, history));
        findings.push(served(Check::Klines, klines));
    }
    findings.push(judge_weight(used));
    (Some(rest), findings)
}

type Asked<T> = Option<Result<Answered<T>, RestError>>;

fn weight_of<T>(asked: &Asked<T>) -> Option<u32> {
    asked.as_ref()?.as_ref().ok()?.used_weight
}

/// What REST says of itself, where it said no.
fn refused(check: Check, error: &RestError) -> Finding {
    let remedy = match error {
        RestError::Limited { wait, .. } => {
            format!("wait {} s, and see which programs use this address", wait.as_secs())
        }
        RestError::NotFromHere { .. } => {
            format!("--rest-url {MARKET_DATA_REST_URL} --stream-url {MARKET_DATA_STREAM_URL}, or another place")
        }
        RestError::Moved { .. } => "give where it is with --rest-url".to_owned(),
        RestError::Unreachable { .. } => {
            "see --rest-url, and whether a firewall lets this host out; without REST no hole is repaired".to_owned()
        }
        _ => "see --rest-url; without REST no hole is repaired".to_owned(),
    };
    Finding::fail(check, crate::error_chain(error), remedy)
}

fn late(check: Check) -> Finding {
    Finding::fail(check, format!("no answer within {} s", REST_MAX.as_secs()), "see --rest-url")
}

/// Whether a path of REST is served.
fn served<T>(check: Check, asked: Asked<T>) -> Finding {
    let what = if check == Check::History { "historicalTrades" } else { "candles (klines)" };
    let are = if check == Check::History { "is" } else { "are" };
    match asked {
        // Which symbols it lists is told by the stream's check.
        Some(Ok(_) | Err(RestError::Refused { code: Some(INVALID_SYMBOL), .. })) => {
            Finding::ok(check, format!("{what} {are} served"))
        }
        Some(Err(RestError::NotServed { status, .. })) => {
            let found = format!(
                "{what} is not served (it answered {status}), as on hosts for market data only: of a hole only what is among \
                 the newest 1,000 trades can be repaired"
            );
            Finding::warn(check, found, format!("give --rest-url {DEFAULT_REST_URL}, if that may be used from here"))
        }
        Some(Err(RestError::Refused { status: 404, .. })) => {
            Finding::warn(check, format!("{what} {are} not served (it answered 404)"), "see --rest-url")
        }
        Some(Err(error)) => refused(check, &error),
        None => late(check),
    }
}

/// Judges the weight that the address has used in the exchange's running minute.
fn judge_weight(used: Option<u32>) -> Finding {
    let granted = weight::GRANTED;
    match used {
        None => Finding::warn(
            Check::Weight,
            "REST does not tell the weight that this address has used",
            "see whether a proxy removes the header X-MBX-USED-WEIGHT-1M, and --rest-url",
        ),
        Some(used) => {
            let found = format!("{used} of {granted} used in this minute, {} left", granted.saturating_sub(used));
            if weight::is_used_up(used) {
                let remedy =
                    "see which other programs of this address ask the exchange; repairs wait for the next minute";
                return Finding::warn(Check::Weight, found, remedy);
            }
            Finding::ok(Check::Weight, found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::text::Excerpt;

    fn refusal(status: u16, code: Option<i64>) -> Asked<()> {
        Some(Err(RestError::Refused { url: "u".to_owned(), status, code, body: Excerpt::of("no") }))
    }

    #[test]
    fn what_is_not_served_is_a_warning_and_an_unknown_symbol_none() {
        let not_served = || Some(Err(RestError::NotServed { url: "u".to_owned(), status: 404, body: Excerpt::of("") }));
        let told = served::<()>(Check::History, not_served());
        assert!(told.state == State::Warn && told.remedy.unwrap().contains(DEFAULT_REST_URL));
        assert_eq!(served(Check::Klines, refusal(404, None)).state, State::Warn);
        assert_eq!(served(Check::Klines, refusal(400, Some(INVALID_SYMBOL))).state, State::Ok);
        assert_eq!(served(Check::Klines, refusal(500, None)).state, State::Fail);
        assert_eq!(served::<()>(Check::Klines, None).state, State::Fail);
        assert_eq!(served(Check::Klines, Some(Ok(Answered { value: (), used_weight: None }))).state, State::Ok);
    }

    #[test]
    fn weight_is_judged_as_repairs_judge_it() {
        assert_eq!(judge_weight(Some(50)).state, State::Ok);
        assert_eq!(judge_weight(Some(5_375)).state, State::Ok);
        assert_eq!(judge_weight(Some(5_376)).state, State::Warn);
        assert_eq!(judge_weight(None).state, State::Warn);
    }
}
