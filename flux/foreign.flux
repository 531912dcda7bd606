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
// another type or holds no number; a tag that trades have not); points, how many; newest, the time of the newest such
// point. No row: every point is a trade. Among more than 200,000 points single ones are not looked for. A point that is
// being written this moment counts as well: ask again.
//
// Result: _result
// Table: keys: []
//   reason  points  newest
//   point   1       2026-11-23T16:41:24.039000000Z

import "array"
import "date"
import "experimental"
import "generate"
import "influxdata/influxdb/schema"
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

start = later(a: millisecond(t: since), b: oldest)
stop = later(a: earlier(a: millisecond(t: until), b: end), b: date.add(d: 1ms, to: start))

// 1. The points of series whose names are none, if they may be what is asked for.
anyExchange = oneOf(names: [], any: /^[\p{L}\p{M}\p{N}_.\-]+$/)
anySymbol = oneOf(names: [], any: /^([A-Z0-9_.\-\p{M}\p{N}]|[^\x00-\x7F\P{L}])+$/)
isAsked = (r) =>
    (length(arr: symbols) == 0 or exists r.symbol and contains(value: r.symbol, set: symbols))
        and (length(arr: exchanges) == 0 or exists r.exchange and contains(value: r.exchange, set: exchanges))
namesOf = () =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(
            fn: (r) =>
                r._measurement == "trade"
                    and (r.exchange !~ anyExchange or r.symbol !~ anySymbol or r.exchange =~ tooLong or r.symbol =~ tooLong),
        )
namesAt =
    namesOf()
        |> last()
        |> keep(columns: ["_time", "exchange", "symbol"])
        |> group()
        |> filter(fn: isAsked)
        |> sort(columns: ["_time"])
        |> findColumn(fn: (key) => true, column: "_time")
newestName = if length(arr: namesAt) == 0 then oldest else namesAt[length(arr: namesAt) - 1]
unnamed =
    namesOf()
        |> count()
        |> group(columns: ["_field", "_value"], mode: "except")
        |> max()
        |> group()
        |> filter(fn: isAsked)
        |> keep(columns: ["_value"])
        |> sum()
        |> map(fn: (r) => ({c1: "name", c2: r._value, c3: newestName}))

// 2. The points of the others that are no trades, each a row: how many, and when the newest was.
total =
    points(start: start, stop: stop)
        |> filter(fn: (r) => r._field == "trade_id" or r._field == "price")
        |> count()
        |> group()
        |> sum()
        |> findColumn(fn: (key) => true, column: "_value")
isMuch = if length(arr: total) == 0 then false else total[0] > 200000
tagKeys =
    schema.measurementTagKeys(bucket: bucket, measurement: "trade", start: start, stop: stop)
        |> findColumn(fn: (key) => true, column: "_value")
ownTags = /^(_start|_stop|_field|_measurement|exchange|symbol)$/
hasOtherTags = length(arr: array.filter(arr: tagKeys, fn: (x) => x !~ ownTags)) > 0
rowsOf = (x) => points(start: x.start, stop: x.stop) |> rows()
isNone = (r) => if isTrade(r: r) then hasOtherTags and length(arr: experimental.objectKeys(o: r)) != 12 else true
summed = (streams) =>
    if length(arr: streams) == 0 then
        []
    else
        unionOf(streams: array.map(arr: streams, fn: (x) => x |> keep(columns: ["_time"])))
            |> group()
            |> reduce(
                identity: {count: 0, newest: oldest},
                fn: (r, accumulator) =>
                    ({count: accumulator.count + 1, newest: later(a: accumulator.newest, b: r._time)}),
            )
            |> map(fn: (r) => ({_measurement: toLine(parts: [string(v: r.count), string(v: r.newest)])}))
            |> toLines()
everyHour = if isMuch then [] else allHours(start: start, stop: stop)
quick = experimental.catch(fn: () => summed(streams: array.map(arr: everyHour, fn: (x) => rowsOf(x: x) |> filter(fn: isNone))))
inHours = () => {
    good = hours(start: start, stop: stop)
    starts = array.map(arr: good, fn: (x) => x.start)
    bad = array.filter(arr: everyHour, fn: (x) => not contains(value: x.start, set: starts))

    return
        array.concat(
            arr: summed(streams: array.map(arr: good, fn: (x) => rowsOf(x: x) |> filter(fn: isNone))),
            v: summed(streams: array.map(arr: bad, fn: (x) => rowsOf(x: x))),
        )
}
single = if exists quick.code then inHours() else quick.value

union(
    tables: [
        unnamed,
        array.from(
            rows:
                array.map(
                    arr: array.concat(arr: ["0\n" + string(v: oldest)], v: single),
                    fn: (x) => ({c1: "point", c2: int(v: part(line: x, at: 0)), c3: toTime(v: part(line: x, at: 1))}),
                ),
        ),
    ],
)
    |> filter(fn: (r) => r.c2 > 0)
    |> group(columns: ["c1"])
    |> reduce(
        identity: {c2: 0, c3: oldest},
        fn: (r, accumulator) => ({c2: accumulator.c2 + r.c2, c3: later(a: accumulator.c3, b: r.c3)}),
    )
    |> group()
    |> sort(columns: ["c1"])
    |> rename(columns: {c1: "reason", c2: "points", c3: "newest"})
