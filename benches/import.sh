#!/usr/bin/env bash
# Times `retrace import` beside pandas over the same files in the same minute, in turn, and prints the
# median of each and the ratio. Both read every JSON file of evaluations below the directory and write
# its metrics, a row each, as Parquet; retrace also digests the files, keeps where every value stands,
# and writes all else that they say as claims.
#
#   benches/import.sh DIRECTORY
#
# PYTHON is a Python with pandas and pyarrow. For the rest of the environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
evaluations=$(realpath "${1:?the directory of evaluations, such as those of Pythia}")
build_retrace
rounds=5

cat > "$directory/import.py" <<'PYTHON'
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

echo "$(machine); medians of $rounds, files in the page cache"
"$python" "$directory/import.py" "$evaluations" "$directory/pandas.parquet"
: > "$directory/ours"; : > "$directory/theirs"
for _ in $(seq $rounds); do
  rm -rf "$directory/tables"
  seconds "$RETRACE" import pythia-evals "$evaluations" -o "$directory/tables" -q >> "$directory/ours"
  seconds "$python" "$directory/import.py" "$evaluations" "$directory/pandas.parquet" >> "$directory/theirs"
done
awk -v a="$(median "$directory/ours")" -v b="$(median "$directory/theirs")" \
  'BEGIN { printf "retrace import %.3f s   pandas %.3f s   %.1f times as fast\n", a, b, b / a }'
