"""The PyTorch peer of `retrace train`: the same Llama, batches, AdamW and schedule, in plain PyTorch.

Needs torch, safetensors and numpy. One process, float32, on the CPU.

    python train.py --weights DIR --batches FILE --steps N --threads T
    python train.py --weights DIR --batches FILE --steps N --optimizer-updates U --output DIR
    python train.py --matmul --threads T

DIR is a Hugging Face Llama directory (config.json and model.safetensors). FILE is safetensors with
`inputs` and `targets`, I64 of [steps, batch, sequence]; step s trains on row s, from the top again
when the rows run out. With --seed the weights are drawn anew and only
config.json is read. With --optimizer-updates it goes on with the moments in DIR's
optimizer.safetensors (first_moment.NAME, second_moment.NAME), which have seen U updates; --output
is a directory for what came of it, in the same form. --matmul times torch.mm alone. Prints one JSON
document.
"""

import argparse
import json
import math
import platform
import resource
import shutil
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

MATMULS = [(2048, 256, 1024), (2048, 1024, 256), (1024, 1024, 1024), (256, 1024, 2048)]


def rope_tables(positions, head_size, theta):
    frequencies = theta ** -(torch.arange(0, head_size, 2).float() / head_size)
    angles = torch.outer(torch.arange(positions).float(), frequencies)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden = config["hidden_size"]
        self.heads, self.key_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.size = hidden // self.heads
        self.q_proj = nn.Linear(hidden, self.heads * self.size, bias=False)
        self.k_proj = nn.Linear(hidden, self.key_heads * self.size, bias=False)
        self.v_proj = nn.Linear(hidden, self.key_heads * self.size, bias=False)
        self.o_proj = nn.Linear(self.heads * self.size, hidden, bias=False)

    def forward(self, x, cos, sin):
        batch, positions, _ = x.shape
        q = self.q_proj(x).view(batch, positions, self.heads, self.size).transpose(1, 2)
        k = self.k_proj(x).view(batch, positions, self.key_heads, self.size).transpose(1, 2)
        v = self.v_proj(x).view(batch, positions, self.key_heads, self.size).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(
            rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True, enable_gqa=self.key_heads != self.heads
        )
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, positions, -1))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, eps = config["hidden_size"], config["rms_norm_eps"]
        self.input_layernorm = nn.RMSNorm(hidden, eps=eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(hidden, eps=eps)
        self.mlp = FeedForward(config)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = nn.RMSNorm(config["hidden_size"], eps=config["rms_norm_eps"])


class Llama(nn.Module):
    """Its parameters have the names that Hugging Face gives them."""

    def __init__(self, config, positions):
        super().__init__()
        self.model = Body(config)
        self.lm_head = nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)
        if config.get("tie_word_embeddings"):
            self.lm_head.weight = self.model.embed_tokens.weight
        theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
        cos, sin = rope_tables(positions, config["hidden_size"] // config["num_attention_heads"], theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids):
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, self.cos, self.sin)
        return self.lm_head(self.model.norm(x))


def build(args, positions):
    config = json.loads((args.weights / "config.json").read_text())
    model = Llama(config, positions)
    if args.seed is None:
        weights = load_file(args.weights / "model.safetensors")
        if config.get("tie_word_embeddings"):
            weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"])
        model.load_state_dict(weights)
    else:
        torch.manual_seed(args.seed)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=config["initializer_range"])
            else:
                nn.init.ones_(parameter)
    return model


def rate(args, step):
    """The learning rate of a step, counted from 1: linear to the peak, then half a cosine to the floor."""
    if step <= args.warmup:
        return args.peak * step / args.warmup
    done = (step - args.warmup) / (args.steps - args.warmup)
    return args.floor + (args.peak - args.floor) * (1 + math.cos(math.pi * done)) / 2


MOMENTS = {"exp_avg": "first_moment", "exp_avg_sq": "second_moment"}


def load_moments(args, model, optimizer):
    moments = load_file(args.weights / "optimizer.safetensors")
    for name, parameter in model.named_parameters():
        state = {key: moments.pop(f"{moment}.{name}") for key, moment in MOMENTS.items()}
        optimizer.state[parameter] = {"step": torch.tensor(float(args.optimizer_updates)), **state}
    if moments:
        sys.exit(f"no place for {sorted(moments)}")


def save(args, model, optimizer):
    args.output.mkdir(parents=True)
    shutil.copy(args.weights / "config.json", args.output)
    parameters = dict(model.named_parameters())
    weights = {name: parameter.detach().contiguous() for name, parameter in parameters.items()}
    save_file(weights, args.output / "model.safetensors", {"format": "pt"})
    moments = {
        f"{moment}.{name}": optimizer.state[parameter][key].contiguous()
        for name, parameter in parameters.items()
        for key, moment in MOMENTS.items()
    }
    save_file(moments, args.output / "optimizer.safetensors", {"format": "pt"})


def train(args):
    batches = load_file(args.batches)
    inputs, targets = batches["inputs"], batches["targets"]
    rows, batch, positions = inputs.shape
    model = build(args, positions)
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": args.weight_decay},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.peak, betas=tuple(args.betas), eps=args.eps, fused=True)
    if args.optimizer_updates is not None:
        load_moments(args, model, optimizer)

    losses, seconds = [], []
    for step in range(args.steps):
        begin = time.perf_counter()
        row = step % rows
        for group in optimizer.param_groups:
            group["lr"] = rate(args, step + 1)
        optimizer.zero_grad(set_to_none=True)
        logits = model(inputs[row])
        loss = F.cross_entropy(logits.flatten(0, 1), targets[row].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - begin)

    if args.output:
        save(args, model, optimizer)
    median = statistics.median(seconds[2:] or seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB, but in bytes on macOS
    return {
        "parameters": sum(p.numel() for p in parameters),
        "losses": losses,
        "seconds": seconds,
        "median_seconds": median,
        "tokens_per_second": batch * positions / median,
        "peak_resident_bytes": peak if sys.platform == "darwin" else peak * 1024,
    }


def matmul():
    """The best GFLOP/s of each shape within about half a second."""
    best = {}
    for m, k, n in MATMULS:
        a, b, out = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
        torch.mm(a, b, out=out)
        fastest, end = math.inf, time.perf_counter() + 0.5
        while (begin := time.perf_counter()) < end:
            torch.mm(a, b, out=out)
            fastest = min(fastest, time.perf_counter() - begin)
        best[f"{m}x{k}x{n}"] = 2 * m * k * n / fastest / 1e9
    return {"gflops": best}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, metavar="DIR")
    parser.add_argument("--batches", type=Path, metavar="FILE")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the JSON here too")
    parser.add_argument("--seed", type=int, help="draw the weights anew")
    parser.add_argument("--peak", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--warmup", type=int, default=0, help="steps up to it")
    parser.add_argument("--floor", type=float, default=1e-4, help="learning rate of the last step")
    parser.add_argument("--betas", type=float, nargs=2, default=[0.9, 0.95])
    parser.add_argument("--eps", type=float, default=1e-8)
    parser.add_argument("--weight-decay", type=float, default=0.1, help="of matrices; norms have none")
    parser.add_argument("--optimizer-updates", type=int, metavar="U", help="go on with moments that have seen so many")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write what came of it here")
    parser.add_argument("--matmul", action="store_true", help="time matrix products instead")
    args = parser.parse_args()
    if not args.matmul and not (args.weights and args.batches):
        parser.error("--weights and --batches are needed")

    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(args.deterministic)
    report = {
        "peer": "pytorch",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "deterministic": args.deterministic,
        **(matmul() if args.matmul else train(args)),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.report:
        args.report.write_text(text + "\n")


if __name__ == "__main__":
    main()
