#!/usr/bin/env bash
# dvc-data 3.18.3 (PyPI), Python 3.11 or later
#
# Guess: a digest that shall not depend on line ends is computed in blocks, and a CR and LF in two blocks are forgotten.
#
# Seen: `md5-dos2unix`, the digest of files that DVC before version 3 tracked, is that of a text with its line ends as LF,
# so a text has one digest with CRLF and with LF. It is computed in blocks of 1 MiB, each by itself. If a CR is the last
# byte of a block, its line end stays CRLF, and the same text has two digests. In lines of equal length this is so, or not,
# by the length alone.
#
# Output:
#   300000 lines of 6 letters: one digest
#   300000 lines of 7 letters: two digests
#
# Fails if that changes.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet dvc-data==3.18.3
"$directory/venv/bin/python" - <<'PYTHON'
import io

from dvc_data.hashfile.hash import fobj_md5


def digests(letters):
    """Of the same text with LF and with CRLF."""
    lines = [b"x" * letters] * 300_000
    return {fobj_md5(io.BytesIO(end.join(lines) + end), name="md5-dos2unix") for end in (b"\n", b"\r\n")}


# With CRLF a line has 8 or 9 bytes: 2 MiB are whole lines, or end before the last byte of one.
for letters, expected in ((6, 1), (7, 2)):
    found = len(digests(letters))
    print(f"300000 lines of {letters} letters: {'one digest' if found == 1 else 'two digests'}")
    assert found == expected, (letters, found)
PYTHON
