#!/usr/bin/env bash
# What a replay costs, beside the training that it repeats: the largest run of the tour, all of its
# steps, in rounds; prints the medians and their ratio.
#
#   benches/replay.sh [ROUNDS]
#
# For the environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
rounds=${1:-3}
build_retrace

"$RETRACE" tour "$directory/tour" --quiet >/dev/null
cd "$directory/tour"
rm -rf runs/base
for _ in $(seq "$rounds"); do
  rm -rf runs/base
  seconds "$RETRACE" train base.yaml --quiet >>"$directory/train"
  seconds "$RETRACE" replay manifest.yaml --step train-base --from 0 --to 240 --quiet >>"$directory/replay"
done
awk -v t="$(median "$directory/train")" -v r="$(median "$directory/replay")" \
  'BEGIN { printf "240 steps: trained in %.2f s, replayed in %.2f s, with the release verified first: %.3f times\n", t, r, r / t }'
