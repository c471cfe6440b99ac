# The same commands as .ci/run, one line each. `just` alone lists them.

_list:
    @just --list --unsorted

# Everything that .ci/run checks
ci:
    .ci/run

# The tests that run in minutes
test *ARGS:
    cargo test --workspace {{ARGS}}

# Writes the snapshots of help texts and errors again (tests/it/wording)
wording:
    RETRACE_WORDING=write cargo test --workspace --bins --test it wording

# Those and the slow ones, some beside the tools of others, which come into target/peers
test-all:
    python3 -m venv target/peers
    target/peers/bin/pip install --quiet model-signing pyOpenSSL 'cyclonedx-python-lib[json-validation]'
    PATH="$PWD/target/peers/bin:$PATH" cargo test --workspace -- --include-ignored --skip real_data:: --skip eval::harness
    .ci/run real-data

# `retrace eval` beside lm-evaluation-harness, which comes into target/harness with PyTorch: some gigabytes
harness:
    python3 -m venv target/harness
    target/harness/bin/pip install --quiet lm-eval==0.4.13 torch transformers accelerate
    PATH="$PWD/target/harness/bin:$PATH" cargo test --workspace --test it -- --ignored eval::harness

# Hostile input to every reader of foreign bytes, so many times each, and every verb over random trees of files
fuzz CASES="100000" TREES="2000":
    PROPTEST_CASES={{CASES}} cargo test --workspace survived
    RETRACE_FUZZ={{TREES}} cargo test --workspace --test it random_trees -- --nocapture

# One digest under every instruction set, 1 to 8 threads, kill -9, emulated processors, aarch64 and no optimisation
bits:
    tests/bits.sh

# Runs that were tampered with in some forty ways, each found by a replay and named
tampered:
    cargo test -p retrace-train --test tampered -- --nocapture --test-threads 1

# A PyTorch checkpoint of llama2.c gone on from by PyTorch and here: how closely the one follows the other
foreign CHECKPOINT TOKENIZER:
    tests/foreign.sh {{CHECKPOINT}} {{TOKENIZER}}

# Every named query over TABLES (imported), 40 times in 1, 2 and 8 partitions and in a cluster: one answer each
one-answer +TABLES:
    tests/one-answer.sh {{TABLES}}

# `retrace verify` beside b3sum and the reference OMS tool, same files, same run
bench-verify:
    cargo build --release
    benches/verify.sh

# Steps of training beside PyTorch and stock candle, same weights and batches; MODEL is small or 30m
bench-train MODEL="small" THREADS="1":
    benches/train.sh {{MODEL}} {{THREADS}}

# What a replay costs beside the training that it repeats
bench-replay:
    benches/replay.sh

# Two workers, each pinned to a core, beside one
bench-workers:
    benches/workers.sh

# Named queries over ten million rows beside DuckDB; TABLES are directories that were imported into
bench-query +TABLES:
    benches/query.sh {{TABLES}}

# Importing a tree of evaluations beside pandas
bench-import DIR:
    benches/import.sh {{DIR}}

# Statistics of 1 GB of weights beside b3sum
bench-stats:
    benches/stats.sh

# Exact sums beside DataFusion's own
bench-exact:
    cargo bench -p retrace-query --bench exact

# Loss curves over the token shard TOKENS, 30 M parameters: retrace and PyTorch from the same weights, and two seeds
curves TOKENS:
    benches/curves.sh {{TOKENS}}

# Matrix products in GFLOP/s
bench-matmul THREADS="1":
    cargo bench -p retrace-numerics --bench matmul -- {{THREADS}}

# Formatting and clippy, warnings refused
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# The licences, versions and sources of dependencies (deny.toml) and the advisories on them; needs cargo-deny
deny:
    cargo deny --locked --workspace check

# Every shell script, by shellcheck
shellcheck:
    shellcheck -x .ci/run benches/*.sh tests/*.sh

# The binary as a wheel for pip, in target/wheels; needs maturin
wheel:
    maturin build --release --locked

# Formats the code
fmt:
    cargo fmt --all

# The whole job on a small corpus, in DIR
tour DIR="tour":
    cargo run -- tour {{DIR}}

# The documentation of every crate
doc:
    cargo doc --workspace --no-deps --document-private-items
