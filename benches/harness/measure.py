"""Runs one command to its end and says how long it took and how much memory its largest process had."""

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass


class Failed(Exception):
    """A command that did not do its work; the message goes into the table."""


@dataclass
class Reading:
    """What one run of a command took, or of several one after the other: then `parts` has the seconds of each.

    `rss_bytes` is the peak of its largest process, children included.
    """

    seconds: float
    cpu_seconds: float
    rss_bytes: int
    output: str = ""
    parts: tuple = ()

    def __add__(self, other):
        """Two commands one after the other."""
        return Reading(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.rss_bytes, other.rss_bytes),
            other.output,
            (*(self.parts or (self.seconds,)), other.seconds),
        )


def run(argv, *, environment=None, folder=None, timeout_seconds=3600, accepted=(0,)):
    """Runs `argv`, with `environment` on top of ours, and raises Failed unless it exits with an accepted code."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        try:
            process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder, env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise Failed(f"cannot start: {error.strerror}") from error
        late = threading.Event()
        timer = threading.Timer(timeout_seconds, lambda: (late.set(), process.kill()))
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if late.is_set():
            raise Failed(f"not done after {timeout_seconds} s")
        if process.returncode not in accepted:
            raise Failed(f"{exit_words(process.returncode)}: {last_line(err)}")
        out.seek(0)
        # Linux counts in KiB, macOS in bytes.
        unit = 1 if os.uname().sysname == "Darwin" else 1024
        output = out.read().decode(errors="replace")
        return Reading(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, output)


def exit_words(code):
    return f"killed by signal {-code}" if code < 0 else f"exit {code}"


def last_line(file):
    """What a command said first of its failure: `error: …` where there is such a line, else its last words."""
    file.seek(0)
    lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if line.lower().startswith("error")]
    return (named or lines[-1:] or ["it said nothing"])[0][:200]
