#!/usr/bin/env bash
# Fifteen named queries over ten million rows, made from tables that were imported: retrace beside
# DuckDB with the same threads; prints the medians and their ratio.
#
#   benches/query.sh TABLES... [-- --rows N --threads N --rounds N]
#
# PYTHON is a Python with duckdb. For the rest of the environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
build_retrace
tables=() more=()
for argument in "$@"; do
  if [ "$argument" = -- ] || [ ${#more[@]} -gt 0 ]; then more+=("$argument"); else tables+=("$argument"); fi
done
"$python" "$here/benches/peers/query.py" "$RETRACE" "${tables[@]}" "${more[@]:1}"
