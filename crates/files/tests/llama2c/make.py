"""Makes a small Llama as llama2.c trains and exports one, and what PyTorch computes with it.

    pip install torch safetensors
    python make.py      writes ckpt.pt, model.bin and expected.safetensors beside this file

The model is the one of the paper (Touvron et al., 2023) with the names that llama2.c gives its parts.
RoPE turns neighbouring numbers (Su et al., 2021), as complex numbers. Made with torch 2.15.0.
"""

import struct
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
ARGS = dict(dim=8, n_layers=2, n_heads=2, n_kv_heads=1, vocab_size=272, multiple_of=4, max_seq_len=32, dropout=0.0)
HIDDEN, HEAD = 12, ARGS["dim"] // ARGS["n_heads"]
ANGLES = torch.outer(torch.arange(ARGS["max_seq_len"]), 10000.0 ** (-torch.arange(0, HEAD, 2) / HEAD))


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(ARGS["dim"]))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        dim, keys = ARGS["dim"], HEAD * ARGS["n_kv_heads"]
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, n, bias=False) for n in (dim, keys, keys, dim))

    def forward(self, x):
        def heads(y, n):
            return y.view(len(x), n, HEAD).transpose(0, 1)

        def turned(y):
            pairs = torch.view_as_complex(y.reshape(*y.shape[:-1], -1, 2))
            return torch.view_as_real(pairs * torch.polar(torch.ones(()), ANGLES[: len(x)])).flatten(-2)

        n, kv = ARGS["n_heads"], ARGS["n_kv_heads"]
        q, k, v = turned(heads(self.wq(x), n)), turned(heads(self.wk(x), kv)), heads(self.wv(x), kv)
        k, v = k.repeat_interleave(n // kv, 0), v.repeat_interleave(n // kv, 0)
        scores = (q @ k.transpose(1, 2) / HEAD**0.5).masked_fill(torch.ones(len(x), len(x)).triu(1).bool(), -torch.inf)
        return self.wo((scores.softmax(-1) @ v).transpose(0, 1).flatten(1))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1 = nn.Linear(ARGS["dim"], HIDDEN, bias=False)
        self.w2 = nn.Linear(HIDDEN, ARGS["dim"], bias=False)
        self.w3 = nn.Linear(ARGS["dim"], HIDDEN, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.feed_forward = Attention(), FeedForward()
        self.attention_norm, self.ffn_norm = Norm(), Norm()

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_forward(self.ffn_norm(x))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok_embeddings = nn.Embedding(ARGS["vocab_size"], ARGS["dim"])
        self.layers = nn.ModuleList(Block() for _ in range(ARGS["n_layers"]))
        self.norm = Norm()
        self.output = nn.Linear(ARGS["dim"], ARGS["vocab_size"], bias=False)
        self.output.weight = self.tok_embeddings.weight

    def forward(self, ids):
        x = self.tok_embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return self.output(self.norm(x))


torch.manual_seed(1)
model = Model()
for weight in model.parameters():
    nn.init.normal_(weight, *((0.0, 0.7) if weight.dim() > 1 else (1.0, 0.3)))
matrices = [weight for weight in model.parameters() if weight.dim() > 1]
vectors = [weight for weight in model.parameters() if weight.dim() == 1]
optimizer = torch.optim.AdamW(
    [dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)], lr=1e-3, betas=(0.9, 0.95)
)
ids = torch.randint(0, ARGS["vocab_size"], (25,))
for _ in range(3):
    optimizer.zero_grad()
    F.cross_entropy(model(ids[:-1]), ids[1:]).backward()
    optimizer.step()
state = dict(model.state_dict())
torch.save(dict(optimizer=optimizer.state_dict(), model=model.state_dict(), model_args=ARGS, iter_num=3,
                best_val_loss=torch.tensor(5.5), config=dict(batch_size=1)), HERE / "ckpt.pt")

# The first version of llama2.c's export: seven counts, then each kind of matrix, layer by layer.
parts = ["attention_norm", "attention.wq", "attention.wk", "attention.wv", "attention.wo", "ffn_norm",
         "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"]
names = ["tok_embeddings.weight"]
names += [f"layers.{layer}.{part}.weight" for part in parts for layer in range(ARGS["n_layers"])] + ["norm.weight"]
counts = [ARGS["dim"], HIDDEN, *(ARGS[n] for n in ("n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len"))]
numbers = [state[name] for name in names] + [ANGLES.cos(), ANGLES.sin()]
(HERE / "model.bin").write_bytes(
    struct.pack("7i", *counts) + b"".join(n.detach().float().numpy().tobytes() for n in numbers)
)

with torch.no_grad():
    longest = ids[:1]
    while len(longest) < 12:
        longest = torch.cat([longest, model(longest)[-1].argmax()[None]])
    moment = optimizer.state[model.layers[1].feed_forward.w2.weight]["exp_avg_sq"]
    save_file(dict(ids=ids, logits=model(ids), greedy=longest, embedding=state["tok_embeddings.weight"].clone(),
                   w2_second_moment=moment.clone(),
                   embedding_norm=torch.linalg.norm(state["tok_embeddings.weight"].double())[None]),
              HERE / "expected.safetensors")
    top = model(longest).topk(2).values
    print("the nearest two scores on the way:", (top[:, 0] - top[:, 1])[:-1].min().item())
    print("greedy:", longest.tolist())
