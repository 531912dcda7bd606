// What is stored of each minute? Its trades, ids, prices and volume as the storage engine adds them up: what `tickflux verify`
// holds against the exchange's own candles first.
//
// Run it as it is: influx query --file flux/minutes.flux, or in the script editor with "View Raw Data".

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
// From the minute that holds this one on: -1h, or 2026-11-23T12:00:00Z; at most 24 h.
since = -1h
// Up to but not including there: 48h is everything.
until = 48h
// ---- End of parameters ------------------------------------------------------

// Columns: trades, their number in the minute; first_id and last_id, the lowest and the highest; open and close, the texts of
// the prices of the smallest and the largest (T, trade_id); high, low and volume as floats. A minute without a trade is left out,
// and so are trades older than 24 hours: the oldest minute may be a part of one. What needs more than one field of a trade, as
// the volume of takers who bought, the engine does not add up: flux/volume.flux reads every trade for it.
//
// Result: _result
// Table: keys: []
//   exchange  symbol   minute                          trades  first_id    last_id     open            high      low       close           volume
//   practice  BTCUSDT  2026-11-30T10:38:00.000000000Z  3774    6390235771  6390239544  86710.92000000  86715.25  86708.77  86714.62000000  34.93399000000024
//   practice  BTCUSDT  2026-11-30T10:39:00.000000000Z  5065    6390239545  6390244609  86714.59000000  86734.83  86712.59  86734.21000000  47.42730999999979
//   practice  ETHUSDT  2026-11-30T10:38:00.000000000Z  4618    6152274933  6152279550  2840.83000000   2844.05   2834.17   2834.17000000   39.41503000000028
//   practice  ETHUSDT  2026-11-30T10:39:00.000000000Z  3510    6152279551  6152283060  2834.15000000   2834.52   2827.58   2827.68000000   17.33473000000013

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

// The minute that holds `since` is the first; windows are named by their start, the first one's may be that of the range.
every = 1m
start = earlier(a: later(a: date.truncate(t: since, unit: every), b: oldest), b: date.sub(d: 1ms, from: end))
stop = later(a: earlier(a: millisecond(t: until), b: end), b: date.add(d: 1ms, to: start))
begin = date.truncate(t: start, unit: every)

// ---- How to read a stretch: these lines are the same in every file that adds it up ----
// From `start` up to `stop`. The storage engine adds up fields, and knows neither types nor other tags. So first it is
// found out whether it may: which types and tags there are, and whether it reads to the end.
idsOf = (x) => points(start: x.start, stop: x.stop) |> filter(fn: (r) => r._field == "trade_id")
odd =
    experimental.catch(
        fn: () =>
            union(tables: [points(start: start, stop: stop) |> first(), points(start: start, stop: stop) |> last()])
                |> group(columns: ["_field"])
                |> filter(fn: (r) => isOfOtherType(r: r) or length(arr: experimental.objectKeys(o: r)) != 8)
                |> keep(columns: ["_measurement"])
                |> group()
                |> findColumn(fn: (key) => true, column: "_measurement"),
    )
isOdd = if exists odd.code then true else length(arr: odd.value) > 0
whole = [{start: start, stop: stop}]

// Its last line says how many there are, and in which hour the newest is.
counted = (stretches) =>
    if length(arr: stretches) == 0 then
        []
    else
        unionOf(
            streams:
                array.map(
                    arr: stretches,
                    fn: (x) =>
                        idsOf(x: x)
                            |> aggregateWindow(every: 1h, fn: count, timeSrc: "_start", createEmpty: false)
                            |> keep(columns: ["_time", "_value"]),
                ),
        )
            |> group()
            |> sort(columns: ["_time"])
            |> cumulativeSum()
            |> map(fn: (r) => ({_measurement: toLine(parts: [string(v: date.truncate(t: r._time, unit: 1h)), string(v: r._value)])}))
            |> toLines()
lastOf = (lines) => if length(arr: lines) == 0 then "" else lines[length(arr: lines) - 1]
inAll = if isOdd then [] else counted(stretches: whole)
newest =
    if isOdd then
        []
    else
        idsOf(x: whole[0])
            |> last()
            |> keep(columns: ["_time"])
            |> group()
            |> sort(columns: ["_time"])
            |> map(fn: (r) => ({_measurement: string(v: date.truncate(t: r._time, unit: 1h)) + "\n" + string(v: r._time)}))
            |> toLines()
isCut =
    if isOdd then
        true
    else if part(line: lastOf(lines: inAll), at: 0) != part(line: lastOf(lines: newest), at: 0) then
        true
    else
        length(arr: newest) == 0 and length(arr: edges(start: start, stop: stop)) > 0
byHours = if isCut then hours(start: start, stop: stop) else whole
ended = lastOf(lines: if isCut then counted(stretches: byHours) else inAll)
total = if ended == "" then 0 else int(v: part(line: ended, at: 1))

// A few are read point by point, and so are more if that is the only way to tell which are trades: those whose fields are
// not equally many, but for the writes of the last seconds, and those whose values have no sense.
areFew = total > 0 and total <= 100000
newestTime = if length(arr: newest) == 0 then stop else toTime(v: part(line: lastOf(lines: newest), at: 1))
settled =
    array.filter(
        arr: array.map(arr: byHours, fn: (x) => ({start: x.start, stop: earlier(a: x.stop, b: date.sub(d: 5s, from: newestTime))})),
        fn: (x) => x.start < x.stop,
    )
uneven = () =>
    if length(arr: settled) == 0 then
        []
    else
        unionOf(streams: array.map(arr: settled, fn: (x) => points(start: x.start, stop: x.stop) |> count()))
            |> group(columns: ["_field", "_value"], mode: "except")
            |> reduce(
                identity: {fields: 0, least: total, most: 0},
                fn: (r, accumulator) =>
                    ({
                        fields: accumulator.fields + 1,
                        least: earlier(a: accumulator.least, b: r._value),
                        most: later(a: accumulator.most, b: r._value),
                    }),
            )
            |> filter(fn: (r) => r.fields != 6 or r.least != r.most)
            |> group()
            |> findColumn(fn: (key) => true, column: "fields")
isText = (r) => (r._field == "price" or r._field == "quantity") and r._value !~ number
isFloat = (r) => (r._field == "price_float" or r._field == "quantity_float") and r._value <= 0.0
isId = (r) => r._field == "trade_id" and r._value < 0
senseless = () => {
    first = (tables=<-) => tables |> limit(n: 1) |> keep(columns: ["_time"])
    of = (x) =>
        union(
            tables: [
                points(start: x.start, stop: x.stop) |> filter(fn: isText) |> first(),
                points(start: x.start, stop: x.stop) |> filter(fn: isFloat) |> first(),
                points(start: x.start, stop: x.stop) |> filter(fn: isId) |> first(),
            ],
        )

    return
        unionOf(streams: array.map(arr: byHours, fn: (x) => of(x: x)))
            |> group()
            |> findColumn(fn: (key) => true, column: "_time")
}
isByPoint = areFew and (total <= 5000 or isOdd or length(arr: uneven()) > 0 or length(arr: senseless()) > 0)
readable = if isByPoint and not isCut then hours(start: start, stop: stop) else byHours
// union() wants an input: where there is nothing to read, past the end of what may answer.
stretches = if length(arr: readable) == 0 then [{start: end, stop: date.add(d: 1ns, to: end)}] else readable

// Without the tables that have another tag.
own = (tables=<-, columns) =>
    if isOdd then
        tables |> filter(fn: (r) => length(arr: experimental.objectKeys(o: r)) == columns)
    else
        tables
byPoint = (x) =>
    points(start: x.start, stop: x.stop)
        |> rows()
        |> filter(fn: isTrade)
        |> own(columns: 12)
// ---- End of how to read a stretch -------------------------------------------

// ---- What a window adds up: these lines are the same in every file that has windows ----
// One value of every candle, counted by the storage engine, or of the points that were read. Each call is a source of its
// own: a source that several branches use is pushed down only so.
read = () =>
    unionOf(streams: array.map(arr: stretches, fn: (x) => byPoint(x: x)))
        |> drop(columns: ["_start", "_stop"])
        |> range(start: start, stop: stop)
        |> group(columns: ["_start", "_stop", "exchange", "symbol"])
        |> sort(columns: ["_time"])
value = (field) =>
    read()
        |> keep(columns: ["_start", "_stop", "_time", "exchange", "symbol", field])
        |> rename(fn: (column) => if column == field then "_value" else column)
windowed = (tables=<-, fn) => tables |> aggregateWindow(every: every, fn: fn, timeSrc: "_start", createEmpty: false)
ofField = (x, field) => points(start: x.start, stop: x.stop) |> filter(fn: (r) => r._field == field)
windows = (field, fn, merge, name) => {
    counted =
        if isByPoint then
            value(field: field) |> windowed(fn: fn)
        else
            unionOf(streams: array.map(arr: stretches, fn: (x) => ofField(x: x, field: field) |> windowed(fn: fn)))
                |> own(columns: 9)

    // Where it is read by hours, a candle may have several parts; they are named by the first point's hour.
    return
        (if isCut or isByPoint then
            counted
                |> map(fn: (r) => ({r with _time: later(a: start, b: date.truncate(t: r._time, unit: every))}))
                |> group(columns: ["exchange", "symbol", "_time"])
                |> merge()
        else
            counted)
            |> set(key: "_field", value: name)
            |> keep(columns: ["exchange", "symbol", "_time", "_field", "_value"])
            |> group(columns: ["exchange", "symbol", "_field"])
}

byCandle = (tables=<-) =>
    tables |> pivot(rowKey: ["exchange", "symbol", "_time"], columnKey: ["_field"], valueColumn: "_value")

// ---- End of what a window adds up -------------------------------------------

// 1. Inside a millisecond the order of _time is that of the ids, except where an id crosses a multiple of 1,000,000.
//    The few minutes with such an id, as a line "exchange, symbol, start, end": their first and last point may not be
//    their first and last trade.
lowest = () => windows(field: "trade_id", fn: min, merge: min, name: "first_id")
highest = () => windows(field: "trade_id", fn: max, merge: max, name: "last_id")
crossing =
    union(tables: [lowest(), highest()])
        |> byCandle()
        |> filter(fn: (r) => r.first_id / 1000000 != r.last_id / 1000000)
        |> group()
        |> map(
            fn: (r) => {
                to = date.add(d: every, to: date.truncate(t: r._time, unit: every))

                return {_measurement: toLine(parts: [r.exchange, r.symbol, string(v: r._time), string(v: earlier(a: to, b: stop))])}
            },
        )
        |> toLines()

pointsOf = (exchange, symbol, start, stop) =>
    points(start: start, stop: stop) |> filter(fn: (r) => r.exchange == exchange and r.symbol == symbol)

// 2. The first and the last point of those, as the same line and "side, time": each names a millisecond.
edgesOf = (line) => {
    p = strings.split(v: line, t: "\n")
    ids = () =>
        pointsOf(exchange: p[0], symbol: p[1], start: toTime(v: p[2]), stop: toTime(v: p[3]))
            |> filter(fn: (r) => r._field == "trade_id")
    named = (tables=<-, side) =>
        tables
            |> map(fn: (r) => ({r with _measurement: toLine(parts: [line, side, string(v: r._time)])}))

    return union(tables: [ids() |> first() |> named(side: "open"), ids() |> last() |> named(side: "close")])
}
sidesOfCrossing = if length(arr: crossing) == 0 then [] else unionOf(streams: array.map(arr: crossing, fn: (x) => edgesOf(line: x))) |> toLines()

// 3. Of all trades of such a millisecond the one with the lowest or the highest id: the true open or close.
trueEdge = (line) => {
    p = strings.split(v: line, t: "\n")
    minute = toTime(v: p[2])
    from = millisecond(t: toTime(v: p[5]))

    return
        pointsOf(exchange: p[0], symbol: p[1], start: from, stop: date.add(d: 1ms, to: from))
            |> rows()
            |> filter(fn: isTrade)
            |> own(columns: 12)
            |> sort(columns: ["trade_id"], desc: p[4] == "close")
            |> limit(n: 1)
            |> map(fn: (r) => ({exchange: r.exchange, symbol: r.symbol, _time: minute, _field: "true_" + p[4], _value: r.price}))
            |> group(columns: ["exchange", "symbol", "_field"])
}

// 4. The minutes.
unionOf(
    streams: array.concat(
        arr: [
            windows(field: "trade_id", fn: count, merge: sum, name: "trades"),
            lowest(),
            highest(),
            windows(field: "price", fn: first, merge: first, name: "open"),
            windows(field: "price_float", fn: max, merge: max, name: "high"),
            windows(field: "price_float", fn: min, merge: min, name: "low"),
            windows(field: "price", fn: last, merge: last, name: "close"),
            windows(field: "quantity_float", fn: sum, merge: sum, name: "volume"),
        ],
        v: array.map(arr: sidesOfCrossing, fn: (x) => trueEdge(line: x)),
    ),
)
    |> byCandle()
    // A point that is being written this moment may show only some of its fields.
    |> filter(fn: (r) => exists r.trades and exists r.first_id and exists r.last_id and exists r.volume)
    |> filter(fn: (r) => exists r.open and exists r.high and exists r.low and exists r.close)
    |> group()
    |> sort(columns: ["exchange", "symbol", "_time"])
    // map() orders its columns by name, so the names that order them come first and the true ones after it.
    |> map(
        fn: (r) =>
            ({
                c01: r.exchange,
                c02: r.symbol,
                c03: if r._time == start then begin else r._time,
                c04: r.trades,
                c05: r.first_id,
                c06: r.last_id,
                c07: if exists r.true_open then r.true_open else r.open,
                c08: r.high,
                c09: r.low,
                c10: if exists r.true_close then r.true_close else r.close,
                c11: r.volume,
            }),
    )
    |> rename(
        columns: {
            c01: "exchange",
            c02: "symbol",
            c03: "minute",
            c04: "trades",
            c05: "first_id",
            c06: "last_id",
            c07: "open",
            c08: "high",
            c09: "low",
            c10: "close",
            c11: "volume",
        },
    )
