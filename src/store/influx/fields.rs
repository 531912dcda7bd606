//! Trades from the fields of their points, each a row: InfluxDB makes rows of whole points ten times as slowly.

use chrono::DateTime;

use super::flux_csv::{FluxCsvError, Row};
use crate::store::StoredTrade;
use crate::trade::{Exchange, Price, Quantity, Symbol, Trade, TradeId, TradeTime};

/// A point's time in nanoseconds.
type PointTime = i64;

/// The fields of the points of a stretch of time.
#[derive(Debug, Default)]
pub(super) struct Fields {
    series: Vec<((Exchange, Symbol), Columns)>,
    /// Whose the row before was: a table has many of the same.
    newest: usize,
}

/// What a point may have of each field, by its time.
#[derive(Debug, Default)]
struct Columns {
    trade_id: Column<TradeId>,
    price: Column<Price>,
    quantity: Column<Quantity>,
    buyer_is_maker: Column<bool>,
    /// That there is a float above zero is all that is wanted of it.
    price_float: Column<()>,
    quantity_float: Column<()>,
}

impl Fields {
    /// Takes a row; `most` of a field and `most` series at most.
    ///
    /// # Errors
    ///
    /// [`FluxCsvError::Rows`] past that; else if it is no such row.
    pub(super) fn take(&mut self, row: &Row, most: usize) -> Result<(), FluxCsvError> {
        let columns = self.columns(row, most)?;
        let at = row.value("_time", |text| DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt())?;
        let value = row.text("_value")?;
        let above_zero = || value.parse::<f64>().ok().filter(|float| *float > 0.0).map(drop);
        // What has not the value of a trade is as good as absent.
        let count = match row.text("_field")? {
            "trade_id" => columns.trade_id.push(at, value.parse().ok().and_then(|id| TradeId::new(id).ok())),
            "price" => columns.price.push(at, Price::new(value).ok()),
            "quantity" => columns.quantity.push(at, Quantity::new(value).ok()),
            "buyer_is_maker" => columns.buyer_is_maker.push(at, value.parse().ok()),
            "price_float" => columns.price_float.push(at, above_zero()),
            "quantity_float" => columns.quantity_float.push(at, above_zero()),
            _ => 0,
        };
        if count > most { Err(FluxCsvError::Rows(most)) } else { Ok(()) }
    }

    fn columns(&mut self, row: &Row, most: usize) -> Result<&mut Columns, FluxCsvError> {
        let names = (row.text("exchange")?, row.text("symbol")?);
        let is_same = |((exchange, symbol), _): &((Exchange, Symbol), _)| (exchange.as_str(), symbol.as_str()) == names;
        if !self.series.get(self.newest).is_some_and(is_same) {
            self.newest = match self.series.iter().position(is_same) {
                Some(at) => at,
                None if self.series.len() == most => return Err(FluxCsvError::Rows(most)),
                None => {
                    let symbol = row.value("symbol", |text| text.parse().ok())?;
                    self.series.push(((row.value("exchange", |text| text.parse().ok())?, symbol), Columns::default()));
                    self.series.len() - 1
                }
            };
        }
        Ok(&mut self.series[self.newest].1)
    }

    /// The points that have every field, by (exchange, symbol), then by (T, id).
    pub(super) fn trades(mut self) -> Vec<StoredTrade> {
        self.series.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut all = Vec::new();
        for ((exchange, symbol), columns) in self.series {
            let begin = all.len();
            all.extend(columns.trades(&symbol).map(|trade| StoredTrade { exchange: exchange.clone(), trade }));
            // Inside a millisecond the order of points is not that of ids where an id crosses a multiple of 1,000,000.
            all[begin..].sort_by_key(|stored| (stored.trade.time, stored.trade.id));
        }
        all
    }
}

impl Columns {
    fn trades(self, symbol: &Symbol) -> impl Iterator<Item = Trade> {
        let ids = self.trade_id.sorted();
        let (mut prices, mut quantities) = (self.price.sorted(), self.quantity.sorted());
        let (mut makers, mut floats) =
            (self.buyer_is_maker.sorted(), (self.price_float.sorted(), self.quantity_float.sorted()));
        ids.0.filter_map(move |(at, id)| {
            // Each is moved on, whether the point has it or not.
            let (price, quantity, buyer_is_maker) = (prices.at(at), quantities.at(at), makers.at(at));
            let floats = (floats.0.at(at), floats.1.at(at));
            floats.0.zip(floats.1)?;
            let (symbol, time) = (symbol.clone(), TradeTime::from_point_time_ns(at).ok()?);
            Some(Trade { symbol, id, time, price: price?, quantity: quantity?, buyer_is_maker: buyer_is_maker? })
        })
    }
}

/// The values of a field.
#[derive(Debug)]
struct Column<V>(Vec<(PointTime, V)>);

impl<V> Default for Column<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// The same in the order of time, taken from the begin on.
#[derive(Debug)]
struct Sorted<V>(std::iter::Peekable<std::vec::IntoIter<(PointTime, V)>>);

impl<V> Column<V> {
    /// How many there are with it.
    fn push(&mut self, at: PointTime, value: Option<V>) -> usize {
        self.0.extend(value.map(|value| (at, value)));
        self.0.len()
    }

    fn sorted(mut self) -> Sorted<V> {
        self.0.sort_by_key(|(at, _)| *at);
        Sorted(self.0.into_iter().peekable())
    }
}

impl<V> Sorted<V> {
    /// The value of the point at this time, which is later than the one before.
    fn at(&mut self, at: PointTime) -> Option<V> {
        while self.0.next_if(|(other, _)| *other < at).is_some() {}
        self.0.next_if(|(other, _)| *other == at).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::influx::flux_csv::rows;

    fn trades(lines: &[&str]) -> Vec<(String, i64, u64, String, String, bool)> {
        let head = ",result,table,_field,_time,_value,exchange,symbol\n";
        let lines = lines.iter().map(|line| format!(",_result,0,{line}\n")).collect::<String>();
        let mut fields = Fields::default();
        rows(&format!("{head}{lines}")).unwrap().iter().for_each(|row| fields.take(row, 99).unwrap());
        let plain = |stored: StoredTrade| {
            let (Trade { symbol, id, time, price, quantity, buyer_is_maker }, exchange) =
                (stored.trade, stored.exchange);
            (
                format!("{exchange} {symbol}"),
                time.ms(),
                id.get(),
                price.to_string(),
                quantity.to_string(),
                buyer_is_maker,
            )
        };
        fields.trades().into_iter().map(plain).collect()
    }

    /// The six lines of a point.
    fn point(series: &str, time: &str, id: &str, price: &str, quantity: &str) -> Vec<String> {
        let (exchange, symbol) = series.split_once(' ').unwrap();
        let fields = [
            ("buyer_is_maker", "true"),
            ("price", price),
            ("price_float", price),
            ("quantity", quantity),
            ("quantity_float", quantity),
            ("trade_id", id),
        ];
        fields.map(|(field, value)| format!("{field},{time},{value},{exchange},{symbol}")).to_vec()
    }

    #[test]
    fn fields_in_any_order_are_trades_by_series_time_and_id() {
        let mut lines = [
            point("b X", "2026-01-01T00:00:00.000000007Z", "7", "1.50", "2.0"),
            point("a Y", "2026-01-01T00:00:00.001000000Z", "2000000", "1.50", "2.0"),
            point("a Y", "2026-01-01T00:00:00.001999999Z", "1999999", "1.60", "0.10"),
            point("a X", "2026-01-01T00:00:00Z", "3000000", "1.50", "2.0"),
        ]
        .concat();
        fastrand::Rng::with_seed(3).shuffle(&mut lines);
        let ms = 1_767_225_600_000;
        let trade = |series: &str, ms, id, price: &str, quantity: &str| {
            (series.to_owned(), ms, id, price.to_owned(), quantity.to_owned(), true)
        };
        let expected = [
            trade("a X", ms, 3_000_000, "1.50", "2.0"),
            trade("a Y", ms + 1, 1_999_999, "1.60", "0.10"),
            trade("a Y", ms + 1, 2_000_000, "1.50", "2.0"),
            trade("b X", ms, 7, "1.50", "2.0"),
        ];
        assert_eq!(trades(&lines.iter().map(String::as_str).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_point_without_a_field_or_with_another_value_is_no_trade() {
        let times =
            ["2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:00.000000002Z", "2026-01-01T00:00:00.000000003Z"];
        let points = times.map(|time| point("a X", time, &time[28..29], "1.50", "2.0"));
        for left_out in 0..6 {
            let mut points = points.clone();
            points[1].remove(left_out);
            let lines = points.concat();
            let found = trades(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.iter().map(|trade| trade.2).collect::<Vec<_>>(), [1, 3], "{left_out}");
        }
        let values = [(0, "maybe"), (1, "1e5"), (1, "0.00"), (2, "-1.5"), (3, ""), (4, "0"), (5, "-5"), (5, "1.5")];
        for (field, value) in values {
            let mut points = points.clone();
            let line = points[1][field].clone();
            let mut parts: Vec<_> = line.split(',').collect();
            parts[2] = value;
            points[1][field] = parts.join(",");
            let lines = points.concat();
            let found = trades(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.iter().map(|trade| trade.2).collect::<Vec<_>>(), [1, 3], "{field} {value}");
        }
    }

    #[test]
    fn there_is_a_limit() {
        let answer = ",result,table,_field,_time,_value,exchange,symbol\n,_result,0,price,2026-01-01T00:00:00Z,1,a,X\n";
        let (row, mut fields) = (rows(answer).unwrap().remove(0), Fields::default());
        assert!((0..5).all(|_| fields.take(&row, 5).is_ok()));
        assert!(matches!(fields.take(&row, 5), Err(FluxCsvError::Rows(5))));
    }
}
