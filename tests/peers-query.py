"""Random tables of floats by pyarrow and DuckDB, and what `retrace query` says of them.

    peers-query.py RETRACE TABLES SEED

Each table has the columns n (1, 2, 3, ...), d (double), f (single precision), and by pyarrow also h (half precision),
s (a structure with a double) and k (a dictionary of doubles). Exits with 1 if an answer differs from what this script
finds by looking at every row; the rules for NaN are those of docs/sql.md.
"""

import math
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

NAN, INF = float("nan"), float("inf")
SPECIAL = [NAN, INF, -INF, 0.0, -0.0, None, 5e-324, 1.7976931348623157e308, 2.5, -2.5, 100.0, 1e-8]
NAN_BITS = [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001]


def single(value):
    """`value` rounded to single precision; a number too large is infinite."""
    if value is None or math.isnan(value) or math.isinf(value):
        return value
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(INF, value)


def half(value):
    """`value` rounded to half precision; a number too large is infinite."""
    if value is None or math.isnan(value) or math.isinf(value):
        return value
    try:
        return struct.unpack("<e", struct.pack("<e", value))[0]
    except OverflowError:
        return math.copysign(INF, value)


def bits(value):
    """Equal for equal bits; all NaNs are one."""
    if value is None:
        return "null"
    return "NaN" if math.isnan(value) else struct.pack(">d", value).hex()


def key(value):
    """The order: numbers, NaN above all of them, null last; zeros are equal."""
    if value is None:
        return (2, 0.0)
    return (1, 0.0) if math.isnan(value) else (0, value)


def column(random, rows):
    """Values, of one of several patterns."""
    pattern = random.randrange(6)
    if pattern == 0:
        return [2.5 if random.random() < 0.9 else random.choice(SPECIAL) for _ in range(rows)]
    if pattern == 1:
        constant = random.choice(SPECIAL)
        return [constant] * rows
    if pattern == 2:
        return sorted((random.gauss(0, 100) for _ in range(rows)))[: rows - 1] + [NAN] * min(rows, 1)
    if pattern == 3:
        return [random.choice(SPECIAL) for _ in range(rows)]
    if pattern == 4:
        return [random.gauss(0, 1) if random.random() < 0.95 else random.choice(SPECIAL) for _ in range(rows)]
    return [None if random.random() < 0.5 else NAN for _ in range(rows)]


def with_odd_nans(random, values):
    """A pyarrow array in which NaN has one of several bit patterns."""
    def stored(value):
        nan = value is not None and math.isnan(value)
        return struct.pack("<Q", random.choice(NAN_BITS)) if nan else struct.pack("<d", 0.0 if value is None else value)

    raw = b"".join(map(stored, values))
    valid = sum(1 << at for at, value in enumerate(values) if value is not None)
    mask = valid.to_bytes((len(values) + 7) // 8 or 1, "little")
    return pa.Array.from_buffers(pa.float64(), len(values), [pa.py_buffer(mask), pa.py_buffer(raw)])


def by_pyarrow(random, path, n, d, f):
    doubles = with_odd_nans(random, d)
    h = [half(value) for value in d]
    table = pa.table({
        "n": pa.array(n, pa.int64()),
        "d": doubles,
        "f": pa.array(f, pa.float32()),
        "h": pa.array(h, pa.float16()),
        "s": pa.StructArray.from_arrays([doubles], ["x"]),
        "k": doubles.dictionary_encode(),
    })
    options = {
        "row_group_size": random.choice([1, 3, 100, 10_000]),
        "write_statistics": random.random() < 0.8,
        "write_page_index": random.random() < 0.5,
        "data_page_size": random.choice([1, 100, None]),
        "compression": random.choice(["none", "snappy", "zstd", "gzip"]),
        "version": random.choice(["1.0", "2.4", "2.6"]),
        "data_page_version": random.choice(["1.0", "2.0"]),
        "use_dictionary": random.random() < 0.5,
    }
    if not options["use_dictionary"] and random.random() < 0.5:
        options["column_encoding"] = {"d": "BYTE_STREAM_SPLIT", "f": "BYTE_STREAM_SPLIT"}
    if random.random() < 0.3:
        options["sorting_columns"] = [pq.SortingColumn(0)]
    pq.write_table(table, path, **options)
    return {"d": d, "f": f, "h": h, "s['x']": d, "cast(k as double)": d}


def by_duckdb(random, path, n, d, f):
    given = pa.table({"n": pa.array(n, pa.int64()), "d": pa.array(d, pa.float64()), "f": pa.array(f, pa.float32())})
    connection = duckdb.connect()
    connection.register("given", given)
    group, codec = random.choice([2048, 10_000]), random.choice(["snappy", "zstd", "uncompressed", "gzip"])
    version = random.choice(["v1", "v2"])
    connection.execute(
        f"copy (select * from given order by n) to '{path}' "
        f"(format parquet, row_group_size {group}, codec '{codec}', parquet_version '{version}')"
    )
    return {"d": d, "f": f}


class Retrace:
    def __init__(self, program, directory):
        self.program, self.directory = program, directory

    def ask(self, sql, path):
        """The columns of the answer, as Parquet gives them to pyarrow."""
        answer = self.directory / "answer.parquet"
        command = [self.program, "query", "--sql", sql, str(path), "--format", "parquet", "--quiet"]
        with open(answer, "wb") as out:
            subprocess.run(command, check=True, stdout=out)
        return pq.read_table(answer).to_pydict()


def check(name, found, expected):
    if found != expected:
        at = next((i for i, (a, b) in enumerate(zip(found, expected)) if a != b), min(len(found), len(expected)))
        print(f"DIFFERS: {name}: at {at}: {found[at:at + 3]} where {expected[at:at + 3]} is stored", file=sys.stderr)
        sys.exit(1)


def questions(random, retrace, path, n, columns):
    """Asks about every column, and compares; gives the number of values that were compared."""
    compared = 0
    everything = retrace.ask("select " + ", ".join(f"{c} as c{i}" for i, c in enumerate(columns)) + " from t order by n", path)
    for at, (name, values) in enumerate(columns.items()):
        check(f"{path}: {name}", [bits(v) for v in everything[f"c{at}"]], [bits(v) for v in values])
        compared += len(values)
    name, values = random.choice(list(columns.items()))
    wanted = f"cast({name} as double)"
    limit = random.choice([0.0, 2.5, 100.0, 1e-8, -2.5])
    greater = sorted(at for at, v in zip(n, values) if v is not None and key(v) > (0, limit))
    check(f"{path}: {name} > {limit}", retrace.ask(f"select n from t where {wanted} > {limit} order by n", path)["n"], greater)
    less = sorted(at for at, v in zip(n, values) if v is not None and key(v) <= (0, limit))
    check(f"{path}: {name} <= {limit}", retrace.ask(f"select n from t where {wanted} <= {limit} order by n", path)["n"], less)
    numbers = [v for v in values if v is not None and not math.isnan(v)]
    present = [v for v in values if v is not None]
    asked = f"select count({wanted}) as c, count(*) filter (where isnan({wanted})) as nans, min({wanted}) as lo, max({wanted}) as hi from t"
    said = {k: v[0] for k, v in retrace.ask(asked, path).items()}
    fallback = NAN if present else None
    low = min(numbers, key=lambda v: (v, math.copysign(1, v))) if numbers else fallback
    high = max(numbers, key=lambda v: (v, math.copysign(1, v))) if numbers else fallback
    check(f"{path}: {name}: count", [said["c"], said["nans"]], [len(present), len(present) - len(numbers)])
    check(f"{path}: {name}: min, max", [bits(said["lo"]), bits(said["hi"])], [bits(low), bits(high)])
    ordered = sorted(zip(values, n), key=lambda pair: (key(pair[0]), pair[1]))
    exact = [at for v, at in ordered if v is None or v != 0]
    order = retrace.ask(f"select n from t order by {wanted}, n", path)["n"]
    zeros = {at for v, at in ordered if v == 0}
    check(f"{path}: order by {name}", [at for at in order if at not in zeros], exact)
    top = retrace.ask(f"select n from t where {wanted} is not null order by {wanted} desc, n limit 3", path)["n"]
    best = sorted(((v, at) for v, at in zip(values, n) if v is not None), key=lambda pair: (tuple(-x for x in key(pair[0])), pair[1]))[:3]
    if not any(v == 0 for v, _ in best):
        check(f"{path}: order by {name} desc limit 3", top, [at for _, at in best])
    return compared


def main():
    program, tables, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    dice = random.Random(seed)
    compared = 0
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        retrace = Retrace(program, directory)
        for at in range(tables):
            rows = dice.choice([0, 1, 2, 10, 300, 5000])
            n = list(range(1, rows + 1))
            d = column(dice, rows)
            f = [single(value) for value in column(dice, rows)]
            writer = (by_pyarrow, by_duckdb)[at % 2]
            folder = directory / str(at)
            folder.mkdir()
            columns = writer(dice, folder / "t.parquet", n, d, f)
            compared += questions(dice, retrace, folder / "t.parquet", n, columns)
    print(f"{tables} tables, {compared} values: all come back to the bit (pyarrow {pa.__version__}, DuckDB {duckdb.__version__}, seed {seed})")


if __name__ == "__main__":
    main()
