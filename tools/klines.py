"""Computes the candles of a recorded session as /api/v3/klines with interval=1m tells them, a file a symbol.

python klines.py RECORDING MINUTES FOLDER   MINUTES: by how much a replay moved the recording's times
"""

import gzip
import json
import sys
from decimal import Decimal
from itertools import groupby

recording, minutes, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]

trades = {}
with (gzip.open if recording.endswith(".gz") else open)(recording, "rt") as lines:
    for line in lines:
        message = json.loads(line.split(" ", 1)[1])
        trade = message.get("data", message)
        if trade.get("e") == "trade":
            time = trade["T"] + minutes * 60_000
            row = (time, trade["t"], Decimal(trade["p"]), Decimal(trade["q"]), trade["m"])
            trades.setdefault(trade["s"], {})[trade["t"]] = row

for symbol, by_id in trades.items():
    klines = []
    for minute, rows in groupby(sorted(by_id.values()), key=lambda row: row[0] // 60_000):
        rows = list(rows)
        prices = [price for _, _, price, _, _ in rows]
        volume = sum(quantity for _, _, _, quantity, _ in rows)
        quote = sum(price * quantity for _, _, price, quantity, _ in rows)
        bought = [(price, quantity) for _, _, price, quantity, is_maker in rows if not is_maker]
        texts = [f"{number:.8f}" for number in (prices[0], max(prices), min(prices), prices[-1], volume)]
        taker = [f"{sum(quantity for _, quantity in bought):.8f}", f"{sum(price * quantity for price, quantity in bought):.8f}"]
        end = minute * 60_000 + 59_999
        klines.append([minute * 60_000, *texts, end, f"{quote:.8f}", len(rows), *taker, "0"])
    with open(f"{folder}/klines-{symbol}.json", "w") as file:
        json.dump(klines, file)
    print(f"{symbol}: {len(klines)} candles of {len(by_id)} trades")
