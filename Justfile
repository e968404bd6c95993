# Short names for the project's scripts; everything works without `just` too.

set shell := ["bash", "-euo", "pipefail", "-c"]

# The recipes.
default:
    @just --list

# Builds recon and runs its demonstration.
demo *args:
    ./demo {{ args }}

# Builds recon with its fail points and runs all tests.
test *args:
    ./test {{ args }}

# Formats every file.
format:
    cargo fmt --all

# What CI says about style, on its own.
lint:
    cargo fmt --all --check
    touch src/*.rs tests/it/main.rs
    . scripts/env.sh && cargo clippy --release --locked $RECON_CARGO_FLAGS --features faults --all-targets -- -D warnings

# Everything that CI checks.
ci:
    .ci/run

# Measures recon against its peers and writes benches/RESULTS.md.
bench *args:
    benches/run {{ args }}

# The self-contained binary with DuckDB compiled in, as users install it (about 45 minutes of one core's time).
install:
    cargo install --path . --locked
