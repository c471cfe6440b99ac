#!/usr/bin/env bash
# Every named query over tables that were imported, again and again in 1, 2 and 8 partitions, and in a
# cluster of two workers: says of each how many answers there were, to the byte. There must be one.
#
#   tests/one-answer.sh [TIMES] TABLES...
#
# RETRACE is the program; if it is not given, the release build is made first.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
times=40
if [[ ${1:-} =~ ^[0-9]+$ ]]; then times=$1; shift; fi
[ $# -gt 0 ] || { echo "usage: tests/one-answer.sh [TIMES] TABLES..." >&2; exit 2; }
if [ -z "${RETRACE:-}" ]; then
  (cd "$here" && cargo build --quiet --release --locked --workspace)
  RETRACE=$target/release/retrace
fi
directory=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$directory"' EXIT
head -c 32 /dev/urandom | base64 >"$directory/token"
"$RETRACE" cluster scheduler --listen 127.0.0.1:0 --token "$directory/token" 2>"$directory/scheduler" &
until grep -q 'listening' "$directory/scheduler"; do sleep 0.1; done
address=$(sed -n 's/.*listening at //p' "$directory/scheduler")
for worker in 1 2; do
  "$RETRACE" cluster worker --scheduler "$address" --token "$directory/token" --tasks 2 2>"$directory/worker$worker" &
  until grep -q 'working' "$directory/worker$worker"; do sleep 0.1; done
done

metrics() { "$RETRACE" query "$1" "${tables[@]}" --format csv --quiet | sed -n 2p; }
tables=("$@")
metric=$(metrics "select metric from metrics group by metric order by count(*) desc, metric limit 1")
mapfile -t runs < <("$RETRACE" query "select run from metrics where metric = '$metric' group by run order by count(*) desc, run limit 2" "$@" --format csv --quiet | tail -n +2)
task=$(metrics "select task from metrics where metric = '$metric' group by task order by count(*) desc, task limit 1")
digest() { sha256sum | cut -c1-16; }
different=0 queries=0
for sql in "$here"/reports/queries/*.sql; do
  name=$(basename "$sql" .sql)
  sets=()
  grep -q '^-- parameter a:' "$sql" && sets+=(--set "a=${runs[0]}" --set "b=${runs[1]}")
  grep -q '^-- parameter task:' "$sql" && sets+=(--set "task=$task")
  grep -q '^-- parameter metric' "$sql" && sets+=(--set "metric=$metric")
  ask() { "$RETRACE" query "@$name" "${tables[@]}" "${sets[@]}" --format csv --quiet "$@"; }
  if ! ask >"$directory/answer" 2>"$directory/error"; then
    printf '%-28s not asked: %s\n' "$name" "$(grep -m1 . "$directory/error" | sed 's/^ *error: //')"
    continue
  fi
  for partitions in 1 2 8; do
    for _ in $(seq "$times"); do ask --threads "$partitions" | digest; done
  done >"$directory/here"
  for _ in $(seq "$times"); do ask --cluster "$address" --token "$directory/token" | digest; done >"$directory/there"
  answers=$(cat "$directory/here" "$directory/there" | sort -u | wc -l)
  printf '%-28s %d %s of %d times here and %d in a cluster, %d rows\n' "$name" "$answers" \
    "$([ "$answers" = 1 ] && echo answer || echo answers)" "$(wc -l <"$directory/here")" "$(wc -l <"$directory/there")" \
    "$(($(wc -l <"$directory/answer") - 1))"
  queries=$((queries + 1))
  [ "$answers" = 1 ] || different=$((different + 1))
done
echo "$queries queries, $different with more than one answer"
[ "$different" = 0 ]
