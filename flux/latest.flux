import "array"
import "date"
import "regexp"
import "strings"

// ---- Parameters: one a line -------------------------------------------------
bucket = "ticks"
// [] is every symbol; ["BTCUSDT", "ETHUSDT"] is these two. The same for exchanges.
symbols = []
exchanges = []
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

millisecond = (t) => date.truncate(t: t, unit: 1ms)

// 1. The newest point of each series, as a line "exchange, symbol, time": it names the series' newest millisecond.
newest =
    from(bucket: bucket)
        |> range(start: oldest, stop: end)
        |> filter(fn: (r) => r._measurement == "trade" and r._field == "trade_id")
        |> filter(fn: (r) => r.exchange =~ exchangeMatch and r.symbol =~ symbolMatch)
        |> last()
        |> group()
        |> map(fn: (r) => ({line: r.exchange + "\n" + r.symbol + "\n" + string(v: r._time)}))
        |> findColumn(fn: (key) => true, column: "line")

// 2. All trades of that millisecond, because the last point is not the last trade where the id crosses a multiple of
//    1,000,000. Only the fields that are shown: each costs time.
trades = (exchange, symbol, start, stop) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "trade" and r.exchange == exchange and r.symbol == symbol)
        |> filter(
            fn: (r) =>
                r._field == "trade_id" or r._field == "price" or r._field == "quantity" or r._field == "buyer_is_maker",
        )
        |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")

newestMillisecond = (line) => {
    part = strings.split(v: line, t: "\n")
    start = millisecond(t: time(v: part[2]))

    return trades(exchange: part[0], symbol: part[1], start: start, stop: date.add(d: 1ms, to: start))
}

// union() wants at least two inputs, also when the bucket is empty. No tag holds a line break.
nothing = () => trades(exchange: "\n", symbol: "\n", start: oldest, stop: end)

union(
    tables: array.concat(
        arr: [nothing(), nothing()],
        v: array.map(arr: newest, fn: (x) => newestMillisecond(line: x)),
    ),
)
    |> group(columns: ["exchange", "symbol"])
    |> map(fn: (r) => ({r with time: millisecond(t: r._time)}))
    |> sort(columns: ["time", "trade_id"], desc: true)
    |> limit(n: 1)
    |> group()
    |> sort(columns: ["exchange", "symbol"])
    // map() orders its columns by name, so the names that order them come first and the true ones after it.
    |> map(
        fn: (r) =>
            ({
                c1: r.exchange,
                c2: r.symbol,
                c3: r.trade_id,
                c4: millisecond(t: r._time),
                c5: r.price,
                c6: r.quantity,
                c7: r.buyer_is_maker,
            }),
    )
    |> rename(
        columns: {
            c1: "exchange",
            c2: "symbol",
            c3: "trade_id",
            c4: "time",
            c5: "price",
            c6: "quantity",
            c7: "buyer_is_maker",
        },
    )
