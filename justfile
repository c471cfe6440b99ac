# Short names for common commands. `just` alone lists them.

_list:
    @just --list --unsorted

# All checks
ci:
    .ci/run

# The fast tests
test *ARGS:
    cargo test --workspace {{ARGS}}

# Writes the snapshots of help texts and errors again (tests/it/wording)
wording:
    RETRACE_WORDING=write cargo test --workspace --lib --test it wording

# All tests, including slow ones and comparisons with other tools, which are installed into target/peers
test-all:
    python3 -m venv target/peers
    target/peers/bin/pip install --quiet model-signing pyOpenSSL 'cyclonedx-python-lib[json-validation]'
    PATH="$PWD/target/peers/bin:$PATH" cargo test --workspace -- --include-ignored --skip real_data:: --skip eval::harness
    .ci/run real-data

# Compares `retrace eval` with lm-evaluation-harness, installed into target/harness with PyTorch (some gigabytes)
harness:
    python3 -m venv target/harness
    target/harness/bin/pip install --quiet 'lm-eval[hf]==0.4.13' torch==2.15.0 transformers==5.24.0 tokenizers==0.23.3 datasets==5.2.0 accelerate==1.15.0
    PATH="$PWD/target/harness/bin:$PATH" cargo test --workspace --test it -- --ignored eval::harness
    rm -rf target/harness-made
    target/harness/bin/python tests/harness/prompts.py target/harness-made/prompts
    RETRACE_TEST_HARNESS="$(echo "$PWD"/target/harness/lib/python3*/site-packages/lm_eval/tasks)" RETRACE_TEST_PROMPTS="$PWD/target/harness-made/prompts" cargo test -p retrace-harness --test harness
    HF_HUB_OFFLINE=1 target/harness/bin/python tests/harness/answers.py target/harness-made/answers
    RETRACE_ANSWERS="$PWD/target/harness-made/answers" cargo test -p retrace-eval --test answers
    cargo build --bin retrace
    HF_HUB_OFFLINE=1 target/harness/bin/python tests/harness/whole.py target/harness-made/whole "${CARGO_TARGET_DIR:-target}/debug/retrace"

# Compares `retrace import` with the readers of wandb, MLflow, trackio, TensorBoard, Lightning, transformers and
# lm-evaluation-harness, which are installed into a temporary directory (some gigabytes) and run
peers-import:
    tests/peers-import.sh

# Random hostile input for every reader, CASES times each, and random file trees for every verb
fuzz CASES="100000" TREES="2000":
    PROPTEST_CASES={{CASES}} cargo test --workspace survived
    RETRACE_FUZZ={{TREES}} cargo test --workspace --test it random_trees -- --nocapture

# The same digests under every instruction set, 1 to 8 threads, kill -9, emulated processors, aarch64 and without optimisation
bits:
    tests/bits.sh

# About forty kinds of tampering with a run, each detected and named by a replay
tampered:
    cargo test -p retrace-train --test tampered -- --nocapture --test-threads 1

# Trains a small model of each family with transformers and with retrace, and compares the results
families *FAMILIES:
    tests/families.sh {{FAMILIES}}

# Continues a PyTorch checkpoint of llama2.c with PyTorch and with retrace, and compares the results
foreign CHECKPOINT TOKENIZER:
    tests/foreign.sh {{CHECKPOINT}} {{TOKENIZER}}

# Runs every named query on imported TABLES 40 times in 1, 2 and 8 partitions and in a cluster; the answers must be equal
one-answer +TABLES:
    tests/one-answer.sh {{TABLES}}

# Random tables written by pyarrow and DuckDB, which are installed: `query` gives them back to the bit
peers-query TABLES="100" SEED="1":
    tests/peers-query.sh {{TABLES}} {{SEED}}

# Benchmark: `retrace verify`, b3sum and the reference OMS tool on the same files
bench-verify:
    cargo build --release
    benches/verify.sh

# Benchmark: training steps of retrace, PyTorch and stock candle, same weights and batches; MODEL is small or 30m
bench-train MODEL="small" THREADS="1":
    benches/train.sh {{MODEL}} {{THREADS}}

# Benchmark: the cost of a replay relative to the training
bench-replay:
    benches/replay.sh

# Benchmark: two workers, each pinned to a core, and one
bench-workers:
    benches/workers.sh

# Benchmark: named queries on ten million rows, and DuckDB; TABLES are directories of imported tables
bench-query +TABLES:
    benches/query.sh {{TABLES}}

# Benchmark: the import of a tree of evaluations, and pandas
bench-import DIR:
    benches/import.sh {{DIR}}

# Benchmark: statistics of 1 GB of weights, and b3sum
bench-stats:
    benches/stats.sh

# Benchmark: digests of 1 GB in distributed checkpoints of PyTorch, and in one file
bench-distributed:
    benches/distributed.sh

# Benchmark: exact sums, and DataFusion's sums
bench-exact:
    cargo bench -p retrace-query --bench exact

# Loss curves over the token shard TOKENS, 30 M parameters: retrace and PyTorch from the same weights, and two seeds
curves TOKENS:
    benches/curves.sh {{TOKENS}}

# Benchmark: matrix products in GFLOP/s
bench-matmul THREADS="1":
    cargo bench -p retrace-numerics --bench matmul -- {{THREADS}}

# Formatting and clippy; warnings are errors
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Checks licences, duplicates, sources and advisories of dependencies with deny.toml; needs cargo-deny
deny:
    cargo deny --locked --workspace check

# Checks every shell script with shellcheck
shellcheck:
    shellcheck -x .ci/run benches/*.sh tests/*.sh

# Builds the wheel for pip into target/wheels; needs maturin
wheel:
    maturin build --release --locked

# Formats the code
fmt:
    cargo fmt --all

# Makes the tour in DIR
tour DIR="tour":
    cargo run -- tour {{DIR}}

# Builds the documentation of every crate
doc:
    cargo doc --workspace --no-deps --document-private-items
