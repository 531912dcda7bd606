// Which trades are missing: the minutes whose trade ids are not whole, or do not follow the minute before.
//
// A symbol's trade ids rise by one, so a minute is whole when last_id - first_id + 1 = trades and the ids add up to
// what such a run adds up to; `missing` counts ids that are absent inside the minute, `missing_before` those between
// it and the last minute with a trade. No row: nothing is missing. The ids themselves: tickflux gaps.
//
// Result: _result
// Table: keys: []
//   exchange  symbol   minute                          trades  first_id    last_id     missing  missing_before  whole
//   practice  BTCUSDT  2026-11-23T16:41:00.000000000Z  1867    6327999840  6328001708  2        0               false

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
since = -24h
// true: every minute, not only those where something is missing.
all = false
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

// Only the last 24 h count. The end lies ahead, because the exchange's clock may be ahead of the database's.
oldest = date.sub(d: 24h, from: date.truncate(t: now(), unit: 1ms))
asked = date.truncate(t: since, unit: 1ms)
start = if asked > oldest then asked else oldest
end = date.add(d: 1h, to: now())

// A function, because a source that several branches use is pushed down only so.
ids = () =>
    from(bucket: bucket)
        |> range(start: start, stop: end)
        |> filter(fn: (r) => r._measurement == "trade" and r._field == "trade_id")
        |> filter(fn: (r) => r.exchange =~ exchangeMatch and r.symbol =~ symbolMatch)

named = (tables=<-, name) =>
    tables
        |> set(key: "_field", value: name)
        |> keep(columns: ["exchange", "symbol", "_time", "_field", "_value"])

// Windows are named by their start. 60,000 ids of ten digits a minute add up to far less than 64 bits hold.
union(
    tables: [
        ids() |> aggregateWindow(every: 1m, fn: count, timeSrc: "_start", createEmpty: false) |> named(name: "trades"),
        ids() |> aggregateWindow(every: 1m, fn: min, timeSrc: "_start", createEmpty: false) |> named(name: "first_id"),
        ids() |> aggregateWindow(every: 1m, fn: max, timeSrc: "_start", createEmpty: false) |> named(name: "last_id"),
        ids() |> aggregateWindow(every: 1m, fn: sum, timeSrc: "_start", createEmpty: false) |> named(name: "sum"),
    ],
)
    |> pivot(rowKey: ["exchange", "symbol", "_time"], columnKey: ["_field"], valueColumn: "_value")
    |> group(columns: ["exchange", "symbol"])
    |> sort(columns: ["_time"])
    |> duplicate(column: "last_id", as: "step")
    |> difference(columns: ["step"], keepFirst: true)
    |> map(
        fn: (r) => {
            span = r.last_id - r.first_id + 1

            return {r with
                missing: span - r.trades,
                missing_before: if exists r.step then r.step - span else 0,
                whole: span == r.trades and 2 * r.sum == (r.first_id + r.last_id) * r.trades,
            }
        },
    )
    |> filter(fn: (r) => all or not r.whole or r.missing_before != 0)
    |> group()
    |> sort(columns: ["exchange", "symbol", "_time"])
    // map() orders its columns by name, so the names that order them come first and the true ones after it.
    |> map(
        fn: (r) =>
            ({
                c1: r.exchange,
                c2: r.symbol,
                c3: date.truncate(t: r._time, unit: 1m),
                c4: r.trades,
                c5: r.first_id,
                c6: r.last_id,
                c7: r.missing,
                c8: r.missing_before,
                c9: r.whole,
            }),
    )
    |> rename(
        columns: {
            c1: "exchange",
            c2: "symbol",
            c3: "minute",
            c4: "trades",
            c5: "first_id",
            c6: "last_id",
            c7: "missing",
            c8: "missing_before",
            c9: "whole",
        },
    )
