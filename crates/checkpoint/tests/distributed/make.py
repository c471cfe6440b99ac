"""Makes distributed checkpoints (DCP) of PyTorch, and the same tensors as safetensors.

    pip install torch safetensors numpy
    python make.py               writes rows, mesh and olmo-core beside this file, each with whole/model.safetensors
    python make.py DIR RETRACE   writes many into DIR, with larger tensors, and compares each by `RETRACE diff`

Each checkpoint is written by 1, 2 or 4 processes, which shard its tensors as FSDP and tensor parallelism do: by rows,
by columns, on a mesh of two dimensions, not at all, unevenly. The numbers depend only on the tensor's name. Made with
torch 2.15.0.
"""

import os
import shutil
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

HERE = Path(__file__).parent

# OLMo-core writes the place of a chunk as an object of its own class, with these fields.
olmo_core = types.ModuleType("olmo_core.distributed.checkpoint.filesystem")
for name in ["olmo_core", "olmo_core.distributed", "olmo_core.distributed.checkpoint"]:
    sys.modules[name] = types.ModuleType(name)
sys.modules[olmo_core.__name__] = olmo_core


@dataclass
class _StorageInfo:
    relative_path: str
    offset: int
    length: int


_StorageInfo.__module__ = olmo_core.__name__
_StorageInfo.__qualname__ = "_StorageInfo"
olmo_core._StorageInfo = _StorageInfo


class OlmoCoreWriter(FileSystemWriter):
    def finish(self, metadata, results):
        for result in (result for results_of_rank in results for result in results_of_rank):
            place = result.storage_data
            object.__setattr__(result, "storage_data", _StorageInfo(place.relative_path, place.offset, place.length))
        super().finish(metadata, results)


def tensors(scale):
    """Tensors of every type, by name; their sizes grow with `scale`."""
    generator = torch.Generator().manual_seed(1)

    def numbers(dtype, *shape):
        made = torch.randn(shape, generator=generator)
        return made > 0 if dtype == torch.bool else (made * 50).abs().to(dtype)

    n = scale
    made = {
        "model.embed.weight": numbers(torch.float32, 7 * n, 6),
        "model.layers.0.weight": numbers(torch.bfloat16, 6, 5 * n),
        "model.layers.0.norm.weight": numbers(torch.float16, 5 * n),
        "model.layers.1.experts": numbers(torch.float32, 3, 4, 5 * n),
        "optim.step": torch.tensor(7.0),
        "optim.count": numbers(torch.int64, 2, 3 * n),
        "optim.transposed": numbers(torch.float32, 4, 6 * n).t(),
        "optim.empty": numbers(torch.float32, 0, 4),
    }
    if n > 1:
        made |= {
            "mask": numbers(torch.bool, 9, 4),
            "double": numbers(torch.float64, 4, 4, 3, 2),
            "bytes": numbers(torch.uint8, 1000 * n),
            "small": numbers(torch.int8, 3, 3),
            "short": numbers(torch.int16, 1, 17),
            "int": numbers(torch.int32, 33, 1),
            "one": numbers(torch.int64, 1),
            "view": numbers(torch.float32, 64, 64)[3:40, 5:17],
            "wide": numbers(torch.bfloat16, 3, 3000 * n),
            "channels_last": numbers(torch.float32, 2, 6, 4, 4).to(memory_format=torch.channels_last),
        }
    return made


# How a tensor is placed on the mesh of processes, by its number of dimensions.
def rows(of):
    return [Shard(0)] if of.dim() else [Replicate()]


def columns(of):
    return [Shard(of.dim() - 1)] if of.dim() else [Replicate()]


def mesh(of):
    return [Shard(0) if of.dim() else Replicate(), Shard(1) if of.dim() > 1 else Replicate()]


def twice(of):
    return [Shard(0) if of.dim() else Replicate()] * 2


def hybrid(of):
    return [Replicate(), Shard(of.dim() - 1) if of.dim() else Replicate()]


def replicated(of):
    return [Replicate()]


# Name: processes, shape of the mesh, placement, options of the writer.
CASES = {
    "plain": (1, (1,), None, {}),
    "threads": (2, (2,), rows, {"thread_count": 3}),
    "file-per-item": (2, (2,), columns, {"single_file_per_rank": False}),
    "rows": (2, (2,), rows, {}),
    "rows-4": (4, (4,), rows, {}),
    "columns": (2, (2,), columns, {}),
    "columns-4": (4, (4,), columns, {}),
    "mesh": (4, (2, 2), mesh, {}),
    "twice": (4, (2, 2), twice, {}),
    "hybrid": (4, (2, 2), hybrid, {}),
    "replicated": (2, (2,), replicated, {}),
    "olmo-core": (1, (1,), None, {}),
}
BESIDE = ["rows", "mesh", "olmo-core"]


def write(rank, name, directory, scale, port):
    count, shape, placement, options = CASES[name]
    dist.init_process_group("gloo", rank=rank, world_size=count, init_method=f"tcp://127.0.0.1:{port}")
    state = tensors(scale)
    if placement is not None:
        devices = init_device_mesh("cpu", shape)
        state = {key: distribute_tensor(value, devices, placement(value), src_data_rank=None) for key, value in state.items()}
    if name == "olmo-core":
        state = {key: value for key, value in state.items() if key != "optim.empty"}
    # Values that are not tensors.
    state |= {"train.steps": 120, "train.state": {"random": b"\x00\x01", "name": "a run"}}
    writer = OlmoCoreWriter if name == "olmo-core" else FileSystemWriter
    # The metadata has the path as it is given here.
    os.chdir(Path(directory).parent)
    dcp.save(state, storage_writer=writer(Path(directory).name, sync_files=False, **options))
    dist.destroy_process_group()


def make(name, directory, scale, port):
    count = CASES[name][0]
    shutil.rmtree(directory, ignore_errors=True)
    inside = directory / "model_and_optim" if name == "olmo-core" else directory / "dcp"
    whole = directory / "whole"
    whole.mkdir(parents=True)
    state = {key: value.contiguous() for key, value in tensors(scale).items()}
    if name == "olmo-core":
        del state["optim.empty"]
    save_file(state, whole / "model.safetensors")
    torch.multiprocessing.spawn(write, (name, str(inside), scale, port), nprocs=count)
    return inside, whole, len(state)


def compare(directory, retrace):
    failed = 0
    for at, name in enumerate(CASES):
        for scale in [1, 40]:
            inside, whole, count = make(name, directory / f"{name}-{scale}", scale, 29600 + at)
            ran = subprocess.run([retrace, "diff", inside, whole], capture_output=True, text=True)
            equal = f".: all {count} tensors are equal; only the files differ" in ran.stdout
            failed += not equal
            print(f"{name} {scale}: {count} tensors {'equal' if equal else 'NOT equal'}")
            if not equal:
                print(ran.stdout, ran.stderr)
    sys.exit(failed > 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        compare(Path(sys.argv[1]), sys.argv[2])
    for at, name in enumerate(BESIDE):
        make(name, HERE / name, 1, 29600 + at)
