"""Writes distributed checkpoints of PyTorch with 1 GB of tensors, and the same tensors as safetensors.

    python distributed.py DIR      writes DIR/whole, DIR/rows, DIR/columns, DIR/mesh

Each process makes the same numbers and saves its part of them, as after training with FSDP or tensor parallelism.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

SHAPES = {"attention.weight": (1024, 1024), "up.weight": (2752, 1024), "down.weight": (1024, 2752)}
CASES = {"rows": ((4,), [Shard(0)]), "columns": ((4,), [Shard(1)]), "mesh": ((2, 2), [Shard(0), Shard(1)])}


def tensors():
    generator = torch.Generator().manual_seed(1)
    for layer in range(37):
        for name, shape in SHAPES.items():
            yield f"layers.{layer}.{name}", torch.randn(shape, generator=generator)


def write(rank, name, directory):
    shape, placements = CASES[name]
    dist.init_process_group("gloo", rank=rank, world_size=4, init_method="tcp://127.0.0.1:29650")
    mesh = init_device_mesh("cpu", shape)
    state = {key: distribute_tensor(value, mesh, placements, src_data_rank=None) for key, value in tensors()}
    dcp.save(state, storage_writer=FileSystemWriter(directory / name, sync_files=False))
    dist.destroy_process_group()


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    (directory / "whole").mkdir(parents=True)
    save_file(dict(tensors()), directory / "whole" / "model.safetensors")
    for name in CASES:
        torch.multiprocessing.spawn(write, (name, directory), nprocs=4)
