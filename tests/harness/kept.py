#!/usr/bin/env python3
"""Prints what lm-eval 0.4.13 asks a model for the tasks of crates/harness/tests/tasks, for tests/expected.jsonl there.

    python3 tests/harness/kept.py crates/harness/tests > crates/harness/tests/expected.jsonl
"""

import json
import logging
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets  # noqa: E402

logging.disable(logging.WARNING)
datasets.disable_progress_bars()


def main():
    tests = sys.argv[1]

    def load(path=None, name=None, **_):
        place = os.path.join(tests, "data", path, name or "")
        splits = {}
        for file in sorted(os.listdir(place)):
            if file.endswith(".jsonl"):
                with open(os.path.join(place, file), encoding="utf-8") as lines:
                    rows = [json.loads(line) for line in lines]
                names = list(dict.fromkeys(name for row in rows for name in row))
                columns = {name: [row.get(name) for row in rows] for name in names}
                if any(isinstance(value, float) for value in columns.get("size", [])):
                    columns["size"] = [float(value) for value in columns["size"]]
                splits[file.removesuffix(".jsonl")] = datasets.Dataset.from_dict(columns)
        return datasets.DatasetDict(splits)

    datasets.load_dataset = load
    from lm_eval.api.group import Group
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=os.path.join(tests, "tasks"), include_defaults=False)
    loaded = manager.load(["all_of_them", "fruit_itself", "fruit_written"])
    members = {
        name: {"alias": group.alias, "members": [child.name if isinstance(child, Group) else child.task_name for child in group]}
        for name, group in loaded["groups"].items()
    }
    print(json.dumps({"groups": members}, ensure_ascii=False))
    for name, task in loaded["tasks"].items():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=1234)
        task.build_all_requests()
        config = task.dump_config()
        del config["metadata"]["config_source"]
        docs = [doc for _, doc in task.doc_iterator()]
        line = {
            "task": name,
            "requests": [[i.doc_id, i.idx, list(i.args)] for i in task.instances],
            "targets": [task.doc_to_target(doc) for doc in docs],
            "inputs": [task.doc_to_text(doc) if task.multiple_input else None for doc in docs],
            "choices": [task.doc_to_choice(doc) if task.config.doc_to_choice is not None else [] for doc in docs],
            "config": config,
        }
        print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main()
