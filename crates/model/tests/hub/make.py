"""Makes the cases that retrace's logits are compared by: tiny models of every family and variant,
with random weights, and the logits that Hugging Face transformers computes for them; for some families
also the losses and their gradient.

    pip install torch transformers safetensors
    python make.py                     writes NAME/{config.json,model.safetensors,expected.safetensors}
    python make.py --check DIR...      opens each DIR with transformers, compares with its expected.safetensors

Made with transformers 5.24.0 and torch 2.15.0.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
POSITIONS = 24
SMALL = dict(vocab_size=40, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=64, bos_token_id=0, eos_token_id=1, pad_token_id=None)
LLAMA = dict(SMALL, num_key_value_heads=2)
# A table that stretches frequencies within the few positions of a case.
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
YARN = dict(rope_type="yarn", rope_theta=100.0, factor=4.0, original_max_position_embeddings=16)

CASES = {
    "llama": ("Llama", LLAMA),
    "llama-one-kv-head": ("Llama", dict(LLAMA, num_key_value_heads=1)),
    "llama-head-12": ("Llama", dict(LLAMA, num_attention_heads=2, num_key_value_heads=2)),
    "llama-head-dim": ("Llama", dict(LLAMA, head_dim=10)),
    "llama-biases": ("Llama", dict(LLAMA, attention_bias=True, mlp_bias=True)),
    "llama-tied": ("Llama", dict(LLAMA, tie_word_embeddings=True)),
    "llama-rope-linear": ("Llama", dict(LLAMA, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0))),
    "llama-rope-dynamic": ("Llama", dict(LLAMA, max_position_embeddings=12,
                                         rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0))),
    "llama-rope-llama3": ("Llama", dict(LLAMA, rope_parameters=LLAMA3)),
    "llama-rope-yarn": ("Llama", dict(LLAMA, rope_parameters=YARN)),
    "neox-parallel": ("GPTNeoX", dict(SMALL, hidden_size=32, rope_parameters=dict(
        rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25))),
    "neox-sequential": ("GPTNeoX", dict(SMALL, hidden_size=32, use_parallel_residual=False)),
    "neox-full-rotary": ("GPTNeoX", dict(SMALL, hidden_act="gelu_new", rope_parameters=dict(
        rope_type="default", rope_theta=10000.0, partial_rotary_factor=1.0))),
    "neox-tied": ("GPTNeoX", dict(SMALL, hidden_size=32, tie_word_embeddings=True)),
    "neox-no-attention-bias": ("GPTNeoX", dict(SMALL, hidden_size=32, attention_bias=False)),
    "olmo": ("Olmo", SMALL),
    "olmo-clip": ("Olmo", dict(SMALL, clip_qkv=0.5)),
    "olmo-tied-grouped": ("Olmo", dict(LLAMA, tie_word_embeddings=True)),
    "olmo2": ("Olmo2", LLAMA),
    "olmo3": ("Olmo3", dict(LLAMA, num_hidden_layers=4, sliding_window=8)),
    "olmo3-yarn": ("Olmo3", dict(LLAMA, num_hidden_layers=4, sliding_window=8, rope_scaling=dict(YARN, rope_theta=500000.0))),
    "qwen3": ("Qwen3", dict(LLAMA, head_dim=10)),
    "qwen3-tied-one-kv-head": ("Qwen3", dict(LLAMA, num_key_value_heads=1, head_dim=8, tie_word_embeddings=True)),
    "qwen3-biases": ("Qwen3", dict(LLAMA, num_key_value_heads=4, head_dim=6, attention_bias=True, rope_parameters=LLAMA3)),
    "qwen3-sliding-yarn": ("Qwen3", dict(LLAMA, num_hidden_layers=3, head_dim=6, use_sliding_window=True, sliding_window=8,
                                         max_window_layers=1, rope_parameters=YARN)),
    "smollm3": ("SmolLM3", dict(LLAMA, num_hidden_layers=4)),
    "smollm3-untied-biases": ("SmolLM3", dict(LLAMA, num_hidden_layers=3, no_rope_layers=[0, 1, 0], head_dim=10,
                                              tie_word_embeddings=False, attention_bias=True, mlp_bias=True)),
    "smollm3-sliding-yarn": ("SmolLM3", dict(LLAMA, num_hidden_layers=3, num_key_value_heads=1, no_rope_layer_interval=2,
                                             use_sliding_window=True, sliding_window=8, rope_parameters=YARN)),
}
# The families whose losses and gradients are stored too.
WITH_GRADIENTS = ["Qwen3", "SmolLM3"]


def load(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()


def logits(directory, ids):
    with torch.no_grad():
        return load(directory)(ids).logits.float().contiguous()


def expect(directory, ids):
    save_file({"ids": ids, "logits": logits(directory, ids)}, directory / "expected.safetensors")


def differentiate(directory, ids):
    """Stores the loss of each token, whose target is the next id, and the gradient of their sum."""
    model = load(directory)
    logits, targets = model(ids).logits, ids.flatten().roll(-1)
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none")
    losses.sum().backward()
    gradients = {name: parameter.grad.contiguous() for name, parameter in model.named_parameters()}
    save_file({"losses": losses.detach(), **gradients}, directory / "gradients.safetensors")


def make(name, family, settings, seed):
    """A model none of whose parameters is at its default, and its logits."""
    directory = HERE / name
    shutil.rmtree(directory, ignore_errors=True)
    torch.manual_seed(seed)
    config = getattr(transformers, family + "Config")(**settings)
    model = getattr(transformers, family + "ForCausalLM")(config).float()
    for parameter_name, parameter in model.named_parameters():
        noise = torch.randn_like(parameter)
        norm = parameter.dim() == 1 and parameter_name.endswith("weight")
        parameter.data = 1 + 0.3 * noise if norm else (0.3 if parameter.dim() == 1 else 0.2) * noise
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(0, settings["vocab_size"], (2, POSITIONS))
    expect(directory, ids)
    if family in WITH_GRADIENTS:
        differentiate(directory, ids)


def old_config(source, name, without=(), **more):
    """The model `source` with a configuration as earlier versions wrote it."""
    shutil.copytree(HERE / source, HERE / name, dirs_exist_ok=True)
    (HERE / name / "gradients.safetensors").unlink(missing_ok=True)
    config = json.loads((HERE / source / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config = {field: value for field, value in config.items() if field not in without}
    (HERE / name / "config.json").write_text(json.dumps(config | more, indent=2) + "\n")


def variants():
    """The same models in other spellings, shards and dtypes."""
    old_config("llama", "llama-old-config")
    old_config("llama-rope-llama3", "llama-rope-llama3-old-config")
    # As Levanter writes it, and as the files of SmolLM3 are.
    old_config("qwen3", "qwen3-old-config", ["layer_types"], sliding_window=4096, no_bias=True)
    old_config("smollm3", "smollm3-old-config", ["layer_types", "no_rope_layers", "tie_word_embeddings"],
               max_window_layers=28, pretraining_tp=2)
    model = load(HERE / "llama")
    shutil.rmtree(HERE / "llama-sharded", ignore_errors=True)
    model.save_pretrained(HERE / "llama-sharded", max_shard_size="12KB")
    (HERE / "llama-sharded" / "generation_config.json").unlink(missing_ok=True)
    shutil.copy(HERE / "llama" / "expected.safetensors", HERE / "llama-sharded")
    ids = load_file(HERE / "llama" / "expected.safetensors")["ids"]
    for name, dtype in [("llama-bf16", torch.bfloat16), ("llama-f16", torch.float16)]:
        shutil.rmtree(HERE / name, ignore_errors=True)
        load(HERE / "llama").to(dtype).save_pretrained(HERE / name)
        (HERE / name / "generation_config.json").unlink(missing_ok=True)
        expect(HERE / name, ids)


def check(directories):
    worst = 0.0
    for directory in map(Path, directories):
        expected = load_file(directory / "expected.safetensors")
        off = (logits(directory, expected["ids"].long()) - expected["logits"]).abs().max().item()
        worst = max(worst, off)
        print(f"{directory}: {off:.2e}")
    sys.exit(worst > 2e-4)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(sys.argv[2:])
    for seed, (name, (family, settings)) in enumerate(CASES.items()):
        make(name, family, settings, seed)
    variants()
    print("transformers", transformers.__version__, "torch", torch.__version__)
