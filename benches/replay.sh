#!/usr/bin/env bash
# What a replay costs, beside the training that it repeats: the largest run of the tour, all of its
# steps, in rounds; prints the medians and their ratio.
#
#   benches/replay.sh [ROUNDS]
#
# RETRACE is the program; if it is not given, the release build is made first.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
target=${CARGO_TARGET_DIR:-$PWD/target}
if [ -z "${RETRACE:-}" ]; then
  cargo build --quiet --release --locked
  RETRACE=$target/release/retrace
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

"$RETRACE" tour "$directory/tour" --quiet >/dev/null
cd "$directory/tour"
rm -rf runs/base
seconds() {
  local began=$EPOCHREALTIME
  "$@" >/dev/null
  awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}
for _ in $(seq "$rounds"); do
  rm -rf runs/base
  seconds "$RETRACE" train base.yaml --quiet >>"$directory/train"
  seconds "$RETRACE" replay manifest.yaml --step train-base --from 0 --to 240 --quiet >>"$directory/replay"
done
median() { sort -n "$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
awk -v t="$(median "$directory/train")" -v r="$(median "$directory/replay")" \
  'BEGIN { printf "240 steps: trained in %.2f s, replayed in %.2f s, with the release verified first: %.3f times\n", t, r, r / t }'
