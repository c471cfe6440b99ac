#!/usr/bin/env bash
# Steps of a 30 M model by one worker pinned to a core, by two pinned to a core each, and without
# workers on one thread and on two, in rounds on the same tokens; prints seconds a step (of the steps
# after the first), what they are of one worker's, and whether all ended in the same weights.
#
#   benches/workers.sh [MICRO_BATCHES] [ROUNDS]
#
# For the environment see common.sh.
set -euo pipefail
# shellcheck source=benches/common.sh
source "$(dirname "$0")/common.sh"
micro_batches=${1:-64} rounds=${2:-2}
build_retrace

"$RETRACE" tour "$directory/tour" --quiet >/dev/null
cd "$directory/tour"
shards=(tokens/*.tokens)
head -c 32 /dev/urandom | base64 >token
vocabulary=$(sed -n 's/.*vocab_size: *\([0-9]*\).*/\1/p' base.yaml | head -1)
for steps in 1 3; do
  cat >"bench-$steps.yaml" <<END
retrace: run/1
name: bench
seed: 1
numerics: 1
model: {architecture: llama, vocab_size: ${vocabulary:-2048}, hidden_size: 512, intermediate_size: 1408, num_hidden_layers: 9,
  num_attention_heads: 8, num_key_value_heads: 8, max_position_embeddings: 512, rope_theta: 10000.0,
  rms_norm_eps: 1.0e-5, initializer_range: 0.02}
tokenizer: tokenizer/tokenizer.json
output: runs/bench
sequence_length: 128
batch_size: $micro_batches
micro_batch_size: 1
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
phases: [{name: one, steps: $steps, learning_rate: {schedule: cosine, warmup: 1, peak: 0.001, floor: 0.0001},
  mix: [{tokens: ${shards[0]}, share: 1}]}]
checkpoint_every: 100
END
done

# train STEPS WORKERS THREADS: its seconds
train() {
  local steps=$1 workers=$2 threads=$3 port=$((20000 + RANDOM % 20000)) began
  rm -rf runs/bench
  for core in $(seq 0 $((workers - 1))); do
    taskset -c "$core" "$RETRACE" work "bench-$steps.yaml" --coordinator "127.0.0.1:$port" --token token --threads 1 --quiet &
  done
  began=$EPOCHREALTIME
  if [ "$workers" = 0 ]; then
    "$RETRACE" train "bench-$steps.yaml" --threads "$threads" --quiet >/dev/null
  else
    "$RETRACE" train "bench-$steps.yaml" --listen "127.0.0.1:$port" --token token --quiet >/dev/null
  fi
  awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
  wait
}
for _ in $(seq "$rounds"); do
  for what in "one-worker 1 1" "two-workers 2 1" "one-thread 0 1" "two-threads 0 2"; do
    read -r name workers threads <<<"$what"
    few=$(train 1 "$workers" "$threads")
    many=$(train 3 "$workers" "$threads")
    awk -v a="$few" -v b="$many" 'BEGIN { print (b - a) / 2 }' >>"$directory/$name"
    sed -n 's/.*"weights":"\([^"]*\)".*/\1/p' runs/bench/journal.jsonl | tail -1 >>"$directory/weights"
  done
done
one=$(median "$directory/one-worker")
for name in one-worker two-workers one-thread two-threads; do
  awk -v n="$name" -v s="$(median "$directory/$name")" -v one="$one" 'BEGIN { printf "%-12s %7.3f s/step  %.2f times as fast as one worker\n", n, s, one / s }'
done
echo "$(sort "$directory/weights" | uniq | wc -l) different results of $(wc -l <"$directory/weights")"
