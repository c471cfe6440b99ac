"""What lm-evaluation-harness 0.4.13 scores, for crates/harness/tests/scores.rs.

Invented documents and random answers, with ties, NaN and infinities, go through the harness's own tasks, filters, metrics,
standard errors, groups and files. Run it with lm-eval 0.4.13 on Python 3.11 (later versions sum floats differently):

    pip install lm-eval==0.4.13 sacrebleu==2.6.0 scikit-learn==1.9.1 numpy==2.4.6 accelerate
    DISABLE_MULTIPROC=1 python tests/harness/scores.py > crates/harness/tests/scores.json
"""

import contextlib
import io
import json
import math
import os
import random
import re
import sys
import tempfile
from pathlib import Path

os.environ["DISABLE_MULTIPROC"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from datasets import Dataset
from lm_eval.api import metrics
from lm_eval.api.group import Group
from lm_eval.api.model import LM
from lm_eval.api.registry import AGGREGATION_REGISTRY
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.filters import build_filter_ensemble
from lm_eval.loggers import EvaluationTracker
from lm_eval.utils import make_table

random_numbers = random.Random(20261201)
BOOTSTRAPS = 2000


def plain(value):
    """A value of Python as JSON that keeps its type."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.ndarray):
        return {"array": [repr(float(item)) for item in value]}
    if isinstance(value, (float, np.floating)):
        return {"float": repr(float(value))}
    if isinstance(value, (int, np.integer)):
        return {"integer": str(int(value))}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [plain(item) for item in value]}
    if isinstance(value, dict):
        return {"map": [[key, plain(item)] for key, item in value.items()]}
    raise TypeError(type(value))


class Model(LM):
    """Answers from a function of the request."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def loglikelihood(self, requests):
        return [self.answer(request) for request in requests]

    def loglikelihood_rolling(self, requests):
        return [self.answer(request) for request in requests]

    def generate_until(self, requests):
        return [self.answer(request) for request in requests]


def likelihood(kind):
    """A function that gives likelihoods: of few values, so that many are equal, or with what is no number."""

    def answer(_request):
        if kind == "ties":
            value = random_numbers.choice([-1.0, -2.0, -2.5])
        elif kind == "infinite":
            value = random_numbers.choice([-math.inf, -3.25, -1.0 / 3])
        elif kind == "nan":
            value = random_numbers.choice([math.nan, -3.25, -1.0 / 3, -0.0])
        else:
            value = -random_numbers.expovariate(0.2)
        return value, random_numbers.random() < 0.4

    return answer


def of(texts):
    return lambda _request: random_numbers.choice(texts)


WORDS = ["river", "Fluss", "河", "stone", "Stein ", "石头", "a", "an old bridge", "É", "naïve", "🦉 owl"]


def choice_documents(count, choices, target):
    return [
        {
            "question": f"Which word is number {number}?",
            "choices": random_numbers.sample(WORDS, choices),
            "answer": target(number, choices),
            "id": number,
        }
        for number in range(count)
    ]


def some(_number, choices):
    return random_numbers.randrange(choices)


def task(name, documents, answer, repeats=None, **config):
    config = {
        "task": name,
        "test_split": "test",
        "custom_dataset": lambda **_: {"test": Dataset.from_list(documents)},
        "metadata": {"version": 1.0},
        **({"repeats": repeats} if repeats else {}),
        **config,
    }
    made = ConfigurableTask(config=config)
    made.set_config("num_fewshot", 0)
    made.set_fewshot_seed(1234)
    return made, answer


def multiple(name, count, choices, kind, names, target=some, **config):
    return task(
        name,
        choice_documents(count, choices, target),
        likelihood(kind),
        output_type="multiple_choice",
        doc_to_text="{{question}}",
        doc_to_target="answer",
        doc_to_choice="choices",
        metric_list=[{"metric": metric} for metric in names],
        **config,
    )


def generated(name, documents, texts, exact, target="answer", **config):
    return task(
        name,
        documents,
        of(texts),
        output_type="generate_until",
        doc_to_text="{{question}}",
        doc_to_target=target,
        generation_kwargs={"until": ["\n"], "max_gen_toks": 16, "temperature": 0},
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, **exact}],
        **config,
    )


def numbers(count):
    return [{"question": f"How much is {n} and {n}?", "answer": str(2 * n)} for n in range(count)]


ALL = ["acc", "acc_norm", "acc_bytes", "exact_match", "brier_score"]
NUMBER = {"function": "regex", "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"}
ANSWERS = ["The answer is 2.", "2", "#### 4", "-1,000.", "$3.50 or 4", "no idea", "", " 6 ", "so 8 and 10", "六是 6。"]


SENTENCES = [
    "The owl (an old one) sat in the tree, and slept.", "An owl sat in the tree and it slept .", "1,000.5 owls & 3-4 trees: <b>", "老树上的猫头鹰睡着了。",
    "The old owl\nsat in the tree.", "", "owl", "Das kostet 3.50 EUR, sagte sie -\nund ging.", "&quot;Owl&quot; {x}~/[y]", "The owl sat in the old tree, and slept well.",
]


def tasks():
    yield multiple("choices", 12, 4, "plain", ALL)
    yield multiple("choices_ties", 14, 4, "ties", ALL + ["acc_mutual_info"])
    yield multiple("choices_infinite", 12, 3, "infinite", ALL)
    yield multiple("choices_nan", 12, 3, "nan", ALL)
    yield multiple("choices_one", 1, 2, "plain", ALL + ["mcc", "f1"])
    yield multiple("choices_two", 2, 2, "plain", ALL + ["mcc", "f1"])
    yield multiple("choices_binary", 18, 2, "plain", ["acc", "f1", "mcc"])
    yield multiple("choices_classes", 12, 4, "plain", ["mcc"])
    yield multiple("choices_many", 4, 11, "plain", ["acc", "brier_score"])
    yield multiple("choices_outside", 10, 3, "plain", ["acc", "exact_match", "mcc"], lambda n, c: n % 5)
    yield multiple("choices_negative", 10, 3, "plain", ["acc", "exact_match", "brier_score"], lambda n, c: -1 if n % 2 else 0)
    yield multiple("choices_default", 6, 3, "plain", ["acc", "acc_norm"])
    yield multiple("choices_several", 12, 4, "plain", ["acc", "acc_norm", "acc_bytes", "exact_match"],
                   lambda n, c: random_numbers.sample(range(c + 1), 2))
    documents = choice_documents(8, 3, lambda n, c: "")
    for document in documents:
        document["answer"] = random_numbers.choice(document["choices"] + ["what is no choice"])
    yield task("choices_text", documents, likelihood("plain"), output_type="multiple_choice", doc_to_text="{{question}}",
               doc_to_target="answer", doc_to_choice="choices", metric_list=[{"metric": "acc"}, {"metric": "exact_match"}])
    inputs = [{"number": str(random_numbers.randrange(2)), "choices": ["She saw the owl", "He saw the owl"],
               "rest": "in the old tree."} for _ in range(9)]
    yield task("contexts", inputs, likelihood("plain"), output_type="multiple_choice", doc_to_text="{{number}}",
               doc_to_target="rest", doc_to_choice="choices",
               metric_list=[{"metric": "acc"}, {"metric": "acc_norm"}, {"metric": "acc_mutual_info"}])
    last = [{"question": "The owl sits in a", "answer": random_numbers.choice(WORDS)} for _ in range(12)]
    for kind in ["plain", "infinite"]:
        yield task(f"last_word_{kind}", last, likelihood(kind), output_type="loglikelihood", doc_to_text="{{question}}",
                   doc_to_target=" {{answer}}")
    pages = [{"page": page} for page in
             ["An owl.", "two  spaces\nand a line\n", "", "中文没有空格。", " \x1cstart", "tabs\tand\xa0spaces "]]
    yield task("pages", pages, lambda _: -random_numbers.expovariate(0.01), output_type="loglikelihood_rolling",
               doc_to_text="", doc_to_target="{{page}}")
    yield generated("written", numbers(12), [str(n) for n in range(0, 40, 2)], {})
    flags = {"ignore_case": True, "ignore_punctuation": True, "ignore_numbers": False, "regexes_to_ignore": [",", r"\$", r"(?s).*#### ", r"\.$"]}
    yield generated("written_filters", numbers(12), ANSWERS, flags, filter_list=[
        {"name": "strict", "filter": [{"function": "regex", "regex_pattern": r"The answer is (\-?[0-9\.\,]+)."}, {"function": "take_first"}]},
        {"name": "flexible", "filter": [{**NUMBER, "group_select": -1}, {"function": "take_first"}]},
    ])
    yield generated("written_votes", numbers(10), ANSWERS, {}, repeats=5, filter_list=[
        {"name": "votes", "filter": [{**NUMBER}, {"function": "majority_vote"}, {"function": "take_first"}]},
        {"name": "of_three", "filter": [{"function": "take_first_k", "k": 3}, {**NUMBER}, {"function": "majority_vote"}, {"function": "take_first"}]},
        {"name": "all", "filter": [{"function": "remove_whitespace"}]},
    ])
    several = [{"question": "Name it.", "answers": random_numbers.sample(WORDS, random_numbers.choice([1, 2, 3]))} for _ in range(15)]
    yield generated("written_several", several, ["Fluss", "RIVER", "river", "石头", "Stein", "owl"], {"ignore_case": True}, target="answers")
    choices = [{"question": "Which letter?", "answer": n % 3} for n in range(9)]
    yield generated("written_choices", choices, ["A", "B", "(C)", "c"], {}, doc_to_choice=["A", "B", "C"])
    yield task("written_only", numbers(3), of(ANSWERS), output_type="generate_until", doc_to_text="{{question}}",
               doc_to_target="answer", metric_list=[{"metric": "bypass"}])
    sentences = [{"question": "Translate.", "answer": random_numbers.choice(SENTENCES)} for _ in range(10)]
    yield task("translated", sentences, of(SENTENCES), output_type="generate_until", doc_to_text="{{question}}", doc_to_target="answer",
               metric_list=[{"metric": metric} for metric in ["bleu", "chrf", "chrf++"]])
    letters = [{"question": "Which?", "answer": "(A)", "choices": ["Guilty", "Guilty of romance", "not (very) guilty?", "B"]} for _ in range(16)]
    yield generated("written_letters", letters, ["(B) it is", "I say guilty of Romance", "Guilty!", "it is: B", "not very guilty", "", "none: D"], {},
                    filter_list=[{"name": "flexible", "filter": [
                        {"function": "multi_choice_regex", "regex_pattern": r"(\([A-Z]\))", "group_select": 0, "ignore_case": True, "ignore_punctuation": True, "regexes_to_ignore": ["of "]},
                        {"function": "take_first"}]}])


def aggregates():
    """Aggregations and standard errors of values themselves."""
    floats = [random_numbers.uniform(-4, 1) for _ in range(37)]
    cases = {
        "mean": [floats, [1, 0, 1], [True, False, True, True], [math.nan, 1.0], [0.1] * 10, [-0.0, -0.0]],
        "nanmean": [floats, [math.nan, 1.0, 0.25], [math.nan, math.nan], floats * 4],
        "median": [floats, [3, 1, 2, 2], [1.0, -math.inf, 2.5]],
        "perplexity": [floats, [-math.inf, -1.0], [math.nan, -1.0], [-0.1, -0.1]],
        "weighted_perplexity": [[(value, n + 1) for n, value in enumerate(floats)], [(-math.inf, 3), (-1.5, 2)]],
        "bits_per_byte": [[(value, n + 1) for n, value in enumerate(floats)], [(-1.0, 3)]],
        "f1": [[(1, 0), (1, 1), (0, 0)], [(0, 0), (0, 0)], [(1, 1), (1, 1)], [(0, 1), (0, 1), (1, 0)]],
        "matthews_corrcoef": [[(2, 2), (1, 2), (0, 0), (2, 1)], [(0, 0), (0, 0)], [(-100, 1), (0, 0), (1, 1)]],
        "bypass": [[None, None]],
        "bleu": [[["a b c d e", "a b c d f"], ["x", "y"]], [["", ""], ["a", ""]], [[["a b", "a c d"], "a c e"], [["b", "c"], "c"]]],
        "chrf": [[["abcdefg", "abcdxfg"], ["x", "y"]], [["", ""], ["a", ""]], [[["a b", "a c d"], "a c e"], [["b", "c"], "c"]]],
        "chrf++": [[["(a) b.", "a b. c"], ["x", "y"]], [["", ""], ["a", ""]], [[["a b", "a c d"], "a c e"], [["b", "c"], "c"]]],
    }
    for name, lists in cases.items():
        function = AGGREGATION_REGISTRY[name]
        for values in lists:
            errors = []
            for iterations in [0, 150, 2500]:
                stderr = metrics.stderr_for_metric(function, iterations)
                errors.append([iterations, plain(stderr(values)) if stderr and len(values) > 1 else "N/A"])
            yield {"aggregation": name, "values": plain(values), "value": plain(function(values)), "errors": errors}


PATTERNS = [
    r"\w+", r"x*", r"|x", r"(a)|(b)", r"(\d+)(?:,(\d+))?", r"\b\w", r"\B.", r"^.*$", r"(?m)^.*$", r"$", r"(?m)$", r"\Z", r"a\Z",
    r"(?i)É|ß", r"[^\W\d]+", r"[\s\S]", r"(?s).", r".", r"\s+", r"\S+", r"(?P<one>.)(?P=one)", r"(.)\1", r"[]a]", r"[[a]", r"[a&&b]",
    r"a{,2}", r"a{2}", r"a{x}", r"{", r"}", r"]", r"(?<=a)b", r"(?<!a)b", r"(?=b)", r"(?:a|ab)(?:c|bcd)", r"\-?[0-9\.\,]+", r"#### (\-?[0-9\.\,]+)",
    r"(-?[$0-9.,]{2,})|(-?[0-9]+)", r"((?<=The answer is )(.*)(?=.)|(?<=the answer is )(.*)(?=.))", r"[\w-]+", r"[a-c-e]", r"a*?", r"a+?b", r"(?#note)a",
    r"\x41|\u00e9", r"(a+)*b?", r"(a*)?b", r"(?:)", r"[\d,]+", r"\d", r"\.", r"\/", r"[^\n]+", r"(?i:A)b", r"~|&|#| |-", r"a++b", r"(?>a+)b",
    r"[ \t]+", r"\(?([ABCDEFGHIJ])\)?", r"[!-~]", r"(?:\A|,)x",
]
TEXTS = [
    "", "x", "axb", "aab abb", "a\n", "a\nb\n", "\n", "1,234 and 56", "The answer is 42. the answer is no.", "#### -1,000.5", "Éé ß ẞ", "naïve_id ２３ ²½ ①",
    "\x1c a\x85b\u200bc\u3000d", "中文，字 x", "[a&b]{2}}-~ #", "aaab", "bcd abcd", "\u0301e\u0301", "x,x", "(A) or B",
]


def searches():
    for pattern in PATTERNS:
        yield {"pattern": pattern, "found": [[list(item) if isinstance(item, tuple) else item for item in re.findall(pattern, text)] for text in TEXTS],
               "removed": [re.sub(pattern, "", text) for text in TEXTS]}


def written():
    """What Python writes for a value: json, json with an indent, repr, str."""
    values = [
        0.1, 1.0, -0.0, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 1.5e-7, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 1 / 3, 2 ** 70, -3, True, None,
        "", "it's", 'say "it"', "both ' and \"", "tab\tnew\nline\\", "\x00\x1f\x7f\x80\xad", "é中🦉", "\u200b\u2028\ud7ff\ue000\U0001fffe", [], {}, (), (1,), [1, "a", None, (2.5, False)],
        {"a": {"b": [1, {"c": []}]}, "ü": {}, "": [[]]}, {"z": 1, "a": 2},
    ]
    arrays = [[], [0.5], [0.25, 0.75], [1.0, 0.0], [1 / 3, 2 / 3, 1e-3], [1e-9, 1.0], [math.nan, 1.0], [math.inf, -1.5, 10.0], [1e8, 1.0], [0.1, 0.0001], [0.00001, 0.00002],
              [1.23456789012, 100.5], [0.0, 0.0], [math.nan, math.nan], [1e-12, 3.5e-5, 0.99], [random_numbers.random() for _ in range(11)], [random_numbers.random() ** 9 for _ in range(14)], [1e300, 1e-300],
              [0.5, math.inf, 1e-10], [-0.5, 0.5], [0.123456785, 0.5], [1e-100, 0.5]]
    for value in values + [np.array(array) for array in arrays]:
        yield {"value": plain(value), "json": json.dumps(value, ensure_ascii=False, default=str), "indented": json.dumps(value, ensure_ascii=False, indent=2, default=str),
               "repr": str(value) if isinstance(value, np.ndarray) else repr(value), "str": str(value)}


def filtered():
    """Filters on answers themselves."""
    answers = [["Yes. ", "no"], ["", "YES", "İstanbul ß ΑΣ"], ["('tree', 'NOUN'), ('is', 'VERB')", "none"], [" \x1f x\u3000"]]
    pipelines = [
        [("lowercase", None)], [("uppercase", None)], [("remove_whitespace", None)], [("take_first", None)],
        [("map", {"mapping_dict": {"no": "false", "YES": "true"}, "default_value": "?"})], [("map", {})], [("regex_pos", None)], [("regex", None)],
        [("regex", {"regex_pattern": r"(x)|(\s)", "fallback": " none "})], [("regex", {"regex_pattern": r"(x?)(y?)", "fallback": " none "})],
        [("take_first_k", {"k": 1})], [("majority_vote", None)], [("take_first", None), ("remove_whitespace", None)], [("take_first", None), ("regex", {"regex_pattern": "[A-Z]", "fallback": "-"})],
    ]

    class One:
        def __init__(self, resps):
            self.resps, self.doc, self.filtered_resps = resps, {}, {}

    for pipeline in pipelines:
        instances = [One(answer) for answer in answers]
        build_filter_ensemble("f", pipeline).apply(instances)
        yield {"steps": [{"function": name, **(options or {})} for name, options in pipeline], "answers": plain(answers),
               "filtered": plain([instance.filtered_resps["f"] for instance in instances])}


def evaluated():
    made = list(tasks())
    functions = {task.config.task: answer for task, answer in made}
    by_name = {task.config.task: task for task, _ in made}
    model = Model(lambda request: functions[request.task_name](request))
    inner = Group.from_config({"group": "inner", "aggregate_metric_list": [{"metric": "acc", "weight_by_size": False}, {"metric": "acc_norm", "filter_list": "none"}]})
    outer = Group.from_config({"group": "outer", "group_alias": "All", "metadata": {"version": 2}, "aggregate_metric_list": [
        {"metric": "acc", "weight_by_size": True}, {"metric": "exact_match"}, {"metric": "exact_match", "filter_list": ["strict", "none"], "weight_by_size": False}, {"metric": "absent"}]})
    plain_group = Group.from_config({"group": "zoo"})
    for name in ["choices", "choices_two", "choices_one"]:
        inner.add(by_name[name])
    for name in ["choices_binary", "written_filters", "written"]:
        outer.add(by_name[name])
    outer.add(inner)
    plain_group.add(by_name["pages"])
    groups = {"outer": outer, "inner": inner, "zoo": plain_group}
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        results = evaluate(model, {"tasks": by_name, "groups": groups}, bootstrap_iters=BOOTSTRAPS)
        samples = results.pop("samples")
        tracker = EvaluationTracker(output_path=directory)
        tracker.general_config_tracker.log_experiment_args("hf", "pretrained=org/model", None, None, False)
        tracker.save_results_aggregated(results=results, samples=samples)
        table, group_table = make_table(results), make_table(results, "groups")
        lines = {}
        for name in by_name:
            tracker.save_results_samples(task_name=name, samples=samples[name])
            (path,) = Path(directory).rglob(f"samples_{name}_{tracker.date_id}.jsonl")
            lines[name] = path.read_text(encoding="utf-8").splitlines()
    entries = []
    for name, task in by_name.items():
        documents = list(task.eval_docs)
        config = task.config
        entries.append({
            "task": name,
            "output_type": config.output_type,
            "filter_list": config.filter_list,
            "metric_list": config.metric_list,
            "has_choices": config.doc_to_choice is not None,
            "multiple_inputs": bool(task.multiple_input),
            "multiple_targets": bool(task.multiple_target),
            "documents": [{
                "columns": plain(document),
                "target": plain(task.doc_to_target(document)),
                "choices": task.doc_to_choice(document) if config.doc_to_choice is not None else [],
                "input": task.doc_to_text(document) if task.multiple_input else None,
            } for document in documents],
            "instances": [{"document": instance.doc_id, "index": instance.idx, "arguments": plain(list(instance.args)), "responses": plain(instance.resps)}
                          for instance in task.instances],
            "results": plain({key: value for key, value in results["results"][name].items()}),
            "higher_is_better": plain(results["higher_is_better"][name]),
            # Of two samples the whole line as written, of all the values.
            "lines": lines[name][:2] + lines[name][-1:],
            "values": [plain({key: sample[key] for key in sample["metrics"]}) for sample in samples[name]],
            "hash": results["task_hashes"][name],
        })
    return {
        "keys": list(results),
        "written": {key: plain(results[key]) for key in ["group_subtasks", "versions", "n-shot", "n-samples", "task_hashes", "model_name_sanitized"]},
        "bootstraps": BOOTSTRAPS,
        "tasks": entries,
        "groups": {name: plain(results["results"][name]) for name in groups},
        "higher_is_better": plain({name: results["higher_is_better"].get(name) for name in groups}),
        "table": table,
        "group_table": group_table,
        "order": list(results["results"]),
        "group_order": list(results["groups"]),
    }


if __name__ == "__main__":
    # The harness prints what it does.
    with contextlib.redirect_stdout(sys.stderr):
        whole = {
            "evaluated": evaluated(),
            "aggregates": list(aggregates()),
            "texts": TEXTS,
            "searches": list(searches()),
            "written": list(written()),
            "filtered": list(filtered()),
        }
    json.dump(whole, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.write("\n")
