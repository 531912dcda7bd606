//! The audit of a bucket: minutes first, ids only where a minute is not whole.
//!
//! The storage engine counts a day of minutes in tenths of a second; reading
//! every id takes seconds.

use std::collections::BTreeMap;

use super::Influx;
use super::flux_csv::{FluxCsvError, Row};
use super::questions::time;
use crate::flux::Question;
use crate::store::gaps::Audit;
use crate::store::{Gaps, RETENTION_MS, Scope, StoreError};
use crate::trade::{Exchange, IdRange, Symbol, TradeTime};

const MINUTE_MS: i64 = 60_000;
/// Minutes whose ids are read at once; a busy one has some 50,000 trades.
const MINUTES_AT_ONCE: i64 = 10;

/// A minute of one series as `gaps.flux` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Minute {
    series: (Exchange, Symbol),
    start_ms: i64,
    ids: IdRange,
    /// Whether it holds each id of the range exactly once.
    whole: bool,
}

impl Influx {
    pub(super) async fn ask_gaps(&self, scope: &Scope, since: TradeTime) -> Result<Vec<Gaps>, StoreError> {
        let since = since.ms().max((self.clock)().ms() - RETENTION_MS);
        let question = Question::Gaps { since_ms: Some(since), all: true };
        let mut audits: BTreeMap<(Exchange, Symbol), Audit> = BTreeMap::new();
        let mut broken = Vec::new();
        for minute in self.ask(question, scope, minute).await? {
            // A series is known though all its minutes are broken.
            let audit = audits.entry(minute.series.clone()).or_default();
            if minute.whole {
                let _ = audit.add(minute.ids);
            } else {
                broken.push(minute);
            }
        }
        for (series, from_ms, until_ms) in stretches(&broken) {
            let (exchange, symbol) = series.clone();
            let scope = Scope { symbols: vec![symbol], exchange: Some(exchange) };
            let question = Question::Ids { from_ms: Some(from_ms.max(since)), until_ms: Some(until_ms) };
            let audit = audits.entry(series).or_default();
            for id in self.ask(question, &scope, trade_id).await? {
                let _ = audit.add(IdRange { first: id, last: id });
            }
        }
        Ok(audits.into_iter().flat_map(|((exchange, symbol), audit)| audit.finish(&exchange, &symbol)).collect())
    }
}

/// Broken minutes, neighbours of a series together: from and up to, in ms.
fn stretches(broken: &[Minute]) -> Vec<((Exchange, Symbol), i64, i64)> {
    let mut stretches: Vec<((Exchange, Symbol), i64, i64)> = Vec::new();
    for minute in broken {
        let end = minute.start_ms + MINUTE_MS;
        match stretches.last_mut() {
            Some((series, from, until))
                if *series == minute.series
                    && *until == minute.start_ms
                    && end - *from <= MINUTES_AT_ONCE * MINUTE_MS =>
            {
                *until = end;
            }
            _ => stretches.push((minute.series.clone(), minute.start_ms, end)),
        }
    }
    stretches
}

fn minute(row: &Row) -> Result<Minute, FluxCsvError> {
    let number = |text: &str| text.parse().ok();
    Ok(Minute {
        series: (row.value("exchange", |text| text.parse().ok())?, row.value("symbol", |text| text.parse().ok())?),
        start_ms: row.value("minute", time)?.ms(),
        ids: IdRange { first: row.value("first_id", number)?, last: row.value("last_id", number)? },
        whole: row.value("whole", |text| text.parse().ok())?,
    })
}

fn trade_id(row: &Row) -> Result<u64, FluxCsvError> {
    row.value("trade_id", |text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(symbol: &str, minute: i64) -> Minute {
        Minute {
            series: ("binance".parse().unwrap(), symbol.parse().unwrap()),
            start_ms: minute * MINUTE_MS,
            ids: IdRange { first: 1, last: 9 },
            whole: false,
        }
    }

    #[test]
    fn neighbours_are_read_together_up_to_a_limit() {
        let mut minutes = vec![broken("A", 1), broken("A", 2), broken("A", 5), broken("B", 6)];
        minutes.extend((20..32).map(|minute| broken("C", minute)));
        let found: Vec<_> = stretches(&minutes)
            .into_iter()
            .map(|((_, symbol), from, until)| (symbol.to_string(), from / MINUTE_MS, until / MINUTE_MS))
            .collect();
        let expected = [("A", 1, 3), ("A", 5, 6), ("B", 6, 7), ("C", 20, 30), ("C", 30, 32)];
        assert_eq!(found, expected.map(|(symbol, from, until)| (symbol.to_owned(), from, until)));
    }
}
