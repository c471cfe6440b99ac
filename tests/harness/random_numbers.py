#!/usr/bin/env python3
"""Prints what CPython's random.Random answers, for crates/harness/tests/random.txt."""

import random
import struct


def bits(number):
    return struct.pack(">d", number).hex()


def listed(numbers):
    return "[" + ",".join(map(str, numbers)) + "]"


def shuffled(stream, length):
    items = list(range(length))
    stream.shuffle(items)
    return listed(items)


def far(stream):
    for _ in range(2000):
        stream.random()
    return bits(stream.random())


for seed in (0, 1, 42, 1234, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**64 - 1):
    calls = [("random", (), lambda s: bits(s.random())), ("far", (), far)]
    for count in (0, 1, 7, 31, 32, 33, 53, 63, 64):
        calls.append(("getrandbits", (count,), lambda s, n: str(s.getrandbits(n))))
    for end in (1, 2, 3, 1000, 2**32, 2**40 + 3):
        calls.append(("randrange", (end,), lambda s, n: str(s.randrange(n))))
    for length in (1, 2, 10, 77):
        calls.append(("choice", (length,), lambda s, n: str(s.choice(range(n)))))
        calls.append(("shuffle", (length,), shuffled))
        calls.append(("choices", (length, 5), lambda s, n, k: listed(s.choices(range(n), k=k))))
    for length, count in ((1, 0), (5, 5), (21, 3), (22, 3), (22, 5), (85, 6), (86, 6), (100, 21), (277, 22), (5000, 22)):
        calls.append(("sample", (length, count), lambda s, n, k: listed(s.sample(range(n), k))))
    for name, numbers, call in calls:
        stream = random.Random(seed)
        first, second = call(stream, *numbers), call(stream, *numbers)
        print(" ".join(map(str, (seed, name, *numbers))), "->", first, second)
