#!/usr/bin/env bash
# Times `retrace verify` of a hub's list with only `xetHash` beside `hash_files` of hf-xet over the same files in the
# same minute, in turn, and prints the median of each and the ratio.
#
#   benches/xet.sh [SIZE]
#
# SIZE is the largest file in MiB, 1024 if it is not given. $PYTHON needs hf-xet 1.8. For the environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
build_retrace
rounds=5 size=${1:-1024}

cat > "$directory/hash.py" <<'PYTHON'
import json, os, sys

import hf_xet

directory = sys.argv[1]
names = sorted(os.listdir(directory))
found = hf_xet.hash_files([os.path.join(directory, name) for name in names])
print(json.dumps([
    {"type": "file", "path": name, "size": file.file_size, "xetHash": file.hash} for name, file in zip(names, found)
]))
PYTHON

case_of() { # NAME DIRECTORY
  "$python" "$directory/hash.py" "$2" > "$directory/bucket.json"
  : > "$directory/ours"; : > "$directory/theirs"
  for _ in $(seq $rounds); do
    seconds "$RETRACE" verify "$directory/bucket.json" "$2" >> "$directory/ours"
    seconds "$python" "$directory/hash.py" "$2" >> "$directory/theirs"
  done
  awk -v n="$1" -v a="$(median "$directory/ours")" -v b="$(median "$directory/theirs")" \
    'BEGIN { printf "%-15s retrace verify %.3f s   hf_xet.hash_files %.3f s   %.2f times as fast\n", n, a, b, b / a }'
}

echo "$(machine); medians of $rounds, files in the page cache"
mkdir "$directory/one" "$directory/forty"
head -c "${size}M" /dev/urandom > "$directory/one/file"
case_of "1 x $size MiB" "$directory/one"
rm -r "$directory/one"
for i in $(seq 40); do head -c "$((size / 32))M" /dev/urandom > "$directory/forty/$i"; done
case_of "40 x $((size / 32)) MiB" "$directory/forty"
