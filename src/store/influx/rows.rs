//! Every trade of some minutes, a row each, by InfluxQL: it takes the database a quarter of what Flux does, and this program a
//! sixth, for a row is a whole point (docs/performance.md).
//!
//! It is less strict than Flux: it takes a point without floats for a trade, and may leave out an hour in which another program
//! wrote a field with another type. So it can only say that a minute agrees with the exchange's candle; to tell that
//! one does not, its trades are read as everywhere else.

use bytes::{Buf as _, BytesMut};
use memchr::{memchr, memchr_iter};

use super::Influx;
use super::influxql::is_in;
use crate::store::minutes::{Minute, MinuteSums, Part};
use crate::store::{Bounds, Scope};
use crate::text::exactly;
use crate::trade::{Exchange, Price, Symbol, TradeId, TradeTime, is_decimal_text};

/// The columns of an answer.
const HEADER: &[u8] = b"name,tags,time,trade_id,price,quantity,buyer_is_maker";
/// A row has some 110 bytes.
const LINE_BYTES_MAX: usize = 1 << 10;

impl Influx {
    /// The minutes of a series from `since` up to `until`, as its rows add up; `None` if they are not told, or not as plain rows of
    /// trades in their order.
    pub(super) async fn ask_rows(
        &self,
        series: (&Exchange, &Symbol),
        since: TradeTime,
        until: TradeTime,
    ) -> Option<Vec<Minute>> {
        let (from, until) = Bounds::at((self.clock)()).within(since, Some(until));
        let is_in = is_in(&Scope::of(series), TradeTime::from_ms(from).ok()?, TradeTime::from_ms(until).ok()?);
        // With every tag in a column a series with another one shows itself.
        let statement = format!("SELECT trade_id, price, quantity, buyer_is_maker FROM trade WHERE {is_in} GROUP BY *");
        let mut reply = self.influxql(&statement, &[("epoch", "ns"), ("chunked", "true")], "application/csv").await?;
        let mut rows = Rows::new(series);
        while let Some(chunk) = reply.chunk().await.ok()? {
            rows.take(&chunk)?;
        }
        rows.finish(series)
    }
}

/// Adds up the rows of an answer as it comes.
#[derive(Debug)]
struct Rows {
    /// How the row of a trade begins.
    begin: Vec<u8>,
    /// A row whose end has not come yet.
    rest: BytesMut,
    newest: TradeTime,
    sums: MinuteSums,
}

impl Rows {
    fn new((exchange, symbol): (&Exchange, &Symbol)) -> Self {
        let begin = format!("trade,\"exchange={exchange},symbol={symbol}\",").into_bytes();
        Self { begin, rest: BytesMut::new(), newest: TradeTime::EPOCH, sums: MinuteSums::default() }
    }

    /// `None` if that is no such answer.
    fn take(&mut self, mut chunk: &[u8]) -> Option<()> {
        if !self.rest.is_empty() {
            let end = memchr(b'\n', chunk).map_or(chunk.len(), |at| at + 1);
            self.rest.extend_from_slice(&chunk[..end]);
            chunk.advance(end);
            if self.rest.ends_with(b"\n") {
                let line = self.rest.split();
                self.line(&line[..line.len() - 1])?;
            }
        }
        let mut begin = 0;
        for end in memchr_iter(b'\n', chunk) {
            self.line(&chunk[begin..end])?;
            begin = end + 1;
        }
        self.rest.extend_from_slice(&chunk[begin..]);
        (self.rest.len() <= LINE_BYTES_MAX).then_some(())
    }

    fn line(&mut self, line: &[u8]) -> Option<()> {
        let Some(values) = line.strip_prefix(self.begin.as_slice()) else {
            return (line == HEADER).then_some(());
        };
        // A text in quotes is no price.
        let [time, id, price, quantity, maker] = exactly(std::str::from_utf8(values).ok()?.split(','))?;
        let time = TradeTime::from_point_time_ns(time.parse().ok()?).ok()?;
        let id = TradeId::new(id.parse().ok()?).ok()?;
        let (price, buyer_is_maker) = (Price::new(price).ok()?, maker.parse().ok()?);
        if time < self.newest || !is_decimal_text(quantity.as_bytes()) {
            return None;
        }
        self.newest = time;
        self.sums.add(time, Part { id, price, quantity: quantity.as_bytes(), buyer_is_maker });
        Some(())
    }

    fn finish(self, (exchange, symbol): (&Exchange, &Symbol)) -> Option<Vec<Minute>> {
        self.rest.is_empty().then(|| self.sums.finish(exchange, symbol))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::minutes::Account;
    use crate::trade::MINUTE_MS;

    const ROW: &str = "trade,\"exchange=practice,symbol=BTCUSDT\",";

    fn minutes(answer: &[u8], chunk: usize) -> Option<Vec<Minute>> {
        let (exchange, symbol) = ("practice".parse().unwrap(), "BTCUSDT".parse().unwrap());
        let mut rows = Rows::new((&exchange, &symbol));
        answer.chunks(chunk).try_for_each(|chunk| rows.take(chunk))?;
        rows.finish((&exchange, &symbol))
    }

    fn answer(rows: &[&str]) -> String {
        let rows = rows.iter().map(|row| format!("{ROW}{row}\n"));
        std::iter::once(format!("{}\n", std::str::from_utf8(HEADER).unwrap())).chain(rows).collect()
    }

    const ROWS: [&str; 4] = [
        "59999000007,7,87000.72000000,0.00014000,false",
        "60000000008,8,87000.74,0.01431000,true",
        "60000000009,9,87000.70000000,2,false",
        "121000000010,10,87000.71,1,true",
    ];

    #[test]
    fn rows_are_added_up_wherever_the_answer_is_cut() {
        let answer = answer(&ROWS);
        for chunk in 1..=answer.len() {
            let minutes = minutes(answer.as_bytes(), chunk).unwrap();
            let found: Vec<_> = minutes
                .iter()
                .map(|Minute { start, trades, ids, account, .. }| {
                    let Account::Exact(account) = account else { panic!("{account:?}") };
                    (start.ms() / MINUTE_MS, *trades, ids.first, ids.last, account.volume.unwrap().to_string())
                })
                .collect();
            let volume = |text: &str| text.to_owned();
            let expected = [
                (0, 1, 7, 7, volume("0.00014000")),
                (1, 2, 8, 9, volume("2.01431000")),
                (2, 1, 10, 10, volume("1.00000000")),
            ];
            assert_eq!(found, expected, "{chunk}");
        }
    }

    #[test]
    fn nothing_is_no_trade() {
        assert_eq!(minutes(b"", 9), Some(vec![]));
        assert_eq!(minutes(answer(&[]).as_bytes(), 9), Some(vec![]));
    }

    #[test]
    fn what_is_no_plain_row_in_its_place_is_no_answer() {
        let with = |row: &str| answer(&[ROWS[0], row]);
        let whole = answer(&ROWS);
        for text in [
            "error\ntimeout\n".to_owned(),
            "<html>\n".to_owned(),
            "x".repeat(2 * LINE_BYTES_MAX),
            whole[..whole.len() - 1].to_owned(),
            whole.replace("\",12", ",venue=x\",12"),
            whole.replace("practice", "binance"),
            format!("{whole}error\nquery aborted\n"),
            with("59998000006,6,1,1,true"),
            with("60000000008,8,1,1"),
            with("60000000008,8,1,1,true,"),
            with("60000000008,8,,1,true"),
            with("60000000008,8,1,,true"),
            with("60000000008,,1,1,true"),
            with("60000000008,8,1,1,"),
            with("60000000008,8,\"1,5\",1,true"),
            with("60000000008,8,0,1,true"),
            with("60000000008,8,1,-1,true"),
            with("60000000008,-8,1,1,true"),
            with("60000000008,8.0,1,1,true"),
        ] {
            assert_eq!(minutes(text.as_bytes(), 7), None, "{text}");
        }
    }
}
