//! Trades as plain values, as the exchange lists them and as a store holds them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::influxd::{BUCKET, Influxd};
use super::process::wait_until;
use tickflux::practice::Running;
use tickflux::trade::Trade;

/// What a trade is, by symbol and id.
pub type Trades = BTreeMap<(String, u64), (i64, String, String, bool)>;

/// Every trade of BTCUSDT and ETHUSDT that the exchange itself has.
pub fn exchanges_list(exchange: &Running) -> Trades {
    ["BTCUSDT", "ETHUSDT"].into_iter().flat_map(|symbol| trades_of(exchange, symbol)).collect()
}

/// Every trade of a symbol that the exchange itself has.
pub fn trades_of(exchange: &Running, symbol: &str) -> Trades {
    let entry = |trade: Trade| {
        let value = (trade.time.ms(), trade.price.to_string(), trade.quantity.to_string(), trade.buyer_is_maker);
        ((trade.symbol.to_string(), trade.id.get()), value)
    };
    exchange.trades(&symbol.parse().unwrap()).into_iter().map(entry).collect()
}

/// Every row of an SQLite store, read with plain SQL; none where a capture has made no file or no table yet.
pub fn sqlite_trades(path: &Path) -> Trades {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let Ok(connection) = rusqlite::Connection::open_with_flags(path, flags) else { return Trades::new() };
    let table = "SELECT count(*) FROM sqlite_schema WHERE name = 'trade'";
    if connection.query_row(table, [], |row| row.get::<_, i64>(0)).unwrap() == 0 {
        return Trades::new();
    }
    let mut statement =
        connection.prepare("SELECT symbol, trade_id, time, price, quantity, buyer_is_maker FROM trade").unwrap();
    let rows = statement.query_map([], |row| {
        Ok(((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()), (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Waits until a capture has stored a trade there: one that is ended before says that it got none.
pub fn wait_for_a_trade(path: &Path) {
    wait_until("a trade is stored", || !sqlite_trades(path).is_empty());
}

/// Every point of a bucket, read with a plain query through the influx CLI.
pub fn influx_trades(influxd: &Influxd) -> Trades {
    let query = format!(
        "from(bucket: \"{BUCKET}\") |> range(start: -24h, stop: 1h) |> filter(fn: (r) => r._measurement == \"trade\") \
         |> pivot(rowKey: [\"_time\"], columnKey: [\"_field\"], valueColumn: \"_value\") |> group() \
         |> map(fn: (r) => ({{r with ns: int(v: r._time)}}))"
    );
    let csv = influxd.influx_ok(&["query", "--raw", &query]);
    let mut trades = Trades::new();
    for row in &rows(&csv) {
        let text = |column: &str| row[column].to_owned();
        let (ns, id): (i64, u64) = (text("ns").parse().unwrap(), text("trade_id").parse().unwrap());
        assert_eq!(ns.unsigned_abs() % 1_000_000, id % 1_000_000, "the id is in the point's time");
        for (exact, float) in [("price", "price_float"), ("quantity", "quantity_float")] {
            assert_eq!(text(exact).parse::<f64>(), text(float).parse::<f64>(), "the database read the same number");
        }
        let value = (ns / 1_000_000, text("price"), text("quantity"), row["buyer_is_maker"].parse().unwrap());
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
    rows(&csv).iter().map(|row| (row["symbol"].clone(), row["_value"].parse().unwrap())).collect()
}

/// The rows of an answer by their columns' names; shares no code with tickflux.
fn rows(csv: &str) -> Vec<HashMap<&'static str, String>> {
    const COLUMNS: [&str; 9] =
        ["symbol", "trade_id", "ns", "price", "price_float", "quantity", "quantity_float", "buyer_is_maker", "_value"];
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).comment(Some(b'#')).from_reader(csv.as_bytes());
    let (mut places, mut rows) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.unwrap();
        if record.get(1) == Some("result") {
            // Every table begins with its names.
            let place = |name: &'static str| Some((name, record.iter().position(|column| column == name)?));
            places = COLUMNS.into_iter().filter_map(place).collect();
            continue;
        }
        assert!(!places.is_empty(), "no table: {record:?}");
        rows.push(places.iter().map(|(name, at)| (*name, record[*at].to_owned())).collect());
    }
    rows
}

/// The CSV without the lines that describe its columns.
pub fn without_annotations(csv: &str) -> String {
    csv.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}
