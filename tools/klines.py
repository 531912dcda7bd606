"""Computes the candles of a recorded session as /api/v3/klines with interval=1m tells them, a file a symbol.

python klines.py RECORDING MINUTES FOLDER   MINUTES: by how much a replay moved the recording's times
"""

import json
import sys
from decimal import Decimal
from itertools import groupby

from recording import trades

recording, minutes, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]

by_symbol = {}
for (symbol, id), (time, price, quantity, is_maker) in trades(recording, minutes).items():
    by_symbol.setdefault(symbol, []).append((time, id, Decimal(price), Decimal(quantity), is_maker))

for symbol, all_rows in by_symbol.items():
    klines = []
    for minute, rows in groupby(sorted(all_rows), key=lambda row: row[0] // 60_000):
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
    print(f"{symbol}: {len(klines)} candles of {len(all_rows)} trades")
