//! Trades as plain values, as the exchange lists them and as a store holds them.

use std::collections::BTreeMap;
use std::path::Path;

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
