#!/usr/bin/env bash
# Fifteen named queries over ten million rows, made from tables that were imported: retrace beside
# DuckDB with the same threads; prints the medians and their ratio.
#
#   benches/query.sh TABLES... [-- --rows N --threads N --rounds N]
#
# PYTHON is a Python with duckdb. RETRACE is the program; if it is not given, the release build is made.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
if [ -z "${RETRACE:-}" ]; then
  (cd "$here" && cargo build --quiet --release --locked --workspace)
  RETRACE=$target/release/retrace
fi
tables=() more=()
for argument in "$@"; do
  if [ "$argument" = -- ] || [ ${#more[@]} -gt 0 ]; then more+=("$argument"); else tables+=("$argument"); fi
done
"${PYTHON:-python3}" "$here/benches/peers/query.py" "$RETRACE" "${tables[@]}" "${more[@]:1}"
