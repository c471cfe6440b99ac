#!/usr/bin/env bash
# lm-eval 0.4.13, numpy 2.4.6 (PyPI), Python 3.11
#
# Guess: `exact_match` with `ignore_case` compares the texts as Python's `lower()` gives them, so that an
# answer with one character more is wrong.
#
# Seen: the texts stand in an array of numpy of the width of the longest before lowering. "İ" becomes two
# characters when lowered, of which only the first fits, so it equals "i". Without any option, characters
# U+0000 at the end are gone in the array, so "a" and a NUL equals "a".
#
# Output: İ and i 1.0, by Python False; a and NUL, and a 1.0, by Python False
#
# Fails if that changes.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet lm-eval==0.4.13 numpy==2.4.6
HF_HOME=$directory/home "$directory/venv/bin/python" - 2> "$directory/log" <<'PYTHON' || { cat "$directory/log" >&2; exit 1; }
from lm_eval.api.metrics import exact_match_hf_evaluate as exact_match

lowered = float(exact_match(predictions=["İ"], references=["i"], ignore_case=True)["exact_match"])
ended = float(exact_match(predictions=["a\0"], references=["a"])["exact_match"])
by_python = "İ".lower() == "i".lower(), "a\0" == "a"
print(f"İ and i {lowered}, by Python {by_python[0]}; a and NUL, and a {ended}, by Python {by_python[1]}")
assert (lowered, ended) == (1.0, 1.0) and by_python == (False, False), (lowered, ended)
PYTHON
