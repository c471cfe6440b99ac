#!/usr/bin/env python3
"""Writes how lm-eval 0.4.13 reads all its task files, for the tests `configs` and `templates` of
crates/harness/tests/harness.rs.

    python3 tests/harness/configs.py OUT

OUT gets `configs.jsonl`: for each task its configuration, with functions as texts and without data; for each group its
members. And `templates.jsonl`: each different template with an invented document, and what Jinja2 renders.
"""

import json
import os
import random
import re
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from lm_eval import utils  # noqa: E402
from lm_eval.config.task import TaskConfig  # noqa: E402
from lm_eval.tasks import TaskManager, _factory, _yaml_loader  # noqa: E402

import logging  # noqa: E402

logging.disable(logging.WARNING)
_yaml_loader._import_func_in_yml = lambda name, directory: f"!function {name}"


class Shell:
    """A task without data."""

    def __init__(self, config):
        if "class" in config:
            raise ValueError("is a class")
        self.config = TaskConfig(**config)
        self.task_name = self.config.task


_factory.ConfigurableTask = Shell


def tree(item):
    if isinstance(item, Shell):
        return item.task_name
    return {"group": item.name, "alias": item.alias, "members": [tree(child) for child in item]}


TEXTS = ["stone \u3000river", "it's", 'a "b"', "x\ny", " led ", "A", "3", "模型", "a, b", "####  7", "cause", "", "é' \""]


class Documents:
    """Invents documents for the names that a template uses."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self):
        return self.random.choice(TEXTS) + self.random.choice(["", " z", "1"])

    def value(self, name, template):
        if re.search(r"\b%s\.(text|label|choices|input_text|labels)\b|\b%s\[['\"](text|label|choices)" % (name, name), template):
            count = self.random.randint(1, 5)
            texts = [self.text() for _ in range(count)]
            return {"text": texts, "label": list("ABCDE")[:count], "choices": texts, "labels": [1] * count, "input_text": texts}
        if re.search(r"\b%s\[[0-9a-z]|in %s\b|\b%s ?\|(join|length)|\b%s\.index|join\(%s" % ((name,) * 5), template):
            return [self.text() for _ in range(6)]
        if re.search(r"\[%s\b|\[%s\]|\b%s ?[-+] ?1|%s ==? ?[0-9]" % ((name,) * 4), template):
            return self.random.choice([0, 1, 2, 3])
        kinds = [self.text, self.text, self.text, lambda: self.random.choice([0, 1, 2, 3]), lambda: 2.5, lambda: True,
                 lambda: None, lambda: [self.text(), 1], lambda: {"stem": self.text(), "n": 1.0}]
        return self.random.choice(kinds)()

    def document(self, template):
        from jinja2 import meta

        names = meta.find_undeclared_variables(utils.env.parse(template))
        return {name: self.value(name, template) for name in sorted(names)}


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    manager = TaskManager()
    templates = set()
    with open(os.path.join(out, "configs.jsonl"), "w", encoding="utf-8") as file:
        for name, entry in sorted(manager.task_index.items()):
            try:
                built = manager._factory.build(entry, overrides=None, registry=manager._index)
            except Exception as error:
                file.write(json.dumps({"name": name, "error": f"{type(error).__name__}: {error}"[:300]}) + "\n")
                continue
            if isinstance(built, Shell):
                fields = built.config.to_dict()
                fields["metadata"].pop("config_source")
                file.write(json.dumps({"name": name, "config": fields}, ensure_ascii=False, default=str) + "\n")
                for field in ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix"):
                    if isinstance(fields.get(field), str) and "{" in fields[field]:
                        templates.add(fields[field])
            else:
                members = [tree(child) for child in built]
                file.write(json.dumps({"name": name, "members": members}, ensure_ascii=False) + "\n")
    with open(os.path.join(out, "templates.jsonl"), "w", encoding="utf-8") as file:
        for template in sorted(templates):
            for seed in range(6):
                try:
                    document = Documents(seed).document(template)
                    rendered = utils.apply_template(template, document)
                except Exception:
                    continue
                line = {"template": template, "document": document, "rendered": rendered}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
