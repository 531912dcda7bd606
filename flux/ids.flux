// The trade ids of a stretch of time, one a row: what `tickflux gaps` reads of minutes that are not whole.
//
// Result: _result
// Table: keys: []
//   exchange  symbol   trade_id
//   practice  BTCUSDT  6327999840

import "array"
import "regexp"
import "strings"

// ---- Parameters: one a line -------------------------------------------------
bucket = "ticks"
// [] is every symbol; ["BTCUSDT", "ETHUSDT"] is these two. The same for exchanges.
symbols = []
exchanges = []
// From here, up to but not including there: -2m, or 2026-11-23T12:00:00Z.
from_time = -2m
until_time = -1m
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

from(bucket: bucket)
    |> range(start: from_time, stop: until_time)
    |> filter(fn: (r) => r._measurement == "trade" and r._field == "trade_id")
    |> filter(fn: (r) => r.exchange =~ exchangeMatch and r.symbol =~ symbolMatch)
    |> rename(columns: {_value: "trade_id"})
    |> keep(columns: ["exchange", "symbol", "trade_id"])
    |> group()
