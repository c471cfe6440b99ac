#!/usr/bin/env bash
# datafusion 55.0.0 and pyarrow 26.0.1 (PyPI), Python 3.11 or later
#
# Guess: an engine that takes the types of a JSON lines file from its first lines fails, or reads null, at a later line
# whose value does not fit.
#
# Seen: datafusion takes the types from the first 1,000 lines. A log whose losses are written as 2 there and as 2.5
# later is a column of integers, and each 2.5 is answered as 2, without an error. pyarrow reads the same file as floats.
#
# Output:
#   pyarrow double, greatest 2.5
#   datafusion int64, greatest 2, of 1500 rows
#
# Fails if that changes.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet datafusion==55.0.0 pyarrow==26.0.1
cd "$directory"
venv/bin/python - <<'PYTHON'
import datafusion
import pyarrow.compute
import pyarrow.json

with open("log.jsonl", "w") as log:
    for step in range(1500):
        log.write('{"step": %d, "loss": %s}\n' % (step, "2" if step < 1200 else "2.5"))
losses = pyarrow.json.read_json("log.jsonl")["loss"]
print(f"pyarrow {losses.type}, greatest {pyarrow.compute.max(losses)}")

context = datafusion.SessionContext()
context.register_json("log", "log.jsonl", file_extension=".jsonl")
answer = context.sql("select max(loss) as most, count(*) as n from log").collect()[0]
most, rows = answer.column("most"), answer.column("n")[0].as_py()
print(f"datafusion {most.type}, greatest {most[0]}, of {rows} rows")
assert str(most.type) == "int64" and most[0].as_py() == 2 and rows == 1500, answer
PYTHON
