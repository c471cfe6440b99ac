#!/usr/bin/env bash
# Times `retrace verify` beside `b3sum --check` (and the reference OMS tool, where it is installed)
# over the same files in the same minute, in turn, and prints the median of each and the ratio.
# Needs a release build and b3sum (`cargo install b3sum`). Usage: benches/verify.sh [WORK-DIRECTORY]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
retrace=${RETRACE:-${CARGO_TARGET_DIR:-$here/target}/release/retrace}
work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/retrace-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
rounds=7

# Wall seconds of a command, its output thrown away.
seconds() {
  local begin end
  begin=$(date +%s%N); "$@" > /dev/null 2>&1; end=$(date +%s%N)
  awk -v ns=$((end - begin)) 'BEGIN { printf "%.4f\n", ns / 1e9 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

case_of() { # NAME DIRECTORY
  local name=$1 dir=$2
  "$retrace" seal "$dir" -o "$work/manifest.json" -q > /dev/null
  (cd "$dir" && find . -type f -print0 | xargs -0 b3sum > "$work/B3SUMS")
  local ours theirs how
  # b3sum reads through a memory map unless told not to, retrace only if told to.
  for how in "as they are" "both mapped" "both read"; do
    local flags=() peer=()
    case $how in "both mapped") flags=(--mmap) ;; "both read") peer=(--no-mmap) ;; esac
    : > "$work/ours"; : > "$work/theirs"
    for _ in $(seq $rounds); do
      seconds "$retrace" verify "${flags[@]}" "$work/manifest.json" "$dir" >> "$work/ours"
      (cd "$dir" && seconds b3sum "${peer[@]}" --check "$work/B3SUMS") >> "$work/theirs"
    done
    ours=$(median < "$work/ours"); theirs=$(median < "$work/theirs")
    awk -v n="$name" -v h="$how" -v a="$ours" -v b="$theirs" \
      'BEGIN { printf "%-15s %-12s retrace verify %.3f s   b3sum --check %.3f s   %.2f times as fast\n", n, h, a, b, b / a }'
    # Small files are mapped by neither.
    if [ "$name" = "20,000 x 4 KiB" ]; then break; fi
  done
  if command -v model_signing > /dev/null && [ "$name" = "20,000 x 4 KiB" ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out "$work/key.pem"
    openssl ec -in "$work/key.pem" -pubout -out "$work/public.pem" 2> /dev/null
    model_signing sign key "$dir" --private_key "$work/key.pem" --signature "$work/model.sig" > /dev/null
    awk -v a="$ours" -v b="$(seconds model_signing verify key "$dir" --public_key "$work/public.pem" --signature "$work/model.sig")" \
      'BEGIN { printf "%-18s model_signing verify %.3f s: retrace is %.0f times as fast\n", "", b, b / a }'
  fi
}

echo "$(nproc) cores, $(grep -m1 'model name' /proc/cpuinfo 2> /dev/null | cut -d: -f2 | xargs); medians of $rounds, files in the page cache"
mkdir "$work/one" "$work/forty" "$work/many"
head -c 2147483648 /dev/urandom > "$work/one/file"
case_of "1 x 2 GiB" "$work/one"
rm -r "$work/one"
for i in $(seq 40); do head -c 67108864 /dev/urandom > "$work/forty/$i"; done
case_of "40 x 64 MiB" "$work/forty"
rm -r "$work/forty"
head -c 81920000 /dev/urandom | split -b 4096 -a 4 - "$work/many/"
case_of "20,000 x 4 KiB" "$work/many"
