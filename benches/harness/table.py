"""Turns readings into `RESULTS.md`."""

import datetime
import os
import pathlib
import platform
import statistics
import subprocess

# What stands from here on in the old file was written by hand, and stays.
NOTES_HEADING = "## Notes"
MEMORY_GOAL_BYTES = 1_200_000_000
GROWTH_GOAL = 1.2
STATUS_GOAL_SECONDS = 0.1
# The word for who was not asked to take part.
LEFT_OUT = "left out"


class Result:
    """What one contestant of a contest did: its readings, or its error."""

    def __init__(self, name):
        self.name = name
        self.readings = []
        self.error = None

    @property
    def ok(self):
        return self.error is None and bool(self.readings)

    @property
    def seconds(self):
        return statistics.median(r.seconds for r in self.readings)

    @property
    def cpu_seconds(self):
        return statistics.median(r.cpu_seconds for r in self.readings)

    @property
    def rss_bytes(self):
        return max(r.rss_bytes for r in self.readings)

    def parts(self):
        """recon's two commands apart, where there were two."""
        medians = [statistics.median(part) for part in zip(*(r.parts for r in self.readings))]
        return f" ({' + '.join(f'{seconds:.2f}' for seconds in medians)})" if medians else ""

    def words(self):
        if not self.ok:
            return self.error if self.error == LEFT_OUT else f"ERROR: {self.error}"
        return f"{self.seconds:.2f} s{self.parts()}, {self.cpu_seconds:.1f} s CPU, {self.rss_bytes / 1e9:.2f} GB"


def against_peers(contest, results):
    """One line of the table for each peer; the lines of goals say whether they were reached."""
    mine, *peers = results
    if not peers:
        yield [contest.title, mine.words(), "–", "–", "the right answer", "yes" if mine.ok else "**no**"]
    for peer in peers:
        goal = next((g for g in contest.goals if g.peer == peer.name), None)
        time = memory = None
        if mine.ok and peer.ok:
            time, memory = mine.seconds / peer.seconds, mine.rss_bytes / peer.rss_bytes
        ratios = "–" if time is None else f"{time:.2f} × time, {memory:.2f} × memory"
        yield [contest.title, mine.words(), f"{peer.name}: {peer.words()}", ratios, *goal_cells(goal, time, memory)]


def goal_cells(goal, time, memory):
    if goal is None:
        return ["none", "–"]
    wanted = [(goal.time, time, "time"), (goal.memory, memory, "memory")]
    words = ", ".join(f"≤ {limit:g} × {what}" for limit, _, what in wanted if limit is not None)
    if time is None:
        return [words, "not measured"]
    return [words, "yes" if all(limit is None or ratio <= limit for limit, ratio, _ in wanted) else "**no**"]


def memory_line(contest, mine):
    reached = ("yes" if mine.rss_bytes <= MEMORY_GOAL_BYTES else "**no**") if mine.ok else "not measured"
    return [contest.title, mine.words(), "–", "–", "peak ≤ 1.2 GB", reached]


def status_line(contest, mine):
    reached = ("yes" if mine.seconds < STATUS_GOAL_SECONDS else "**no**") if mine.ok else "not measured"
    words = f"{mine.seconds * 1000:.0f} ms" if mine.ok else mine.words()
    return [contest.title, words, "–", "–", "< 100 ms", reached]


def growth_line(sized):
    """`sized`: pairs of rows and result, smallest first."""
    title = "growth: time per million rows at " + ", ".join(f"{rows / 1e6:g} M" for rows, _ in sized)
    if not all(result.ok for _, result in sized):
        errors = "; ".join(result.words() for _, result in sized if not result.ok)
        return [title, errors, "–", "–", "rises ≤ 20 %", "not measured"]
    rates = [result.seconds / (rows / 1e6) for rows, result in sized]
    rise = max(later / earlier for i, earlier in enumerate(rates) for later in rates[i + 1:])
    words = ", ".join(f"{rate:.2f} s" for rate in rates)
    return [title, words, "–", f"{rise:.2f} ×", "rises ≤ 20 %", "yes" if rise <= GROWTH_GOAL else "**no**"]


def machine(bench):
    def version(*argv):
        try:
            done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=True)
            return done.stdout.splitlines()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            return "not to be had"

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages = (
        "import duckdb, polars, datacompy;"
        "print(f'DuckDB {duckdb.__version__}, polars {polars.__version__}, datacompy {datacompy.__version__}')"
    )
    return [
        f"{os.cpu_count()} cores ({processor()}), {memory / 2**30:.0f} GiB of memory, {platform.system()}",
        f"{version(bench.recon, '--version') if bench.recon else 'recon was not measured'}; {version('rustc', '--version')}",
        f"{version(bench.python, '-c', packages)}, csv-diff 0.1.2, {version('zcat', '--version')}",
        f"{bench.options.threads} threads each; seed {bench.options.seed}; {bench.options.runs} runs after a warm-up, in turn",
    ]


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def render(bench, lines, notes):
    head = ["work", "recon", "peer", "recon / peer", "goal", "reached"]
    text = ["# Benchmarks", ""]
    text += [f"Made by `benches/run` on {datetime.date.today()}; not to be edited above \"Notes\". Times are medians of wall time,"]
    text += ["memory is the peak of the largest process. recon's two numbers in brackets are `stage` and `diff`. Every answer"]
    text += ["(records missing, extra, different) was checked against what had been planted. Only the ratios are worth comparing.", ""]
    text += [f"- {fact}" for fact in machine(bench)] + [""]
    text += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    text += ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join(text) + "\n\n" + notes


def notes_of(path):
    """The part of an older file that was written by hand."""
    old = path.read_text() if path.exists() else ""
    at = old.find(NOTES_HEADING)
    return old[at:] if at >= 0 else f"{NOTES_HEADING}\n\nNone yet.\n"
