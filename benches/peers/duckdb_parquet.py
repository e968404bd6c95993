"""DuckDB by hand: a full outer join straight over two Parquet files, every column compared.

    duckdb_parquet.py SOURCE TARGET TOLERANCE_MS THREADS
"""

import json
import sys

import duckdb

source, target, tolerance_ms, threads = sys.argv[1:]
connection = duckdb.connect(config={"threads": int(threads)})
columns = connection.execute(f"describe select * from read_parquet('{source}')").fetchall()


def differs(name, kind):
    exact = f"s.{name} is distinct from t.{name}"
    if not kind.startswith("TIMESTAMP") or tolerance_ms == "0":
        return exact
    return f"({exact} and (s.{name} is null or t.{name} is null or abs(epoch_ms(s.{name}) - epoch_ms(t.{name})) > {tolerance_ms}))"


different = " or ".join(differs(name, kind) for name, kind, *_ in columns if name != "id")
missing, extra, mismatched = connection.execute(
    "select count(*) filter (t.id is null), count(*) filter (s.id is null),"
    f" count(*) filter (s.id is not null and t.id is not null and ({different}))"
    f" from read_parquet('{source}') s full outer join read_parquet('{target}') t on s.id = t.id"
).fetchone()
print(json.dumps({"missing": missing, "extra": extra, "mismatched": mismatched}))
