// Which trades are missing? The minutes whose trade ids are not whole, or do not follow the minute before; or a row that
// says that nothing is missing.
//
// Run it as it is: influx query --file flux/gaps.flux, or in the script editor with "View Raw Data".

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
// How far back: -1h, or 2026-11-23T12:00:00Z; at most 24 h.
since = -24h
// Up to but not including there: 48h is everything.
until = 48h
// true: every minute, not only those where something is missing.
all = false
// ---- End of parameters ------------------------------------------------------

// What began to be missing before `since` counts. A symbol's trade ids rise by one; an id more than 1,000 below the one
// before it begins a new count, which has rows of its own (docs/data-model.md, "What is missing").
//
// Columns: trades, their number in the minute; first_id and last_id, the lowest and the highest; missing, the ids absent
// between these two; missing_before, those absent between the minute and the trade before it; whole, whether each id is
// there once; id_before, the highest id of the minute before it with a trade, -1 if there is none. While trades are being
// written, a minute that has just ended is not judged. The ids themselves: tickflux gaps.
//
// Result: _result
// Table: keys: []
//   exchange  symbol   minute                          trades  first_id    last_id     missing  missing_before  whole  id_before
//   practice  BTCUSDT  2026-11-23T16:41:00.000000000Z  1867    6327999840  6328001708  2        0               false  6327999839

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

// From here; and the last trade before it, which says whether something is missing at the begin. Hours are dropped as
// a whole: what is older than 24 hours is complete as long as its hour is that in which they begin.
asked = millisecond(t: since)
start = earlier(a: later(a: asked, b: oldest), b: date.sub(d: 1ms, from: end))
stop = later(a: earlier(a: millisecond(t: until), b: end), b: date.add(d: 1ms, to: start))
sides = [{side: "before", start: date.truncate(t: oldest, unit: 1h), stop: later(a: start, b: date.add(d: 1ms, to: date.truncate(t: oldest, unit: 1h)))}]

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

ids = (x) =>
    if isByPoint then
        byPoint(x: x)
            |> keep(columns: ["_start", "_stop", "_time", "exchange", "symbol", "trade_id"])
            |> rename(columns: {trade_id: "_value"})
    else
        idsOf(x: x)
// 1. Ids that rise from point to point are all different; then a minute is whole if they are as many as they span.
//    derivative() tells it of an hour, ten times as quickly as difference() does. They do not rise as well where an id
//    crosses a multiple of 1,000,000 inside a millisecond.
idsOfLine = (line, from, to) => {
    // Not inside the filter: it would be done for every id.
    exchange = part(line: line, at: 0)
    symbol = part(line: line, at: 1)

    return
        ids(x: {start: toTime(v: from), stop: toTime(v: to)})
            |> filter(fn: (r) => r.exchange == exchange and r.symbol == symbol)
}
at = (line, place) => int(v: part(line: line, at: place))
hourly =
    if isCut or isByPoint then
        stretches
    else if total == 0 then
        []
    else
        steps(start: start, stop: date.add(d: 1ns, to: toTime(v: part(line: lastOf(lines: newest), at: 1))), every: 3600000000000)
falling =
    if length(arr: hourly) == 0 then
        []
    else
        unionOf(streams: array.map(arr: hourly, fn: (x) => ids(x: x) |> derivative(unit: 1ns) |> min()))
            |> group()
            |> filter(fn: (r) => r._value <= 0.0)
            |> map(
                fn: (r) =>
                    ({r with
                        _measurement:
                            toLine(parts: [r.exchange, r.symbol, string(v: int(v: r._start)), string(v: int(v: r._stop))]),
                    }),
            )
            |> toLines()

// 2. What is read: how many different ids a minute has, and where an id far below the one before begins a new count. Of
//    an hour the minutes in which ids do not rise, if they are few.
manyFalls = 100
fallsOf = (line) =>
    idsOfLine(line: line, from: at(line: line, place: 2), to: at(line: line, place: 3))
        |> derivative(unit: 1ns)
        |> bottom(n: manyFalls)
        |> filter(fn: (r) => r._value <= 0.0)
        |> findColumn(fn: (key) => true, column: "_time")
stretchesOf = (line) => {
    times = fallsOf(line: line)
    from = at(line: line, place: 2)
    to = at(line: line, place: 3)
    stretch = (from, to) =>
        ({_measurement: toLine(parts: [part(line: line, at: 0), part(line: line, at: 1), string(v: from), string(v: to)])})
    minute = (t) => {
        begin = int(v: date.truncate(t: t, unit: 1m))

        return stretch(from: later(a: begin, b: from), to: earlier(a: begin + 60000000000, b: to))
    }

    return
        array.from(
            rows:
                if length(arr: times) == 0 or length(arr: times) == manyFalls then
                    [stretch(from: from, to: to)]
                else
                    array.map(arr: times, fn: (x) => minute(t: x)),
        )
}
read =
    if length(arr: falling) == 0 then
        []
    else
        array.map(
            arr:
                unionOf(streams: array.map(arr: falling, fn: (x) => stretchesOf(line: x)))
                    |> unique(column: "_measurement")
                    |> toLines(),
            fn: (x) => ({line: x, from: at(line: x, place: 2), to: at(line: x, place: 3)}),
        )
isFarBelow = (r) => r._value < -1000
restarts =
    if length(arr: read) == 0 then
        []
    else
        unionOf(
            streams:
                array.map(
                    arr: read,
                    fn: (x) =>
                        idsOfLine(line: x.line, from: x.from, to: x.to)
                            |> difference()
                            |> bottom(n: 1000)
                            |> filter(fn: isFarBelow),
                ),
        )
            |> group()
            |> sort(columns: ["_time"])
            |> map(fn: (r) => ({r with _measurement: toLine(parts: [r.exchange, r.symbol, string(v: int(v: r._time))])}))
            |> toLines()
minuteOf = (line) => at(line: line, place: 2) - at(line: line, place: 2) % 60000000000
keyOf = (line) => toLine(parts: [part(line: line, at: 0), part(line: line, at: 1), string(v: minuteOf(line: line))])
isFirst = (line) => {
    key = keyOf(line: line)
    ofMinute = array.filter(arr: restarts, fn: (x) => keyOf(line: x) == key)

    return ofMinute[0] == line
}
firsts = array.filter(arr: restarts, fn: (x) => isFirst(line: x))
cutMinutes = array.map(arr: firsts, fn: (x) => keyOf(line: x))

// The parts of those minutes: from their begin, and from each restart, up to the next restart or their end.
endOf = (line) => {
    key = keyOf(line: line)
    from = at(line: line, place: 2)
    ofMinute = array.filter(arr: restarts, fn: (x) => keyOf(line: x) == key)
    next = array.filter(arr: ofMinute, fn: (x) => at(line: x, place: 2) > from)

    return if length(arr: next) == 0 then minuteOf(line: line) + 60000000000 else at(line: next[0], place: 2)
}
parts =
    array.map(
        arr: array.concat(arr: cutMinutes, v: restarts),
        fn: (x) => ({line: x, from: later(a: at(line: x, place: 2), b: int(v: start)), to: endOf(line: x)}),
    )

// 3. The minutes, without those that are cut, and their parts.
named = (tables=<-, name) =>
    tables
        |> set(key: "_field", value: name)
        |> keep(columns: ["exchange", "symbol", "_time", "_field", "_value"])
minutely = (fn, name) =>
    unionOf(
        streams:
            array.map(
                arr: stretches,
                fn: (x) => ids(x: x) |> aggregateWindow(every: 1m, fn: fn, timeSrc: "_start", createEmpty: false),
            ),
    )
        |> own(columns: if isByPoint then 6 else 8)
        |> named(name: name)
uncut = (tables=<-) =>
    if length(arr: cutMinutes) == 0 then
        tables
    else
        tables
            |> filter(
                fn: (r) =>
                    not contains(
                        value: toLine(parts: [r.exchange, r.symbol, string(v: int(v: date.truncate(t: r._time, unit: 1m)))]),
                        set: cutMinutes,
                    ),
            )
different = (tables=<-, column) => tables |> distinct(column: column) |> count()
begun = (tables=<-, line, from, name) => {
    // Not inside the function: it would be done for every row.
    exchange = part(line: line, at: 0)
    symbol = part(line: line, at: 1)
    time = toTime(v: from)

    return
        tables
            |> map(fn: (r) => ({exchange: exchange, symbol: symbol, _time: time, _field: name, _value: r._value}))
            |> group(columns: ["exchange", "symbol"])
}
differently =
    array.map(
        arr: read,
        fn: (x) => {
            read = () => idsOfLine(line: x.line, from: x.from, to: x.to)

            return
                if x.to - x.from <= 60000000000 then
                    read() |> different(column: "_value") |> begun(line: x.line, from: x.from, name: "different")
                else
                    read()
                        |> aggregateWindow(every: 1m, fn: different, timeSrc: "_start", createEmpty: false)
                        |> named(name: "different")
        },
    )
partly = (x) => {
    source = () => idsOfLine(line: x.line, from: x.from, to: x.to)

    return
        union(
            tables: [
                source() |> count() |> begun(line: x.line, from: x.from, name: "trades"),
                source() |> min() |> begun(line: x.line, from: x.from, name: "first_id"),
                source() |> max() |> begun(line: x.line, from: x.from, name: "last_id"),
                source() |> different(column: "_value") |> begun(line: x.line, from: x.from, name: "different"),
            ],
        )
}

// 4. Each beside the one before it, the first beside the last trade before all of them.
before =
    array.map(
        arr: found,
        fn: (x) =>
            array.from(
                rows: [
                    {
                        exchange: part(line: x, at: 1),
                        symbol: part(line: x, at: 2),
                        _time: toTime(v: part(line: x, at: 3)),
                        trades: 0,
                        first_id: int(v: part(line: x, at: 4)),
                        last_id: int(v: part(line: x, at: 4)),
                        different: 1,
                    },
                ],
            ),
    )
minutes =
    unionOf(
        streams:
            array.concat(
                arr: array.concat(
                    arr: [
                        minutely(fn: count, name: "trades") |> uncut(),
                        minutely(fn: min, name: "first_id") |> uncut(),
                        minutely(fn: max, name: "last_id") |> uncut(),
                    ],
                    v: array.map(arr: differently, fn: (x) => x |> uncut()),
                ),
                v: array.map(arr: parts, fn: (x) => partly(x: x)),
            ),
    )
        |> group()
        |> pivot(rowKey: ["exchange", "symbol", "_time"], columnKey: ["_field"], valueColumn: "_value")
        // A minute may begin between two reads.
        |> filter(fn: (r) => exists r.trades and exists r.first_id and exists r.last_id)

// While trades are being written, what is younger than the writes in flight is not judged.
youngest = if length(arr: newest) == 0 then now() else toTime(v: part(line: lastOf(lines: newest), at: 1))
judged = if youngest < date.sub(d: 30s, from: now()) then end else date.sub(d: 5s, from: youngest)

// Where no row would be, one says so; it comes last, and is taken away if it is not alone.
note =
    array.from(rows: [{exchange: if total == 0 then "no trade in this time" else "nothing is missing", rank: 1, n: 1}])
        |> filter(fn: (r) => not all)

shown =
    unionOf(streams: array.concat(arr: [minutes], v: before))
        |> group(columns: ["exchange", "symbol"])
        |> sort(columns: ["_time"])
        |> duplicate(column: "last_id", as: "step")
        |> difference(columns: ["step"], keepFirst: true)
        |> filter(fn: (r) => r.trades > 0)
        // map() orders its columns by name, so the names that order them come first and the true ones after it.
        |> map(
            fn: (r) => {
                minute = date.truncate(t: r._time, unit: 1m)
                span = r.last_id - r.first_id + 1
                different = if exists r.different then r.different else r.trades
                between = if exists r.step then r.step - span else 0
                isWhole = different == r.trades and different == span

                return {
                    c1: r.exchange,
                    c2: r.symbol,
                    c3: minute,
                    c4: r.trades,
                    c5: r.first_id,
                    c6: r.last_id,
                    c7: span - different,
                    // Below zero are late ids, and a count that began again.
                    c8: if between > 0 then between else 0,
                    c9: isWhole,
                    d1: if exists r.step then r.last_id - r.step else -1,
                    isShown: all or (not isWhole or between > 0) and date.add(d: 1m, to: minute) <= judged,
                    _time: r._time,
                    n: 1,
                    rank: 0,
                }
            },
        )
        |> filter(fn: (r) => r.isShown)
        |> group()
        |> drop(columns: ["isShown"])
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
                d1: "id_before",
            },
        )

union(tables: [shown, note])
    |> sort(columns: ["rank", "exchange", "symbol", "_time"])
    |> cumulativeSum(columns: ["n"])
    |> filter(fn: (r) => r.rank == 0 or r.n == 1)
    |> drop(columns: ["rank", "n", "_time"])
