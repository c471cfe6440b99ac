"""Writes the same tensors in the forms of torch.save and of safetensors: of every type that both have, views, tied
tensors, parameters with attributes, nested dictionaries.

    pip install torch==2.15.0 safetensors==0.8.0
    python make.py

`tests/torch.rs` compares the digests of the tensors.
"""

import torch
from safetensors.torch import save_file

torch.manual_seed(1)


def raw(count):
    return torch.randint(0, 256, (count,), dtype=torch.uint8)


BYTES = {
    torch.float8_e4m3fn: 1, torch.float8_e4m3fnuz: 1, torch.float8_e5m2: 1, torch.float8_e5m2fnuz: 1,
    torch.float8_e8m0fnu: 1, torch.float4_e2m1fn_x2: 1, torch.uint8: 1, torch.int8: 1, torch.uint16: 2,
    torch.int16: 2, torch.float16: 2, torch.bfloat16: 2, torch.uint32: 4, torch.int32: 4, torch.float32: 4,
    torch.uint64: 8, torch.int64: 8, torch.float64: 8, torch.complex64: 8,
}

types = {str(dtype)[6:]: raw(6 * size).view(dtype).reshape(3, 2) for dtype, size in BYTES.items()}
types["bool"] = torch.tensor([True, False, True])
for dtype in (torch.float8_e4m3fn, torch.complex64, torch.uint16):
    types[f"transposed.{dtype}"] = raw(6 * BYTES[dtype]).view(dtype).reshape(3, 2).t()

base = torch.arange(24.0).reshape(4, 6)
parameter = torch.nn.Parameter(torch.randn(3, 3))
parameter.tensor_parallel = True
views = {
    "base": base, "transposed": base.t(), "columns": base[:, 1:3], "tied": base[2:], "parameter": parameter,
    "nested": {"list": [torch.ones(2), torch.zeros(3, dtype=torch.float16)], "step": 7}, "scalar": torch.tensor(3),
    "empty": torch.empty(0, 5),
}


def flat(value, name=""):
    if isinstance(value, torch.Tensor):
        yield name, value.detach().contiguous().clone()
    elif isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(inner, f"{name}.{key}" if name else str(key))


for name, content in [("types", types), ("views", views)]:
    torch.save(content, f"{name}.pt")
    for protocol in (2, 4):
        path = f"{name}-before-1.6-protocol-{protocol}.pt"
        torch.save(content, path, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    save_file(dict(flat(content)), f"{name}.safetensors")
