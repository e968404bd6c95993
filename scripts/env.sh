# The build environment, to be sourced (bash): `. scripts/env.sh`. Safe to source again, and from several shells at once.
#
# In:  nothing needed. RECON_CACHE moves the cache folder, RECON_TARGET_DIR the binaries, RECON_BUNDLED=1 asks for the
#      self-contained build, DUCKDB_LIB_DIR names a libduckdb of your own.
# Out: RECON_CARGO_FLAGS   what to give cargo: `--no-default-features` with a prebuilt DuckDB, nothing when bundled
#      DUCKDB_LIB_DIR      the folder of the prebuilt DuckDB; RUSTFLAGS then holds the run path to it
#      CARGO_TARGET_DIR    where the binaries go: ./target of this clone
#      CARGO_BUILD_BUILD_DIR, RUSTC_WORKSPACE_WRAPPER   see below
# A failure returns 1 after saying what to do. No linker is chosen: the toolchain brings a fast one where it can.

# The release that Cargo.lock pins as libduckdb-sys 1.10506.x, as prebuilt for Node.js.
RECON_DUCKDB_VERSION=1.5.6
RECON_DUCKDB_NEXT=1.5.7
RECON_DUCKDB_CRATE=1.10506
RECON_DUCKDB_NPM=1.5.6-r.1
# SHA-512 of the package's tarball, read through its name below. For the platforms without a line here, npm's own check of what it downloads stands.
# shellcheck disable=SC2034
RECON_DUCKDB_SHA512_linux_x64=21772b64913a904a8cd19e30c1d5671811d7fdface4b7dd53cd0300d743f43e16cf386f4e7c41ef78721ac208870d2651bc6375072145387817824315b998dd5

RECON_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RECON_CACHE=${RECON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/recon}

recon_say() { printf 'recon: %s\n' "$*" >&2; }

# Installs Debian packages where that is allowed (root, apt-get); otherwise fails without a word.
recon_apt_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  recon_say "installing $* with apt-get"
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update >&2 || true
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "$@" >&2
}

# SQLite, zstd and mimalloc are compiled from C, and every link goes through cc; bundled DuckDB is C++.
recon_need_toolchain() {
  if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi
  if ! command -v cargo >/dev/null; then
    recon_say "Rust is not installed: see https://rustup.rs, then run this again"
    return 1
  fi
  command -v cc >/dev/null && command -v c++ >/dev/null && return 0
  recon_apt_install build-essential && return 0
  case $(uname -s) in
    Darwin) recon_say "a C compiler is needed: run 'xcode-select --install', then this again" ;;
    *) recon_say "a C and C++ compiler is needed: install your system's build tools (Debian, Ubuntu: 'sudo apt-get install build-essential'), then run this again" ;;
  esac
  return 1
}

recon_duckdb_platform() {
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) echo linux-x64 ;;
    Linux-aarch64 | Linux-arm64) echo linux-arm64 ;;
    Darwin-x86_64) echo darwin-x64 ;;
    Darwin-arm64) echo darwin-arm64 ;;
    *) return 1 ;;
  esac
}

# The path of the DuckDB library in a folder, where it is there and of our version. DuckDB lists its own and all
# earlier releases by name in the file, so it holds ours and lacks the next one.
recon_duckdb_in() {
  local file
  for file in "$1/libduckdb.so" "$1/libduckdb.dylib"; do
    [ -s "$file" ] || continue
    LC_ALL=C grep -aqF "v$RECON_DUCKDB_VERSION" "$file" || return 1
    ! LC_ALL=C grep -aqF "v$RECON_DUCKDB_NEXT" "$file" || return 1
    echo "$file"
    return 0
  done
  return 1
}

recon_sha512() {
  if command -v sha512sum >/dev/null; then sha512sum "$1"; else shasum -a 512 "$1"; fi | cut -d' ' -f1
}

# Brings the prebuilt library into folder $1 under its final name in one rename, so that another shell sees all or nothing.
recon_fetch_duckdb() {
  local folder=$1 platform package pinned tmp tarball file
  platform=$(recon_duckdb_platform) || return 1
  case $(ldd --version 2>&1) in *musl*) return 1 ;; esac
  command -v npm >/dev/null || recon_apt_install npm || return 1
  package=@duckdb/node-bindings-$platform@$RECON_DUCKDB_NPM
  recon_say "fetching the prebuilt DuckDB $RECON_DUCKDB_VERSION ($package, 25 to 45 MB)"
  mkdir -p "$folder" && tmp=$(mktemp -d "$folder/.fetch.XXXXXX") || return 1
  (cd "$tmp" && npm pack --silent "$package" >/dev/null 2>npm.log && tar -xzf ./*.tgz) ||
    { tail -n 3 "$tmp/npm.log" >&2; rm -rf "$tmp"; return 1; }
  tarball=$(echo "$tmp"/*.tgz)
  eval "pinned=\${RECON_DUCKDB_SHA512_${platform//-/_}:-}"
  if [ -n "$pinned" ] && [ "$(recon_sha512 "$tarball")" != "$pinned" ]; then
    recon_say "$package is not what it should be (SHA-512 differs); not used"
    rm -rf "$tmp"
    return 1
  fi
  if ! file=$(recon_duckdb_in "$tmp/package"); then
    recon_say "$package does not hold DuckDB $RECON_DUCKDB_VERSION; not used"
    rm -rf "$tmp"
    return 1
  fi
  mv -f "$file" "$folder/" && rm -rf "$tmp"
}

# Decides between the prebuilt library and compiling DuckDB.
recon_choose_duckdb() {
  local folder=$RECON_CACHE/duckdb/$RECON_DUCKDB_VERSION
  RECON_CARGO_FLAGS=--no-default-features
  if ! grep -A1 '^name = "libduckdb-sys"' "$RECON_ROOT/Cargo.lock" | grep -qF "\"$RECON_DUCKDB_CRATE."; then
    recon_say "Cargo.lock has another DuckDB than scripts/env.sh ($RECON_DUCKDB_VERSION): bring them together"
    return 1
  fi
  if [ -n "${RECON_BUNDLED:-}" ]; then
    RECON_CARGO_FLAGS=
    unset DUCKDB_LIB_DIR
    return 0
  fi
  if [ -n "${DUCKDB_LIB_DIR:-}" ]; then
    recon_duckdb_in "$DUCKDB_LIB_DIR" >/dev/null && return 0
    recon_say "DUCKDB_LIB_DIR ($DUCKDB_LIB_DIR) does not hold DuckDB $RECON_DUCKDB_VERSION"
    return 1
  fi
  if recon_duckdb_in "$folder" >/dev/null || recon_fetch_duckdb "$folder"; then
    export DUCKDB_LIB_DIR=$folder
    return 0
  fi
  recon_say "no prebuilt DuckDB for this machine (it comes with npm: is npm installed?): DuckDB will be compiled,"
  recon_say "once, which takes about 45 minutes of one core's time (22 minutes on two cores, 6 on eight)"
  RECON_CARGO_FLAGS=
}

recon_env() {
  case $RECON_CACHE in
    *[[:space:]]*)
      recon_say "the cache folder ($RECON_CACHE) has a space in its path, which RUSTFLAGS cannot express: set RECON_CACHE to another folder"
      return 1 ;;
  esac
  recon_need_toolchain && recon_choose_duckdb || return 1
  if [ -n "${DUCKDB_LIB_DIR:-}" ]; then
    local run_path="-C link-arg=-Wl,-rpath,$DUCKDB_LIB_DIR"
    case " ${RUSTFLAGS:-} " in
      *" $run_path "*) ;;
      *) export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }$run_path" ;;
    esac
  fi
  # Dependencies are compiled once per user, in the cache: a fresh clone finds them there. The wrapper only passes its
  # arguments on, but it lies in the clone, and cargo keeps what is built through different wrappers apart. Without it
  # one clone would run another's recon, because cargo tells local packages apart by the age of their files alone.
  export CARGO_BUILD_BUILD_DIR=$RECON_CACHE/build
  export RUSTC_WORKSPACE_WRAPPER=$RECON_ROOT/scripts/rustc-of-this-clone
  export CARGO_TARGET_DIR=${RECON_TARGET_DIR:-$RECON_ROOT/target}
  export RECON_CARGO_FLAGS
}

recon_env
