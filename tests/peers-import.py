"""Makes real outputs of trackers and trainers, and compares what `retrace import` reads from them with what the
tools' own readers say: each value to the bit, with its run and step. Called by peers-import.sh.

    peers-import.py make            makes the outputs in the working directory
    peers-import.py read-wandb LOG  prints the records of a log, by the reader of wandb 0.19 (in an environment of its own)
    peers-import.py compare RETRACE OLD-WANDB-PYTHON
"""

import collections
import csv
import glob
import json
import math
import os
import subprocess
import sys
import time

NAN, INFINITY = float("nan"), float("inf")
VALUES = [2.5, 0.1, 1e-300, NAN, INFINITY, -INFINITY, -0.0, 1 / 3, 1e22, 5e-324]
# The columns of train_log, by the names under which these outputs have them.
COLUMNS = {
    "loss": ("loss", "train/loss"),
    "learning_rate": ("lr", "learning_rate", "train/learning_rate"),
    "grad_norm": ("grad_norm", "train/grad_norm"),
}
COLUMN_OF = {name: column for column, names in COLUMNS.items() for name in names}


# ---- making -----------------------------------------------------------------------------------------------


def make_lm_eval():
    os.makedirs("tasks")
    with open("tasks/items.jsonl", "w") as file:
        for at in range(50):
            file.write(json.dumps({"q": f"Item {at} is", "choices": ["odd", "even"], "answer": at % 2}) + "\n")
    with open("tasks/small.yaml", "w") as file:
        file.write(
            "task: small\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: tasks/items.jsonl\n"
            "test_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_choice: '{{choices}}'\n"
            "doc_to_target: '{{answer}}'\nmetric_list:\n  - {metric: acc}\n  - {metric: acc_norm}\n"
        )
    options = ["--model", "dummy", "--tasks", "small", "--include_path", "tasks", "--output_path", "lm-eval", "--log_samples"]
    subprocess.run([sys.executable, "-m", "lm_eval", "run", *options], check=True)


def make_wandb():
    import wandb

    run = wandb.init(project="peers", name="by hand", id="byhand00", dir="wandb-by-hand", config={"lr": 1e-3, "n": {"a": [1]}})
    for at in range(300):
        values = {"train/loss": VALUES[at % len(VALUES)], "nested": {"a": at, "b": {"c": at / 7}}, "text": "hi", "flag": True}
        run.log(values | {"weights": wandb.Histogram(range(64)), "list": [1, 2], "long": "x" * 1000})
    run.finish()
    wandb.teardown()


def killed():
    import wandb

    run = wandb.init(project="peers", id="killed00", dir="wandb-killed")
    for at in range(1000):
        run.log({"train/loss": 1 / (at + 1), "eval/acc": at / 7})
    time.sleep(5)
    os._exit(9)


def make_wandb_killed():
    assert subprocess.run([sys.executable, __file__, "killed"]).returncode == 9


def make_mlflow():
    import mlflow

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    for uri in ["sqlite:///mlflow-database/mlflow.db", "file:./mlflow-files/mlruns"]:
        os.makedirs(uri.split(":")[1].lstrip("/.").split("/")[0], exist_ok=True)
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("peers")
        for name in ["one", "two", "gone"]:
            with mlflow.start_run(run_name=name) as run:
                mlflow.log_params({"lr": 0.001, "layers": 4})
                mlflow.set_tag("kind", name)
                for at, value in enumerate(VALUES):
                    mlflow.log_metric("train/loss", value, step=at)
                    mlflow.log_metric("eval/acc", at / 7, step=at - 1)
            if name == "gone":
                mlflow.delete_run(run.info.run_id)


def make_trackio():
    import trackio

    for name in ["one", "two"]:
        trackio.init(project="peers", name=name, config={"lr": 1e-3, "n": {"a": [1]}}, auto_log_gpu=False, auto_log_cpu=False)
        for at, value in enumerate(VALUES):
            trackio.log({"train/loss": value, "nested": {"a": at / 7}, "text": "hi"}, step=at * 10)
        trackio.finish()


def make_tensorboard():
    import tensorboardX
    from torch.utils.tensorboard import SummaryWriter

    for name, writer in [("torch", SummaryWriter), ("tensorboardX", tensorboardX.SummaryWriter)]:
        log = writer(f"tensorboard/{name}")
        for at in range(100):
            log.add_scalar("train/loss", VALUES[at % len(VALUES)], at)
            log.add_scalar("eval/c4/acc", at / 7, at)
        log.add_text("note", "hi", 1)
        log.close()
        log = writer(f"tensorboard/{name}", purge_step=90)
        log.add_scalar("train/loss", 7.5, 95)
        log.close()
        log = writer(f"tensorboard/{name}-hparams")
        log.add_hparams({"lr": 0.125, "optimizer": "adamw"}, {"hparam/accuracy": 0.75})
        log.close()


def train(resume):
    import torch
    import transformers

    class Killed(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 13 and not resume:
                os._exit(9)

    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=64, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    data = [{"input_ids": torch.arange(at, at + 8) % 64, "labels": torch.arange(at, at + 8) % 64} for at in range(64)]
    arguments = transformers.TrainingArguments(
        output_dir="transformers/run", max_steps=20, logging_steps=2, save_steps=5, eval_strategy="steps", eval_steps=5,
        per_device_train_batch_size=4, use_cpu=True, disable_tqdm=True, report_to=["wandb", "tensorboard"],
        include_num_input_tokens_seen=True,
    )
    trainer = transformers.Trainer(transformers.GPT2LMHeadModel(config), arguments, train_dataset=data, eval_dataset=data[:8], callbacks=[Killed()])
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_state()


def make_transformers():
    environment = os.environ | {"WANDB_DIR": os.path.abspath("wandb-transformers"), "WANDB_PROJECT": "peers"}
    environment["TENSORBOARD_LOGGING_DIR"] = "transformers/tensorboard"
    for command, code in [("train", 9), ("resume", 0)]:
        ran = subprocess.run([sys.executable, __file__, command], env=environment)
        assert ran.returncode == code, f"{command} ended with {ran.returncode}"


def make_lightning():
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": 0.1})
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch, _):
            loss = self.layer(batch).square().mean()
            self.log_dict({"train/loss": loss, "extra": loss / 3})
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.manual_seed(1)
    data = torch.utils.data.DataLoader(torch.randn(64, 4), batch_size=4)
    loggers = [CSVLogger("lightning/csv"), TensorBoardLogger("lightning/tensorboard")]
    options = {"enable_checkpointing": False, "enable_progress_bar": False, "log_every_n_steps": 2}
    Trainer(max_epochs=3, accelerator="cpu", logger=loggers, **options).fit(Module(), data)


# ---- the tools' own readers -------------------------------------------------------------------------------


def bits(value):
    return "nan" if math.isnan(value) else float(value).hex()


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Expected:
    """What a tool's own reader says: counts of (run, step, name, value), and of what is no number."""

    def __init__(self):
        self.values, self.lost = collections.Counter(), collections.Counter()

    def add(self, run, step, name, value):
        if is_number(value):
            step = None if step is None or step < 0 else int(step)
            # A loss without a step is a metric of training.
            name = COLUMN_OF.get(name, name) if step is not None else name
            self.values[run, step, name, bits(value)] += 1
        else:
            self.lost[f"{name} ({type(value).__name__})"] += 1


def of_wandb(old_python, directory):
    expected = Expected()
    # Unlike glob, this does not follow wandb's link to the latest run.
    logs = [f"{folder}/{name}" for folder, _, names in os.walk(directory) for name in names if name.endswith(".wandb")]
    for log in sorted(logs):
        read = subprocess.run([old_python, __file__, "read-wandb", log], check=True, capture_output=True, text=True)
        run, *records = map(json.loads, read.stdout.splitlines())
        for items in records:
            # Python's integers have no -0.
            values = {tuple(keys): json.loads(text, parse_int=float) for keys, text in items}
            typed = {keys[:-1] for keys in values if keys[-1] == "_type"}
            flat = {".".join(keys): value for keys, value in values.items() if not any(keys[:at] in typed for at in range(1, len(keys)))}
            step = flat.pop("train/global_step", None)
            calls = flat.pop("_step", None)
            expected.lost.update(f"{'.'.join(keys)} (histogram)" for keys in typed)
            for name in ["_timestamp", "_runtime", "train/num_input_tokens_seen"]:
                flat.pop(name, None)
            has_steps = directory == "wandb-transformers"
            for name, value in flat.items():
                if name == "train/epoch":
                    expected.lost[f"{name} (epoch)"] += 1
                else:
                    expected.add(run, step if has_steps else calls, name, value)
    return expected


def read_wandb(path):
    import wandb

    wandb._assert_is_internal_process = True
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    store = DataStore()
    store.open_for_scan(path)
    run, records = None, []
    # An assertion is how this reader says that the file was cut off.
    try:
        while (data := store.scan_data()) is not None:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            run = record.run.run_id or run
            if record.HasField("history"):
                records.append([(list(item.nested_key) or [item.key], item.value_json) for item in record.history.item])
    except AssertionError as error:
        print(f"{path}: {error}", file=sys.stderr)
    for each in [run, *records]:
        print(json.dumps(each))


def of_mlflow(uri):
    import mlflow

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    client, expected = mlflow.MlflowClient(uri), Expected()
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            for name in run.data.metrics:
                for metric in client.get_metric_history(run.info.run_id, name):
                    expected.add(run.info.run_id, metric.step, name, metric.value)
    return expected


def of_trackio():
    from trackio.sqlite_storage import SQLiteStorage

    expected = Expected()
    for run in SQLiteStorage.get_run_records("peers"):
        for entry in SQLiteStorage.get_logs("peers", run_id=run["id"]):
            step = entry.pop("step")
            entry.pop("timestamp")
            for name, value in entry.items():
                for name, value in [(f"{name}.{key}", value) for key, value in value.items()] if isinstance(value, dict) else [(name, value)]:
                    expected.add(run["id"], step, name, value)
    return expected


def of_tensorboard(directory):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    expected = Expected()
    for folder in sorted({os.path.dirname(path) for path in glob.glob(f"{directory}/**/*tfevents*", recursive=True)}):
        events = EventAccumulator(folder, size_guidance={"scalars": 0})
        events.Reload()
        run = os.path.relpath(folder, directory) if folder != directory else os.path.basename(directory)
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                # What `add_hparams` writes has no step of its own.
                expected.add(run, None if tag.startswith("hparam/") else event.step, tag, event.value)
        for kind, tags in events.Tags().items():
            if kind != "scalars" and isinstance(tags, list):
                expected.lost.update(f"{tag} ({kind})" for tag in tags)
    return expected


def of_trainer_state():
    from transformers import TrainerState

    expected = Expected()
    for entry in TrainerState.load_from_json("transformers/run/trainer_state.json").log_history:
        step = entry.pop("step")
        for name, value in entry.items():
            task, _, metric = name.partition("_")
            if name == "epoch":
                expected.lost["epoch (epoch)"] += 1
            elif name != "num_input_tokens_seen":
                expected.add("run", step, f"{task}/{metric}" if task in ["eval", "train", "test"] else name, value)
    # The mean over all steps is not the loss of the last step.
    for key in [key for key in expected.values if key[2] == "loss"]:
        if key[1] == 20 and key[3] == bits(TrainerState.load_from_json("transformers/run/trainer_state.json").log_history[-1]["train_loss"]):
            expected.values["run", 20, "train/loss", key[3]] += 1
            expected.values[key] -= 1
    return expected


def of_csv(path):
    expected = Expected()
    with open(path) as file:
        for line in csv.DictReader(file):
            for name, text in line.items():
                if name == "epoch" and text:
                    expected.lost["epoch (epoch)"] += 1
                elif text and name != "step":
                    expected.add(None, int(line["step"]), name, float(text))
    return expected


def of_lm_eval():
    expected = Expected()
    for path in glob.glob("lm-eval/**/results_*.json", recursive=True):
        with open(path) as file:
            for task, results in json.load(file)["results"].items():
                for name, value in results.items():
                    metric, _, rule = name.partition(",")
                    if rule == "none" and not metric.endswith("_stderr"):
                        expected.add(None, None, f"{task}/{metric}", value)
    return expected


# ---- comparing --------------------------------------------------------------------------------------------


def found(tables, with_run):
    import pyarrow.parquet as parquet

    values = collections.Counter()

    def rows(table):
        path = f"{tables}/{table}.parquet"
        return parquet.read_table(path).to_pylist() if os.path.exists(path) else []

    for row in rows("metrics"):
        name = f"{row['task']}/{row['metric']}" if row["task"] else row["metric"]
        values[row["run"] if with_run else None, row["step"], name, bits(row["value"])] += 1
    for row in rows("train_log"):
        for column in COLUMNS:
            if row[column] is not None:
                values[row["run"] if with_run else None, row["step"], column, bits(row[column])] += 1
    return values


def compare(retrace, old_python):
    os.environ["TRACKIO_DIR"] = os.path.abspath("trackio")
    different = 0
    for name, kind, path, expected, code in [
        ("lm-evaluation-harness", "lm-eval", "lm-eval", of_lm_eval(), 0),
        ("wandb", "wandb", "wandb-by-hand", of_wandb(old_python, "wandb-by-hand"), 0),
        ("wandb, killed", "wandb", "wandb-killed", of_wandb(old_python, "wandb-killed"), None),
        ("wandb by transformers, killed and resumed", "wandb", "wandb-transformers", of_wandb(old_python, "wandb-transformers"), None),
        ("MLflow's database", "mlflow", "mlflow-database/mlflow.db", of_mlflow("sqlite:///mlflow-database/mlflow.db"), 0),
        ("MLflow's files", "mlflow", "mlflow-files/mlruns", of_mlflow("file:./mlflow-files/mlruns"), 0),
        ("trackio", "trackio", "trackio", of_trackio(), 0),
        ("TensorBoard by torch and tensorboardX", "tensorboard", "tensorboard", of_tensorboard("tensorboard"), 0),
        ("TensorBoard by transformers", "tensorboard", "transformers/tensorboard", of_tensorboard("transformers/tensorboard"), None),
        ("transformers' Trainer, killed and resumed", "trainer-state", "transformers/run", of_trainer_state(), 0),
        ("CSV by Lightning", "csv", "lightning/csv", of_csv(glob.glob("lightning/csv/**/metrics.csv", recursive=True)[0]), 0),
        ("TensorBoard by Lightning", "tensorboard", "lightning/tensorboard", of_tensorboard("lightning/tensorboard"), 0),
    ]:
        tables = f"tables/{name}"
        ran = subprocess.run([retrace, "import", kind, path, "-o", tables], capture_output=True, text=True)
        with_run = kind not in ["csv", "lm-eval"]
        ours, theirs = found(tables, with_run), +expected.values
        if not theirs:
            print(f"FAILED {name}: its own reader has no value, so nothing is compared")
            different += 1
        missing, extra = theirs - ours, ours - theirs
        bad = bool(missing or extra) or (ran.returncode not in ([code] if code is not None else [0, 1]))
        different += bad
        print(f"{'FAILED' if bad else 'equal '} {name}: {sum(theirs.values())} values, exit code {ran.returncode}")
        for what, values in [("only its own reader has", missing), ("only retrace has", extra)]:
            for value, count in list(values.items())[:5]:
                print(f"    {what} {count} x {value}")
        for line in ran.stderr.splitlines():
            if line.startswith(("note", "problem")) or bad:
                print(f"    {line}")
        if expected.lost:
            print(f"    not taken: {', '.join(f'{what} x {count}' for what, count in sorted(expected.lost.items()))}")
    sys.exit(1 if different else 0)


def make():
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    os.environ["TRACKIO_DIR"] = os.path.abspath("trackio")
    for directory in ["wandb-by-hand", "wandb-killed", "wandb-transformers"]:
        os.makedirs(directory)
    tools = [make_lm_eval, make_wandb, make_wandb_killed, make_mlflow, make_trackio, make_tensorboard, make_transformers]
    for tool in [*tools, make_lightning]:
        # Each in a process of its own: what one leaves behind must not change another.
        child = os.fork()
        if child == 0:
            tool()
            sys.stdout.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            sys.exit(f"{tool.__name__} failed")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make"]:
            make()
        case ["killed"]:
            killed()
        case ["train"]:
            train(resume=False)
        case ["resume"]:
            train(resume=True)
        case ["read-wandb", log]:
            read_wandb(log)
        case ["compare", retrace, old_python]:
            compare(retrace, old_python)
        case _:
            sys.exit(__doc__)
