"""Makes the files beside it: wandb 0.31.0, mlflow 3.17.2 and trackio 0.43.0, on Python 3.11.

Each tool logs numbers that the tests know. Of the databases only the tables that are read are kept, in small pages.
"""

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
NAN, INFINITY = float("nan"), float("inf")
scratch = Path(tempfile.mkdtemp())
os.chdir(scratch)
os.environ |= {"HOME": str(scratch), "TRACKIO_DIR": str(scratch / "trackio"), "WANDB_SILENT": "true", "USER": "someone"}

import mlflow  # noqa: E402
import trackio  # noqa: E402
import wandb  # noqa: E402

settings = wandb.Settings(mode="offline", host="host", console="off", x_disable_stats=True, x_disable_meta=True)
run = wandb.init(
    project="small", name="first", id="abcd1234", tags=["base"], notes="a note", settings=settings,
    config={"lr": 1e-3, "optimizer": {"name": "adamw", "betas": [0.9, 0.95]}},
)
for at in range(4):
    values = {"train/loss": 2.5 / (at + 1), "train/global_step": at * 10, "nested": {"a": at, "b": {"c": at * 0.1}}}
    values |= {"odd": [1.0, NAN, INFINITY, -INFINITY][at], "text": "hi", "flag": True}
    run.log(values | {"weights": wandb.Histogram([1, 2, 3]), "list": [1, 2]})
run.config.update({"late": 7})
run.summary["best"] = 0.125
run.finish()
wandb.teardown()  # The log is whole when the service that writes it has ended.
[log] = scratch.glob("wandb/offline-run-*/run-abcd1234.wandb")
shutil.copy(log, HERE / "run-abcd1234.wandb")

mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("small")
with mlflow.start_run(run_name="base") as run:
    mlflow.log_param("lr", 0.001)
    mlflow.set_tag("note", "x")
    for at in range(4):
        mlflow.log_metric("train/loss", 2.5 / (at + 1), step=at * 10)
    for step, value in [(1, NAN), (2, INFINITY), (-1, -1.5)]:
        mlflow.log_metric("eval/odd", value, step=step)
with mlflow.start_run(run_name="gone") as gone:
    mlflow.log_metric("train/loss", 9.0, step=1)
mlflow.delete_run(gone.info.run_id)

trackio.init(project="small", name="first", config={"lr": 1e-3}, auto_log_gpu=False, auto_log_cpu=False)
for at in range(4):
    values = {"train/loss": 2.5 / (at + 1), "nested": {"a": at}, "text": "hi"}
    trackio.log(values | {"odd": [1.0, NAN, INFINITY, -INFINITY][at]}, step=at * 10)
trackio.finish()


def shrink(database, kept, name):
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode=delete")
        connection.execute("PRAGMA foreign_keys=off")
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        for (table,) in tables.fetchall():
            if table not in kept:
                connection.execute(f'DROP TABLE "{table}"')
        for (index,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql > ''").fetchall():
            connection.execute(f'DROP INDEX "{index}"')
        if "runs" in kept:
            connection.execute("UPDATE runs SET user_id = 'someone', artifact_uri = 'artifacts'")
            connection.execute("UPDATE experiments SET artifact_location = 'artifacts'")
            connection.execute("UPDATE tags SET value = 'someone' WHERE key = 'mlflow.user'")
    connection.execute("PRAGMA page_size=512")
    connection.execute("VACUUM")
    connection.close()
    shutil.copy(database, HERE / name)


shrink("mlflow.db", {"experiments", "runs", "params", "tags", "metrics", "logged_model_metrics"}, "mlflow.db")
shrink("trackio/small.db", {"metrics", "configs"}, "trackio.db")
shutil.rmtree(scratch)
