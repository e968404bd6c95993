"""A PostgreSQL of the benchmark's own: installed as for the tests, on a loopback port, gone when the benchmark ends."""

import atexit
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from . import places


class Postgres:
    """A server without fsync, so that what is measured is the work and not this disk."""

    def __init__(self):
        script = ". scripts/env.sh && . scripts/servers.sh && echo $RECON_TEST_POSTGRES"
        found = subprocess.run(["bash", "-c", script], cwd=places.PROJECT, check=True, stdout=subprocess.PIPE, text=True)
        self.programs = pathlib.Path(found.stdout.strip().splitlines()[-1])
        # Not in the cache folder: the server's own user has to reach it.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="recon-bench-"))
        self.as_user = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
            self.as_user = ["runuser", "-u", "postgres", "--"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        atexit.register(self.stop)
        self.command("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=512MB"
        self.command("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-o", options, "start")
        self.tables = set()

    @property
    def data(self):
        return self.folder / "data"

    @property
    def url(self):
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def command(self, program, *words):
        argv = [*self.as_user, self.programs / program, *words]
        subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.DEVNULL, stderr=places.NOTES, cwd="/")

    def psql(self, sql):
        """The words of a command that runs SQL and prints what it gives."""
        return [str(self.programs / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", sql]

    def load(self, name, csv, shape):
        """Loads a table of the generator, with its key, once."""
        if name in self.tables:
            return
        columns = ["id text primary key"]
        columns += [f"text_{k + 1} text" for k in range(shape.texts)]
        columns += [f"integer_{k + 1} bigint" for k in range(shape.integers)]
        columns += [f"time_{k + 1} timestamptz" for k in range(shape.times)]
        places.say(f"loading {name} into PostgreSQL")
        subprocess.run(self.psql(f"create table {name} ({', '.join(columns)})"), check=True)
        subprocess.run(self.psql(f"\\copy {name} from '{csv}' with (format csv, header)"), check=True)
        subprocess.run(self.psql(f"vacuum analyze {name}"), check=True)
        self.tables.add(name)

    def stop(self):
        if (self.data / "postmaster.pid").exists():
            self.command("pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)
