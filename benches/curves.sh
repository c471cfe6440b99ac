#!/usr/bin/env bash
# Loss curves over real text: retrace and PyTorch from the same initial weights on the same batches,
# and PyTorch from two seeds of its own; 30 M parameters. Draws them, and fails unless retrace is
# closer to PyTorch than PyTorch's seeds are to each other.
#
#   benches/curves.sh TOKENS [STEPS] [THREADS] [OUT.png]
#
# TOKENS is a token shard (`retrace tokenize`) of at most 6,400 tokens. PYTHON is a Python with torch,
# safetensors, numpy and matplotlib.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
tokens=$(realpath "$1") steps=${2:-300} threads=${3:-2}
picture=$(realpath "${4:-curves.png}")
cd "$here"

build_step
data=$directory/data
same=(--weights "$data" --batches "$data/batches.safetensors" --steps "$steps" --threads "$threads" --warmup "$((steps / 10))")
"$step" "$data" 30m "$threads" "$steps" fused "$tokens" >"$directory/retrace"
"$python" benches/peers/train.py "${same[@]}" >"$directory/pytorch"
for seed in 1 2; do
  "$python" benches/peers/train.py "${same[@]}" --seed "$seed" >"$directory/seed-$seed"
done

"$python" - "$directory" "$picture" <<'END'
import json, sys
from pathlib import Path
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

directory, picture = Path(sys.argv[1]), sys.argv[2]
losses = {name: np.array(json.loads((directory / name).read_text())["losses"]) for name in ["retrace", "pytorch", "seed-1", "seed-2"]}
apart = {
    "retrace and PyTorch, same weights": np.abs(losses["retrace"] - losses["pytorch"]),
    "two PyTorch seeds": np.abs(losses["seed-1"] - losses["seed-2"]),
}
figure, (curves, gaps) = plt.subplots(2, 1, figsize=(8, 8), sharex=True, layout="constrained")
steps = np.arange(1, len(losses["retrace"]) + 1)
curves.plot(steps, losses["seed-1"], color="#bbbbbb", linewidth=1, label="PyTorch, seed 1")
curves.plot(steps, losses["seed-2"], color="#888888", linewidth=1, label="PyTorch, seed 2")
curves.plot(steps, losses["pytorch"], color="#0072b2", linewidth=3, alpha=0.5, label="PyTorch, retrace's weights")
curves.plot(steps, losses["retrace"], color="#d55e00", linewidth=1, label="retrace")
curves.set(ylabel="loss (nats a token)")
curves.legend(frameon=False)
for (name, gap), color in zip(apart.items(), ["#d55e00", "#888888"]):
    gaps.plot(steps, np.maximum(gap, 1e-9), color=color, linewidth=1, label=name)
gaps.set(yscale="log", xlabel="step", ylabel="how far apart (nats a token)")
gaps.legend(frameon=False)
figure.savefig(picture, dpi=120)
for name, gap in apart.items():
    print(f"{name:36} mean {gap.mean():.3e}, largest {gap.max():.3e}")
ours, seeds = apart.values()
print(f"last losses: " + ", ".join(f"{name} {values[-1]:.4f}" for name, values in losses.items()))
closer = ours.mean() < seeds.mean() and ours.max() < seeds.max()
print(f"retrace is {seeds.mean() / ours.mean():.0f} times closer to PyTorch than two of its seeds are" if closer else "NOT closer")
sys.exit(not closer)
END
