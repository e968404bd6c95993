"""datacompy on polars: both CSV files into data frames with their types, compared by the key.

    datacompy_polars.py SOURCE TARGET TEXTS INTEGERS TIMES TOLERANCE_MS

A tolerance in datacompy is for numbers, so times become milliseconds since 1970.
"""

import json
import sys

import polars
from datacompy import PolarsCompare

source, target, texts, integers, times, tolerance_ms = sys.argv[1:]
schema = {"id": polars.String}
schema |= {f"text_{k + 1}": polars.String for k in range(int(texts))}
schema |= {f"integer_{k + 1}": polars.Int64 for k in range(int(integers))}
time_names = [f"time_{k + 1}" for k in range(int(times))]
schema |= {name: polars.String for name in time_names}


def read(path):
    rows = polars.read_csv(path, schema=schema)
    parsed = [polars.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ").dt.epoch("ms") for name in time_names]
    return rows.with_columns(parsed)


comparison = PolarsCompare(
    read(source), read(target), join_columns="id", abs_tol={name: float(tolerance_ms) for name in time_names}
)
print(json.dumps({
    "missing": len(comparison.df1_unq_rows),
    "extra": len(comparison.df2_unq_rows),
    "mismatched": len(comparison.intersect_rows) - comparison.count_matching_rows(),
}))
