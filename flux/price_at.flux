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
// 2026-11-23T12:00:00Z, or -5m for five minutes ago.
time = -1m
// true: the last trade up to the time, instead of the nearest.
as_of = false
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
next = (t) => date.add(d: 1ms, to: t)
earlier = (a, b) => if a < b then a else b
later = (a, b) => if a > b then a else b

// A trade counts as before the time up to here: as of a time, its own millisecond is part of the past.
at = millisecond(t: time)
border = if as_of then next(t: at) else at

// 1. The nearest point of each series on either side, as a line "exchange, symbol, time": the nearer one names the
//    millisecond. The ranges never leave the 24 h, and never are empty; the filters mend what that adds.
points = (start, stop) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "trade" and r._field == "trade_id")
        |> filter(fn: (r) => r.exchange =~ exchangeMatch and r.symbol =~ symbolMatch)

before =
    points(start: oldest, stop: later(a: earlier(a: border, b: end), b: next(t: oldest)))
        |> last()
        |> filter(fn: (r) => r._time < border)
after =
    points(start: earlier(a: later(a: at, b: oldest), b: date.sub(d: 1ms, from: end)), stop: end)
        |> first()
        |> filter(fn: (r) => not as_of and r._time >= at)

distance = (t) => (int(v: millisecond(t: t)) - int(v: at)) / 1000000

nearest =
    union(tables: [before, after])
        |> group(columns: ["exchange", "symbol"])
        |> map(
            fn: (r) => {
                d = distance(t: r._time)

                // At equal distance the earlier one.
                return {r with rank: if d < 0 then -2 * d else 2 * d + 1}
            },
        )
        |> sort(columns: ["rank"])
        |> limit(n: 1)
        |> group()
        |> map(fn: (r) => ({line: r.exchange + "\n" + r.symbol + "\n" + string(v: r._time)}))
        |> findColumn(fn: (key) => true, column: "line")

// 2. All trades of that millisecond, because the order of _time is not the order of the ids where an id crosses a
//    multiple of 1,000,000. Only the fields that are shown: each costs time.
trades = (exchange, symbol, start, stop) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "trade" and r.exchange == exchange and r.symbol == symbol)
        |> filter(
            fn: (r) =>
                r._field == "trade_id" or r._field == "price" or r._field == "quantity" or r._field == "buyer_is_maker",
        )
        |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")

nearestMillisecond = (line) => {
    part = strings.split(v: line, t: "\n")
    start = millisecond(t: universe.time(v: part[2]))

    return trades(exchange: part[0], symbol: part[1], start: start, stop: next(t: start))
}

// union() wants at least two inputs, also when there is no trade. No tag holds a line break.
nothing = () => trades(exchange: "\n", symbol: "\n", start: oldest, stop: end)

union(
    tables: array.concat(
        arr: [nothing(), nothing()],
        v: array.map(arr: nearest, fn: (x) => nearestMillisecond(line: x)),
    ),
)
    |> group(columns: ["exchange", "symbol"])
    // Before the border the highest id is the nearest, from there on the lowest.
    |> map(fn: (r) => ({r with order: if r._time < border then -r.trade_id else r.trade_id}))
    |> sort(columns: ["order"])
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
                c8: distance(t: r._time),
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
            c8: "distance_ms",
        },
    )
