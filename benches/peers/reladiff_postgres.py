"""reladiff: two tables of one PostgreSQL, joined in the server, every column compared.

    reladiff_postgres.py URL SOURCE TARGET
"""

import json
import sys

import reladiff

url, *names = sys.argv[1:]
source, target = (reladiff.connect_to_table(url.replace("postgres://", "postgresql://"), name, "id") for name in names)
columns = source.database.query_table_schema(source.table_path)
signs = {}
for sign, row in reladiff.diff_tables(
    source, target, algorithm=reladiff.Algorithm.JOINDIFF, extra_columns=tuple(name for name in columns if name != "id")
):
    signs.setdefault(row[0], set()).add(sign)
count = lambda wanted: sum(found == wanted for found in signs.values())  # noqa: E731
print(json.dumps({"missing": count({"-"}), "extra": count({"+"}), "mismatched": count({"-", "+"})}))
