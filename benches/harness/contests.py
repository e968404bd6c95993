"""The contests: for each its data, who takes part, and what recon must reach."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from . import places
from .dynamodb import Dynamodb
from .measure import Failed, Reading, run
from .postgres import Postgres

MEGA = 1_000_000


@dataclass
class Goal:
    """recon's median time (or peak memory) must be at most this many times the peer's."""

    peer: str
    time: float | None = None
    memory: float | None = None


@dataclass
class Contestant:
    """Who takes part: `attempt` does the work once and returns what it took; `answer` reads the result it came to."""

    name: str
    attempt: Callable[[], Reading]
    answer: Callable[[Reading], dict]


@dataclass
class Contest:
    """One row, or several, of the table. `prepare` makes the data and returns the right answer and who takes part."""

    name: str
    title: str
    disk_bytes: int
    prepare: Callable[[], tuple[dict, list[Contestant]]]
    goals: list[Goal] = field(default_factory=list)


@dataclass
class Shape:
    """The columns of a table, besides its id."""

    texts: int = 5
    integers: int = 3
    times: int = 1

    @property
    def columns(self):
        return 1 + self.texts + self.integers + self.times

    @property
    def row_bytes(self):
        return 16 + self.texts * 28 + self.integers * 9 + self.times * 25


WIDE = Shape(texts=33, integers=20, times=6)
NARROW = Shape(texts=1, integers=1, times=1)


class Bench:
    """The programs, the sizes and the folders of one run of the benchmark."""

    def __init__(self, options):
        self.options = options
        self.data = places.CACHE / "data"
        self.work = places.CACHE / "work"

    # Programs, installed or built when first asked for

    @cached_property
    def python(self):
        return places.virtual_environment()

    @cached_property
    def csv_diff(self):
        return places.csv_diff()

    @cached_property
    def postgres(self):
        return Postgres()

    @cached_property
    def dynamodb(self):
        return Dynamodb()

    @cached_property
    def recon(self):
        """recon's path, or None where it is left out."""
        if self.options.peers_only:
            return None
        return self.options.recon.resolve() if self.options.recon else places.recon()

    # Data

    def tables(self, rows, shape, *, changed=1000, drift=False, form="csv"):
        """Makes both sides and returns their paths and the right answer."""
        folder = self.data / f"{form}-{rows}x{shape.columns}-seed{self.options.seed}"
        words = ["--rows", rows, "--texts", shape.texts, "--integers", shape.integers, "--times", shape.times]
        words += ["--changed", changed, "--format", form, "--seed", self.options.seed, *(["--drift"] if drift else [])]
        places.make_data(self.python, "tables", "--out", folder, *words)
        target = folder / f"target-{changed}ppm{'-drift' if drift else ''}.{form}"
        return folder / f"source.{form}", target, json.loads(target.with_suffix(".json").read_text())

    def export(self, items):
        folder = self.data / f"export-{items}-seed{self.options.seed}"
        places.make_data(self.python, "export", "--out", folder, "--items", items, "--seed", self.options.seed)
        expected = json.loads((folder / "expected.json").read_text())
        return next((folder / "AWSDynamoDB").iterdir()), expected

    def export_and_table(self, items):
        """An export, the Parquet file it was moved into, and the right answer."""
        export, _ = self.export(items)
        folder = export.parent.parent
        words = ["--out", folder, "--items", items, "--seed", self.options.seed]
        places.make_data(self.python, "export-target", *words)
        return export, folder / "target.parquet", json.loads((folder / "target.json").read_text())

    # Contestants

    def fresh(self, name):
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def new_database(self):
        return self.fresh("peer") / "peer.duckdb"

    def recon_steps(self, spec, steps, flags=()):
        """recon with a new home: each step's reading and the last one's folder of reports."""
        folder = self.fresh("recon")
        (folder / "recon.toml").write_text(spec)
        start = [self.recon, "--spec", folder / "recon.toml", "--home", folder / "home", "--no-progress"]
        start += ["--threads", self.options.threads, *flags]
        readings = []
        for step in steps:
            words = [*step, "--out", folder / "out"] if step[0] == "diff" else step
            # A diff that found differences ends with 1.
            readings.append(run([*start, *words], accepted=(0, 1) if step[0] == "diff" else (0,)))
        return readings

    def recon_diff(self, spec, flags=()):
        def attempt():
            staged, compared = self.recon_steps(spec, [["stage"], ["diff"]], flags)
            return staged + compared

        def answer(_):
            summary = json.loads((self.work / "recon" / "out" / "summary.json").read_text())
            entity = summary["entities"]["row"]
            for name in ("duplicate_source", "duplicate_target", "unchecked", "unchecked_target"):
                if entity[name]:
                    raise Failed(f"{name} is {entity[name]}, should be 0")
            return {name: entity[name] for name in ("source_rows", "target_rows", "missing", "extra", "mismatched")}

        return Contestant("recon", attempt, answer)

    def recon_stage(self, spec):
        def attempt():
            return self.recon_steps(spec, [["stage"]])[0]

        def answer(_):
            parts = self.work / "recon" / "home" / "stage" / "**" / "*-[0-9][0-9][0-9][0-9].parquet"
            query = f"import duckdb; print(duckdb.sql(\"select count(*) from read_parquet('{parts}', union_by_name = true)\").fetchone()[0])"
            return {"rows": int(run([self.python, "-c", query]).output)}

        return Contestant("recon", attempt, answer)

    def peer(self, name, argv, environment=None):
        """A program that prints its answer as JSON. A word that is a function is asked when the peer's turn comes."""

        def attempt():
            return run([word() if callable(word) else word for word in argv], environment=environment)

        return Contestant(name, attempt, lambda reading: json.loads(reading.output.splitlines()[-1]))

    def python_peer(self, name, script, *words, environment=None):
        return self.peer(name, [self.python, places.PEERS / script, *words], environment)

    def csv_diff_peer(self, source, target):
        return self.peer("csv-diff 0.1.2", [lambda: self.csv_diff, source, target, self.options.threads])

    def duckdb_tables_peer(self, source, target, shape, tolerance_ms, *, keeps=True):
        """Keeps its tables in a file, as recon keeps what it staged, or holds them in memory."""
        words = [source, target, shape.texts, shape.integers, shape.times, tolerance_ms, self.options.threads]
        name, database = ("DuckDB by hand", self.new_database) if keeps else ("DuckDB by hand, keeping nothing", ":memory:")
        return self.python_peer(name, "duckdb_tables.py", *words, database)

    def datacompy_peer(self, source, target, shape, tolerance_ms):
        words = [source, target, shape.texts, shape.integers, shape.times, tolerance_ms]
        limit = {"POLARS_MAX_THREADS": str(self.options.threads)}
        return self.python_peer("datacompy 1.1 on polars", "datacompy_polars.py", *words, environment=limit)


def table_spec(source, target, shape, *, form="csv", tolerance=None):
    """The spec over two tables of the generator: texts exact, integers and times typed."""
    lines = [f'[datasets.source]\nkind = "{form}"\nuri = "{source}"\n', f'[datasets.target]\nkind = "{form}"\nuri = "{target}"\n']
    lines += ['[entities.row]\nsource = "source"\ntarget = "target"\nkey = ["id"]\n', "[entities.row.fields]", 'id = "id"']
    lines += [f'text_{k + 1} = "text_{k + 1}"' for k in range(shape.texts)]
    lines += [f'integer_{k + 1} = {{ from = "integer_{k + 1}", type = "int" }}' for k in range(shape.integers)]
    rule = f', tolerance = "{tolerance}"' if tolerance else ""
    lines += [f'time_{k + 1} = {{ from = "time_{k + 1}", type = "timestamp"{rule} }}' for k in range(shape.times)]
    return "\n".join(lines) + "\n"


def postgres_spec(url, source, target):
    """The spec over two tables of a database, whose types say all there is to say."""
    lines = [f'[datasets.{name}]\nkind = "postgres"\nurl = "{url}"\ntable = "{name}"\n' for name in sorted({source, target})]
    lines += [f'[entities.row]\nsource = "{source}"\ntarget = "{target}"\nkey = ["id"]']
    return "\n".join(lines) + "\n"


def export_spec(folder):
    return (
        f'[datasets.export]\nkind = "dynamodb-export"\nuri = "{folder}"\n\n'
        '[entities.item]\nsource = "export"\ntarget = "export"\nkey = ["pk", "sk"]\n'
    )


def moved_spec(export, table):
    """The spec over an export and the table that it is moved into; `table` is what the spec says of that."""
    plain = ["pk", "sk", "id", "code", "name", "email", "status", "note"]
    typed = {
        "quantity": '{ from = "quantity", type = "int" }',
        "price": '{ from = "price", type = "decimal(12,2)" }',
        "created_at": '{ from = "createdAt", type = "timestamp" }',
        "is_active": '"isActive"',
        "tags": '{ from = "tags", type = "set<string>" }',
        "colour": '"attributes.colour"',
        "weight": '{ from = "attributes.weight", type = "int" }',
    }
    lines = [
        f'[datasets.export]\nkind = "dynamodb-export"\nuri = "{export}"\n',
        f"[datasets.table]\n{table}\n",
        '[entities.row]\nsource = "export"\ntarget = "table"\nkey = ["pk", "sk"]\n\n[entities.row.fields]',
        *(f'{name} = "{name}"' for name in plain),
        *(f"{name} = {value}" for name, value in typed.items()),
    ]
    return "\n".join(lines) + "\n"


def all_contests(bench):
    """Every contest, in the order of the table."""
    rows = bench.options.rows
    usual = Shape()

    def without_drift(changed, shape=usual, rows=rows):
        def prepare():
            source, target, expected = bench.tables(rows, shape, changed=changed)
            return expected, [
                bench.recon_diff(table_spec(source, target, shape)),
                bench.csv_diff_peer(source, target),
                bench.duckdb_tables_peer(source, target, shape, 0),
            ]

        return prepare

    def with_drift():
        source, target, expected = bench.tables(rows, usual, drift=True)
        return expected, [
            bench.recon_diff(table_spec(source, target, usual, tolerance="1s")),
            bench.datacompy_peer(source, target, usual, 1000),
            bench.duckdb_tables_peer(source, target, usual, 1000),
            bench.duckdb_tables_peer(source, target, usual, 1000, keeps=False),
        ]

    def parquet():
        source, target, expected = bench.tables(rows, usual, drift=True, form="parquet")
        words = [source, target, 1000, bench.options.threads]
        return expected, [
            bench.recon_diff(table_spec(source, target, usual, form="parquet", tolerance="1s")),
            bench.python_peer("DuckDB by hand", "duckdb_parquet.py", *words),
        ]

    def export():
        folder, expected = bench.export(rows * 2 // 5)
        gunzip = Contestant(
            "gunzip alone",
            lambda: run(["sh", "-c", "ls *.gz | xargs -P2 -n1 zcat > /dev/null"], folder=folder / "data"),
            lambda _: expected,
        )
        words = [folder / "data", bench.options.threads, bench.new_database]
        return expected, [
            bench.recon_stage(export_spec(folder)),
            gunzip,
            bench.python_peer("DuckDB read_json", "duckdb_json.py", *words),
        ]

    def moved():
        export, table, expected = bench.export_and_table(rows * 2 // 5)
        return expected, [bench.recon_diff(moved_spec(export, f'kind = "parquet"\nuri = "{table}"\ntimezone = "UTC"'))]

    def in_postgres():
        """Both sides as tables of one database, of two fifths of the rows; and the right answer."""
        source, target, expected = bench.tables(rows * 2 // 5, usual)
        bench.postgres.load("source", source, usual)
        bench.postgres.load("target", target, usual)
        return expected

    def postgres_stage():
        expected = in_postgres()
        words = bench.postgres.psql("copy source to stdout (format binary)")
        copy = Contestant(
            "COPY into nowhere", lambda: run(["sh", "-c", '"$@" > /dev/null', "sh", *words]), lambda _: expected
        )
        return {**expected, "rows": expected["source_rows"]}, [
            bench.recon_stage(postgres_spec(bench.postgres.url, "source", "source")),
            copy,
        ]

    def postgres_diff():
        expected = in_postgres()
        return expected, [
            bench.recon_diff(postgres_spec(bench.postgres.url, "source", "target")),
            bench.python_peer("reladiff 0.6 joindiff", "reladiff_postgres.py", bench.postgres.url, "source", "target"),
        ]

    def memory():
        source, target, expected = bench.tables(rows * 10, NARROW)
        return expected, [bench.recon_diff(table_spec(source, target, NARROW), ["--memory", "1GB"])]

    def growth(factor):
        def prepare():
            source, target, expected = bench.tables(int(rows * factor), usual, drift=True)
            return expected, [bench.recon_diff(table_spec(source, target, usual, tolerance="1s"))]

        return prepare

    def size(count):
        return f"{count / MEGA:g} M"

    def disk(rows, shape=usual):
        # Both inputs, what recon stages of them, hashes.
        return int(rows * (shape.row_bytes * 4 + 200))

    wide = rows // 5
    return [
        Contest("csv", f"stage and diff, CSV {size(rows)} × 10, no drift", disk(rows), without_drift(1000),
                [Goal("csv-diff 0.1.2", time=1.5)]),
        Contest("csv-drift", f"stage and diff, CSV {size(rows)} × 10, drift within a tolerance of 1 s", disk(rows), with_drift,
                [Goal("datacompy 1.1 on polars", time=0.2, memory=0.12), Goal("DuckDB by hand", time=0.4)]),
        Contest("parquet", f"stage and diff, Parquet {size(rows)} × 10, drift within 1 s", disk(rows), parquet,
                [Goal("DuckDB by hand", time=0.7)]),
        Contest("export", f"stage a DynamoDB export, {size(rows * 2 // 5)} items", int(rows * 600), export,
                [Goal("gunzip alone", time=1.5), Goal("DuckDB read_json", time=0.35)]),
        Contest("export-parquet", f"stage a DynamoDB export of {size(rows * 2 // 5)} items and diff it against Parquet",
                int(rows * 800), moved),
        Contest("postgres", f"stage a PostgreSQL table, {size(rows * 2 // 5)} rows", disk(rows), postgres_stage,
                [Goal("COPY into nowhere", time=1.6)]),
        Contest("postgres-diff", f"stage and diff two PostgreSQL tables, {size(rows * 2 // 5)} rows, 0.17 % different", disk(rows),
                postgres_diff, [Goal("reladiff 0.6 joindiff", time=0.15)]),
        Contest("csv-1pct", f"stage and diff, CSV {size(rows)} × 10, 1 % of rows different", disk(rows), without_drift(10_000)),
        Contest("csv-50pct", f"stage and diff, CSV {size(rows)} × 10, 50 % of rows different", disk(rows), without_drift(500_000)),
        Contest("csv-wide", f"stage and diff, CSV {size(wide)} × 60, no drift", disk(wide, WIDE), without_drift(1000, WIDE, wide)),
        Contest("memory", f"stage and diff, CSV {size(rows * 10)} × 4, --memory 1GB", disk(rows * 10, NARROW), memory),
        *(
            Contest(f"growth-{label}", f"stage and diff, CSV {size(rows * factor)} × 10, drift within 1 s", disk(rows * factor),
                    growth(factor))
            for label, factor in (("small", 0.2), ("middle", 1), ("large", 4))
        ),
    ]
