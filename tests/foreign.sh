#!/usr/bin/env bash
# A run of another framework, followed: llama2.c's PyTorch checkpoint is converted with its optimizer's
# moments, PyTorch goes on from it for 20 steps, retrace computes the same 20 and says how close it
# comes; then one matrix of PyTorch's result is scaled by 1.001, and must be named.
#
#   PYTHON=python3 tests/foreign.sh CKPT.pt TOK.bin
#
# CKPT.pt is a checkpoint of llama2.c with its optimizer's state, TOK.bin its tokenizer. PYTHON is a
# Python with torch, safetensors and numpy. retrace is built, unless RETRACE names one.
set -euo pipefail
checkpoint=$(realpath "$1") tokenizer=$(realpath "$2")
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
peers=$PWD/benches/peers
if [ -z "${RETRACE:-}" ]; then
  cargo build --quiet --locked -p retrace-cli
  RETRACE=${CARGO_TARGET_DIR:-$PWD/target}/debug/retrace
fi
retrace=$(realpath "$RETRACE")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

step() { printf '\n+ %s\n' "$*"; }
# Exits unless the command ends with that code and says that on standard error or output.
must() {
  local code=$1 says=$2 found=0
  shift 2
  "$@" >said 2>&1 || found=$?
  cat said
  if [ "$found" != "$code" ] || ! grep -q -- "$says" said; then
    printf 'FAILED: exit code %s, where %s was to be, and to say %s\n' "$found" "$code" "$says"
    exit 1
  fi
}

step "convert the checkpoint"
must 0 "parameters" "$retrace" convert "$checkpoint" --tokenizer "$tokenizer" -o theirs-a
# shellcheck disable=SC2016 # the backticks are what the program prints
updates=$(sed -n 's/.*`optimizer_updates: \([0-9]*\)`.*/\1/p' said)

step "stories by the model itself, for both to learn from"
mkdir clean
for seed in $(seq 1 24); do
  "$retrace" --quiet generate theirs-a --prefix '<s>' --seed "$seed" --temperature 0.9 --tokens 220 >story
  "$python" -c 'import json, sys; print(json.dumps({"id": sys.argv[1], "text": sys.stdin.read().strip(), "source": "model", "lang": "en"}))' \
    "$seed" <story >>clean/stories.jsonl
done
cat >tokenize.yaml <<'END'
retrace: tokenize/1
name: tokenize
tokenizer: {from: file, path: theirs-a/tokenizer.json, end_of_text: <s>}
shards: [{input: [clean/*.jsonl], output: stories.tokens}]
END
"$retrace" tokenize tokenize.yaml
cat >run.yaml <<END
retrace: run/1
name: follow
seed: 1
numerics: 1
model: {config: theirs-a/config.json}
start: {checkpoint: theirs-a, optimizer_updates: $updates}
tokenizer: theirs-a/tokenizer.json
output: runs/follow
sequence_length: 64
batch_size: 4
micro_batch_size: 4
order: as_stored
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
phases:
  - name: follow
    steps: 20
    mix: [{tokens: stories.tokens, share: 1}]
    learning_rate: {schedule: cosine, warmup: 5, peak: 0.0005, floor: 0.00005}
checkpoint_every: 20
END

step "the batches, from the token shard"
"$python" - <<'END'
# The batches of `order: as_stored`, from the shard's bytes as its format says.
import struct
import numpy as np
import torch
from safetensors.torch import save_file

shard = open("stories.tokens", "rb").read()
width, = struct.unpack("<I", shard[16:20])
count, = struct.unpack("<Q", shard[-32:-24])
tokens = np.frombuffer(shard, {2: "<u2", 4: "<u4"}[width], count, 56).astype(np.int64)
steps, batch, length = 20, 4, 64
sequences = (count - 1) // length
rows = np.stack([tokens[n * length : (n + 1) * length + 1] for n in np.arange(steps * batch) % sequences])
rows = torch.from_numpy(rows).reshape(steps, batch, length + 1)
save_file({"inputs": rows[..., :-1].contiguous(), "targets": rows[..., 1:].contiguous()}, "batches.safetensors")
print(f"{steps * batch} sequences of {length} tokens from {sequences} different ones")
END

step "each moment belongs to its weight, row by row"
PYTHONPATH=$peers "$python" - <<'END'
# Second moments follow squared gradients: a tensor's own more closely than any other's of its shape, and
# in the order that its rows have here more than in llama2.c's, in which RoPE takes them in pairs.
from argparse import Namespace
from pathlib import Path
import torch
import torch.nn.functional as F
import train
from safetensors.torch import load_file

model = train.build(Namespace(weights=Path("theirs-a"), seed=None), 64)
moments = load_file("theirs-a/optimizer.safetensors")
batches = load_file("batches.safetensors")
squares = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
for inputs, targets in zip(*(batches[part].flatten(0, 1) for part in ("inputs", "targets"))):
    model.zero_grad()
    F.cross_entropy(model(inputs[None]).flatten(0, 1), targets.flatten()).backward()
    for name, weight in model.named_parameters():
        squares[name] += weight.grad**2


def alike(a, b):
    return torch.corrcoef(torch.stack([(x + 1e-20).log().flatten() for x in (a, b)]))[0, 1].item()


heads = {"q_proj": model.model.layers[0].self_attn.heads, "k_proj": model.model.layers[0].self_attn.key_heads}
least = 1
for name, square in squares.items():
    moment = moments[f"second_moment.{name}"]
    own = alike(moment, square)
    least = min(least, own)
    # A norm has too few numbers to be told from its neighbour's for certain.
    for other, theirs in squares.items() if moment.dim() > 1 else ():
        assert other == name or theirs.shape != square.shape or alike(moment, theirs) < own, (name, other)
    for part, count in heads.items():
        if f".{part}." in name:
            pairs = moment.view(count, 2, -1, moment.shape[1]).transpose(1, 2).reshape(moment.shape)
            assert alike(pairs, square) < own, (name, "rows in pairs")
print(f"{len(squares)} tensors: correlation of logarithms at least {least:.2f}, less with any other matrix's")
END

step "the same 20 steps in PyTorch"
"$python" "$peers/train.py" --weights theirs-a --batches batches.safetensors --steps 20 --optimizer-updates "$updates" \
  --warmup 5 --peak 5e-4 --floor 5e-5 --output theirs-b >peer.json
"$python" -c 'import json; l = json.load(open("peer.json"))["losses"]; print(f"loss {l[0]:.4f} to {l[-1]:.4f}")'

step "retrace follows, weights and moments"
must 0 "to rounding" "$retrace" replay run.yaml --tolerance theirs-b

step "a matrix of theirs scaled by 1.001 is named, alone"
altered=model.layers.2.mlp.down_proj.weight
"$python" - "$altered" <<'END'
import shutil, sys
from safetensors.torch import load_file, save_file

shutil.copytree("theirs-b", "theirs-c")
weights = load_file("theirs-b/model.safetensors")
weights[sys.argv[1]] *= 1.001
save_file(weights, "theirs-c/model.safetensors", {"format": "pt"})
END
must 1 "1 of .* out of line" "$retrace" replay run.yaml --tolerance theirs-c
grep -q "^apart .*$altered" said

step "another order of the same sequences is not taken for theirs"
sed 's/order: as_stored/order: shuffled/' run.yaml >other.yaml
must 1 "do not follow" "$retrace" replay other.yaml --tolerance theirs-b

printf '\n20 steps of PyTorch from %s updates on: followed to rounding; the altered tensor and the other order are found\n' "$updates"
