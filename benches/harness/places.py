"""Where everything lies: the project, the cache folder, the peers' programs; and how they get there."""

import os
import pathlib
import shutil
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[2]
PEERS = PROJECT / "benches" / "peers"
CACHE = pathlib.Path(
    os.environ.get("RECON_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "recon"
) / "bench"
# Everything is pinned: another version of DuckDB may make other data from the same seed.
PACKAGES = ["duckdb==1.5.6", "datacompy==1.1.0", "polars==1.44.2", "reladiff==0.6.0", "psycopg2-binary==2.9.13",
            "boto3==1.44.5"]
# What the command that is being carried out prints goes to the terminal, as notes.
NOTES = sys.stderr


def say(words):
    print(f"bench: {words}", file=NOTES, flush=True)


def virtual_environment():
    """The Python of a virtual environment with the peers that are Python packages, made where it is missing."""
    folder = CACHE / "venv"
    python = folder / "bin" / "python"
    stamp = folder / "packages"
    wanted = "\n".join(PACKAGES)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say("installing the Python peers: " + " ".join(PACKAGES))
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, stdout=NOTES)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, stdout=NOTES)
    stamp.write_text(wanted)
    return python


def csv_diff():
    """The program around the crate csv-diff, compiled where something changed."""
    target = CACHE / "csv-diff"
    manifest = PEERS / "csv-diff" / "Cargo.toml"
    # The settings of recon's own build would put it where recon's clones lie.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CARGO_BUILD_", "RUSTC_WORKSPACE", "RUSTFLAGS"))}
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest],
        check=True, stdout=NOTES, env={**kept, "CARGO_TARGET_DIR": str(target)},
    )
    return target / "release" / "csv-diff-peer"


def recon():
    """recon itself, built as `./demo` builds it: release profile, no fail points."""
    say("building recon")
    script = (
        '. scripts/env.sh && cargo build --quiet --release --locked --bin recon $RECON_CARGO_FLAGS >&2'
        ' && echo "$CARGO_TARGET_DIR/release/recon"'
    )
    done = subprocess.run(["bash", "-c", script], cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(done.stdout.strip())


def make_data(python, *words):
    """Runs the generator; it returns at once where the data is there."""
    subprocess.run([python, PROJECT / "benches" / "harness" / "make_data.py", *map(str, words)], check=True, stdout=NOTES)
