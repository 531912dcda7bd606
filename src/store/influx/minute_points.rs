//! The measurement `minute`: a point for each minute that was held against the exchange's candle.
//!
//! ```text
//! minute,exchange=binance,symbol=BTCUSDT trades=3774i,first_id=6390235771i,last_id=6390239544i,open="86710.92000000",open_float=86710.92000000,…,verified=true,difference="" 1764499080000000000
//! ```
//!
//! Each time it is written as a whole: the fields of an earlier write do not outlive it.

use std::fmt::Write as _;

use bytes::Bytes;

use super::Influx;
use super::flux_csv::{FluxCsvError, Row};
use super::questions::time;
use crate::flux::Question;
use crate::store::minute_point::{KeptMinute, MinutePoint};
use crate::store::{Scope, StoreError, WriteError};
use crate::trade::{Exchange, TradeTime};

/// The measurement.
const MEASUREMENT: &str = "minute";

impl Influx {
    pub(super) async fn post_minute_points(&self, points: &[MinutePoint]) -> Result<(), StoreError> {
        let mut text = String::new();
        points.iter().for_each(|point| encode(point, &self.exchange, &mut text));
        let lines = Bytes::from(text);
        for _ in 0..2 {
            let reply = self.post(lines.clone()).await.map_err(|error| match error {
                WriteError::Transient { why, .. } | WriteError::Held { why } => StoreError::Unusable(why),
            })?;
            match reply.status {
                204 => return Ok(()),
                // A minute that has left the retention meanwhile.
                422 if reply.body.contains("outside retention policy") => return Ok(()),
                // Tokens are replaced while captures run.
                401 if self.credentials.reload() => {}
                status => return Err(StoreError::Unusable(self.said(status, &reply.body))),
            }
        }
        Err(StoreError::Unusable(format!("{} does not take the token", self.base)))
    }

    pub(super) async fn ask_minute_points(
        &self,
        scope: &Scope,
        since: TradeTime,
        until: TradeTime,
    ) -> Result<Vec<KeptMinute>, StoreError> {
        let question = Question::Verified { since_ms: Some(since.ms()), until_ms: Some(until.ms()), all: true };
        self.ask(question, scope, kept).await
    }
}

fn kept(row: &Row) -> Result<KeptMinute, FluxCsvError> {
    Ok(KeptMinute {
        exchange: row.value("exchange", |text| text.parse().ok())?,
        symbol: row.value("symbol", |text| text.parse().ok())?,
        start: row.value("minute", time)?,
        is_verified: row.value("verified", |text| text.parse().ok())?,
    })
}

/// Appends the point as a line.
fn encode(point: &MinutePoint, exchange: &Exchange, into: &mut String) {
    let (first, last) = point.kept_ids();
    let MinutePoint { symbol, trades, difference, .. } = point;
    // Names hold nothing that needs an escape. Writing to a string cannot fail.
    let _ = write!(
        into,
        "{MEASUREMENT},exchange={exchange},symbol={symbol} trades={trades}i,first_id={first}i,last_id={last}i,"
    );
    for (name, decimal) in point.decimals() {
        let _ = match decimal {
            Some(decimal) => write!(into, "{name}=\"{decimal}\",{name}_float={decimal},"),
            None => write!(into, "{name}=\"\","),
        };
    }
    let words = difference.as_ref().map_or("", |difference| difference.as_str());
    let words = words.replace('\\', "\\\\").replace('"', "\\\"");
    let _ = writeln!(
        into,
        "verified={},difference=\"{words}\" {}",
        difference.is_none(),
        point.start.ms().saturating_mul(1_000_000)
    );
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::text::Excerpt;
    use crate::trade::IdRange;

    fn line(change: impl Fn(&mut MinutePoint)) -> String {
        let decimal = |text| Decimal::from_str_exact(text).unwrap();
        let mut point = MinutePoint {
            symbol: "BTCUSDT".parse().unwrap(),
            start: TradeTime::from_ms(1_764_499_080_000).unwrap(),
            trades: 2,
            ids: Some(IdRange { first: 7, last: 8 }),
            open: decimal("86710.92000000"),
            high: decimal("86715.25000000"),
            low: decimal("86708.77000000"),
            close: decimal("86714.62000000"),
            volume: Some(decimal("34.93399000")),
            taker_buy_volume: Some(decimal("0.00000000")),
            difference: None,
        };
        change(&mut point);
        let mut text = String::new();
        encode(&point, &"binance".parse().unwrap(), &mut text);
        text
    }

    #[test]
    fn a_minute_is_the_documented_line() {
        assert_eq!(
            line(|_| {}),
            "minute,exchange=binance,symbol=BTCUSDT trades=2i,first_id=7i,last_id=8i,open=\"86710.92000000\",\
             open_float=86710.92000000,high=\"86715.25000000\",high_float=86715.25000000,low=\"86708.77000000\",\
             low_float=86708.77000000,close=\"86714.62000000\",close_float=86714.62000000,volume=\"34.93399000\",\
             volume_float=34.93399000,taker_buy_volume=\"0.00000000\",taker_buy_volume_float=0.00000000,verified=true,\
             difference=\"\" 1764499080000000000\n"
        );
    }

    #[test]
    fn words_cannot_break_a_line_and_what_is_not_known_is_empty() {
        let text = line(|point| {
            (point.ids, point.trades, point.volume) = (None, 0, None);
            point.difference = Some(Excerpt::of("a \"b\" \\ c\nd"));
        });
        assert!(text.contains("trades=0i,first_id=-1i,last_id=-1i,"), "{text}");
        assert!(text.contains(",volume=\"\",taker_buy_volume="), "{text}");
        assert!(text.contains("verified=false,difference=\"a \\\"b\\\" \\\\ c\\\\nd\" 17"), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
    }
}
