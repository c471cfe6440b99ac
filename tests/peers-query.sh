#!/usr/bin/env bash
# Random tables of floats, written by pyarrow and by DuckDB in many ways, come back from `retrace query` to the bit, and
# conditions, orders and aggregates over them are what Python finds by looking at every row.
#
#   tests/peers-query.sh [TABLES] [SEED]
#
# RETRACE is the program; if it is not given, the development build is made first. PYTHON is a Python with pyarrow and
# duckdb; if it is not given, both are installed into a temporary folder.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "${RETRACE:-}" ]; then
  (cd "$here" && cargo build --quiet --locked --workspace)
  RETRACE=${CARGO_TARGET_DIR:-$here/target}/debug/retrace
fi
if [ -z "${PYTHON:-}" ]; then
  directory=$(mktemp -d)
  trap 'rm -rf "$directory"' EXIT
  python3 -m venv "$directory"
  "$directory/bin/pip" install --quiet pyarrow==25.0.1 duckdb==2.0.1 || { echo "pyarrow and duckdb cannot be installed here" >&2; exit 2; }
  PYTHON=$directory/bin/python
fi
"$PYTHON" "$here/tests/peers-query.py" "$RETRACE" "${1:-100}" "${2:-1}"
