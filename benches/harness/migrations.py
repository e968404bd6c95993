"""The contests about writing: a staged export into PostgreSQL, the same killed at half and gone on with, and rolled back, a table into
DynamoDB, and `status` beside a large run."""

import atexit
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time

from . import places
from .contests import NARROW, Contest, Contestant, Goal, Shape, moved_spec
from .dynamodb import ENVIRONMENT
from .measure import Failed, Reading, run

MEGA = 1_000_000
COLUMNS = {
    "pk": "text", "sk": "text", "id": "text", "code": "text", "name": "text", "email": "text", "status": "text", "note": "text",
    "quantity": "bigint", "price": "numeric(12,2)", "created_at": "timestamptz", "is_active": "boolean", "tags": "text[]",
    "colour": "text", "weight": "bigint",
}
POLL_SECONDS = 0.02


class Migration:
    """A staged export, and the table that it goes into."""

    def __init__(self, bench, items):
        self.bench, self.items = bench, items
        self.folder = bench.work / "migrate"

    def prepare(self):
        """Stages the export once, and lets recon fill the table once for the peer's file."""
        export, _ = self.bench.export(self.items)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        table = f'kind = "postgres"\nurl = "{self.bench.postgres.url}"\ntable = "moved"'
        (self.folder / "recon.toml").write_text(moved_spec(export, table))
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        self.sql(f"drop table if exists moved; create table moved ({columns}, primary key (pk, sk))")
        if self.bench.recon is None:
            raise Failed("the peer's file is made by recon: this contest cannot leave it out")
        run(self.command("staged", "stage", "source"))
        self.migrate()
        self.csv = self.folder / "moved.csv"
        self.sql(f"\\copy moved to '{self.csv}' with (format csv)")
        return self.answer(None)

    def command(self, home, *words):
        start = [self.bench.recon, "--spec", self.folder / "recon.toml", "--home", self.folder / home, "--no-progress"]
        return [*start, "--threads", self.bench.options.threads, *words]

    def sql(self, text):
        return run(self.bench.postgres.psql(text)).output

    def begin(self):
        """An empty table, and a home in which the export is staged and nothing else happened."""
        self.sql("truncate moved")
        self.sql("drop schema if exists recon cascade")
        self.sql("checkpoint")
        shutil.rmtree(self.folder / "home", ignore_errors=True)
        shutil.copytree(self.folder / "staged", self.folder / "home")

    def migrate(self):
        self.begin()
        return run(self.command("home", "migrate"))

    def copy(self):
        self.begin()
        return run(self.bench.postgres.psql(f"\\copy moved from '{self.csv}' with (format csv)"))

    def killed_at_half(self):
        """Both parts together: up to the kill, and from there to the end."""
        self.begin()
        words = [str(word) for word in self.command("home", "migrate")]
        began = time.perf_counter()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while self.applied() * 2 < self.items:
            if process.poll() is not None:
                raise Failed("it ended before it was killed")
            time.sleep(POLL_SECONDS)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        first = time.perf_counter() - began
        return Reading(first, 0, 0) + run(self.command("home", "migrate"))

    def applied(self):
        with contextlib.suppress(sqlite3.Error):
            with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'home' / 'ledger.db'}?mode=ro", uri=True)) as ledger:
                return ledger.execute("select coalesce(sum(records), 0) from batches where state = 'APPLIED'").fetchone()[0]
        return 0

    def answer(self, _):
        found = self.sql("select json_build_object('rows', count(*), 'sum', sum(hashtextextended(m::text, 0))) from moved m")
        return json.loads(found)


class Back(Migration):
    """The same over a table that has half of the rows already, with other names: some are changed, some are new. And back again."""

    full, wanted = None, None

    def prepare(self):
        super().prepare()
        full = self.sum("moved")
        self.sql("drop table if exists moved_before; create table moved_before as select * from moved where hashtext(pk) % 2 = 0")
        self.sql("update moved_before set name = 'before'")
        self.before, self.full = self.sum("moved_before"), full
        return {"as it has to be": True}

    def begin(self):
        super().begin()
        # Not yet where the table is filled for the first time.
        if self.full:
            self.sql("insert into moved select * from moved_before")

    def migrate_over(self):
        reading = self.migrate()
        self.wanted = self.full
        return reading

    def roll_back(self):
        self.migrate()
        self.sql("checkpoint")
        reading = run(self.command("home", "rollback", "apply", "--run", "last"))
        self.wanted = self.before
        return reading

    def sum(self, table):
        found = self.sql(f"select json_build_object('rows', count(*), 'sum', sum(hashtextextended(m::text, 0))) from {table} m")
        return json.loads(found)

    def answer(self, _):
        return {"as it has to be": self.sum("moved") == self.wanted}


class IntoDynamodb:
    """A table of PostgreSQL, staged, and the table of DynamoDB that it goes into."""

    def __init__(self, bench, rows):
        self.bench, self.rows = bench, rows
        self.folder = bench.work / "dynamodb"

    def prepare(self):
        source, _, _ = self.bench.tables(self.rows, Shape())
        self.csv = source
        self.bench.postgres.load("small", source, Shape())
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, more in (("exclusive", "exclusive = true\n"), ("careful", "")):
            (self.folder / name).mkdir(parents=True)
            (self.folder / name / "recon.toml").write_text(self.spec(more))
            run(self.command(name, "stage", "source"), environment=ENVIRONMENT)
        total = run(self.bench.postgres.psql("select coalesce(sum(integer_1), 0) from small")).output
        return {"rows": self.rows, "sum": int(total)}

    def spec(self, more):
        shape = Shape()
        columns = [f"text_{k + 1}" for k in range(shape.texts)] + [f"integer_{k + 1}" for k in range(shape.integers)]
        fields = ["PK = \"'IMAGE#' || id\"", "SK = \"'METADATA'\"", 'version = "1"', *(f'{c} = "{c}"' for c in columns), 'time_1 = "time_1"']
        return (
            f'[datasets.small]\nkind = "postgres"\nurl = "{self.bench.postgres.url}"\ntable = "small"\n\n'
            f'[datasets.items]\nkind = "dynamodb"\ntable = "items"\nendpoint = "{self.bench.dynamodb.url}"\n\n'
            f'[entities.row]\nsource = "small"\ntarget = "items"\nkey = ["PK", "SK"]\n{more}\n[entities.row.fields]\n' + "\n".join(fields) + "\n"
        )

    def command(self, name, *words):
        start = [self.bench.recon, "--spec", self.folder / name / "recon.toml", "--home", self.folder / name / "home", "--no-progress"]
        return [*start, "--threads", self.bench.options.threads, *words]

    def peer(self, word, *words):
        script = [self.bench.python, places.PEERS / "boto3_writer.py", word, self.bench.dynamodb.url, "items", *words]
        return run(script, environment=ENVIRONMENT)

    def migrate(self, name):
        self.peer("empty")
        home = self.folder / name / "home"
        # A home that knows of no run before.
        shutil.rmtree(home)
        run(self.command(name, "stage", "source"), environment=ENVIRONMENT)
        return run(self.command(name, "migrate"), environment=ENVIRONMENT)

    def fill(self):
        self.peer("empty")
        return self.peer("fill", self.csv)

    def answer(self, _):
        return json.loads(self.peer("sum").output)


class Beside:
    """`status` while a run writes many records into PostgreSQL."""

    def __init__(self, bench, rows):
        self.bench, self.rows = bench, rows
        self.folder = bench.work / "status"

    def prepare(self):
        source, _, _ = self.bench.tables(self.rows, NARROW)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        columns = "id text primary key, text_1 text, integer_1 bigint, time_1 timestamptz"
        run(self.bench.postgres.psql(f"drop table if exists many; create table many ({columns})"))
        fields = ['id = "id"', 'text_1 = "text_1"', 'integer_1 = { from = "integer_1", type = "int" }', 'time_1 = { from = "time_1", type = "timestamp" }']
        (self.folder / "recon.toml").write_text(
            f'[datasets.source]\nkind = "csv"\nuri = "{source}"\n[datasets.many]\nkind = "postgres"\nurl = "{self.bench.postgres.url}"\n'
            'table = "many"\n[entities.row]\nsource = "source"\ntarget = "many"\nkey = ["id"]\n[entities.row.fields]\n' + "\n".join(fields) + "\n"
        )
        run(self.command("stage", "source"))
        self.writing = subprocess.Popen([str(word) for word in self.command("migrate")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.writing.kill)
        while self.told()["written"] * 10 < self.rows:
            if self.writing.poll() is not None:
                raise Failed("the run ended before it was looked at")
            time.sleep(1)
        return {"planned": self.rows, "goes on": True}

    def command(self, *words):
        start = [self.bench.recon, "--spec", self.folder / "recon.toml", "--home", self.folder / "home", "--no-progress"]
        return [*start, "--threads", self.bench.options.threads, *words]

    def told(self):
        told = json.loads(run(self.command("status", "--format", "json")).output)["written"]
        entity = told["entities"]["row"] if told else {"records": 0, "migrated": 0}
        return {"planned": entity["records"], "written": entity["migrated"]}

    def status(self):
        return run(self.command("status"))

    def answer(self, _):
        return {"planned": self.told()["planned"], "goes on": self.writing.poll() is None}


def contests(bench, disk_bytes):
    """All of them; the exports have two fifths of the usual rows."""
    items = bench.options.rows * 2 // 5
    title = f"migrate a staged export into PostgreSQL, {items / MEGA:g} M items"

    def migrate():
        migration = Migration(bench, items)
        expected = migration.prepare()
        return expected, [
            Contestant("recon", migration.migrate, migration.answer),
            Contestant("psql \\copy", migration.copy, migration.answer),
        ]

    def resume():
        migration = Migration(bench, items)
        expected = migration.prepare()
        return expected, [
            Contestant("recon", migration.killed_at_half, migration.answer),
            Contestant("recon undisturbed", migration.migrate, migration.answer),
        ]

    def rollback():
        back = Back(bench, items)
        expected = back.prepare()
        return expected, [
            Contestant("recon", back.roll_back, back.answer),
            Contestant("recon migrate", back.migrate_over, back.answer),
        ]

    few = bench.options.rows // 25

    def dynamodb():
        migration = IntoDynamodb(bench, few)
        expected = migration.prepare()
        return expected, [
            Contestant("recon", lambda: migration.migrate("exclusive"), migration.answer),
            Contestant("boto3 batch_writer, 10 threads", migration.fill, migration.answer),
            Contestant("recon with a condition on every item", lambda: migration.migrate("careful"), migration.answer),
        ]

    many = bench.options.rows * 2

    def status():
        beside = Beside(bench, many)
        expected = beside.prepare()
        return expected, [Contestant("recon", beside.status, beside.answer)]

    return [
        Contest("migrate", title, disk_bytes, migrate, [Goal("psql \\copy", time=2.0)]),
        Contest("resume", f"{title}: killed at half, and gone on with", disk_bytes, resume, [Goal("recon undisturbed", time=1.05)]),
        Contest("rollback", f"roll back what was migrated into PostgreSQL, {items / MEGA:g} M items, half of them over rows that were there",
                disk_bytes, rollback, [Goal("recon migrate", time=1.3)]),
        Contest("migrate-dynamodb", f"migrate a PostgreSQL table into DynamoDB Local, {few / MEGA:g} M rows", disk_bytes, dynamodb,
                [Goal("boto3 batch_writer, 10 threads", time=1.11)]),
        Contest("status", f"status beside a run of {many / MEGA:g} M records", many * 400, status),
    ]
