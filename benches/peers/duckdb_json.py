"""DuckDB by hand: the lines of a DynamoDB export into a table, through one typed struct.

    duckdb_json.py FOLDER THREADS DATABASE
"""

import json
import sys

import duckdb

folder, threads, database = sys.argv[1:]
TEXTS = ("pk", "sk", "id", "code", "name", "email", "status", "createdAt", "note")
NUMBERS = ("quantity", "price")
attributes = [f'"{name}" struct(S varchar)' for name in TEXTS]
attributes += [f'"{name}" struct(N varchar)' for name in NUMBERS]
attributes += [
    '"isActive" struct("BOOL" boolean)',
    '"tags" struct(SS varchar[])',
    '"attributes" struct(M struct("colour" struct(S varchar), "weight" struct(N varchar)))',
]
selected = [f'Item."{name}".S as "{name}"' for name in TEXTS]
selected += [f'Item."{name}".N::decimal(38, 10) as "{name}"' for name in NUMBERS]
selected += ['Item."isActive"."BOOL" as "isActive"', 'Item."tags".SS as "tags"', 'Item."attributes".M as "attributes"']
connection = duckdb.connect(database, config={"threads": int(threads)})
connection.execute(
    f"create table items as select {', '.join(selected)} from read_json('{folder}/*.json.gz',"
    f" format = 'newline_delimited', compression = 'gzip', columns = {{Item: 'struct({', '.join(attributes)})'}})"
)
rows, with_all = connection.execute(
    "select count(*), count(*) filter (pk is not null and price is not null and len(tags) = 3"
    ' and "attributes".weight.N is not null) from items'
).fetchone()
if rows != with_all:
    sys.exit(f"{rows - with_all} rows were not read whole")
print(json.dumps({"rows": rows}))
