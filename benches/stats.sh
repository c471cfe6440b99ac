#!/usr/bin/env bash
# `retrace stats` over a checkpoint of 1 GB beside reading it with b3sum, with the same threads; prints
# the medians and their ratio. The file is read once before, so that both find it in memory.
#
#   benches/stats.sh [THREADS] [ROUNDS]
#
# PYTHON is a Python with numpy. B3SUM is b3sum; without one, only retrace is timed. For the rest of the
# environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
threads=${1:-2} rounds=${2:-5}
build_retrace
file=$directory/model.safetensors
"$python" - "$file" <<'END'
# 32 layers of matrices as a model has them, 1 GB in binary32.
import json, sys
import numpy as np

header, data, at = {}, [], 0
random = np.random.default_rng(1)
for layer in range(32):
    for name, shape in [("attention.weight", (1024, 1024)), ("up.weight", (2752, 1024)), ("down.weight", (1024, 2752)), ("gate.weight", (1024, 1024)), ("norm.weight", (1024,))]:
        values = random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        header[f"layers.{layer}.{name}"] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
        data.append(values)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[1], "wb") as out:
    out.write(len(text).to_bytes(8, "little") + text)
    for values in data:
        out.write(values.tobytes())
END
cat "$file" >/dev/null
for _ in $(seq "$rounds"); do
  seconds "$RETRACE" stats "$file" --quiet --threads "$threads" >>"$directory/stats"
  if [ -n "${B3SUM:-}" ]; then
    seconds "$B3SUM" --no-mmap "$file" >>"$directory/b3sum-one-thread"
    RAYON_NUM_THREADS=$threads seconds "$B3SUM" --num-threads "$threads" "$file" >>"$directory/b3sum"
  fi
done
size=$(stat -c %s "$file")
ours=$(median "$directory/stats")
awk -v s="$ours" -v n="$size" -v t="$threads" 'BEGIN { printf "retrace stats: %.3f s, %.2f GB/s, %d threads\n", s, n / s / 1e9, t }'
for peer in b3sum b3sum-one-thread; do
  if [ -f "$directory/$peer" ]; then
    awk -v p="$peer" -v s="$(median "$directory/$peer")" -v o="$ours" -v n="$size" \
      'BEGIN { printf "%s: %.3f s, %.2f GB/s; retrace has %.2f of its speed\n", p, s, n / s / 1e9, s / o }'
  fi
done
