#!/usr/bin/env bash
# lm-eval 0.4.13 (PyPI), datasets 5.2.0, Python 3.11
#
# Guess: `samples={"task": [3, 1]}` evaluates documents 3 and 1, and each line of the logged samples has
# the `doc_id` of the document that it holds, in whatever order the numbers were given.
#
# Seen: documents are taken in the order of the data, and `doc_id`s in the order of the argument. With
# [3, 1], the line with `doc_id` 3 holds document 1, and the line with `doc_id` 1 holds document 3. So
# items that are compared across runs by `doc_id` are other items, and nothing says so.
#
# Output: [1, 3]: {1: 'one', 3: 'three'}; [3, 1]: {3: 'one', 1: 'three'}
#
# Fails if that changes.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet lm-eval==0.4.13 datasets==5.2.0
HF_HOME=$directory/home "$directory/venv/bin/python" - "$directory" 2> "$directory/log" <<'PYTHON' || { cat "$directory/log" >&2; exit 1; }
import json
import sys
from pathlib import Path

import lm_eval
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

home = Path(sys.argv[1])
words = ["zero", "one", "two", "three", "four"]
(home / "test.jsonl").write_text("".join(json.dumps({"word": word}) + "\n" for word in words))
(home / "tasks").mkdir()
(home / "tasks" / "count.yaml").write_text(
    f"task: count\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {home}/test.jsonl}}}}\n"
    "test_split: test\noutput_type: loglikelihood\ndoc_to_text: ''\ndoc_to_target: '{{word}}'\n"
    "metric_list: [{metric: acc}]\n"
)


class Silent(LM):
    def loglikelihood(self, requests):
        return [(-1.0, True) for _ in requests]

    loglikelihood_rolling = generate_until = loglikelihood


def logged(numbers):
    manager = TaskManager(include_path=str(home / "tasks"))
    results = lm_eval.simple_evaluate(
        Silent(), tasks=["count"], task_manager=manager, samples={"count": numbers}, log_samples=True
    )
    return {sample["doc_id"]: sample["doc"]["word"] for sample in results["samples"]["count"]}


first, second = logged([1, 3]), logged([3, 1])
print(f"[1, 3]: {first}; [3, 1]: {second}")
assert first == {1: "one", 3: "three"}, first
assert second == {3: "one", 1: "three"}, second
PYTHON
