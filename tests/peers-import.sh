#!/usr/bin/env bash
# Imports what trackers and trainers really write, and compares each value with the tool's own reader, to the bit. The
# tools are installed at the versions below, some gigabytes with PyTorch, into a temporary directory. Outside of CI.
#
#   tests/peers-import.sh
#
# PEERS names a Python that has the tools already, OLD_WANDB one with the last wandb that has a reader in Python.
# retrace is built, unless RETRACE names one. Exit codes: 1 if a value differs, 2 if the tools cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
script=$PWD/tests/peers-import.py
if [ -z "${RETRACE:-}" ]; then
  cargo build --quiet --locked --workspace --bin retrace
  RETRACE=${CARGO_TARGET_DIR:-$PWD/target}/debug/retrace
fi
retrace=$(realpath "$RETRACE")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# A Python in a directory, with these packages.
with() {
  local where=$1
  shift
  python3 -m venv "$where"
  if ! "$where/bin/pip" install --quiet "$@"; then
    printf 'nothing is compared: %s cannot be installed from PyPI\n' "$*" >&2
    exit 2
  fi
}

if [ -z "${PEERS:-}" ]; then
  with "$directory/peers" torch==2.15.0 transformers==5.24.0 accelerate lightning==2.6.6 lm-eval==0.4.13 wandb==0.31.0 \
    tensorboard==2.21.0 tensorboardX==2.6.5 mlflow==3.17.2 trackio==0.43.0 pyarrow
  PEERS=$directory/peers/bin/python
fi
if [ -z "${OLD_WANDB:-}" ]; then
  with "$directory/old" wandb==0.19.11
  OLD_WANDB=$directory/old/bin/python
fi
mkdir "$directory/work"
cd "$directory/work"
HOME=$PWD "$PEERS" "$script" make >made 2>&1 || { cat made; exit 2; }
HOME=$PWD "$PEERS" "$script" compare "$retrace" "$OLD_WANDB"
