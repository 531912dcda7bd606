//! Trades as plain values, as the exchange lists them and as a store holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::influxd::{BUCKET, Influxd};
use tickflux::practice::Running;
use tickflux::trade::Trade;

/// What a trade is, by symbol and id.
pub type Trades = BTreeMap<(String, u64), (i64, String, String, bool)>;

/// Every trade that the exchange itself has.
pub fn exchanges_list(exchange: &Running) -> Trades {
    let lists = ["BTCUSDT", "ETHUSDT"].map(|symbol| exchange.trades(&symbol.parse().unwrap()));
    let entry = |trade: Trade| {
        let value = (trade.time.ms(), trade.price.to_string(), trade.quantity.to_string(), trade.buyer_is_maker);
        ((trade.symbol.to_string(), trade.id.get()), value)
    };
    lists.into_iter().flatten().map(entry).collect()
}

/// Every row of an SQLite store, read with plain SQL.
pub fn sqlite_trades(path: &Path) -> Trades {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement =
        connection.prepare("SELECT symbol, trade_id, time, price, quantity, buyer_is_maker FROM trade").unwrap();
    let rows = statement.query_map([], |row| {
        Ok(((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()), (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every point of a bucket, read with a plain query through the influx CLI.
pub fn influx_trades(influxd: &Influxd) -> Trades {
    let query = format!(
        "from(bucket: \"{BUCKET}\") |> range(start: -24h, stop: 1h) |> filter(fn: (r) => r._measurement == \"trade\") \
         |> pivot(rowKey: [\"_time\"], columnKey: [\"_field\"], valueColumn: \"_value\") |> group() \
         |> map(fn: (r) => ({{r with ns: int(v: r._time)}}))"
    );
    let csv = influxd.influx_ok(&["query", "--raw", &query]);
    let rows = tickflux::store::influx::flux_csv::rows(&without_annotations(&csv)).unwrap();
    let mut trades = Trades::new();
    for row in &rows {
        let text = |column| row.text(column).unwrap().to_owned();
        let (ns, id): (i64, u64) = (text("ns").parse().unwrap(), text("trade_id").parse().unwrap());
        assert_eq!(ns.unsigned_abs() % 1_000_000, id % 1_000_000, "the id is in the point's time");
        for (exact, float) in [("price", "price_float"), ("quantity", "quantity_float")] {
            assert_eq!(text(exact).parse::<f64>(), text(float).parse::<f64>(), "the database read the same number");
        }
        let value = (ns / 1_000_000, text("price"), text("quantity"), text("buyer_is_maker") == "true");
        assert!(trades.insert((text("symbol"), id), value).is_none(), "id {id} twice");
    }
    trades
}

/// The symbol and id of every point of a bucket; a point is there before the last of its fields is.
pub fn influx_ids(influxd: &Influxd) -> BTreeSet<(String, u64)> {
    let query = format!(
        "from(bucket: \"{BUCKET}\") |> range(start: -24h, stop: 1h) |> filter(fn: (r) => r._field == \"trade_id\") \
         |> keep(columns: [\"symbol\", \"_value\"])"
    );
    let csv = influxd.influx_ok(&["query", "--raw", &query]);
    let rows = tickflux::store::influx::flux_csv::rows(&without_annotations(&csv)).unwrap();
    let id = |row: &tickflux::store::influx::flux_csv::Row| row.text("_value").unwrap().parse().unwrap();
    rows.iter().map(|row| (row.text("symbol").unwrap().to_owned(), id(row))).collect()
}

/// The CSV without the lines that describe its columns.
pub fn without_annotations(csv: &str) -> String {
    csv.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}
