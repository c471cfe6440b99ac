"""Asks lm-evaluation-harness about the model and the tasks that tests/it/eval.rs writes into DIR.

    pip install lm-eval==0.4.13 torch transformers accelerate
    python harness.py DIR

The last line that it prints is the results, as one JSON object.
"""

import json
import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=sys.argv[1] + "/hub")

import lm_eval  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

root = Path(sys.argv[1]).resolve()
model, tasks = root / "tiny/model", root / "theirs"
end = "<|end|>"
(model / "tokenizer_config.json").write_text(
    json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": end, "eos_token": end})
)
tasks.mkdir(exist_ok=True)


def task(name, **more):
    items = {"test": str(root / f"{name}.jsonl")}
    said = dict(task=name, dataset_path="json", dataset_kwargs={"data_files": items}, test_split="test", **more)
    (tasks / f"{name}.yaml").write_text(json.dumps(said))


text = dict(output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="{{text}}")
for name in ["full", "rest"]:
    task(name, **text, metric_list=[{"metric": "bits_per_byte"}])
for name, delimiter in [("spaced", " "), ("joined", ""), ("merged", "")]:
    # The harness puts no token before a text by itself; retrace's task names one.
    task(name, output_type="multiple_choice", doc_to_text=end + "{{question}}", doc_to_choice="{{choices}}",
         doc_to_target="answer", target_delimiter=delimiter, metric_list=[{"metric": "acc"}, {"metric": "acc_norm"}])

found = lm_eval.simple_evaluate(
    model="hf", model_args=dict(pretrained=str(model), dtype="float32", device="cpu"), batch_size=1,
    tasks=["full", "rest", "spaced", "joined", "merged"], task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
)
print(json.dumps(found["results"]))
