#!/usr/bin/env bash
# A corpus with known leaks searched for the items of twenty benchmarks: retrace beside decon and corpus-assay, each at
# its defaults and with the same threads. Prints for each the time, the memory, the recall of each form of leak, the
# false alarms and the precision, and the ratio of the times.
#
#   benches/contamination.sh [MEGABYTES] [THREADS] [SHARDS]
#
# DECON is the program of allenai/decon, CORPUS_ASSAY that of the package corpus-assay; without one, it is left out. For
# the rest of the environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
megabytes=${1:-1000} threads=${2:-2} shards=${3:-8}
build_retrace
(cd "$here" && cargo build --quiet --release --locked -p retrace-analysis --example contamination_set)
"$target/release/examples/contamination_set" "$directory/set" "$megabytes" "$shards"
cat "$directory"/set/corpus/* >/dev/null
"$python" "$here/benches/peers/contamination.py" "$directory/set" "$RETRACE" --threads "$threads" \
  ${DECON:+--decon "$DECON"} ${CORPUS_ASSAY:+--corpus-assay "$CORPUS_ASSAY"}
machine
