"""Makes the inputs of the benchmarks. Runs in the virtual environment, because it needs DuckDB.

    make_data.py tables --out DIR --rows N --texts 5 --integers 3 --times 1 --changed PPM [--drift] --format csv
    make_data.py export --out DIR --items N
    make_data.py export-target --out DIR --items N

Everything follows from the seed: a value is a hash of (seed, row, column). Beside each target lies a JSON file with the
counts that a right answer has; it is written last, so that where it exists the data is whole.
"""

import argparse
import base64
import hashlib
import json
import pathlib

import duckdb

# Of a million records: so many are missing in the target, so many have an integer set to NULL.
MISSING_PPM = 200
NULLED_PPM = 500
EXTRA_ROWS = 100
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%gZ"


def connect(seed, threads):
    connection = duckdb.connect(config={"threads": threads, "preserve_insertion_order": True})
    for macro in (
        f"draw(i, salt) as hash(i, salt, {seed})",
        # Twelve or thirteen letters and digits.
        "word(i, salt) as to_base((draw(i, salt) >> 1)::bigint, 36)",
        # 10 to 45 characters.
        "phrase(i, salt) as left(concat(word(i, salt), ' ', word(i, salt + 1000), ' ', word(i, salt + 2000), ' ',"
        " word(i, salt + 3000)), 10 + (draw(i, salt + 4000) % 36)::int)",
        "id_of(i) as concat(to_base((draw(i, 1) % 2000000000)::bigint, 36, 6), '-', to_base(i::bigint, 36, 6))",
        "class_of(i) as (draw(i, 2) % 1000000)::int",
    ):
        connection.execute(f"create macro {macro}")
    return connection


def text_column(k):
    phrase = f"phrase(i, {10 * k + 10})"
    if k == 0:  # Some need quoting in a CSV.
        return f"case when i % 50 = 0 then concat(left({phrase}, 5), ', \"', substr({phrase}, 6, 4), '\"') else {phrase} end"
    if k == 1:  # Some are not ASCII.
        return f"case when i % 50 = 1 then concat('Zoë ', left({phrase}, 40)) else {phrase} end"
    return phrase


def integer_column(k):
    draw = f"draw(i, {10 * k + 11})"
    return (
        f"({draw} % 1000000)::bigint",
        f"({draw} % 1000000000000)::bigint",
        f"({draw} % 2000000000)::bigint - 1000000000",
    )[k % 3]


def time_column(k):
    return f"epoch_ms(1600000000000 + (draw(i, {10 * k + 12}) % 150000000000)::bigint)"


def columns(args, target):
    """The select list of a side, over a column `i` and, for the target, the kind of change in `class`."""
    last_changed = MISSING_PPM + args.changed
    items = ["id_of(i) as id"]
    items += [f"{text_column(k)} as text_{k + 1}" for k in range(args.texts)]
    for k in range(args.integers):
        value = integer_column(k)
        if target:
            here = f"draw(i, 3) % {args.integers} = {k}"
            value = (
                f"case when {here} and class >= {MISSING_PPM} and class < {last_changed} then {value} + 1"
                f" when {here} and class >= {last_changed} and class < {last_changed + NULLED_PPM} then null"
                f" else {value} end"
            )
        items.append(f"{value} as integer_{k + 1}")
    for k in range(args.times):
        value = time_column(k)
        if target and args.drift:
            value = f"{value} + to_milliseconds((draw(i, {10 * k + 13}) % 1999)::bigint - 999)"
        if args.format == "csv":
            value = f"strftime({value}, '{TIME_FORMAT}')"
        items.append(f"{value} as time_{k + 1}")
    return ",\n  ".join(items)


def copy(connection, query, path, form):
    """Writes a query's rows, in order, under a temporary name first."""
    temporary = path.with_suffix(".tmp")
    options = "format csv, header true" if form == "csv" else "format parquet, compression snappy"
    connection.execute(f"copy ({query}) to '{temporary}' ({options})")
    temporary.rename(path)


def target_name(args):
    return f"target-{args.changed}ppm{'-drift' if args.drift else ''}"


def make_tables(args):
    args.out.mkdir(parents=True, exist_ok=True)
    connection = connect(args.seed, args.threads)
    source = args.out / f"source.{args.format}"
    if not source.exists():
        copy(connection, f"select {columns(args, False)} from range({args.rows}) t(i)", source, args.format)
    expected = args.out / f"{target_name(args)}.json"
    if expected.exists():
        return
    # Extra records have a class of their own, in which nothing is changed.
    connection.execute(
        f"create table picked as select i, if(i < {args.rows}, class_of(i), 1000000) as class"
        f" from range({args.rows + EXTRA_ROWS}) t(i)"
    )
    rows = f"select i, class from picked where class >= {MISSING_PPM} order by draw(i, 4)"
    query = f"select {columns(args, True)} from ({rows})"
    copy(connection, query, args.out / f"{target_name(args)}.{args.format}", args.format)
    missing, mismatched = connection.execute(
        f"select count(*) filter (class < {MISSING_PPM}),"
        f" count(*) filter (class >= {MISSING_PPM} and class < {MISSING_PPM + args.changed + NULLED_PPM}) from picked"
    ).fetchone()
    counts = {
        "source_rows": args.rows,
        "target_rows": args.rows - missing + EXTRA_ROWS,
        "missing": missing,
        "extra": EXTRA_ROWS,
        "mismatched": mismatched,
    }
    write_json(expected, counts)


ITEM = """
select {
  'pk': {'S': concat('ORDER#tenant-', draw(i, 20) % 500)},
  'sk': {'S': id_of(i)},
  'id': {'S': word(i, 36)},
  'code': {'S': id_of(i)},
  'name': {'S': phrase(i, 21)},
  'email': {'S': concat(word(i, 22), '@', word(i, 23), '.example')},
  'status': {'S': ['new', 'paid', 'packed', 'sent', 'returned'][1 + (draw(i, 24) % 5)::int]},
  'quantity': {'N': (draw(i, 25) % 1000)::text},
  'price': {'N': ((draw(i, 26) % 100000000) / 100)::decimal(12, 2)::text},
  'createdAt': {'S': strftime(epoch_ms(1600000000000 + (draw(i, 27) % 150000000000)::bigint), '%Y-%m-%dT%H:%M:%S+09:00')},
  'isActive': {'BOOL': draw(i, 28) % 2 = 0},
  'tags': {'SS': [concat('tag-', draw(i, 29) % 40), concat('tag-', 40 + draw(i, 30) % 40), concat('tag-', 80 + draw(i, 31) % 40)]},
  'attributes': {'M': {
    'colour': {'S': word(i, 32)},
    'weight': {'N': (draw(i, 33) % 100000)::text}
  }},
  'note': {'S': phrase(i, 35)}
} as Item from range(FIRST, AFTER) t(i)
"""
# The same orders as a table would have them, some changed; `class` says which.
ORDER = """
select
  concat('ORDER#tenant-', draw(i, 20) % 500) as pk,
  id_of(i) as sk,
  word(i, 36) as id,
  id_of(i) as code,
  phrase(i, 21) as name,
  concat(word(i, 22), '@', word(i, 23), '.example') as email,
  ['new', 'paid', 'packed', 'sent', 'returned'][1 + (draw(i, 24) % 5)::int] as status,
  (draw(i, 25) % 1000)::int + if(class >= 200 and class < 1200, 1, 0) as quantity,
  if(class >= 1200 and class < 1700, null, ((draw(i, 26) % 100000000) / 100)::decimal(12, 2)) as price,
  epoch_ms(1600000000000 + (draw(i, 27) % 150000000000)::bigint // 1000 * 1000) - interval 9 hours as created_at,
  draw(i, 28) % 2 = 0 as is_active,
  [concat('tag-', 80 + draw(i, 31) % 40), concat('tag-', draw(i, 29) % 40), concat('tag-', 40 + draw(i, 30) % 40)] as tags,
  word(i, 32) as colour,
  (draw(i, 33) % 100000)::bigint as weight,
  phrase(i, 35) as note
from (select i, class from picked where class >= 200 order by draw(i, 4))
"""
EXPORT_ID = "01700000000000-5eed5eed"
EXPORT_FILES = 8


def make_export(args):
    expected = args.out / "expected.json"
    if expected.exists():
        return
    connection = connect(args.seed, args.threads)
    folder = args.out / "AWSDynamoDB" / EXPORT_ID
    (folder / "data").mkdir(parents=True, exist_ok=True)
    entries = []
    for n in range(EXPORT_FILES):
        first, after = (args.items * n // EXPORT_FILES, args.items * (n + 1) // EXPORT_FILES)
        name = base64.b32encode(hashlib.sha256(f"{args.seed} {n}".encode()).digest()).decode()[:26].lower() + ".json.gz"
        path = folder / "data" / name
        items = ITEM.replace("FIRST", str(first)).replace("AFTER", str(after))
        connection.execute(f"copy ({items}) to '{path}' (format json, compression gzip)")
        digest = md5(path)
        entries.append({
            "itemCount": after - first,
            "md5Checksum": base64.b64encode(digest).decode(),
            "etag": hashlib.md5(digest).hexdigest() + "-1",
            "dataFileS3Key": f"AWSDynamoDB/{EXPORT_ID}/data/{name}",
        })
    summary = {
        "version": "2020-06-30",
        "exportArn": f"arn:aws:dynamodb:eu-west-1:000000000000:table/orders/export/{EXPORT_ID}",
        "startTime": "2023-11-14T22:13:20.000Z",
        "endTime": "2023-11-14T22:18:20.000Z",
        "tableArn": "arn:aws:dynamodb:eu-west-1:000000000000:table/orders",
        "tableId": "00000000-0000-0000-0000-000000000000",
        "exportTime": "2023-11-14T22:13:20.000Z",
        "s3Bucket": "bench",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"AWSDynamoDB/{EXPORT_ID}/manifest-files.json",
        "billedSizeBytes": sum(f.stat().st_size for f in (folder / "data").iterdir()),
        "itemCount": args.items,
        "outputFormat": "DYNAMODB_JSON",
    }
    write_manifest(folder / "manifest-files.json", "".join(json.dumps(e) + "\n" for e in entries))
    write_manifest(folder / "manifest-summary.json", json.dumps(summary))
    (folder / "_started").touch()
    write_json(expected, {"rows": args.items})


def make_export_target(args):
    """A table that the export was moved into, and what went wrong on the way."""
    expected = args.out / "target.json"
    if expected.exists():
        return
    connection = connect(args.seed, args.threads)
    connection.execute(
        f"create table picked as select i, if(i < {args.items}, class_of(i), 1000000) as class"
        f" from range({args.items + EXTRA_ROWS}) t(i)"
    )
    copy(connection, ORDER, args.out / "target.parquet", "parquet")
    missing, mismatched = connection.execute(
        "select count(*) filter (class < 200), count(*) filter (class >= 200 and class < 1700) from picked"
    ).fetchone()
    counts = {
        "source_rows": args.items,
        "target_rows": args.items - missing + EXTRA_ROWS,
        "missing": missing,
        "extra": EXTRA_ROWS,
        "mismatched": mismatched,
    }
    write_json(expected, counts)


def md5(path):
    digest = hashlib.md5()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()


def write_manifest(path, text):
    path.write_text(text)
    path.with_suffix(".md5").write_text(base64.b64encode(md5(path)).decode())


def write_json(path, value):
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.rename(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["tables", "export", "export-target"])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--texts", type=int, default=5)
    parser.add_argument("--integers", type=int, default=3)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--changed", type=int, default=1000, help="records with another integer, of a million")
    parser.add_argument("--drift", action="store_true", help="times that differ by less than a second")
    parser.add_argument("--format", choices=["csv", "parquet"], default="csv")
    parser.add_argument("--items", type=int, default=2_000_000)
    args = parser.parse_args()
    {"tables": make_tables, "export": make_export, "export-target": make_export_target}[args.what](args)


if __name__ == "__main__":
    main()
