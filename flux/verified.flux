// How many minutes of the last 24 h are verified, and which are not? While it captures, tickflux holds each minute of what is
// stored against the exchange's own candle, and writes what it finds as a point of the measurement `minute`.
//
// Run it as it is: influx query --file flux/verified.flux, or in the script editor with "View Raw Data".

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
since = -24h
// Up to but not including there: 48h is everything.
until = 48h
// true: a row for every minute that has such a point, for programs.
all = false
// ---- End of parameters ------------------------------------------------------

// The first table, "minutes", has a row for each symbol: verified, minutes that are the same in the exchange's candle; different,
// those that are not; open, those with trades and no verdict; newest, the newest one that is verified. The second, "not_verified",
// has a row for each minute that differs or is open: trades, how many are stored; difference, what the two sides say. A minute
// is open until some seconds after its end, while the exchange tells no candle of it, and while a hole in it is being repaired;
// the first stored minute of a symbol may be a part of one, and is not among them while it is open.
//
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

start = later(a: date.truncate(t: since, unit: 1m), b: oldest)
stop = later(a: earlier(a: millisecond(t: until), b: end), b: date.add(d: 1ms, to: start))

// 1. What was found of each minute, as texts, so that all of it is in one column.
found = (field) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "minute" and r.exchange =~ exchangeMatch and r.symbol =~ symbolMatch)
        |> filter(fn: (r) => r._field == field)
asTexts = (tables=<-, name) =>
    tables
        // The first window of an hour begins with the hour's first point.
        |> map(
            fn: (r) =>
                ({
                    exchange: r.exchange,
                    symbol: r.symbol,
                    _time: date.truncate(t: r._time, unit: 1m),
                    _field: name,
                    _value: string(v: r._value),
                }),
        )
        |> group()
verdicts = [
    found(field: "verified") |> asTexts(name: "verified"),
    found(field: "difference") |> asTexts(name: "difference"),
    found(field: "trades") |> asTexts(name: "counted"),
]

// 2. How many trades each minute has. A minute that is younger has no verdict yet.
settled = earlier(a: stop, b: date.truncate(t: date.sub(d: 30s, from: now()), unit: 1m))
readable = if all or settled <= start then [] else hours(start: start, stop: settled)
stored =
    array.map(
        arr: readable,
        fn: (x) =>
            points(start: x.start, stop: x.stop)
                |> filter(fn: (r) => r._field == "trade_id")
                |> aggregateWindow(every: 1m, fn: count, timeSrc: "_start", createEmpty: false)
                |> asTexts(name: "stored"),
    )

minutes =
    unionOf(streams: array.concat(arr: verdicts, v: stored))
        |> pivot(rowKey: ["exchange", "symbol", "_time"], columnKey: ["_field"], valueColumn: "_value")
        |> group(columns: ["exchange", "symbol"])
        |> sort(columns: ["_time"])
        |> map(
            fn: (r) => {
                isStored = exists r.stored
                isJudged = exists r.verified

                return {
                    exchange: r.exchange,
                    symbol: r.symbol,
                    _time: r._time,
                    trades: if isStored then int(v: r.stored) else if exists r.counted then int(v: r.counted) else 0,
                    isVerified: isJudged and r.verified == "true",
                    isDifferent: isJudged and r.verified != "true",
                    difference: if not isJudged then "not verified yet" else if exists r.difference then r.difference else "",
                    n: 1,
                }
            },
        )
        |> cumulativeSum(columns: ["n"])
        // The first one may be a part of a minute.
        |> filter(fn: (r) => r.isVerified or r.isDifferent or r.n > 1)

// 3. The answer. map() orders its columns by name, so the names that order them come first and the true ones after it; but one that only
//    names columns gives them in an order of chance, so one column is made: toTime() of a time is that time.
asked =
    minutes
        |> filter(fn: (r) => r.isVerified or r.isDifferent)
        |> group()
        |> sort(columns: ["exchange", "symbol", "_time"])
        |> map(fn: (r) => ({c1: r.exchange, c2: r.symbol, c3: toTime(v: r._time), c4: r.isVerified, c5: r.difference}))
        |> rename(columns: {c1: "exchange", c2: "symbol", c3: "minute", c4: "verified", c5: "difference"})
summary =
    minutes
        |> reduce(
            identity: {verified: 0, different: 0, open: 0, newest: 0},
            fn: (r, accumulator) =>
                ({
                    verified: accumulator.verified + (if r.isVerified then 1 else 0),
                    different: accumulator.different + (if r.isDifferent then 1 else 0),
                    open: accumulator.open + (if r.isVerified or r.isDifferent then 0 else 1),
                    newest: if r.isVerified then int(v: r._time) else accumulator.newest,
                }),
        )
        |> group()
        |> sort(columns: ["exchange", "symbol"])
        |> map(
            fn: (r) =>
                ({c1: r.exchange, c2: r.symbol, c3: r.verified, c4: r.different, c5: r.open, c6: toTime(v: r.newest)}),
        )
        |> rename(
            columns: {c1: "exchange", c2: "symbol", c3: "verified", c4: "different", c5: "open", c6: "newest"},
        )
unverified =
    minutes
        |> filter(fn: (r) => not r.isVerified)
        |> group()
        |> sort(columns: ["exchange", "symbol", "_time"])
        |> map(fn: (r) => ({c1: r.exchange, c2: r.symbol, c3: toTime(v: r._time), c4: r.trades, c5: r.difference}))
        |> rename(columns: {c1: "exchange", c2: "symbol", c3: "minute", c4: "trades", c5: "difference"})

answer = if all then asked else summary
rest = if all then asked |> limit(n: 0) else unverified

answer |> yield(name: "minutes")
rest |> yield(name: "not_verified")
