#!/usr/bin/env bash
# Times `retrace verify` beside `b3sum --check` (and the reference OMS tool, where it is installed)
# over the same files in the same minute, in turn, and prints the median of each and the ratio.
#
#   benches/verify.sh [SIZE]
#
# SIZE is the largest file in MiB, 2048 if it is not given. Needs b3sum (`cargo install b3sum`). For the
# environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
build_retrace
rounds=7 size=${1:-2048}

case_of() { # NAME DIRECTORY
  local name=$1 dir=$2
  "$RETRACE" seal "$dir" -o "$directory/manifest.json" -q > /dev/null
  (cd "$dir" && find . -type f -print0 | xargs -0 b3sum > "$directory/B3SUMS")
  local ours theirs how
  # b3sum reads through a memory map unless told not to, retrace only if told to.
  for how in "as they are" "both mapped" "both read"; do
    local flags=() peer=()
    case $how in "both mapped") flags=(--mmap) ;; "both read") peer=(--no-mmap) ;; esac
    : > "$directory/ours"; : > "$directory/theirs"
    for _ in $(seq $rounds); do
      seconds "$RETRACE" verify "${flags[@]}" "$directory/manifest.json" "$dir" >> "$directory/ours"
      (cd "$dir" && seconds b3sum "${peer[@]}" --check "$directory/B3SUMS") >> "$directory/theirs"
    done
    ours=$(median "$directory/ours"); theirs=$(median "$directory/theirs")
    awk -v n="$name" -v h="$how" -v a="$ours" -v b="$theirs" \
      'BEGIN { printf "%-15s %-12s retrace verify %.3f s   b3sum --check %.3f s   %.2f times as fast\n", n, h, a, b, b / a }'
    # Small files are mapped by neither.
    if [ "$name" = "20,000 x 4 KiB" ]; then break; fi
  done
  if command -v model_signing > /dev/null && [ "$name" = "20,000 x 4 KiB" ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out "$directory/key.pem"
    openssl ec -in "$directory/key.pem" -pubout -out "$directory/public.pem" 2> /dev/null
    model_signing sign key "$dir" --private_key "$directory/key.pem" --signature "$directory/model.sig" > /dev/null
    awk -v a="$ours" -v b="$(seconds model_signing verify key "$dir" --public_key "$directory/public.pem" --signature "$directory/model.sig")" \
      'BEGIN { printf "%-18s model_signing verify %.3f s: retrace is %.0f times as fast\n", "", b, b / a }'
  fi
}

echo "$(machine); medians of $rounds, files in the page cache"
mkdir "$directory/one" "$directory/forty" "$directory/many"
head -c "${size}M" /dev/urandom > "$directory/one/file"
case_of "1 x $size MiB" "$directory/one"
rm -r "$directory/one"
for i in $(seq 40); do head -c "$((size / 32))M" /dev/urandom > "$directory/forty/$i"; done
case_of "40 x $((size / 32)) MiB" "$directory/forty"
rm -r "$directory/forty"
head -c 81920000 /dev/urandom | split -b 4096 -a 4 - "$directory/many/"
case_of "20,000 x 4 KiB" "$directory/many"
