"""Writes hashes.tsv: contents, and the MD5 that DVC before version 3 computes of each.

    pip install dvc-data==3.18.3
    python make.py > hashes.tsv

A content is written as pieces of bytes, each in hexadecimal and with the number of its repetitions.
"""

import io

from dvc_data.hashfile.hash import fobj_md5

MIB = 1 << 20
TEXT, BINARY, NUL = b"line of text\r\n", bytes(range(128, 256)), b"\0"

CASES = [
    [], [(b"\r", 1)], [(b"\r\n", 1)], [(b"\n\r\n\r", 3)], [(b"\r\r\n", 5)], [(TEXT, 1)], [(TEXT, 1000)],
    [(b"unix\n", 100)], [(NUL, 1), (TEXT, 100)],
    # Only the first 512 bytes decide.
    [(b"a", 511), (NUL, 1), (TEXT, 9)], [(b"a", 512), (NUL, 1), (TEXT, 9)],
    # 30 % of other bytes is still text.
    [(b"\xff", 3), (b"abcde\r\n", 1)], [(b"\xff", 31), (b"abcde\r\n", 10)],
    [(b"\xff", 30), (b"abcde\r\n", 10)], [(BINARY, 4), (TEXT, 50)], [(b"\xff", 153), (b"a", 359), (TEXT, 9)],
    [(b"\xff", 154), (b"a", 358), (TEXT, 9)], [("naïve café\r\n".encode(), 40)],
    # Blocks of 1 MiB: a line end that two of them share, and a second one that is not text.
    [(b"a", MIB - 1), (b"\r\n", 2)], [(b"a", MIB), (b"\r\n", 2)], [(b"a", MIB), (NUL, 1), (TEXT, 9)],
    [(NUL, MIB), (TEXT, 9)], [(b"ab\r\n", 600_000)], [(b"abc\r\n", 600_000)],
]

print("# by make.py, with dvc-data 3.18.3: content, MD5")
for pieces in CASES:
    content = b"".join(piece * count for piece, count in pieces)
    written = ",".join(f"{piece.hex()}*{count}" for piece, count in pieces)
    print(written, fobj_md5(io.BytesIO(content), name="md5-dos2unix"), sep="\t")
