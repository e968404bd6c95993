"""DuckDB by hand: both CSV files into tables with their types, a full outer join on the key, every column compared.

    duckdb_tables.py SOURCE TARGET TEXTS INTEGERS TIMES TOLERANCE_MS THREADS DATABASE
"""

import json
import sys

import duckdb

source, target, texts, integers, times, tolerance_ms, threads, database = sys.argv[1:]
types = {"id": "varchar"}
types |= {f"text_{k + 1}": "varchar" for k in range(int(texts))}
types |= {f"integer_{k + 1}": "bigint" for k in range(int(integers))}
types |= {f"time_{k + 1}": "timestamp" for k in range(int(times))}


def differs(name):
    exact = f"s.{name} is distinct from t.{name}"
    if types[name] != "timestamp" or tolerance_ms == "0":
        return exact
    return f"({exact} and (s.{name} is null or t.{name} is null or abs(epoch_ms(s.{name}) - epoch_ms(t.{name})) > {tolerance_ms}))"


connection = duckdb.connect(database, config={"threads": int(threads)})
for name, path in (("source", source), ("target", target)):
    columns = ", ".join(f"'{c}': '{t}'" for c, t in types.items())
    connection.execute(f"create table {name} as select * from read_csv('{path}', header = true, columns = {{{columns}}})")
different = " or ".join(differs(name) for name in types if name != "id")
missing, extra, mismatched = connection.execute(
    "select count(*) filter (t.id is null), count(*) filter (s.id is null),"
    f" count(*) filter (s.id is not null and t.id is not null and ({different}))"
    " from source s full outer join target t on s.id = t.id"
).fetchone()
print(json.dumps({"missing": missing, "extra": extra, "mismatched": mismatched}))
