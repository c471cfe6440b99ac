"""A corpus with known leaks searched by retrace, decon and corpus-assay, with the same threads.

    contamination.py SET RETRACE [--threads 2] [--decon PROGRAM] [--corpus-assay PROGRAM]

SET is what the example `contamination_set` of retrace-analysis writes. Each program runs at its defaults; what it makes of
the benchmarks is part of its time. A labelled document counts as found if the program names the item that it leaks,
whatever else it names, and as a false alarm if the program names items and none is that one.
"""

import argparse
import collections
import csv
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def timed(command, codes=(0,)):
    """Runs a command, which must end with one of `codes`: wall and processor seconds, and the largest memory of one of its processes, in MB."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([str(part) for part in command], stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        if process.returncode not in codes:
            said.seek(0)
            sys.exit(f"{command[0]} ended with {process.returncode}:\n{said.read().decode()[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def added(one, two):
    return one[0] + two[0], one[1] + two[1], max(one[2], two[2])


def items(path):
    return [json.loads(line) for line in path.open()]


def retrace(program, benchmarks, corpus, threads, out):
    command = [program, "report", "contamination", "--quiet", "--threads", threads, "--no-impossible", "-o", out]
    # 1 says that there are leaks.
    cost = timed([*command, "--benchmark", *benchmarks, "--corpus", *corpus], codes=(0, 1))
    query = "select distinct document, benchmark, item from contamination where verdict = 'leak'"
    found = subprocess.run([program, "query", query, out, "--format", "csv", "--quiet"], check=True, capture_output=True, text=True)
    rows = list(csv.reader(io.StringIO(found.stdout)))[1:]
    return cost, [(document, (benchmark, item)) for document, benchmark, item in rows]


def decon(program, benchmarks, corpus, threads, out):
    reference = out / "reference"
    reference.mkdir(parents=True)
    # It tells items of all files apart by their `doc_id`.
    numbers = itertools.count()
    for path in benchmarks:
        with (reference / path.name).open("w") as file:
            for number, item in zip(numbers, items(path)):
                row = {"eval_key": path.stem, "eval_instance_index": int(item["id"]), "split": "test", "config": "main",
                       "question": item["question"], "answer": item["answer"] or "", "doc_id": number,
                       "is_correct": True, "fingerprint": f"{path.stem}-{number}"}
                if item["passage"]:
                    row["passage"] = item["passage"]
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    cost = timed([program, "detect", "--training-dir", corpus[0].parent, "--evals-dir", reference,
                  "--report-output-dir", out / "report", "--worker-threads", threads])
    hits = collections.defaultdict(list)
    for path in (out / "report").glob("**/*.jsonl"):
        for line in path.open():
            row = json.loads(line)
            hits[row["training_file"], row["training_line"]].append((row["eval_key"], str(row["eval_instance_index"])))
    found = []
    for path in corpus:
        for number, line in enumerate(path.open()):
            for item in hits.get((path.name, number), []):
                found.append((json.loads(line)["id"], item))
    return cost, found


def corpus_assay(program, benchmarks, corpus, threads, out):
    out.mkdir(parents=True)
    names, config = [], ["ngram: 13", "min_hits: 3", "min_coverage: 0.001", "benchmarks:"]
    for path in benchmarks:
        with (out / path.name).open("w") as file:
            for item in items(path):
                names.append((path.stem, item["id"]))
                row = {"passage": item["passage"] or "", "question": item["question"],
                       "choices": " ".join(item["choices"]), "answer": item["answer"] or ""}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        config += [f"  - name: {path.stem}", "    dataset: json", f"    data_files: {{test: {out / path.name}}}",
                   "    splits: [test]", "    fields: [passage, question, choices, answer]"]
    (out / "config.yaml").write_text("\n".join(config) + "\n")
    built = timed([program, "build-index", "--config", out / "config.yaml", "--out-index", out / "index.native", "--allow-unpinned"])
    scanned = timed([program, "scan", "--config", out / "config.yaml", "--index", out / "index.native", "--input", corpus[0].parent,
                     "--id-key", "id", "--out-dir", out / "scan", "--workers", threads, "--max-return-records", 10**7])
    found = []
    for path in (out / "scan" / "contaminated_docs").glob("*.ndjson"):
        for line in path.open():
            row = json.loads(line)
            document = row["doc_id"].rsplit("-part-", 1)[0]
            found += [(document, names[hit["item_id"]]) for hit in row["item_hits"]] or [(document, None)]
    return added(built, scanned), found


def scores(found, labels, questions):
    """By kind: found, false alarms, all. Two items with the same question are one."""
    by_document = collections.defaultdict(set)
    for document, item in found:
        by_document[document].add(questions.get(item, item))
    kinds = collections.defaultdict(lambda: [0, 0, 0])
    for label in labels:
        leaked = questions[label["benchmark"], label["item"]] if label["item"] is not None else None
        named = by_document.pop(label["document"], set())
        kind = kinds[leaked is not None, label["kind"]]
        kind[0] += leaked is not None and leaked in named
        kind[1] += bool(named) and leaked not in named
        kind[2] += 1
    kinds[False, "(none of these)"] = [0, len(by_document), 0]
    return kinds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("set", type=Path)
    parser.add_argument("retrace")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--decon")
    parser.add_argument("--corpus-assay")
    arguments = parser.parse_args()
    benchmarks = sorted((arguments.set / "benchmarks").glob("*.jsonl"))
    corpus = sorted((arguments.set / "corpus").glob("*.jsonl"))
    labels = items(arguments.set / "labels.jsonl")
    questions = {(path.stem, item["id"]): item["question"] for path in benchmarks for item in items(path)}
    size = sum(path.stat().st_size for path in corpus) / 1e6
    programs = [("retrace", retrace, arguments.retrace), ("decon", decon, arguments.decon),
                ("corpus-assay", corpus_assay, arguments.corpus_assay)]
    print(f"{len(questions)} items of {len(benchmarks)} benchmarks, {size:.0f} MB in {len(corpus)} shards, {arguments.threads} threads")
    results = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, search, program in programs:
            if program:
                (wall, processor, memory), found = search(program, benchmarks, corpus, arguments.threads, Path(directory) / name)
                results[name] = (wall, processor, scores(found, labels, questions))
                print(f"{name}: {wall:.1f} s, {size / wall:.1f} MB/s; {processor:.1f} s of processors, "
                      f"{size / processor:.1f} MB/s each; largest process {memory:.0f} MB; load {os.getloadavg()[0]:.1f}", flush=True)
    names = list(results)
    print("\n" + " " * 26 + "".join(f"{name:>16}" for name in names))
    kinds = sorted({kind for _, _, of in results.values() for kind in of}, key=lambda kind: (not kind[0], kind[1]))
    for leak, kind in kinds:
        cells = [results[name][2][leak, kind] for name in names]
        what = [f"{right}/{count}" if leak else f"{wrong}/{count}" for right, wrong, count in cells]
        print(f"{kind if leak else 'alarm: ' + kind:<26}" + "".join(f"{cell:>16}" for cell in what))
    for what in ("recall", "precision", "F1"):
        row = []
        for name in names:
            of = results[name][2]
            right, wrong = sum(cell[0] for cell in of.values()), sum(cell[1] for cell in of.values())
            recall = right / sum(count for (leak, _), (_, _, count) in of.items() if leak)
            precision = right / max(right + wrong, 1)
            row.append({"recall": recall, "precision": precision, "F1": 2 * recall * precision / max(recall + precision, 1e-9)}[what])
        print(f"{what:<26}" + "".join(f"{value:>16.3f}" for value in row))
    wall, processor, _ = results["retrace"]
    for name in names[1:]:
        print(f"retrace is {results[name][0] / wall:.1f} times faster than {name}, and takes {results[name][1] / processor:.1f} times less of the processors")


if __name__ == "__main__":
    main()
