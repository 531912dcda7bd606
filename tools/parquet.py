"""Reads Parquet files and an archive of trades with DuckDB and with pandas, and compares all with the recording.

python parquet.py RECORDING MINUTES ARCHIVE FILE…   MINUTES: by how much a replay moved the recording's times
"""

import os
import sys

import duckdb
import pandas as pd

from recording import trades

recording, minutes, archive, files = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]

expected = trades(recording, minutes)
in_order = sorted((symbol, time, id, *rest) for (symbol, id), (time, *rest) in expected.items())

columns = "symbol, epoch_ms(time), trade_id, price, quantity, buyer_is_maker"
by_duckdb = duckdb.sql(f"SELECT {columns}, price_float, quantity_float FROM read_parquet({files!r})").fetchall()
types = {name: kind for name, kind, *_ in duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet({files!r})").fetchall()}
by_pandas = pd.concat(pd.read_parquet(file) for file in files)

assert types == {
    "exchange": "VARCHAR",
    "symbol": "VARCHAR",
    "trade_id": "BIGINT",
    "time": "TIMESTAMP WITH TIME ZONE",
    "price": "VARCHAR",
    "quantity": "VARCHAR",
    "buyer_is_maker": "BOOLEAN",
    "price_float": "DOUBLE",
    "quantity_float": "DOUBLE",
}, types
assert str(by_pandas["time"].dtype) == "datetime64[ms, UTC]", by_pandas.dtypes
assert set(by_pandas["exchange"]) == {"practice"}

# In the order of the files and of their rows, which is that of (symbol, T, id).
assert [row[:6] for row in by_duckdb] == in_order, "DuckDB reads something else than the recording says"
assert all(float(row[3]) == row[6] and float(row[4]) == row[7] for row in by_duckdb)
by_pandas["ms"] = by_pandas["time"].astype("int64")
rows = by_pandas[["symbol", "ms", "trade_id", "price", "quantity", "buyer_is_maker"]].itertuples(index=False, name=None)
assert list(rows) == in_order, "pandas reads something else than the recording says"
assert (by_pandas["price"].astype(float) == by_pandas["price_float"]).all()
assert (by_pandas["quantity"].astype(float) == by_pandas["quantity_float"]).all()

# The archive as it lies there: exchange, symbol and date are its folders' names.
order = "symbol, time, trade_id"
in_archive = duckdb.sql(f"SELECT {columns} FROM '{archive}/**/*.parquet' WHERE exchange = 'practice' ORDER BY {order}")
assert in_archive.fetchall() == in_order, "DuckDB reads something else in the archive"
by_pandas = pd.read_parquet(archive, columns=["symbol", "time", "trade_id", "price", "quantity", "buyer_is_maker"])
by_pandas["time"], by_pandas["symbol"] = by_pandas["time"].astype("int64"), by_pandas["symbol"].astype(str)
rows = by_pandas.sort_values(["symbol", "time", "trade_id"]).itertuples(index=False, name=None)
assert list(rows) == in_order, "pandas reads something else in the archive"

size = sum(os.path.getsize(file) for file in files)
print(f"DuckDB {duckdb.__version__} and pandas {pd.__version__} read the {len(in_order)} trades of the recording, each text")
print(f"byte for byte, in the files and in the archive; {size / len(in_order):.1f} bytes a trade on disk")
