#!/usr/bin/env python3
"""Compares `retrace eval --harness` with lm-eval 0.4.13 as a whole: the same tiny model, task files and data.

    python3 tests/harness/whole.py OUT RETRACE

Both evaluate invented documents in the columns of the harness's own tasks (prompts.py), and the files that both
write are compared. Then the same command must write the same bytes under other conditions. Nothing is read from the
network. Pinned: lm-eval 0.4.13, transformers 5.24.0, torch 2.15.0, tokenizers 0.23.3.
"""

import glob
import json
import logging
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import answers  # noqa: E402
import datasets  # noqa: E402
import prompts  # noqa: E402
import pyarrow.parquet  # noqa: E402
import torch  # noqa: E402
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM  # noqa: E402

ALONE = (
    "hellaswag winogrande wikitext truthfulqa_mc1 truthfulqa_mc2 logiqa arc_easy arc_challenge piqa openbookqa sciq boolq "
    "cb copa rte wic gsm8k triviaqa nq_open lambada_openai commonsense_qa pubmedqa xcopa_zh xwinograd_zh xnli_zh wsc anli_r1 "
    "drop blimp_adjunct_island swag qnli sst2 mrpc race"
).split()
SAME = ("group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
LIKELIHOOD, TIE, RELATIVE = 1e-3, 1e-4, 1e-4
BOOTSTRAPS = 200


class Comparison:
    """What was compared, and what differs."""

    def __init__(self):
        self.counts, self.differences = Counter(), []

    def differs(self, place, own, other):
        self.differences.append(f"{place}: harness {str(own)[:160]!r}, retrace {str(other)[:160]!r}")

    def same(self, kind, place, own, other):
        self.counts[kind] += 1
        self.inside(place, own, other)

    def inside(self, place, own, other):
        """Says where two values differ, also in the order of keys."""
        if isinstance(own, dict) and isinstance(other, dict):
            for key in list(own) + [key for key in other if key not in own]:
                self.inside(f"{place}.{key}", own.get(key, "(missing)"), other.get(key, "(missing)"))
            if list(own) != list(other) and sorted(own) == sorted(other):
                self.differs(f"{place}: order of keys", list(own), list(other))
        elif json.dumps(own) != json.dumps(other):
            # The harness writes functions as their source or address, and the paths of task files on its machine.
            if str(own).startswith(("def ", "<function ", "functools.partial(")) and str(other).startswith("<function "):
                self.counts["functions by name (differ)"] += 1
            elif place.endswith(".metadata.config_source") and other == "(missing)":
                self.counts["paths of task files (differ)"] += 1
            else:
                self.differs(place, own, other)

    def near(self, kind, place, own, other, relative=0.0, absolute=0.0):
        self.counts[kind] += 1
        try:
            close = math.isclose(float(own), float(other), rel_tol=relative, abs_tol=absolute)
        except (TypeError, ValueError):
            close = own == other
        if not close and own != other:
            self.differs(place, own, other)


def model(directory, kind, seed):
    """A tiny random model with a context that holds most prompts."""
    directory.mkdir(parents=True)
    torch.manual_seed(seed)
    common = dict(
        vocab_size=answers.tokenizer(directory, random.Random("template"), "template"), hidden_size=32, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=768, initializer_range=0.4, bos_token_id=0,
        eos_token_id=1, pad_token_id=1,
    )
    if kind == "llama":
        made = LlamaForCausalLM(LlamaConfig(num_key_value_heads=2, **common))
    else:
        made = GPTNeoXForCausalLM(GPTNeoXConfig(rotary_pct=0.5, **common))
    for file in list(directory.iterdir()):
        shutil.copy(file, str(file) + ".kept")
    made.float().save_pretrained(directory)
    for file in directory.glob("*.kept"):
        os.replace(file, str(file)[: -len(".kept")])


def by_harness(model, tasks, out, **options):
    """Lets the harness evaluate and write its files; returns its results.json and samples by task."""
    import lm_eval
    from lm_eval.loggers import EvaluationTracker

    shutil.rmtree(out, ignore_errors=True)
    tracker = EvaluationTracker(output_path=str(out))
    results = lm_eval.simple_evaluate(
        model="hf", model_args={"pretrained": str(model), "dtype": "float32"}, tasks=tasks, device="cpu", batch_size=1,
        log_samples=True, bootstrap_iters=BOOTSTRAPS, evaluation_tracker=tracker, **options,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in samples:
        tracker.save_results_samples(task_name=task, samples=samples[task])
    written = json.loads(Path(glob.glob(f"{out}/**/results_*.json", recursive=True)[0]).read_text())
    files = {}
    for task in samples:
        file = glob.glob(f"{out}/**/samples_{task}_2*.jsonl", recursive=True)[0]
        files[task] = [json.loads(line) for line in open(file, encoding="utf-8")]
    return written, files


def command(retrace, models, tasks, made, out, *more):
    from lm_eval.tasks import __file__ as place

    return [
        str(retrace), "eval", *map(str, models), "--harness", "0.4.13", "--include-path", os.path.dirname(place), "--tasks",
        ",".join(tasks), "--data", str(made / "data"), "--bootstrap-iters", str(BOOTSTRAPS), "-o", str(out), *more,
    ]


def ran(arguments, **more):
    done = subprocess.run(arguments, capture_output=True, text=True, env=os.environ | more)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}\nended with {done.returncode}: {done.stderr[-3000:]}")
    return done.stdout


def read(directory):
    """The results.json and samples by task that retrace wrote."""
    files = {}
    for file in sorted(directory.glob("samples_*.jsonl")):
        files[file.stem.removeprefix("samples_")] = [json.loads(line) for line in open(file, encoding="utf-8")]
    return json.loads((directory / "results.json").read_text()), files


def content(directory):
    """The bytes of all files below a directory, without the answers that are kept."""
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in sorted(directory.rglob("*")) if file.is_file() and file.name != "answers"
    }


def likelihoods(value):
    """The numbers in the responses of a sample."""
    if isinstance(value, list):
        return [number for item in value for number in likelihoods(item)]
    try:
        return [float(value)] if not isinstance(value, bool) else []
    except (TypeError, ValueError):
        return []


def tied(sample):
    """Whether two choices are so near that rounding decides which is the higher."""
    values = [float(response[0]) for response in sample["filtered_resps"] if isinstance(response, list)]
    lengths = [len(arguments["arg_1"]) for arguments in sample["arguments"].values() if "arg_1" in arguments]
    scaled = [value / max(length, 1) for value, length in zip(values, lengths)]
    near = lambda values: any(b - a < TIE for a, b in zip(sorted(values), sorted(values)[1:]))  # noqa: E731
    return near(values) or near(scaled)


def compare(found, theirs, ours):
    """Compares the files of one evaluation."""
    (results, samples), (own_results, own_samples) = theirs, ours
    for key in SAME:
        found.same(key, key, results.get(key), own_results.get(key))
    found.same("names of files", "tasks", sorted(samples), sorted(own_samples))
    excluded = set()
    for task in samples:
        lines, own_lines = samples[task], own_samples.get(task, [])
        found.same("documents", f"{task}: documents", [s["doc_id"] for s in lines], [s["doc_id"] for s in own_lines])
        exact = True
        for sample, own in zip(lines, own_lines):
            place = f"{task} document {sample['doc_id']}"
            tie = tied(sample)
            if tie:
                excluded.add(task)
                found.counts["ties left out"] += 1
            found.same("keys of samples", f"{place}: keys", sorted(sample), sorted(own))
            for key in ("doc", "target", "arguments", "doc_hash", "prompt_hash", "target_hash", "filter", "metrics"):
                found.same(key, f"{place}: {key}", sample.get(key), own.get(key))
            for key in ("resps", "filtered_resps"):
                values, own_values = likelihoods(sample[key]), likelihoods(own[key])
                if values:
                    found.same("numbers of answers", f"{place}: {key}", len(values), len(own_values))
                    for one, other in zip(values, own_values):
                        found.near("log-likelihoods", f"{place}: {key}", one, other, 1e-5, LIKELIHOOD)
                else:
                    found.same("generated texts", f"{place}: {key}", sample[key], own[key])
            for metric in sample["metrics"]:
                one, other = sample.get(metric), own.get(metric)
                if isinstance(one, (int, float)) and not tie:
                    found.near("values of documents", f"{place}: {metric}", one, other, 1e-5, 1e-9)
                elif isinstance(one, list):
                    for a, b in zip(likelihoods(one), likelihoods(other)):
                        found.near("values of documents", f"{place}: {metric}", a, b, RELATIVE, LIKELIHOOD)
            exact = exact and json.dumps(sample["resps"]) == json.dumps(own["resps"])
        if exact:
            found.same("task_hashes", f"{task}: hash", results["task_hashes"][task], own_results["task_hashes"][task])
    for part in ("results", "groups"):
        one, other = results.get(part, {}), own_results.get(part, {})
        found.same(part, f"{part}: names", list(one), list(other))
        for name in one:
            found.same(f"{part}: keys", f"{part} {name}: keys", list(one[name]), list(other.get(name, {})))
            below = {task for task in excluded if task == name or task in below_of(results, name)}
            for key, value in one[name].items():
                if below and isinstance(value, float):
                    continue
                if isinstance(value, float):
                    found.near(f"{part}: numbers", f"{part} {name} {key}", value, other.get(name, {}).get(key), 1e-4, 1e-12)
                else:
                    found.same(f"{part}: texts", f"{part} {name} {key}", value, other.get(name, {}).get(key))


def cells(table):
    """The cells of each line of a table, without values and errors."""
    return [[cell.strip() for cell in line.split("|")][:6] for line in table.splitlines()[2:]]


def below_of(results, group):
    """The names of all tasks below a group."""
    children = results["group_subtasks"].get(group, [])
    return set(children).union(*(below_of(results, child) for child in children))


def tell(name, found):
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(found.counts.items()))
    print(f"{name}: {counts}; {len(found.differences)} differ", flush=True)
    alike = Counter(re.sub(r" document \d+", "", difference.split(": harness")[0]) for difference in found.differences)
    for kind, count in alike.items():
        first = next(one for one in found.differences if re.sub(r" document \d+", "", one).startswith(kind))
        print(f"  {count} times: {first}", flush=True)
    return len(found.differences)


def conditions(retrace, models, tasks, made, out):
    """The same command under other conditions writes the same bytes; returns how many times it did not."""
    first = out / "first"
    began = time.monotonic()
    ran(command(retrace, models, tasks, made, first))
    took, expected = time.monotonic() - began, content(first)
    began = time.monotonic()
    ran(command(retrace, models, tasks, made, first))
    print(f"{len(expected)} files; the command took {took:.1f} s, again {time.monotonic() - began:.1f} s", flush=True)
    again, killed = content(first) == expected, 0
    for part in (0.2, 0.4, 0.6, 0.8):
        process = subprocess.Popen(command(retrace, models, tasks, made, out / "killed"), stdout=-3, stderr=-3)
        time.sleep(took * part)
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    ran(command(retrace, models, tasks, made, out / "killed"))
    outcomes = {"again": again, f"after {killed} times kill -9": content(out / "killed") == expected}
    for threads in ("1", "2"):
        ran(command(retrace, models, tasks, made, out / threads), RAYON_NUM_THREADS=threads)
        outcomes[f"{threads} threads"] = content(out / threads) == expected
    ran(command(retrace, models, tasks, made, out / "candle", "--engine", "candle"))
    outcomes["--engine candle"] = content(out / "candle") == expected
    for condition, same in outcomes.items():
        print(f"{condition}: {'the same bytes' if same else 'OTHER BYTES'}", flush=True)
    return sum(not same for same in outcomes.values())


def main():
    out, retrace = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    rows, chosen = {}, {}

    def row_of(path, name):
        return rows.setdefault((path, name), chosen["row"])

    datasets.load_dataset = prompts.loader(str(out), row_of)
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import make_table

    manager, wrong = TaskManager(), 0
    only = sys.argv[3].split(",") if len(sys.argv) > 3 else ALONE + ["mmlu", "cmmlu"]
    like = {"mmlu": "mmlu_astronomy", "cmmlu": "cmmlu_agronomy", "ceval-valid": "ceval-valid_law"} | prompts.SHARED
    for task in only:
        chosen["row"] = prompts.ROWS[like.get(task, task)]
        manager.load([task])
    alone, groups = [task for task in only if task in ALONE], [task for task in only if task not in ALONE]
    one, two = out / "models" / "one", out / "models" / "two"
    model(one, "llama", 7)
    model(two, "gpt_neox", 8)
    plans = [
        ("tasks", one, alone, {}, []), ("groups", one, groups, {"limit": 2}, ["--limit", "2"]),
        ("limit", two, alone, {"limit": 3}, ["--limit", "3"]),
        ("fewshot", two, [t for t in alone if t not in ("wikitext", "race")], {"num_fewshot": 2}, ["--num-fewshot", "2"]),
    ]
    for name, directory, tasks, options, flags in plans:
        if not tasks:
            continue
        found = Comparison()
        theirs = by_harness(directory, tasks, out / "harness" / name, task_manager=manager, **options)
        ran(command(retrace, [directory], tasks, out, out / "retrace" / name, *flags))
        ours = read(out / "retrace" / name / f"models-{directory.name}")
        compare(found, theirs, ours)
        for column in ("results", "groups"):
            if theirs[0].get(column):
                tables = [make_table(json.loads(json.dumps(part[0])), column) for part in (theirs, ours)]
                found.same("tables", f"{name}: table", *map(cells, tables))
        wrong += tell(name, found)
    few = alone[:8] + groups[:1]
    wrong += conditions(retrace, [one, two], few, out, out / "same")
    tables = out / "tables"
    print(ran([str(retrace), "import", "lm-eval", str(out / "same" / "first"), "-o", str(tables)]), flush=True)
    rows = {name: pyarrow.parquet.read_metadata(tables / f"{name}.parquet").num_rows for name in ("metrics", "samples")}
    expected = {"metrics": 0, "samples": 0}
    for directory in (out / "same" / "first").iterdir():
        if directory.is_dir():
            results, files = read(directory)
            expected["samples"] += sum(len(lines) for lines in files.values())
            expected["metrics"] += sum(
                "," in key and "_stderr," not in key for entry in results["results"].values() for key in entry
            )
    print(f"imported rows: {rows}, in the files: {expected}", flush=True)
    wrong += rows != expected
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
