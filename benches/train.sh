#!/usr/bin/env bash
# Steps of training: retrace by both engines, PyTorch (by default and with deterministic algorithms) and stock
# candle, one after another on the same initial weights and batches, in rounds; prints the median of each and
# what it is of that of retrace's fused engine.
#
#   benches/train.sh [small|30m] [THREADS] [STEPS] [ROUNDS]
#
# PYTHON is a Python with torch, safetensors and numpy; without one the PyTorch peer is left out.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
cd "$here"
model=${1:-small} threads=${2:-1} steps=${3:-8} rounds=${4:-3}

build_step
cargo build --quiet --release --locked --manifest-path benches/peers/candle/Cargo.toml --target-dir "$target/peers"
data=$directory/data
same=(--weights "$data" --batches "$data/batches.safetensors" --steps "$steps")

for round in $(seq "$rounds"); do
  for engine in fused candle; do
    "$step" "$data" "$model" "$threads" "$steps" "$engine" >"$directory/retrace-$engine.$round"
  done
  if "$python" -c 'import torch, safetensors' 2>/dev/null; then
    "$python" benches/peers/train.py "${same[@]}" --threads "$threads" >"$directory/pytorch.$round"
    "$python" benches/peers/train.py "${same[@]}" --threads "$threads" --deterministic >"$directory/pytorch-deterministic.$round"
  fi
  RAYON_NUM_THREADS=$threads "$target/peers/release/candle-peer" "${same[@]}" >"$directory/candle.$round"
done

"$python" - "$directory" <<'END'
import json, statistics, sys
from pathlib import Path

rounds = {}
for path in sorted(Path(sys.argv[1]).glob("*.[0-9]*")):
    rounds.setdefault(path.stem, []).append(json.loads(path.read_text()))
ours = statistics.median(r["median_seconds"] for r in rounds["retrace-fused"])
memory = max(r["peak_resident_bytes"] for r in rounds["retrace-fused"])
print(f"{'':24}  s/step  tokens/s  its time / ours  peak MB  ours / its  last loss")
for peer in sorted(rounds, key=lambda peer: (peer != "retrace-fused", peer != "retrace-candle")):
    seconds = statistics.median(r["median_seconds"] for r in rounds[peer])
    tokens = statistics.median(r["tokens_per_second"] for r in rounds[peer])
    peak = max(r["peak_resident_bytes"] for r in rounds[peer])
    loss = rounds[peer][0]["losses"][-1]
    print(f"{peer:24} {seconds:7.3f} {tokens:9.0f} {seconds / ours:16.2f} {peak / 1e6:8.0f} {memory / peak:11.2f} {loss:10.6f}")
if rounds["retrace-fused"][0]["losses"] != rounds["retrace-candle"][0]["losses"]:
    sys.exit("the engines' losses differ")
digest, checkpoint = (statistics.median(r[key] for r in rounds["retrace-fused"]) for key in ("digest_seconds", "checkpoint_seconds"))
print(f"retrace's journal: {digest * 1e3:.1f} ms a step, {digest / ours:.1%} of it; a checkpoint: {checkpoint:.2f} s, "
      f"{(digest + checkpoint / 100) / ours:.1%} with both if one is saved every 100 steps")
END
