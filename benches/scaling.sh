#!/usr/bin/env bash
# Hoffmann 3 on 240 points beside SciPy's L-BFGS-B with analytic gradients, the same work and one thread each: the
# paper's 4,500 starts, then resamples from the best optimum. Prints both times, their ratio, and by how much the
# objectives differ.
#
#   benches/scaling.sh [SAMPLES] [ROUNDS]
#
# PYTHON is a Python with numpy and scipy. POINTS is a CSV file with a header and rows `params,tokens,loss`; without
# it, points are drawn around a published law. For the rest of the environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
samples=${1:-4000} rounds=${2:-3}
(cd "$here" && cargo build --quiet --release --locked -p retrace-analysis --example scaling_speed)
points=${POINTS:-$directory/points.csv}
if [ -z "${POINTS:-}" ]; then
  "$python" - >"$points" <<'END'
# 240 sizes and computes as in Hoffmann et al. (2022), around the law of Besiroglu et al. (2024), with 1 % noise.
import math, random

random.seed(1)
print("params,tokens,loss")
for _ in range(240):
    n = math.exp(random.uniform(math.log(5e7), math.log(1.6e10)))
    c = math.exp(random.uniform(math.log(6e18), math.log(3e21)))
    d = c / (6 * n)
    loss = (1.8172 + 482.01 / n**0.3478 + 2085.43 / d**0.3658) * math.exp(random.gauss(0, 0.01))
    print(f"{n!r},{d!r},{loss!r}")
END
fi
for _ in $(seq "$rounds"); do
  RAYON_NUM_THREADS=1 "$target/release/examples/scaling_speed" "$points" "$samples" >>"$directory/retrace"
  "$python" "$here/benches/peers/scaling.py" "$points" "$samples" >>"$directory/scipy"
done
"$python" - "$directory/retrace" "$directory/scipy" "$samples" <<'END'
import json, statistics, sys

ours, scipy = ([json.loads(line) for line in open(path)] for path in sys.argv[1:3])
middle = lambda rows, name: statistics.median(row[name] for row in rows)
for what, names in [("grid", ["grid_seconds"]), ("resamples", ["resamples_seconds"]), ("both", ["grid_seconds", "resamples_seconds"])]:
    a, b = (sum(middle(rows, name) for name in names) for rows in (ours, scipy))
    print(f"{what}: retrace {a:.3f} s, scipy {b:.2f} s; retrace is {b / a:.1f} times faster")
print(f"resamples: {sys.argv[3]}; starts {ours[0]['starts']} and {scipy[0]['starts']}, reached {ours[0]['reached']} and {scipy[0]['reached']}")
print(f"objective: retrace {ours[0]['objective']!r}, scipy {scipy[0]['objective']!r}; ours / theirs - 1 = {ours[0]['objective'] / scipy[0]['objective'] - 1:.1e}")
END
machine
