import "array"
import "date"
import "regexp"
import "strings"
import "universe"

// ---- Parameters: one a line -------------------------------------------------
bucket = "ticks"
// [] is every symbol; ["BTCUSDT", "ETHUSDT"] is these two. The same for exchanges.
symbols = []
exchanges = []
// Any instant of the minute: 2026-11-23T12:00:00Z, or -1m for the last whole minute.
minute = -1m
// ---- End of parameters ------------------------------------------------------

// A regular expression, because the storage engine evaluates it; contains() would read every trade into Flux.
oneOf = (names) =>
    if length(arr: names) == 0 then
        /./
    else
        regexp.compile(
            v: "^(" + strings.joinStr(arr: array.map(arr: names, fn: (x) => regexp.quoteMeta(v: x)), v: "|") + ")$",
        )
symbolMatch = oneOf(names: symbols)
exchangeMatch = oneOf(names: exchanges)

// Only the last 24 h answer. The end lies ahead, because the exchange's clock may be ahead of the database's.
oldest = date.sub(d: 24h, from: date.truncate(t: now(), unit: 1ms))
end = date.add(d: 1h, to: now())

start = date.truncate(t: minute, unit: 1m)
stop = date.add(d: 1m, to: start)

// The part of the minute that may answer. An empty range would be an error: such a minute asks for a measurement
// that does not exist.
since = if start > oldest then start else oldest
until = if stop < end then stop else end
answerable = since < until
measurement = if answerable then "trade" else "no trade"

field = (name) =>
    from(bucket: bucket)
        |> range(start: since, stop: if answerable then until else date.add(d: 1ms, to: since))
        |> filter(fn: (r) => r._measurement == measurement and r._field == name)
        |> filter(fn: (r) => r.exchange =~ exchangeMatch and r.symbol =~ symbolMatch)

// 1. What the storage engine finds by itself, as a line
//    "exchange, symbol, trades, lowest id, highest id, highest price, lowest price" a series.
named = (tables=<-, name) =>
    tables
        |> set(key: "_field", value: name)
        |> keep(columns: ["exchange", "symbol", "_field", "_value"])

series =
    union(
        tables: [
            field(name: "trade_id") |> count() |> named(name: "trades"),
            field(name: "trade_id") |> min() |> named(name: "first_id"),
            field(name: "trade_id") |> max() |> named(name: "last_id"),
            field(name: "price_float") |> max() |> named(name: "high"),
            field(name: "price_float") |> min() |> named(name: "low"),
        ],
    )
        |> pivot(rowKey: ["exchange", "symbol"], columnKey: ["_field"], valueColumn: "_value")
        |> group()
        |> map(
            fn: (r) =>
                ({
                    line:
                        strings.joinStr(
                            arr: [
                                r.exchange,
                                r.symbol,
                                string(v: r.trades),
                                string(v: r.first_id),
                                string(v: r.last_id),
                                string(v: r.high),
                                string(v: r.low),
                            ],
                            v: "\n",
                        ),
                }),
        )
        |> findColumn(fn: (key) => true, column: "line")

// 2. Of the trades at an extreme price the one with the lowest id, as the same line and "side, time". The id follows
//    from _time, whose nanoseconds are T in ms * 1,000,000 + id mod 1,000,000, as long as the ids of the minute span
//    less than a million; where they do not (the exchange began to count anew) it is read.
extreme = (line, side) => {
    part = strings.split(v: line, t: "\n")
    exchange = part[0]
    symbol = part[1]
    lowest = int(v: part[3])
    highest = int(v: part[4])
    price = float(v: if side == "high" then part[5] else part[6])
    values = (name) =>
        field(name: name)
            |> filter(fn: (r) => r.exchange == exchange and r.symbol == symbol)
    points =
        if highest - lowest < 1000000 then
            values(name: "price_float")
                |> filter(fn: (r) => r._value == price)
                |> map(fn: (r) => ({_time: r._time, trade_id: lowest + (int(v: r._time) - lowest) % 1000000}))
        else
            union(tables: [values(name: "price_float"), values(name: "trade_id")])
                |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
                |> filter(fn: (r) => r.price_float == price)
                |> map(fn: (r) => ({_time: r._time, trade_id: r.trade_id}))

    return
        points
            |> group()
            |> min(column: "trade_id")
            |> map(fn: (r) => ({line: line + "\n" + side + "\n" + string(v: r._time)}))
}

// union() wants at least two inputs, also when there is no trade.
noLine = () => array.from(rows: [{line: ""}])

extremes =
    union(
        tables: array.concat(
            arr: [noLine(), noLine()],
            v: array.concat(
                arr: array.map(arr: series, fn: (x) => extreme(line: x, side: "high")),
                v: array.map(arr: series, fn: (x) => extreme(line: x, side: "low")),
            ),
        ),
    )
        |> filter(fn: (r) => r.line != "")
        |> findColumn(fn: (key) => true, column: "line")

// 3. Those trades. Only the fields that are shown: each costs time.
trades = (exchange, symbol, start, stop) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "trade" and r.exchange == exchange and r.symbol == symbol)
        |> filter(
            fn: (r) =>
                r._field == "trade_id" or r._field == "price" or r._field == "quantity" or r._field == "buyer_is_maker",
        )
        |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")


side = (name) => {
    wanted = array.filter(arr: extremes, fn: (x) => strings.split(v: x, t: "\n")[7] == name)

    // No tag holds a line break.
    none = () => trades(exchange: "\n", symbol: "\n", start: oldest, stop: end)
    trade = (line) => {
        part = strings.split(v: line, t: "\n")
        at = universe.time(v: part[8])
        count = int(v: part[2])

        return
            trades(exchange: part[0], symbol: part[1], start: at, stop: date.add(d: 1ns, to: at))
                |> map(fn: (r) => ({r with trades: count, missing: int(v: part[4]) - int(v: part[3]) + 1 - count}))
    }

    return
        union(
            tables: array.concat(
                arr: [none(), none()],
                v: array.map(arr: wanted, fn: (x) => trade(line: x)),
            ),
        )
            |> group()
}

join(tables: {high: side(name: "high"), low: side(name: "low")}, on: ["exchange", "symbol"])
    |> sort(columns: ["exchange", "symbol"])
    // map() orders its columns by name, so the names that order them come first and the true ones after it.
    |> map(
        fn: (r) =>
            ({
                c01: r.exchange,
                c02: r.symbol,
                c03: start,
                c04: r.trades_high,
                c05: r.missing_high,
                c06: now() < stop,
                c07: r.trade_id_high,
                c08: date.truncate(t: r._time_high, unit: 1ms),
                c09: r.price_high,
                c10: r.quantity_high,
                c11: r.buyer_is_maker_high,
                c12: r.trade_id_low,
                c13: date.truncate(t: r._time_low, unit: 1ms),
                c14: r.price_low,
                c15: r.quantity_low,
                c16: r.buyer_is_maker_low,
            }),
    )
    |> rename(
        columns: {
            c01: "exchange",
            c02: "symbol",
            c03: "minute",
            c04: "trades",
            c05: "missing",
            c06: "open",
            c07: "high_trade_id",
            c08: "high_time",
            c09: "high_price",
            c10: "high_quantity",
            c11: "high_buyer_is_maker",
            c12: "low_trade_id",
            c13: "low_time",
            c14: "low_price",
            c15: "low_quantity",
            c16: "low_buyer_is_maker",
        },
    )
