// What is the latest price? One row for each exchange and symbol: its newest trade of the last 24 hours.
//
// Run it as it is: influx query --file flux/latest.flux, or in the script editor with "View Raw Data", or with graph = true.

import "array"
import "date"
import "experimental"
import "generate"
import "regexp"
import "strings"
import "types"

// The function, before a parameter takes its name.
toTime = time

// ---- Parameters: one a line -------------------------------------------------
bucket = "ticks"
// [] is every symbol; ["BTCUSDT", "ETHUSDT"] is these two. The same for exchanges.
symbols = []
exchanges = []
// true: _time and _value, for a graph or a single stat.
graph = false
// ---- End of parameters ------------------------------------------------------

// Columns: price and quantity are the exchange's own text; time is the trade's T, in whole milliseconds. Newest is
// the largest (T, trade_id).
//
//        exchange:string           symbol:string                trade_id:int                       time:time            price:string         quantity:string  buyer_is_maker:boolean
// ----------------------  ----------------------  --------------------------  ------------------------------  ----------------------  ----------------------  ----------------------
//                binance                 BTCUSDT                  3735695339  2026-11-23T15:46:05.803000000Z          61583.48000000              0.00010000                    true
//                binance                 ETHUSDT                  1520546843  2026-11-23T15:46:05.792000000Z           2676.21000000              0.01070000                   false

// ---- What a trade is: these lines are the same in every file ----------------
// A regular expression, because the storage engine evaluates it; contains() would read every trade into Flux.
oneOf = (names, any) =>
    if length(arr: names) == 0 then
        any
    else
        regexp.compile(
            v: "^(" + strings.joinStr(arr: array.map(arr: names, fn: (x) => regexp.quoteMeta(v: x)), v: "|") + ")$",
        )

// Names are letters, digits, "_", "-" and "."; in a symbol no small letters of ASCII; 32 at most.
symbolMatch = oneOf(names: symbols, any: /^([A-Z0-9_.\-\p{M}\p{N}]|[^\x00-\x7F\P{L}])+$/)
exchangeMatch = oneOf(names: exchanges, any: /^[\p{L}\p{M}\p{N}_.\-]+$/)
tooLong = /.{33}/

millisecond = (t) => date.truncate(t: t, unit: 1ms)
earlier = (a, b) => if a < b then a else b
later = (a, b) => if a > b then a else b

// The last 24 h answer, and 48 h to come, because the exchange's clock may be ahead of the database's.
retention = 24h
ahead = 48h
oldest = date.sub(d: retention, from: millisecond(t: now()))
end = date.add(d: ahead, to: millisecond(t: now()))

points = (start, stop) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "trade" and r.exchange =~ exchangeMatch and r.symbol =~ symbolMatch)
        |> filter(fn: (r) => r.exchange !~ tooLong and r.symbol !~ tooLong)
        |> filter(
            fn: (r) =>
                r._field == "trade_id" or r._field == "price" or r._field == "price_float" or r._field == "quantity"
                    or r._field == "quantity_float" or r._field == "buyer_is_maker",
        )

// A point is a trade if it has all six fields, each of its type, and no tag but exchange and symbol. Others are passed
// over: a point that is being written this moment, which shows only some of its fields, and what other programs wrote.
number = /^(0*[1-9][0-9]{0,27}(\.[0-9]{1,28})?|0+\.0{0,27}[1-9][0-9]{0,27})$/
isTrade = (r) =>
    exists r.trade_id and exists r.price and exists r.price_float and exists r.quantity and exists r.quantity_float
        and exists r.buyer_is_maker and r.trade_id >= 0 and r.price =~ number and r.price_float > 0.0
        and r.quantity =~ number and r.quantity_float > 0.0 and (r.buyer_is_maker or not r.buyer_is_maker)
isOfOtherType = (r) =>
    r._field == "trade_id" and not types.isType(v: r._value, type: "int")
        or (r._field == "price" or r._field == "quantity") and not types.isType(v: r._value, type: "string")
        or (r._field == "price_float" or r._field == "quantity_float") and not types.isType(v: r._value, type: "float")
        or r._field == "buyer_is_maker" and not types.isType(v: r._value, type: "bool")
// The points of a stretch as rows. A tag with the name of a field would be in the way.
rows = (tables=<-) =>
    tables
        |> filter(
            fn: (r) =>
                not exists r.trade_id and not exists r.price and not exists r.price_float and not exists r.quantity
                    and not exists r.quantity_float and not exists r.buyer_is_maker,
        )
        |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")

// Between the steps a series is a line of text with what is known of it, in _measurement, for no tag has that name; and
// none holds a line break. A table with a column beside those named here has a tag that no trade has: it gives no line.
part = (line, at) => {
    parts = strings.split(v: line, t: "\n")

    return parts[at]
}
toLine = (parts) => strings.joinStr(arr: parts, v: "\n")
pointColumns = ["_start", "_stop", "_time", "_field", "_value"]
rowColumns = ["trade_id", "price", "price_float", "quantity", "quantity_float", "buyer_is_maker"]
lineColumns = array.concat(arr: ["_measurement", "exchange", "symbol"], v: array.concat(arr: pointColumns, v: rowColumns))
toLines = (tables=<-) =>
    tables
        |> group(columns: lineColumns, mode: "except")
        |> findColumn(fn: (key) => length(arr: experimental.objectKeys(o: key)) == 0, column: "_measurement")

// union() wants two inputs.
unionOf = (streams) => if length(arr: streams) == 1 then streams[0] else union(tables: streams)

// A stretch, in steps of so many nanoseconds.
steps = (start, stop, every) => {
    begin = int(v: start) - int(v: start) % every
    count = (int(v: stop) - 1 - begin) / every + 1
    begins =
        generate.from(count: count, fn: (n) => n, start: toTime(v: begin), stop: toTime(v: begin + count * every))
            |> findColumn(fn: (key) => true, column: "_time")

    return
        array.map(
            arr: begins,
            fn: (x) => ({start: later(a: start, b: x), stop: earlier(a: stop, b: toTime(v: int(v: x) + every))}),
        )
}

// The times of the first and the last point in the hours of a stretch, of whatever series; [] if there is none.
edges = (start, stop) => {
    any = () =>
        from(bucket: bucket)
            |> range(
                start: date.truncate(t: start, unit: 1h),
                // The engine would read on into the hour that begins at the stop.
                stop: date.sub(d: 1ns, from: date.add(d: 1h, to: date.truncate(t: date.sub(d: 1ns, from: stop), unit: 1h))),
            )
            |> filter(fn: (r) => r._measurement == "trade")

    return
        union(tables: [any() |> first() |> keep(columns: ["_time"]), any() |> last() |> keep(columns: ["_time"])])
            |> sort(columns: ["_time"])
            |> findColumn(fn: (key) => true, column: "_time")
}

// The hours of a stretch in which there may be points.
allHours = (start, stop) => {
    ends = edges(start: start, stop: stop)
    isEmpty = length(arr: ends) == 0
    begin = if isEmpty then start else later(a: start, b: ends[0])
    finish = if isEmpty then start else earlier(a: stop, b: date.add(d: 1h, to: date.truncate(t: ends[length(arr: ends) - 1], unit: 1h)))

    return if begin < finish then steps(start: begin, stop: finish, every: 3600000000000) else []
}

// Those hours, without those in which another program wrote a field with another type: they hold no trade, and the
// storage engine reads no further than such an hour.
hours = (start, stop) => {
    stretches = allHours(start: start, stop: stop)
    odd =
        if length(arr: stretches) == 0 then
            []
        else
            unionOf(
                streams:
                    array.map(
                        arr: stretches,
                        fn: (x) =>
                            // Up to its stop the engine would read on into the hour after it.
                            points(start: x.start, stop: date.sub(d: 1ns, from: x.stop))
                                |> last()
                                |> filter(fn: isOfOtherType)
                                |> set(key: "_measurement", value: string(v: x.start))
                                |> keep(columns: ["_measurement"]),
                    ),
            )
                |> group()
                |> findColumn(fn: (key) => true, column: "_measurement")

    return array.filter(arr: stretches, fn: (x) => not contains(value: string(v: x.start), set: odd))
}
// ---- End of what a trade is -------------------------------------------------

sides = [{side: "before", start: oldest, stop: end}]

// ---- The trades next to a time: these lines are the same in every file that looks for them ----
// `sides` are stretches that begin or end at the time: before it the last trade is the nearest, after it the first.

// 1. Where to look, a line a series and side: no trade is nearer than the farthest of the nearest points of its fields.
look = (stretches, at) =>
    if length(arr: stretches) == 0 then
        []
    else
        unionOf(
            streams:
                array.map(
                    arr: stretches,
                    fn: (x) => at(x: x) |> drop(columns: ["_value"]) |> set(key: "_measurement", value: x.side),
                ),
        )
            |> group()
            |> map(fn: (r) => ({r with _value: if r._measurement == "before" then int(v: r._time) else -int(v: r._time)}))
            |> group(columns: ["_field", "_time", "_value"], mode: "except")
            |> min()
            |> group(columns: pointColumns, mode: "except")
            |> max()
            |> group()
            |> map(
                fn: (r) =>
                    ({r with
                        _measurement:
                            toLine(
                                parts: [
                                    r._measurement,
                                    r.exchange,
                                    r.symbol,
                                    string(v: int(v: r._start)),
                                    string(v: int(v: r._stop)),
                                    string(v: r._value),
                                ],
                            ),
                    }),
            )
            |> toLines()
nearest = (tables=<-, side) => if side == "before" or side == "far after" then tables |> last() else tables |> first()

rowsOf = (exchange, symbol, start, stop) =>
    points(start: start, stop: stop)
        |> filter(fn: (r) => r.exchange == exchange and r.symbol == symbol)
        |> rows()

// The rows of a line's series from the nearest point on, so many milliseconds far at most.
within = (line, reach) => {
    p = strings.split(v: line, t: "\n")
    near = if p[0] == "before" then int(v: p[5]) else -int(v: p[5])
    first = near - near % 1000000
    start = if p[0] == "before" then later(a: int(v: p[3]), b: first - reach * 1000000) else first
    stop = if p[0] == "before" then near + 1 else earlier(a: int(v: p[4]), b: first + reach * 1000000)

    return rowsOf(exchange: p[1], symbol: p[2], start: toTime(v: start), stop: toTime(v: stop))
}

// 2. Of the rows that read() gives for a line the nearest trade. Inside one millisecond the order of _time is that of
//    the ids, except where an id crosses a multiple of 1,000,000: hence by (T, trade_id).
merge = (tables=<-, yes) => if yes then tables |> group() else tables
best = (of, read, merged) =>
    if length(arr: of) == 0 then
        []
    else
        unionOf(streams: array.map(arr: of, fn: (x) => read(line: x) |> set(key: "_measurement", value: part(line: x, at: 0))))
            |> merge(yes: merged)
            |> filter(fn: isTrade)
            |> map(
                fn: (r) => {
                    t = millisecond(t: r._time)
                    sign = if r._measurement == "before" then -1 else 1

                    return {r with _time: t, _field: sign * int(v: t), _value: sign * r.trade_id}
                },
            )
            |> group(columns: array.concat(arr: pointColumns, v: rowColumns), mode: "except")
            |> sort(columns: ["_field", "_value"])
            |> limit(n: 1)
            |> merge(yes: merged)
            |> map(
                fn: (r) =>
                    ({r with
                        _measurement:
                            toLine(
                                parts: [
                                    r._measurement,
                                    r.exchange,
                                    r.symbol,
                                    string(v: r._time),
                                    string(v: r.trade_id),
                                    r.price,
                                    r.quantity,
                                    string(v: r.buyer_is_maker),
                                ],
                            ),
                    }),
            )
            |> toLines()
series = (line) => part(line: line, at: 0) + "\n" + part(line: line, at: 1) + "\n" + part(line: line, at: 2)
notIn = (of, found) => {
    known = array.map(arr: found, fn: (x) => series(line: x))

    return array.filter(arr: of, fn: (x) => not contains(value: series(line: x), set: known))
}

// 3. A quick look, at the ids alone; if everything in the bucket is asked for, from the far ends too.
isNamed = length(arr: symbols) > 0
farSides =
    if isNamed then
        []
    else
        array.map(arr: sides, fn: (x) => ({side: "far " + x.side, start: x.start, stop: x.stop}))
seen =
    look(
        stretches: array.concat(arr: sides, v: farSides),
        at: (x) =>
            points(start: x.start, stop: x.stop)
                |> filter(fn: (r) => r._field == "trade_id")
                |> nearest(side: x.side),
    )
near = array.filter(arr: seen, fn: (x) => part(line: x, at: 0) !~ /^far /)
quick =
    experimental.catch(
        fn: () =>
            best(of: near, read: (line) => within(line: line, reach: 100), merged: true),
    )
quickly = if exists quick.code then [] else quick.value

// It may not show everything. Then a careful one, at all fields and hour by hour: where another program wrote a field
// with another type, the storage engine reads no further than that hour.
carefully = () => {
    of = (side) =>
        array.map(arr: hours(start: side.start, stop: side.stop), fn: (x) => ({side: side.side, start: x.start, stop: x.stop}))
    stretches =
        if length(arr: sides) == 1 then
            of(side: sides[0])
        else
            array.concat(arr: of(side: sides[0]), v: of(side: sides[1]))
    // Up to its stop the engine would read on into the hour after it; window() keeps it from that, but reads everything.
    near =
        look(
            stretches: stretches,
            at: (x) => {
                end = date.sub(d: 1ns, from: x.stop)
                within = (tables=<-) =>
                    tables
                        |> map(fn: (r) => ({r with _start: x.start, _stop: x.stop, _value: int(v: r._time)}))

                return
                    union(
                        tables: [
                            points(start: x.start, stop: end) |> nearest(side: x.side) |> within(),
                            points(start: end, stop: x.stop) |> window(every: 1h) |> nearest(side: x.side) |> within(),
                        ],
                    )
                        |> sort(columns: ["_time"])
                        |> nearest(side: x.side)
            },
        )
    read = (of, reach) => best(of: of, read: (line) => within(line: line, reach: reach), merged: false)
    one = read(of: near, reach: 1000)
    two = array.concat(arr: one, v: read(of: notIn(of: near, found: one), reach: 3600000))
    farther = (line) => {
        p = strings.split(v: line, t: "\n")
        start = toTime(v: int(v: p[3]))
        isFarther = (x) => x.side == p[0] and (if p[0] == "before" then x.start <= start else x.start >= start)

        return
            unionOf(
                streams:
                    array.map(
                        arr: array.filter(arr: stretches, fn: isFarther),
                        fn: (x) => rowsOf(exchange: p[1], symbol: p[2], start: x.start, stop: x.stop),
                    ),
            )
    }

    return
        array.concat(
            arr: two,
            v: best(of: notIn(of: near, found: two), read: farther, merged: false),
        )
}

// Sure of a side is who found what was asked for, and all that is seen from either end; or if there is nothing at all.
isSure = (side) => {
    isHere = (line) => part(line: line, at: 0) == side.side
    here = array.filter(arr: quickly, fn: (x) => isHere(line: x))
    names = array.map(arr: here, fn: (x) => part(line: x, at: 2))
    far = array.filter(arr: seen, fn: (x) => part(line: x, at: 0) == "far " + side.side)
    lost =
        if isNamed then
            array.filter(arr: symbols, fn: (x) => not contains(value: x, set: names))
        else
            notIn(of: array.map(arr: far, fn: (x) => strings.trimPrefix(v: x, prefix: "far ")), found: here)

    return
        length(arr: notIn(of: array.filter(arr: near, fn: (x) => isHere(line: x)), found: here)) == 0
            and (length(arr: lost) == 0 and length(arr: here) > 0 or length(arr: edges(start: side.start, stop: side.stop)) == 0)
}
found = if length(arr: array.filter(arr: sides, fn: (x) => not isSure(side: x))) == 0 then quickly else carefully()
// ---- End of the trades next to a time ---------------------------------------

// array.from() wants a row.
lines = array.from(rows: array.map(arr: array.concat(arr: [""], v: found), fn: (x) => ({line: x}))) |> filter(fn: (r) => r.line != "")

if graph then
    lines
        |> map(
            fn: (r) => {
                p = strings.split(v: r.line, t: "\n")

                return {exchange: p[1], symbol: p[2], _time: toTime(v: p[3]), _field: "price", _value: float(v: p[5])}
            },
        )
        |> group(columns: ["exchange", "symbol", "_field"])
        |> rename(columns: {_value: "_value"})
else
    // map() orders its columns by name, so the names that order them come first and the true ones after it.
    lines
        |> map(
            fn: (r) => {
                p = strings.split(v: r.line, t: "\n")

                return {
                    c1: p[1],
                    c2: p[2],
                    c3: int(v: p[4]),
                    c4: toTime(v: p[3]),
                    c5: p[5],
                    c6: p[6],
                    c7: p[7] == "true",
                }
            },
        )
        |> sort(columns: ["c1", "c2"])
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
