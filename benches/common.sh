# shellcheck shell=bash
# What the scripts here share; sourced by each, after `set -euo pipefail`.
#
# From the environment: RETRACE is the program (if it is not given, the release build is made first),
# PYTHON a Python with what the script says, CARGO_TARGET_DIR where cargo builds, TMPDIR where the script
# may write.
# Gives: $here, the clone; $target; $python; $directory, a new one that is removed at the end.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
# shellcheck disable=SC2034 # for who sources this
python=${PYTHON:-python3}
directory=$(mktemp -d "${TMPDIR:-/tmp}/retrace-bench.XXXXXX")
# Processes that a script left in the background end with it.
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$directory"' EXIT

# Sets $RETRACE, and builds it if it was not given. The whole workspace: one crate alone has other features.
build_retrace() {
  if [ -z "${RETRACE:-}" ]; then
    (cd "$here" && cargo build --quiet --release --locked --workspace)
    RETRACE=$target/release/retrace
  fi
  RETRACE=$(realpath "$RETRACE")
}

# Sets $step to the trainer without retrace's files around it, and builds it.
build_step() {
  (cd "$here" && cargo bench --quiet --locked -p retrace-train --bench step --no-run 2>/dev/null)
  # shellcheck disable=SC2034
  step=$(find "$target/release/deps" -name 'step-*' -type f -perm -u+x -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2)
}

# COMMAND...: its wall seconds; its output is thrown away. A finding (1) is no failure, all else ends the script.
seconds() {
  local began=$EPOCHREALTIME code=0
  "$@" >/dev/null 2>"$directory/stderr" || code=$?
  local ended=$EPOCHREALTIME
  if [ "$code" -gt 1 ]; then
    printf 'failed with %s: %s\n' "$code" "$*" >&2
    cat "$directory/stderr" >&2
    exit 1
  fi
  awk -v a="$began" -v b="$ended" 'BEGIN { printf "%.4f\n", b - a }'
}

# FILE: the median of its numbers, one a line.
median() { sort -n "$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

# What the numbers were measured on.
machine() { echo "$(nproc) cores, $(grep -m1 'model name' /proc/cpuinfo 2>/dev/null | cut -d: -f2 | xargs)"; }
