#!/usr/bin/env bash
# Times `retrace import` beside pandas over the same files in the same minute, in turn, and prints the
# median of each and the ratio. Both read every JSON file of evaluations below the directory and write
# its metrics, a row each, as Parquet; retrace also digests the files, keeps where every value stands,
# and writes all else that they say as claims.
# Needs a release build and a Python with pandas and pyarrow ($PYTHON).
# Usage: benches/import.sh DIRECTORY [WORK-DIRECTORY]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
retrace=${RETRACE:-${CARGO_TARGET_DIR:-$here/target}/release/retrace}
python=${PYTHON:-python3}
directory=${1:?the directory of evaluations, such as EleutherAI\'s tree}
work=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/retrace-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
rounds=5

cat > "$work/import.py" <<'PYTHON'
import json, pathlib, sys
import pandas as pd

frames = []
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.json")):
    document = json.load(open(path))
    results = document.get("results") or document.get("table_results")
    tasks = results.items() if isinstance(results, dict) else ((r["task_name"], r) for r in results)
    config = document.get("config", document)
    rows = [
        {"source": str(path), "model": str(config.get("model_args"))[:100], "shots": config.get("num_fewshot"),
         "task": task, "metric": metric, "value": value, "stderr": metrics.get(metric + "_stderr")}
        for task, metrics in tasks
        for metric, value in metrics.items()
        if isinstance(value, float) and not metric.endswith("_stderr")
    ]
    frames.append(pd.DataFrame(rows))
table = pd.concat(frames)
table.to_parquet(sys.argv[2])
print(len(table), "rows")
PYTHON

# Wall seconds of a command, its output thrown away; a finding (1) is no failure.
seconds() {
  local begin end code=0
  begin=$(date +%s%N); "$@" > /dev/null 2>&1 || code=$?; end=$(date +%s%N)
  [ "$code" -le 1 ] || { echo "failed: $*" >&2; exit 1; }
  awk -v ns=$((end - begin)) 'BEGIN { printf "%.4f\n", ns / 1e9 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

echo "$(nproc) cores, $(grep -m1 'model name' /proc/cpuinfo 2> /dev/null | cut -d: -f2 | xargs); medians of $rounds, files in the page cache"
"$python" "$work/import.py" "$directory" "$work/pandas.parquet"
: > "$work/ours"; : > "$work/theirs"
for _ in $(seq $rounds); do
  rm -rf "$work/tables"
  seconds "$retrace" import pythia-evals "$directory" -o "$work/tables" -q >> "$work/ours"
  seconds "$python" "$work/import.py" "$directory" "$work/pandas.parquet" >> "$work/theirs"
done
awk -v a="$(median < "$work/ours")" -v b="$(median < "$work/theirs")" \
  'BEGIN { printf "retrace import %.3f s   pandas %.3f s   %.1f times as fast\n", a, b, b / a }'
