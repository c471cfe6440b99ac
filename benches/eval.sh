#!/usr/bin/env bash
# Requests answered with a random Llama of about 30 M parameters: retrace beside the model `hf` of lm-evaluation-harness
# 0.4.13 at its best of several batch sizes, with the same threads and the same tokens. Prints for each kind of request
# and number of threads the requests a second of both, their ratio, and the largest difference of their answers. Loading
# the model is not measured, except in retrace's CPU seconds; encoding the requests is. On a machine that does other work,
# the CPU seconds are what can be compared.
#
#   benches/eval.sh [DOCUMENTS] [THREADS...]
#
# PYTHON is one with lm-eval 0.4.13, transformers 5.24.0 and torch 2.15.0. REQUESTS is the built example `requests` of
# retrace-eval. For the rest of the environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
documents=${1:-40}
shift || true
[ "$#" -gt 0 ] || set -- 1 2
if [ -z "${REQUESTS:-}" ]; then
  (cd "$here" && cargo build --quiet --release --locked -p retrace-eval --example requests)
  REQUESTS=$target/release/examples/requests
fi
export HF_HUB_OFFLINE=1
"$python" "$here/benches/peers/eval.py" "$directory" "$REQUESTS" "$documents" "$@"
machine
