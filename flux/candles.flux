// What did the price do? Candles for drawing: open, high, low, close and volume of each minute, or of another interval.
//
//     influx query --file flux/candles.flux
//
// runs it as it is, and so does the Data Explorer's script editor ("View Raw Data").
//
// Parameters:
//   bucket      the bucket
//   symbols     the symbols that answer; [] is every one in the bucket
//   exchanges   the exchanges that answer; [] is every one in the bucket
//   since       how far back, a time or a duration before now: the candle that holds it is the first
//   every       the length of a candle, 1s to 24h; candles begin at multiples of it since 1970, UTC
//
// Columns: time is the candle's begin; open and close are the prices of the smallest and the largest (T, trade_id);
// volume is the sum of the quantities; trades is their number. Floats: the exact texts are the trades'. A candle
// without a trade is left out, and so are trades older than 24 hours: the oldest candle may be a part of one.
//
//        exchange:string           symbol:string                       time:time                    open:float                    high:float                     low:float                   close:float                  volume:float                  trades:int
// ----------------------  ----------------------  ------------------------------  ----------------------------  ----------------------------  ----------------------------  ----------------------------  ----------------------------  --------------------------
//               practice                 BTCUSDT  2026-11-25T08:20:00.000000000Z                      87000.18                      87000.18                      86996.76                      86998.06            28.137419999999956                        2442
//               practice                 BTCUSDT  2026-11-25T08:21:00.000000000Z                      86998.06                      87000.66                      86997.09                      87000.57            1.0545599999999995                         795
//               practice                 ETHUSDT  2026-11-25T08:20:00.000000000Z                       2899.12                       2899.21                       2893.94                       2894.42             11.56186999999992                        2441
//               practice                 ETHUSDT  2026-11-25T08:21:00.000000000Z                        2894.4                       2896.37                       2894.13                       2896.37             1.014609999999999                         549

import "array"
import "date"
import "regexp"
import "strings"

// ---- Parameters: one a line -------------------------------------------------
bucket = "ticks"
// [] is every symbol; ["BTCUSDT", "ETHUSDT"] is these two. The same for exchanges.
symbols = []
exchanges = []
// How far back: -1h, or 2026-11-23T12:00:00Z; at most 24 h.
since = -1h
// How long a candle is: 1s, 5m, 1h.
every = 1m
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
asked = date.truncate(t: since, unit: every)
start = if asked > oldest then asked else oldest
begin = date.truncate(t: start, unit: every)
end = date.add(d: 1h, to: now())

// One value of every candle, counted by the storage engine. Each call is a source of its own: a source that several
// branches use is pushed down only so. Windows are named by their start; the first one's may be that of the range.
windows = (field, fn, name) =>
    from(bucket: bucket)
        |> range(start: start, stop: end)
        |> filter(fn: (r) => r._measurement == "trade" and r._field == field)
        |> filter(fn: (r) => r.exchange =~ exchangeMatch and r.symbol =~ symbolMatch)
        |> aggregateWindow(every: every, fn: fn, timeSrc: "_start", createEmpty: false)
        |> set(key: "_field", value: name)
        |> keep(columns: ["exchange", "symbol", "_time", "_field", "_value"])

byCandle = (tables=<-) =>
    tables |> pivot(rowKey: ["exchange", "symbol", "_time"], columnKey: ["_field"], valueColumn: "_value")

// 1. Inside a millisecond the order of _time is that of the ids, except where an id crosses a multiple of 1,000,000.
//    The few candles with such an id, as a line "exchange, symbol, start, end": their first and last point may not be
//    their first and last trade.
crossing =
    union(
        tables: [
            windows(field: "trade_id", fn: min, name: "lowest"),
            windows(field: "trade_id", fn: max, name: "highest"),
        ],
    )
        |> byCandle()
        |> filter(fn: (r) => r.lowest / 1000000 != r.highest / 1000000)
        |> group()
        |> map(
            fn: (r) => {
                stop = date.add(d: every, to: date.truncate(t: r._time, unit: every))
                until = if stop < end then stop else end

                return {
                    line:
                        strings.joinStr(
                            arr: [r.exchange, r.symbol, string(v: r._time), string(v: until)],
                            v: "\n",
                        ),
                }
            },
        )
        |> findColumn(fn: (key) => true, column: "line")

points = (exchange, symbol, start, stop) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "trade" and r.exchange == exchange and r.symbol == symbol)

// 2. The first and the last point of those, as the same line and "side, time": each names a millisecond.
edgesOf = (line) => {
    part = strings.split(v: line, t: "\n")
    ids = () =>
        points(exchange: part[0], symbol: part[1], start: time(v: part[2]), stop: time(v: part[3]))
            |> filter(fn: (r) => r._field == "trade_id")
    named = (tables=<-, side) =>
        tables
            |> map(fn: (r) => ({line: strings.joinStr(arr: [line, side, string(v: r._time)], v: "\n")}))

    return union(tables: [ids() |> first() |> named(side: "open"), ids() |> last() |> named(side: "close")])
}

// union() wants at least two inputs, also when nothing crosses.
noLine = () => array.from(rows: [{line: ""}])

edges =
    union(
        tables: array.concat(
            arr: [noLine(), noLine()],
            v: array.map(arr: crossing, fn: (x) => edgesOf(line: x)),
        ),
    )
        |> filter(fn: (r) => r.line != "")
        |> findColumn(fn: (key) => true, column: "line")

// 3. Of all trades of such a millisecond the one with the lowest or the highest id: the true open or close.
trueEdge = (line) => {
    part = strings.split(v: line, t: "\n")
    candle = time(v: part[2])
    start = date.truncate(t: time(v: part[5]), unit: 1ms)

    return
        points(exchange: part[0], symbol: part[1], start: start, stop: date.add(d: 1ms, to: start))
            |> filter(fn: (r) => r._field == "trade_id" or r._field == "price_float")
            |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
            // A point that is being written this moment may show only some of its fields.
            |> filter(fn: (r) => exists r.trade_id and exists r.price_float)
            |> sort(columns: ["trade_id"], desc: part[4] == "close")
            |> limit(n: 1)
            |> map(fn: (r) => ({r with _time: candle, _field: "true_" + part[4], _value: r.price_float}))
            |> group(columns: ["exchange", "symbol", "_field"])
            |> keep(columns: ["exchange", "symbol", "_time", "_field", "_value"])
}

// 4. The candles.
union(
    tables: array.concat(
        arr: [
            windows(field: "price_float", fn: first, name: "open"),
            windows(field: "price_float", fn: max, name: "high"),
            windows(field: "price_float", fn: min, name: "low"),
            windows(field: "price_float", fn: last, name: "close"),
            windows(field: "quantity_float", fn: sum, name: "volume"),
            windows(field: "trade_id", fn: count, name: "trades"),
        ],
        v: array.map(arr: edges, fn: (x) => trueEdge(line: x)),
    ),
)
    |> byCandle()
    // A point that is being written this moment may show only some of its fields.
    |> filter(fn: (r) => exists r.open and exists r.high and exists r.low and exists r.close)
    |> filter(fn: (r) => exists r.volume and exists r.trades)
    |> group()
    |> sort(columns: ["exchange", "symbol", "_time"])
    // map() orders its columns by name, so the names that order them come first and the true ones after it.
    |> map(
        fn: (r) =>
            ({
                c1: r.exchange,
                c2: r.symbol,
                c3: if r._time == start then begin else r._time,
                c4: if exists r.true_open then r.true_open else r.open,
                // The newest trade may have been written between the branches.
                c5: if r.high < r.close then r.close else r.high,
                c6: if r.low > r.close then r.close else r.low,
                c7: if exists r.true_close then r.true_close else r.close,
                c8: r.volume,
                c9: r.trades,
            }),
    )
    |> rename(
        columns: {
            c1: "exchange",
            c2: "symbol",
            c3: "time",
            c4: "open",
            c5: "high",
            c6: "low",
            c7: "close",
            c8: "volume",
            c9: "trades",
        },
    )
