#!/usr/bin/env bash
# datafusion 55.0.0 and pyarrow 26.0.1 (PyPI), Python 3.11 or later
#
# Guess: a column of floats in a Parquet file comes back from a SQL engine as it was written. The least and the
# greatest value in the file's statistics only serve to skip row groups.
#
# Seen: pyarrow leaves NaN out of the statistics, as the format asks. If all other numbers of the column are equal,
# least and greatest agree, and datafusion answers the whole column from them: a log of the losses 2.5, NaN, 2.5, NaN
# reads 2.5 four times, has no NaN, and its mean is 2.5. A run that diverged looks as if it had stood still.
#
# Output:
#   pyarrow [2.5, nan, 2.5, nan]
#   datafusion [2.5, 2.5, 2.5, 2.5] with 0 NaN, mean 2.5
#
# Fails if that changes.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet datafusion==55.0.0 pyarrow==26.0.1
cd "$directory"
venv/bin/python - <<'PYTHON'
import math

import datafusion
import pyarrow
import pyarrow.parquet

losses = [2.5, math.nan, 2.5, math.nan]
pyarrow.parquet.write_table(pyarrow.table({"step": [1, 2, 3, 4], "loss": losses}), "log.parquet")
print("pyarrow", pyarrow.parquet.read_table("log.parquet")["loss"].to_pylist())

context = datafusion.SessionContext()
context.register_parquet("log", "log.parquet")
read = context.sql("select loss from log order by step").to_pydict()["loss"]
found = context.sql("select count(*) filter (where isnan(loss)) as n, avg(loss) as mean from log").to_pydict()
print("datafusion", read, "with", found["n"][0], "NaN, mean", found["mean"][0])
assert read == [2.5] * 4 and found == {"n": [0], "mean": [2.5]}, (read, found)
PYTHON
