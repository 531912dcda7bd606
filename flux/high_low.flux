// What were the high and the low of a minute? Two rows for each exchange and symbol that traded in it.
//
// Run it as it is: influx query --file flux/high_low.flux, or in the script editor with "View Raw Data".

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
// Any instant of the minute: 2026-11-23T12:00:00Z, or -1m for the last whole minute.
minute = -1m
// ---- End of parameters ------------------------------------------------------

// Columns: the trade with the highest price of the minute (extreme is high) or the lowest (low), ties going to the lower
// id; price and quantity are the exchange's own text, time is the trade's T. In both rows: trades, their number in the
// minute; missing, the ids absent between the last trade before the minute and the first one after it
// (docs/data-model.md, "What is missing"). Trades older than 24 hours do not count.
//
//       exchange:string           symbol:string          extreme:string            price:string         quantity:string                trade_id:int                       time:time  buyer_is_maker:boolean                  trades:int                 missing:int
// ----------------------  ----------------------  ----------------------  ----------------------  ----------------------  --------------------------  ------------------------------  ----------------------  --------------------------  --------------------------
//               practice                 BTCUSDT                    high          85685.03000000              0.00015000                 59748427086  2026-11-30T14:20:04.561000000Z                   false                        1848                           0
//               practice                 BTCUSDT                     low          85682.31000000              0.00053000                 59748427394  2026-11-30T14:20:06.437000000Z                    true                        1848                           0
//               practice                 ETHUSDT                    high           2864.49000000              0.00021000                 57657444178  2026-11-30T14:20:27.594000000Z                   false                        1479                           0
//               practice                 ETHUSDT                     low           2861.01000000              0.00035000                 57657444943  2026-11-30T14:20:57.065000000Z                    true                        1479                           0

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

// The part of the minute that may answer; and what is next to it. A stretch is never empty: a minute that may not answer
// asks for a millisecond that holds none.
begin = date.truncate(t: minute, unit: 1m)
since = later(a: begin, b: oldest)
until = earlier(a: date.add(d: 1m, to: begin), b: end)
answers = since < until
start = if answers then since else date.sub(d: 1ms, from: end)
stop = if answers then until else end
oldestNeighbour = date.truncate(t: oldest, unit: 1h)
sides =
    if answers then
        [
            {side: "before", start: oldestNeighbour, stop: later(a: start, b: date.add(d: 1ms, to: oldestNeighbour))},
            {side: "after", start: earlier(a: stop, b: date.sub(d: 1ms, from: end)), stop: end},
        ]
    else
        [{side: "before", start: start, stop: stop}]

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

// 1. In a minute that is not read point by point the storage engine looks for the extremes, if the ids rise from point to
//    point and no price has more digits than a float tells apart.
isLong = (r) => r._value =~ /[0-9.]{17}/
isOdder = () => {
    falls =
        idsOf(x: whole[0])
            |> derivative(unit: 1ns)
            |> min()
            |> group()
            |> filter(fn: (r) => r._value <= 0.0)
            |> toLines()
    long =
        points(start: start, stop: stop)
            |> filter(fn: (r) => r._field == "price")
            |> filter(fn: isLong)
            |> limit(n: 1)
            |> group()
            |> toLines()

    return length(arr: falls) > 0 or length(arr: long) > 0
}
isRead = if isByPoint then true else if total == 0 then true else isOdder()
read = if isCut and length(arr: stretches) == 0 then points(start: start, stop: stop) |> limit(n: 0) |> rows() else byPoint(x: whole[0])
ids = (tables=<-) => tables |> keep(columns: ["exchange", "symbol", "_time", "trade_id"]) |> rename(columns: {trade_id: "_value"})
floats = (tables=<-) => tables |> keep(columns: ["exchange", "symbol", "price_float"]) |> rename(columns: {price_float: "_value"})
named = (tables=<-, name) =>
    tables
        |> set(key: "_field", value: name)
        |> keep(columns: ["exchange", "symbol", "_field", "_value"])
        |> group(columns: ["exchange", "symbol", "_field"])
pricesOf = () => points(start: start, stop: stop) |> filter(fn: (r) => r._field == "price_float")

// Each series as a line: its trades, how many ids they have, the lowest and the highest, the deepest fall from one to the
// next, the highest and the lowest price.
summary =
    unionOf(
        streams:
            if isRead then
                [
                    read |> ids() |> count() |> named(name: "trades"),
                    read |> ids() |> distinct() |> count() |> named(name: "different"),
                    read |> ids() |> min() |> named(name: "first_id"),
                    read |> ids() |> max() |> named(name: "last_id"),
                    read |> ids() |> difference() |> min() |> named(name: "fall"),
                    read |> floats() |> max() |> named(name: "high"),
                    read |> floats() |> min() |> named(name: "low"),
                ]
            else
                [
                    idsOf(x: whole[0]) |> count() |> named(name: "trades"),
                    idsOf(x: whole[0]) |> min() |> named(name: "first_id"),
                    idsOf(x: whole[0]) |> max() |> named(name: "last_id"),
                    pricesOf() |> max() |> named(name: "high"),
                    pricesOf() |> min() |> named(name: "low"),
                ],
    )
        |> pivot(rowKey: ["exchange", "symbol"], columnKey: ["_field"], valueColumn: "_value")
        // A series may begin between two reads.
        |> filter(fn: (r) => exists r.trades and exists r.first_id and exists r.last_id)
        |> filter(fn: (r) => exists r.high and exists r.low)
        |> group()
        |> map(
            fn: (r) =>
                ({
                    _measurement:
                        toLine(
                            parts: [
                                r.exchange,
                                r.symbol,
                                string(v: r.trades),
                                string(v: if exists r.different then r.different else r.trades),
                                string(v: r.first_id),
                                string(v: r.last_id),
                                string(v: if exists r.fall then r.fall else 0),
                                string(v: r.high),
                                string(v: r.low),
                            ],
                        ),
                }),
        )
        |> toLines()

// 2. Of a series the trade with the highest or the lowest price. Floats that are the same may be different prices: then
//    their texts tell, made equally long; and of the same prices the lower id.
digits = (v) => {
    halves = strings.split(v: v, t: ".")
    whole = strings.trimLeft(v: halves[0], cutset: "0")
    fraction = if length(arr: halves) > 1 then halves[1] else ""

    return strings.repeat(v: "0", i: 30 - strings.strlen(v: whole)) + whole + fraction + strings.repeat(v: "0", i: 30 - strings.strlen(v: fraction))
}
rowsOfLine = (line) => {
    exchange = part(line: line, at: 0)
    symbol = part(line: line, at: 1)
    price = float(v: part(line: line, at: 9))
    firstAt = () =>
        pricesOf()
            |> filter(fn: (r) => r.exchange == exchange and r.symbol == symbol and r._value == price)
            |> first()
            |> findColumn(fn: (key) => true, column: "_time")
    at = if isRead then [] else firstAt()

    return
        if isRead then
            read |> filter(fn: (r) => r.exchange == exchange and r.symbol == symbol and r.price_float == price)
        else
            rowsOf(exchange: exchange, symbol: symbol, start: at[0], stop: date.add(d: 1ns, to: at[0]))
}
extremes =
    array.concat(
        arr: array.map(arr: summary, fn: (x) => toLine(parts: [x, part(line: x, at: 7), "high"])),
        v: array.map(arr: summary, fn: (x) => toLine(parts: [x, part(line: x, at: 8), "low"])),
    )
isBetter = (r, than, isHigh) =>
    if than.digits == "" then
        true
    else if r.digits == than.digits then
        r.trade_id < than.trade_id
    else if isHigh then
        r.digits > than.digits
    else
        r.digits < than.digits
extreme = (line) => {
    isHigh = part(line: line, at: 10) == "high"

    return
        rowsOfLine(line: line)
            |> group(columns: ["exchange", "symbol"])
            |> keep(columns: ["exchange", "symbol", "_time", "trade_id", "price", "quantity", "buyer_is_maker"])
            |> map(fn: (r) => ({r with digits: digits(v: r.price)}))
            |> reduce(
                identity: {digits: "", trade_id: 0, time: oldest, price: "", quantity: "", buyer_is_maker: false},
                fn: (r, accumulator) =>
                    if isBetter(r: r, than: accumulator, isHigh: isHigh) then
                        {
                            digits: r.digits,
                            trade_id: r.trade_id,
                            time: r._time,
                            price: r.price,
                            quantity: r.quantity,
                            buyer_is_maker: r.buyer_is_maker,
                        }
                    else
                        accumulator,
            )
            |> map(
                fn: (r) =>
                    ({
                        _measurement:
                            toLine(
                                parts: [
                                    r.exchange,
                                    r.symbol,
                                    part(line: line, at: 10),
                                    string(v: r.trade_id),
                                    string(v: millisecond(t: r.time)),
                                    r.price,
                                    r.quantity,
                                    string(v: r.buyer_is_maker),
                                ],
                            ),
                    }),
            )
}
trades = if length(arr: extremes) == 0 then [] else unionOf(streams: array.map(arr: extremes, fn: (x) => extreme(line: x))) |> toLines()

// 3. What is missing, from neighbour to neighbour: a plain sum, unless a count began again here or an id came late.
neighbour = (line, side) => {
    key = side + "\n" + part(line: line, at: 0) + "\n" + part(line: line, at: 1)
    of = array.filter(arr: found, fn: (x) => series(line: x) == key)

    return if length(arr: of) == 0 then "" else of[0]
}
missingOf = (line) => {
    first = int(v: part(line: line, at: 4))
    last = int(v: part(line: line, at: 5))
    before = neighbour(line: line, side: "before")
    after = neighbour(line: line, side: "after")
    // Whose ids are far above those here belong to a count that ended before, and far below to one that began after.
    isBefore = if before == "" then false else int(v: part(line: before, at: 4)) - last <= 1000
    isAfter = if after == "" then false else first - int(v: part(line: after, at: 4)) <= 1000
    from = if isBefore then int(v: part(line: before, at: 4)) + 1 else first
    to = if isAfter then int(v: part(line: after, at: 4)) - 1 else last
    isPlain = if int(v: part(line: line, at: 6)) < -1000 then false else if from > first then false else to >= last

    return if isPlain then to - from + 1 - int(v: part(line: line, at: 3)) else -1
}
neighbourRow = (line) =>
    array.from(
        rows: [
            {
                exchange: part(line: line, at: 1),
                symbol: part(line: line, at: 2),
                _time: toTime(v: part(line: line, at: 3)),
                _value: int(v: part(line: line, at: 4)),
            },
        ],
    )
        |> set(key: "_field", value: "neighbour")
inside = (tables=<-) =>
    tables
        |> keep(columns: ["exchange", "symbol", "_time", "_value"])
        |> set(key: "_field", value: "inside")
counted_ = () => {
    all =
        unionOf(
            streams: array.concat(arr: [if isRead then read |> ids() |> inside() else idsOf(x: whole[0]) |> inside()], v: array.map(arr: found, fn: (x) => neighbourRow(line: x))),
        )
            |> group(columns: ["exchange", "symbol"])
            |> sort(columns: ["_time"])
            |> duplicate(column: "_value", as: "count")
            |> difference(columns: ["count"], keepFirst: true)
            |> map(fn: (r) => ({r with count: if exists r.count then if r.count < -1000 then 1 else 0 else 0}))
            |> cumulativeSum(columns: ["count"])
            |> group(columns: ["exchange", "symbol", "count"])
    value = (tables=<-, name) => tables |> set(key: "_field", value: name) |> keep(columns: ["exchange", "symbol", "count", "_field", "_value"]) |> group(columns: ["exchange", "symbol", "count", "_field"])

    return
        union(
            tables: [
                all |> filter(fn: (r) => r._field == "inside") |> count() |> value(name: "inside"),
                all |> distinct() |> count() |> value(name: "different"),
                all |> min() |> value(name: "first"),
                all |> max() |> value(name: "last"),
            ],
        )
            |> pivot(rowKey: ["exchange", "symbol", "count"], columnKey: ["_field"], valueColumn: "_value")
            |> filter(fn: (r) => exists r.inside)
            |> map(fn: (r) => ({exchange: r.exchange, symbol: r.symbol, _value: r.last - r.first + 1 - r.different}))
            |> group(columns: ["exchange", "symbol"])
            |> sum()
            |> map(fn: (r) => ({_measurement: toLine(parts: [r.exchange, r.symbol, string(v: r._value)])}))
            |> toLines()
}
plainly = array.map(arr: summary, fn: (x) => toLine(parts: [part(line: x, at: 0), part(line: x, at: 1), string(v: missingOf(line: x))]))
isUnknown = (line) => part(line: line, at: 2) == "-1"
recounted = if length(arr: array.filter(arr: plainly, fn: (x) => isUnknown(line: x))) == 0 then [] else counted_()

// 4. The rows: one of each extreme, with what its minute has.
fieldOf = (lines, line, at) => {
    of = array.filter(arr: lines, fn: (x) => part(line: x, at: 0) == part(line: line, at: 0))
    own = array.filter(arr: of, fn: (x) => part(line: x, at: 1) == part(line: line, at: 1))

    return if length(arr: own) == 0 then "" else part(line: own[0], at: at)
}
rowOf = (line) => {
    plain = fieldOf(lines: plainly, line: line, at: 2)
    missing = if plain == "-1" then fieldOf(lines: recounted, line: line, at: 2) else plain

    return toLine(parts: [line, fieldOf(lines: summary, line: line, at: 2), missing])
}

array.from(rows: array.map(arr: array.concat(arr: [""], v: array.map(arr: trades, fn: (x) => rowOf(line: x))), fn: (x) => ({line: x})))
    |> filter(fn: (r) => r.line != "")
    // map() orders its columns by name, so the names that order them come first and the true ones after it.
    |> map(
        fn: (r) => {
            p = strings.split(v: r.line, t: "\n")

            return {
                c01: p[0],
                c02: p[1],
                c03: p[2],
                c04: p[5],
                c05: p[6],
                c06: int(v: p[3]),
                c07: toTime(v: p[4]),
                c08: p[7] == "true",
                c09: int(v: p[8]),
                c10: int(v: p[9]),
            }
        },
    )
    |> sort(columns: ["c01", "c02", "c03"])
    |> rename(
        columns: {
            c01: "exchange",
            c02: "symbol",
            c03: "extreme",
            c04: "price",
            c05: "quantity",
            c06: "trade_id",
            c07: "time",
            c08: "buyer_is_maker",
            c09: "trades",
            c10: "missing",
        },
    )
