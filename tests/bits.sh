#!/usr/bin/env bash
# Makes the small runs of crates/train/examples/bits.rs under everything that might move a bit, and
# says whether all came to one digest.
#
#   tests/bits.sh          all of it: builds three times, and emulates what is installed
#   tests/bits.sh quick    instruction sets, threads, the candle engine, and runs that are killed again and again
#
# What is not here (an instruction set, an emulator, a cross toolchain) is named and left out. For
# aarch64: aarch64-linux-gnu-gcc, qemu-aarch64 and rustup's target, or, where that is not to be had,
# BITS_AARCH64_FLAGS: what cargo has to be told to build the standard library.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

expected=
count=0
differ=0

# NAME COMMAND...: the command prints a digest and the instruction set it was made with.
compare() {
  local name=$1 began=$SECONDS digest set
  shift
  rm -rf "$directory/run"
  if ! read -r digest set < <("$@") || [ -z "$digest" ]; then
    printf 'failed     %s\n' "$name"
    exit 2
  fi
  expected=${expected:-$digest}
  count=$((count + 1))
  local verdict=same
  if [ "$digest" != "$expected" ]; then
    verdict=DIFFERS
    differ=$((differ + 1))
  fi
  printf '%-10s %s  %-44s %s, %s s\n' "$verdict" "${digest:0:19}" "$name" "$set" "$((SECONDS - began))"
}

skip() { printf 'left out   %s\n' "$*"; }

# Dies with kill -9 after every three steps, and is resumed until it ends, by each of the engines in turn.
killed() {
  local status at=0 engines=("$@")
  while true; do
    status=0
    "$bits" "$directory/run" 2 3 "${engines[at++ % ${#engines[@]}]}" 2>"$directory/err" || status=$?
    case $status in
      0) return ;;
      137) ;;
      *) cat "$directory/err" >&2 && return 1 ;;
    esac
  done
}

# Instruction sets and threads, and death, on this machine.
here() {
  local build=$1 set
  for set in avx512 avx2 baseline; do
    if [ "$set" = baseline ] || grep -qw "${set/avx512/avx512f}" /proc/cpuinfo 2>/dev/null; then
      compare "$build, $set, 1 thread" env "RETRACE_ISA=$set" "$bits" "$directory/run" 1
    else
      skip "$set: this processor has none"
    fi
  done
  for threads in 2 3 8; do
    compare "$build, $threads threads" "$bits" "$directory/run" "$threads"
  done
  compare "$build, candle, 1 thread" "$bits" "$directory/run" 1 0 candle
  compare "$build, candle, 3 threads" "$bits" "$directory/run" 3 0 candle
  compare "$build, killed after every 3 steps, resumed" killed fused
  compare "$build, killed, resumed by the other engine" killed candle fused
}

if [ "${1:-}" = quick ]; then
  cargo build --quiet --locked --workspace --example bits
  bits=$target/debug/examples/bits
  here quick
else
  printf '+ building for release, and without any optimisation\n'
  cargo build --quiet --locked --release -p retrace-train --example bits
  bits=$target/release/examples/bits
  here release

  if unshare --map-root-user --mount true 2>/dev/null; then
    compare "release, no cache geometry to be seen" unshare --map-root-user --mount \
      sh -c 'mount -t tmpfs none /sys/devices/system/cpu && exec "$@"' sh "$bits" "$directory/run" 2
  else
    skip "another cache geometry: no mount namespace to hide this one in"
  fi

  for cpu in Nehalem Haswell max; do
    if command -v qemu-x86_64 >/dev/null && [ "$(uname -m)" = x86_64 ]; then
      compare "release, qemu $cpu" qemu-x86_64 -cpu "$cpu" "$bits" "$directory/run" 2
    else
      skip "qemu $cpu: no qemu-x86_64, or another machine"
    fi
  done

  # Every package's own level would go before the profile's, so each is named.
  plain=(--config profile.dev.opt-level=0)
  while read -r package; do
    plain+=(--config "profile.dev.package.$package.opt-level=0")
  done < <(sed -n 's/^\[profile\.dev\.package\.\(.*\)\]$/\1/p' Cargo.toml)
  cargo build --quiet --locked -p retrace-train --example bits --target-dir "$target/opt0" "${plain[@]}"
  bits=$target/opt0/debug/examples/bits
  compare "debug, not optimised, 2 threads" "$bits" "$directory/run" 2
  compare "debug, not optimised, candle" "$bits" "$directory/run" 2 0 candle

  arm=aarch64-unknown-linux-gnu
  std=$(rustc --print target-libdir --target "$arm")
  if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null &&
    { [ -d "$std" ] || [ -n "${BITS_AARCH64_FLAGS:-}" ]; }; then
    # shellcheck disable=SC2086 # several flags
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
      cargo build --quiet --locked --release -p retrace-train --example bits --target "$arm" ${BITS_AARCH64_FLAGS:-}
    bits=$target/$arm/release/examples/bits
    compare "release, aarch64 under qemu" qemu-aarch64 -L /usr/aarch64-linux-gnu "$bits" "$directory/run" 2
    compare "release, aarch64 under qemu, candle" qemu-aarch64 -L /usr/aarch64-linux-gnu "$bits" "$directory/run" 2 0 candle
  else
    skip "aarch64: its toolchain or emulator is not here"
  fi
fi

if [ "$differ" -gt 0 ]; then
  printf '%s of %s differ\n' "$differ" "$count"
  exit 1
fi
printf 'all identical: %s times %s\n' "$count" "$expected"
