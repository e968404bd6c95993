"""The contests about writing: a staged export into PostgreSQL, and the same killed at half and gone on with."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time

from .contests import Contest, Contestant, Goal, moved_spec
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


def contests(bench, disk_bytes):
    """Both contests, over two fifths of the usual rows."""
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

    return [
        Contest("migrate", title, disk_bytes, migrate, [Goal("psql \\copy", time=2.0)]),
        Contest("resume", f"{title}: killed at half, and gone on with", disk_bytes, resume, [Goal("recon undisturbed", time=1.05)]),
    ]
