#!/usr/bin/env bash
# tokenizers 0.22.1 (PyPI), Python 3.11
#
# Guess: the field `dropout` of a BPE model in tokenizer.json is for training a language model
# (BPE-dropout), so encoding with a loaded tokenizer gives the same ids every time unless sampling is
# asked for, as in SentencePiece, whose `encode` samples only with `enable_sampling=True`.
#
# Seen: the field acts on every `encode` of the loaded file. With 0.1, one text of 16 letters has
# several encodings in twenty calls; there is no argument of `encode` that turns it off. Only `null`,
# 0.0 and 1.0 (no merge at all) give one. So whoever tokenizes a corpus or evaluates with such a file
# cannot repeat it, and nothing says so.
#
# Output: null 1, 0.0 1, 1.0 1, 0.1 several
#
# Fails if that changes.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet tokenizers==0.22.1
"$directory/venv/bin/python" - <<'PYTHON'
import json

from tokenizers import Tokenizer


def encodings(dropout):
    model = {
        "type": "BPE", "dropout": dropout, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
        "vocab": {"a": 0, "b": 1, "ab": 2, "abab": 3}, "merges": [["a", "b"], ["ab", "ab"]],
    }
    parts = ["truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"]
    whole = {"version": "1.0", "added_tokens": [], "model": model, **dict.fromkeys(parts)}
    tokenizer = Tokenizer.from_str(json.dumps(whole))
    return len({tuple(tokenizer.encode("abab" * 4).ids) for _ in range(20)})


fixed = {name: encodings(value) for name, value in [("null", None), ("0.0", 0.0), ("1.0", 1.0)]}
drawn = encodings(0.1)
print(", ".join(f"{name} {count}" for name, count in fixed.items()) + f", 0.1 {'several' if drawn > 1 else drawn}")
assert set(fixed.values()) == {1} and drawn > 1, (fixed, drawn)
PYTHON
