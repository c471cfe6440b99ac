#!/usr/bin/env bash
# transformers 5.24.0 (PyPI), Python 3.11
#
# Guess: `"add_bos_token": true` in tokenizer_config.json puts the token before each text, as the same
# setting does as an argument of `from_pretrained`, and as it did in transformers 4 for Llama's class.
#
# Seen: with a tokenizer.json beside it, the setting in the file does nothing; the same setting as an
# argument puts the token there. So a release that states it in its configuration is prompted without
# the token, and the log-likelihoods of every evaluation are others.
#
# Output: in the file [1], as an argument [0, 1]
#
# Fails if that changes.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet transformers==5.24.0
HF_HUB_OFFLINE=1 "$directory/venv/bin/python" - "$directory" 2> "$directory/log" <<'PYTHON' || { cat "$directory/log" >&2; exit 1; }
import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

home = Path(sys.argv[1]) / "model"
home.mkdir()
special = {"id": 0, "content": "<s>", "special": True}
special |= dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
tokenizer = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special], "normalizer": None,
    "pre_tokenizer": None, "post_processor": None, "decoder": None,
    "model": {"type": "BPE", "vocab": {"<s>": 0, "a": 1}, "merges": []},
}
(home / "tokenizer.json").write_text(json.dumps(tokenizer))
config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "add_bos_token": True}
(home / "tokenizer_config.json").write_text(json.dumps(config))
in_file = AutoTokenizer.from_pretrained(home).encode("a")
argument = AutoTokenizer.from_pretrained(home, add_bos_token=True).encode("a")
print(f"in the file {in_file}, as an argument {argument}")
assert in_file == [1] and argument == [0, 1], (in_file, argument)
PYTHON
