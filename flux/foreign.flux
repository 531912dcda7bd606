// Which points of the measurement are no trades? What the other files pass over, counted.
//
//     influx query --file flux/foreign.flux
//
// runs it as it is, and so does the Data Explorer's script editor ("View Raw Data").
//
// Parameters:
//   bucket      the bucket
//   symbols     the symbols that are looked at; [] is every one in the bucket
//   exchanges   the exchanges that are looked at; [] is every one in the bucket
//   since       from here, a time or a duration before now
//   until       up to but not including there
//
// Columns: reason, name (an exchange or a symbol that is missing or is none) or point (a field that is missing, has
// another type or holds no number; a tag that trades have not); points, how many. No row: every point is a trade. Among
// more than 200,000 points single ones are not looked for. A point that is being written this moment counts as well.
//
// Result: _result
// Table: keys: []
//   reason  points
//   point   1

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
// From here, up to but not including there: -2m, or 2026-11-23T12:00:00Z.
since = -24h
until = 48h
// ---- End of parameters ------------------------------------------------------

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
                            points(start: x.start, stop: x.stop)
                                |> window(every: 1h)
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

start = later(a: millisecond(t: since), b: oldest)
stop = later(a: earlier(a: millisecond(t: until), b: end), b: date.add(d: 1ms, to: start))

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

// A few are read point by point, and so are more if that is the only way to tell which are trades.
areFew = total > 0 and total <= 200000
uneven = () =>
    unionOf(streams: array.map(arr: byHours, fn: (x) => points(start: x.start, stop: x.stop) |> count()))
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
stretches = if isByPoint and not isCut then hours(start: start, stop: stop) else byHours

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

// 1. The points of series whose names are none, if they may be what is asked for.
anyExchange = oneOf(names: [], any: /^[\p{L}\p{M}\p{N}_.\-]+$/)
anySymbol = oneOf(names: [], any: /^([A-Z0-9_.\-\p{M}\p{N}]|[^\x00-\x7F\P{L}])+$/)
isAsked = (r) =>
    (length(arr: symbols) == 0 or exists r.symbol and contains(value: r.symbol, set: symbols))
        and (length(arr: exchanges) == 0 or exists r.exchange and contains(value: r.exchange, set: exchanges))
unnamed =
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(
            fn: (r) =>
                r._measurement == "trade"
                    and (r.exchange !~ anyExchange or r.symbol !~ anySymbol or r.exchange =~ tooLong or r.symbol =~ tooLong),
        )
        |> count()
        |> group(columns: ["_field", "_value"], mode: "except")
        |> max()
        |> group()
        |> filter(fn: isAsked)
        |> keep(columns: ["_value"])
        |> sum()
        |> map(fn: (r) => ({c1: "name", c2: r._value}))

// 2. The points of the others that are no trades.
pointsAndTrades = () => {
    all = allHours(start: start, stop: stop)
    counted = (tables=<-) =>
        tables
            |> keep(columns: ["_measurement"])
            |> group()
            |> count(column: "_measurement")
            |> findColumn(fn: (key) => true, column: "_measurement")
    ofAll = unionOf(streams: array.map(arr: all, fn: (x) => points(start: x.start, stop: x.stop) |> rows() |> keep(columns: ["_measurement"]))) |> counted()
    ofTrades = if length(arr: stretches) == 0 then [] else unionOf(streams: array.map(arr: stretches, fn: (x) => byPoint(x: x) |> keep(columns: ["_measurement"]))) |> counted()

    return (if length(arr: ofAll) == 0 then 0 else ofAll[0]) - (if length(arr: ofTrades) == 0 then 0 else ofTrades[0])
}
single = if isByPoint then pointsAndTrades() else if isCut and total == 0 then pointsAndTrades() else 0

union(tables: [unnamed, array.from(rows: [{c1: "point", c2: single}])])
    |> filter(fn: (r) => r.c2 > 0)
    |> sort(columns: ["c1"])
    |> rename(columns: {c1: "reason", c2: "points"})
