"""Writes hashes.tsv: contents by a rule, and the hash that Hugging Face's own client computes of each.

    pip install hf-xet==1.8.0
    python make.py > hashes.tsv

`tests/xet.rs` makes the same contents and compares.
"""

import os
import tempfile

import hf_xet

KIB = 1 << 10


def random(seed, length):
    """Marsaglia's xorshift64, eight bytes a number, little-endian."""
    out = bytearray()
    while len(out) < length:
        seed ^= (seed << 13) & (1 << 64) - 1
        seed ^= seed >> 7
        seed ^= (seed << 17) & (1 << 64) - 1
        out += seed.to_bytes(8, "little")
    return bytes(out[:length])


def content(kind, seed, length):
    if kind == "zeros":
        return bytes(length)
    if kind == "lines":
        return "".join(f"line {n} of {seed}\n" for n in range(length // 8 + 1)).encode()[:length]
    if kind == "period":
        unit = random(seed, 1000)
        return (unit * (length // 1000 + 1))[:length]
    return random(seed, length)


def cases():
    sizes = [0, 1, 63, 64, 65, 8 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 1024 * KIB]
    around = sorted({size + d for size in sizes for d in (-1, 0, 1) if size + d >= 0})
    for length in around:
        yield "random", 1, length
    for length in (3 * KIB, 8 * KIB - 1, 8 * KIB, 8 * KIB + 1, 128 * KIB, 129 * KIB, 384 * KIB, 3072 * KIB + 5):
        yield "zeros", 0, length
    for length in (100, 20_000, 700_000, 2_500_000):
        yield "lines", 7, length
        yield "period", 7, length
    # From one level of the tree to several.
    for seed in range(2, 12):
        yield "random", seed, seed * seed * 40_000 + seed
    yield "random", 99, 24_000_000


with tempfile.TemporaryDirectory() as directory:
    print("# by make.py, with hf-xet 1.8.0: kind, seed, length, hash")
    for kind, seed, length in cases():
        path = os.path.join(directory, "file")
        with open(path, "wb") as file:
            file.write(content(kind, seed, length))
        [found] = hf_xet.hash_files([path])
        assert found.file_size == length
        print(kind, seed, length, found.hash, sep="\t")
