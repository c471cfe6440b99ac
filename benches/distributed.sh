#!/usr/bin/env bash
# The digests of all tensors of 1 GB in distributed checkpoints of PyTorch (by rows, by columns, on a mesh of two
# dimensions, each of four processes) beside the same tensors in one safetensors file; prints the medians and their ratios.
#
#   benches/distributed.sh [THREADS] [ROUNDS]
#
# PYTHON is a Python with torch, safetensors and numpy. For the rest of the environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
threads=${1:-2} rounds=${2:-5}
"$python" "$here/benches/peers/distributed.py" "$directory" 2>/dev/null
cat "$directory"/*/* "$directory"/*/.metadata >/dev/null
cd "$here"
RAYON_NUM_THREADS=$threads cargo bench --quiet --locked -p retrace-checkpoint --bench digests -- \
  "$rounds" "$directory"/{whole,rows,columns,mesh}
machine
