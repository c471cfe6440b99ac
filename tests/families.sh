#!/usr/bin/env bash
# A small model of each family trained by transformers and PyTorch, and followed: from a checkpoint of theirs with its
# optimizer's moments, retrace computes the same 20 steps and says how close it comes; then transformers
# opens the checkpoint that retrace wrote, and its logits are those of `retrace logits`.
#
#   PYTHON=python3 tests/families.sh [FAMILY...]
#
# PYTHON is a Python with torch, transformers, safetensors and numpy. retrace is built, unless RETRACE names
# one.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if [ -z "${RETRACE:-}" ]; then
  cargo build --quiet --locked -p retrace-cli
  RETRACE=${CARGO_TARGET_DIR:-$PWD/target}/debug/retrace
fi
retrace=$(realpath "$RETRACE")
families=("$@")
[ "$#" -gt 0 ] || families=(llama gpt_neox olmo olmo2 olmo3 qwen3 smollm3)
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

mkdir clean
"$python" - >clean/en-00.jsonl <<'END'
import json, random

random.seed(1)
words = "river hill stone cloud winter summer walks sees finds carries small old green quiet the a of to and".split()
for line in range(400):
    print(json.dumps({"id": str(line), "text": " ".join(random.choices(words, k=40)), "lang": "en"}))
END
cat >tokenize.yaml <<'END'
retrace: tokenize/1
name: tokenize
tokenizer: {from: train, path: tokenizer.json, vocab_size: 300, end_of_text: <|end|>}
shards: [{input: [clean/*.jsonl], output: en.tokens}]
END
"$retrace" --quiet tokenize tokenize.yaml >/dev/null
echo '[[5, 17, 280, 3, 99, 99, 1, 42], [7, 7, 30, 200, 11, 260, 64, 2]]' >ids.json

for family in "${families[@]}"; do
  printf '\n+ %s\n' "$family"
  "$python" - "$family" <<'END'
# Ten steps from random weights, and twenty more, which retrace computes too.
import math, struct, sys
from pathlib import Path
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

family = sys.argv[1]
grouped = {} if family == "gpt_neox" else {"num_key_value_heads": 2}
own = {"olmo": {"clip_qkv": 1.0}, "olmo3": {"sliding_window": 16}, "qwen3": {"head_dim": 24}}.get(family, {})
config = AutoConfig.for_model(
    family, vocab_size=300, hidden_size=64, intermediate_size=160, num_hidden_layers=4, num_attention_heads=4,
    max_position_embeddings=64, bos_token_id=0, eos_token_id=0, pad_token_id=None, **grouped, **own)
torch.manual_seed(1)
model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().train()

# The batches of `order: as_stored`, from the shard's bytes as its format says.
shard = open("en.tokens", "rb").read()
width, = struct.unpack("<I", shard[16:20])
count, = struct.unpack("<Q", shard[-32:-24])
tokens = np.frombuffer(shard, {2: "<u2", 4: "<u4"}[width], count, 56).astype(np.int64)
steps, batch, length = 20, 4, 64
sequences = (count - 1) // length
rows = np.stack([tokens[n * length : (n + 1) * length + 1] for n in np.arange(steps * batch) % sequences])
batches = torch.from_numpy(rows).reshape(steps, batch, length + 1)

parameters = dict(model.named_parameters())
optimizer = torch.optim.AdamW(
    [{"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": 0.1},
     {"params": [p for p in parameters.values() if p.dim() == 1], "weight_decay": 0.0}],
    lr=1e-3, betas=(0.9, 0.95), eps=1e-8)


def train(step, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    logits = model(batches[step][:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batches[step][:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
    optimizer.step()
    return loss.item()


def save(name):
    directory = Path(family, name)
    model.save_pretrained(directory)
    # GPT-NeoX's head has another name in the file than in the model.
    names = {name: name.replace("lm_head", "embed_out") if family == "gpt_neox" else name for name in parameters}
    moments = {f"{moment}.{names[name]}": optimizer.state[parameter][key].contiguous()
               for name, parameter in parameters.items()
               for key, moment in [("exp_avg", "first_moment"), ("exp_avg_sq", "second_moment")]}
    save_file(moments, directory / "optimizer.safetensors", {"format": "pt"})


first = [train(step, 1e-3) for step in range(10)][0]
save("start")
for step in range(steps):
    done = (step + 1 - 5) / (steps - 5)
    last = train(step, 5e-4 * (step + 1) / 5 if step < 5 else 5e-5 + 4.5e-4 * (1 + math.cos(math.pi * done)) / 2)
save("end")
print(f"transformers: loss {first:.4f} to {last:.4f}")
END
  cat >"$family.yaml" <<END
retrace: run/1
name: $family
seed: 1
numerics: 1
model: {config: $family/start/config.json}
start: {checkpoint: $family/start, optimizer_updates: 10}
tokenizer: tokenizer.json
output: runs/$family
sequence_length: 64
batch_size: 4
micro_batch_size: 2
order: as_stored
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
phases:
  - name: follow
    steps: 20
    mix: [{tokens: en.tokens, share: 1}]
    learning_rate: {schedule: cosine, warmup: 5, peak: 0.0005, floor: 0.00005}
checkpoint_every: 20
END
  "$retrace" replay "$family.yaml" --tolerance "$family/end" >/dev/null
  "$retrace" --quiet train "$family.yaml" >/dev/null
  "$retrace" --quiet logits "runs/$family/step-000020" --tokens ids.json -o "$family.safetensors" >/dev/null
  "$python" - "$family" <<'END'
import json, sys
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

family = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(f"runs/{family}/step-000020", dtype=torch.float32).eval()
ours = load_file(f"{family}.safetensors")["logits"]
off = (model(torch.tensor(json.load(open("ids.json")))).logits - ours).abs().max().item()
print(f"{type(model).__name__} of retrace's checkpoint: logits {off:.1e} apart, of {ours.abs().max().item():.1f}")
sys.exit(off > 2e-4)
END
done
printf '\nfollowed to rounding, and opened by transformers: %s\n' "${families[*]}"
