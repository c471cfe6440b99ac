//! `import`: published files of others in the tables, with the same bytes after every import.

use std::fs;
use std::path::Path;

use retrace_import::ImportKind;
use serde_json::json;

use crate::support::{Ran, Release, retrace, run};

const OLD: &str = r#"{"results": {"piqa": {"acc": 0.75, "acc_stderr": 0.01}, "wsc": {"acc": NaN}}, "versions": {"piqa": 0},
    "config": {"model_args": "pretrained=EleutherAI/pythia-v1.1-70m,revision=stepSTEP", "num_fewshot": 0}}"#;

/// A directory with evaluations of two checkpoints, one of them damaged.
fn evaluations() -> Release {
    let release = Release::new();
    for step in [1000, 2000] {
        let path = format!("evals/pythia-v1/pythia-70m/zero-shot/70m_step{step}.json");
        release.write(&path, OLD.replace("STEP", &step.to_string()));
    }
    release.write("evals/pythia-v1/pythia-70m/zero-shot/70m_step3000.json", &OLD[..80]);
    release
}

fn csv(release: &Release, sql: &str) -> String {
    release.run(&["query", sql, "tables", "--format", "csv"]).code(0).out
}

const METRICS: &str =
    "select release, run, step, tokens, task, shots, metric, value, stderr, source, place from metrics";

#[test]
fn rows_say_where_they_are_from_and_a_damaged_file_stops_nothing() {
    let release = evaluations();
    let ran = release
        .run(&["import", "pythia-evals", "evals", "--release", "Pythia", "--tokens-per-step", "2097152"])
        .code(1);
    assert!(ran.out.contains("metrics.parquet: 4 rows"), "{}", ran.out);
    ran.says(&["70m_step3000.json: line 1, column", "imported", "of 3 files, 1 with problems"]);
    assert_eq!(
        csv(&release, &format!("{METRICS} where task = 'piqa' order by step")),
        "release,run,step,tokens,task,shots,metric,value,stderr,source,place\n\
         Pythia,pythia-70m,1000,2097152000,piqa,0,acc,0.75,0.01,evals/pythia-v1/pythia-70m/zero-shot/70m_step1000.json,/results/piqa/acc\n\
         Pythia,pythia-70m,2000,4194304000,piqa,0,acc,0.75,0.01,evals/pythia-v1/pythia-70m/zero-shot/70m_step2000.json,/results/piqa/acc\n"
    );
    let digest = retrace_spec::Digest::of(&release.read("evals/pythia-v1/pythia-70m/zero-shot/70m_step1000.json"));
    let sources = csv(&release, "select digest, kind, rows, problem is null as fine from sources order by source");
    assert!(sources.contains(&format!("{digest},pythia-evals,5,true")), "{sources}");
    assert!(sources.lines().nth(3).unwrap().ends_with("pythia-evals,0,false"), "{sources}");
}

#[test]
fn importing_again_changes_nothing_and_a_changed_file_replaces_its_rows() {
    let release = evaluations();
    let import = |release: &Release| release.run(&["import", "pythia-evals", "evals"]);
    import(&release).code(1);
    let before = release.content();
    import(&release).code(1);
    release.run(&["import", "pythia-evals", "./evals", "--threads", "1"]).code(1);
    assert!(before == release.content(), "the same bytes");
    // From another location, by another path, the same.
    let elsewhere = tempfile::tempdir().unwrap();
    let output = elsewhere.path().join("tables");
    let (evals, output) = (release.path("evals"), output.to_str().unwrap());
    run(&["import", "pythia-evals", evals.to_str().unwrap(), "-o", output]).code(1);
    assert_eq!(release.read("tables/metrics.parquet"), fs::read(Path::new(output).join("metrics.parquet")).unwrap());
    // Other sources and releases are kept; only the changed file's rows are replaced.
    release.run(&["import", "pythia-evals", "evals", "--release", "other"]).code(1);
    let path = "evals/pythia-v1/pythia-70m/zero-shot/70m_step1000.json";
    release.write(path, OLD.replace("STEP", "1000").replace("0.75", "0.5"));
    release.run(&["import", "pythia-evals", "evals"]).code(1);
    let values = csv(&release, "select release, step, value from metrics where task = 'piqa' order by release, step");
    assert_eq!(values, "release,step,value\nevals,1000,0.5\nevals,2000,0.75\nother,1000,0.75\nother,2000,0.75\n");
    // After restoring it, the tables are as before.
    release.write(path, OLD.replace("STEP", "1000"));
    import(&release).code(1);
    let rows = csv(&release, "select count(*) as n from sources");
    assert_eq!(rows, "n\n6\n");
}

#[test]
fn a_mapping_says_what_a_tables_columns_are() {
    let release = Release::new();
    release.write("runs/r.csv", "id,s,gpu,eval/arc_5shot,lr\na,10,H100,0.5,0.25\nb,10,A100,0.75,0.25\n");
    release.write(
        "m.yaml",
        "retrace: mapping/1\nrun: id\nstep: s\nclaims: [gpu]\nmetrics:\n  - {column: 'eval/(?<task>.+)_(?<shots>[0-9]+)shot', metric: acc}\n",
    );
    let ran = release.run(&["import", "csv", "runs", "--mapping", "m.yaml", "--json"]).code(0);
    let report = ran.json("import/1");
    assert_eq!(
        (&report["rows"]["metrics"], &report["rows"]["train_log"], &report["rows"]["claims"]),
        (&2.into(), &2.into(), &2.into())
    );
    assert_eq!(
        csv(&release, "select run, task, shots, metric, value from metrics order by run"),
        "run,task,shots,metric,value\na,arc,5,acc,0.5\nb,arc,5,acc,0.75\n"
    );
    release.write("m.yaml", "retrace: mapping/1\nskip: ['(']\n");
    release.run(&["import", "csv", "runs", "--mapping", "m.yaml"]).code(2).says(&["skip.0", "help:"]);
    release
        .run(&["import", "configs", "runs", "--mapping", "m.yaml"])
        .code(2)
        .says(&["--mapping does not apply to configs"]);
}

#[test]
fn what_cannot_be_done_at_all_is_told() {
    let release = Release::new();
    release.write("a/x.csv", "step,m\n1,2\n");
    release.write("b/x.csv", "step,m\n1,2\n");
    release.run(&["import", "csv", "none"]).code(2).says(&["none", "help:"]);
    release
        .run(&["import", "tensorboard", "a"])
        .code(2)
        .says(&["a has no file whose name fits tensorboard: *tfevents*", "help:"]);
    release.run(&["import", "mlflow", "a"]).code(2).says(&["a has no file whose name fits mlflow", "`mlflow.db`"]);
    let clash = release.run(&["import", "csv", "a/x.csv", "b/x.csv", "--release", "r"]).code(2);
    clash.says(&["have the same source name \"x.csv\" in r", "help:"]);
    release.run(&["import", "excel", "a"]).code(2).says(&["excel", "tensorboard"]);
    assert!(!release.path("tables").exists(), "nothing is written");
    // Without --release they belong to two releases.
    release.run(&["import", "csv", "a/x.csv", "b/x.csv"]).code(0);
    release.write("tables/metrics.parquet", "not Parquet");
    release.run(&["import", "csv", "a"]).code(2).says(&["metrics.parquet", "not a Parquet table"]);
}

#[test]
fn another_content_under_the_same_name_is_told() {
    let release = Release::new();
    release.write("a/out/x.csv", "step,m\n1,2\n");
    release.write("b/out/x.csv", "step,m\n1,3\n");
    release.run(&["import", "csv", "a/out"]).code(0);
    let again = release.run(&["import", "csv", "a/out", "--json"]).code(0);
    assert_eq!(again.json("import/1")["replaced"], json!([]));
    let other = release.run(&["import", "csv", "b/out", "--json"]).code(0);
    assert_eq!(other.json("import/1")["replaced"], json!([{"release": "out", "source": "out/x.csv"}]));
    release.run(&["import", "csv", "a/out"]).code(0).says(&["replaced", "out/x.csv", "--release"]);
    release.run(&["import", "csv", "b/out", "--release", "b"]).code(0);
    assert_eq!(csv(&release, "select release, value from metrics order by value"), "release,value\nout,2.0\nb,3.0\n");
}

/// What the harness writes for two checkpoints of a model, in one directory, and for a task with two filters.
#[test]
fn samples_of_two_checkpoints_and_filters() {
    let release = Release::new();
    for (time, step, right) in
        [("2026-05-18T08-19-01.585882", 40, ["1000", "1100"]), ("2026-05-19T08-19-01.585882", 640, ["1100", "1111"])]
    {
        let results = json!({
            "results": {
                "t": {"alias": "t", "sample_len": 4, "exact_match,strict": 0.25, "exact_match_stderr,strict": "N/A"},
                "g": {"alias": "g", "sample_len": 4, "acc,none": 0.5, "sample_count": {"acc,none": 4}},
            },
            "groups": {"g": {"acc,none": 0.5}},
            "group_subtasks": {"g": ["t"]},
            "config": {"model_args": {"pretrained": "o/m", "revision": format!("step{step}")}},
            "model_name": "o/m",
        });
        release.write(&format!("out/o__m/results_{time}.json"), results.to_string());
        let mut lines = String::new();
        for (filter, right) in ["strict", "flexible"].iter().zip(right) {
            for (document, right) in right.chars().enumerate() {
                let right = right.to_digit(10).unwrap();
                let line = json!({"doc_id": document, "filtered_resps": ["x"], "filter": filter, "exact_match": right});
                lines += &format!("{line}\n");
            }
        }
        release.write(&format!("out/o__m/samples_t_{time}.jsonl"), lines);
    }
    release.run(&["import", "lm-eval", "out"]).code(0);
    let counts = "select run, step, filter, count(*) as n, sum(cast(correct as int)) as right from samples \
                  group by run, step, filter order by step, filter";
    assert_eq!(
        csv(&release, counts),
        "run,step,filter,n,right\nm,40,flexible,4,2\nm,40,strict,4,1\nm,640,flexible,4,4\nm,640,strict,4,2\n"
    );
    let groups = csv(&release, "select distinct task, metric, is_group from metrics order by task");
    assert_eq!(groups, "task,metric,is_group\ng,acc,true\nt,\"exact_match,strict\",false\n");
    let paired =
        release.run(&["query", "@paired-samples", "tables", "--set", "a=m", "--set", "b=m", "--format", "csv"]);
    let paired = paired.code(0).out;
    let items: Vec<&str> = paired.lines().skip(1).filter_map(|row| row.split(',').nth(4)).collect();
    assert_eq!(items, ["4", "4", "4", "4"], "{paired}");
    // A table without the later columns still has them for a query.
    release.write("plain/x.csv", "step,m\n1,2\n");
    release.run(&["import", "csv", "plain", "-o", "other"]).code(0);
    let asked =
        release.run(&["query", "select m.value, m.time, m.is_group from metrics m", "other", "--format", "csv"]);
    assert_eq!(asked.code(0).out, "value,time,is_group\n2.0,,\n");
}

#[test]
fn one_import_at_a_time() {
    let release = Release::new();
    release.write("in/x.csv", "step,m\n1,2\n");
    release.run(&["import", "csv", "in"]).code(0);
    let before = release.content();
    let tables = release.path("tables");
    let held = retrace_files::Lock::directory(retrace_files::Root::open(&tables).unwrap()).unwrap();
    let holder = format!("is being written by process {}", std::process::id());
    release.run(&["import", "csv", "in", "--release", "other"]).code(2).says(&["tables", &holder, "help:"]);
    // Readers need not wait.
    assert_eq!(csv(&release, "select count(*) as n from metrics"), "n\n1\n");
    drop(held);
    assert!(before == release.content(), "nothing is written");
    release.run(&["import", "csv", "in", "--release", "other"]).code(0);
}

#[cfg(unix)]
#[test]
fn an_import_that_is_killed_says_so() {
    let release = Release::new();
    let write = |value: &str| {
        for file in 0..30 {
            let rows: String = (0..1000).map(|step| format!("{step},{value}\n")).collect();
            release.write(&format!("in/{file}.csv"), format!("step,m,loss\n{}", rows.replace('\n', ",0.5\n")));
        }
    };
    write("1.5");
    release.run(&["import", "csv", "in"]).code(0);
    let sources = release.read("tables/sources.parquet");
    write("2.5");
    let mut importing = crate::support::retrace();
    let mut child = importing.args(["import", "csv", "in"]).current_dir(release.root()).spawn().unwrap();
    while fs::read(release.path("tables/sources.parquet")).is_ok_and(|now| now == sources) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Whatever was written, no source claims rows that do not exist.
    let wrong = "with rows_there as (select release, source, count(*) as n from (select release, source from metrics \
        union all select release, source from train_log) group by release, source) select count(*) as n from sources s \
        left join rows_there r on s.release = r.release and s.source = r.source where s.problem is null and s.rows <> r.n";
    assert_eq!(csv(&release, wrong), "n\n0\n");
    let told = csv(&release, "select distinct problem from sources");
    assert!(told.contains("its import has not ended") || told.lines().count() == 2, "{told}");
    release.run(&["import", "csv", "in"]).code(0);
    let whole = csv(&release, "select count(*) as n, min(value) as least, max(value) as most from metrics");
    assert_eq!(whole, "n,least,most\n30000,2.5,2.5\n");
    assert_eq!(csv(&release, "select count(*) as n from sources where problem is not null or rows <> 2000"), "n\n0\n");
    let hidden = release.content().into_iter().filter(|(path, _)| path.starts_with("tables")).map(|(path, _)| path);
    assert_eq!(hidden.count(), 3, "what was cut off is swept");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_pipes_not_waited_for() {
    let release = Release::new();
    release.write("outside.csv", "step,m\n1,2\n");
    release.write("in/x.csv", "step,m\n1,2\n");
    std::os::unix::fs::symlink("../outside.csv", release.path("in/link.csv")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(release.path("in/pipe.csv")).status().unwrap();
    assert!(made.success());
    let ran = release.run(&["import", "csv", "in"]).code(1);
    ran.says(&["in/link.csv: a link or special file", "in/pipe.csv: a link or special file", "1 row of 3 files"]);
    release.run(&["import", "csv", "in/pipe.csv"]).code(1).says(&["not a regular file"]);
    std::os::unix::fs::symlink("/dev/zero", release.path("zero.csv")).unwrap();
    std::os::unix::fs::symlink("loop.csv", release.path("loop.csv")).unwrap();
    release.run(&["import", "csv", "zero.csv"]).code(1).says(&["not a regular file"]);
    release.run(&["import", "csv", "loop.csv"]).code(2).says(&["loop.csv"]);
    // Longer than any file that is read, with no blocks on disk.
    fs::File::create(release.path("sparse.csv")).unwrap().set_len(100 << 30).unwrap();
    release.run(&["import", "csv", "sparse.csv"]).code(1).says(&["sparse.csv: larger than 1073741824 bytes"]);
}

/// Imports the tree of a model of Pythia at `path` and compares the table with a count from the JSON itself.
pub(crate) fn every_value_of_a_tree_is_imported(path: &Path, steps: usize) {
    let output = tempfile::tempdir().unwrap();
    run(&["import", "pythia-evals", path.to_str().unwrap(), "-o", output.path().to_str().unwrap(), "-q"]).code(0);
    let ask = |sql: &str| run(&["query", sql, output.path().to_str().unwrap(), "--format", "csv"]).code(0).out;
    let (mut values, mut sum, mut files) = (0, 0.0, 0);
    for shots in ["zero-shot", "five-shot"] {
        for entry in fs::read_dir(path.join(shots)).unwrap() {
            let value: serde_json::Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            let metrics = value["results"].as_object().unwrap().values().flat_map(|task| task.as_object().unwrap());
            for (_, value) in metrics.filter(|(name, _)| !name.ends_with("_stderr")) {
                values += 1;
                sum += value.as_f64().unwrap();
            }
            files += 1;
        }
    }
    assert_eq!(ask("select count(*) as n from sources"), format!("n\n{files}\n"));
    let sql = "select count(*) as n, count(distinct step) as steps, count(distinct run) as runs from metrics";
    assert_eq!(ask(sql), format!("n,steps,runs\n{values},{steps},1\n"));
    let told = ask("select sum(value) as sum from metrics");
    let told: f64 = told.lines().nth(1).unwrap().parse().unwrap();
    assert!((told / sum - 1.0).abs() < 1e-12, "{told}, not {sum}");
}

#[test]
fn every_value_of_a_models_tree_is_imported() {
    let release = Release::new();
    for (at, step) in [0, 1, 2, 4, 512, 1000, 143_000].into_iter().enumerate() {
        for (shots, folder) in [(0, "zero-shot"), (5, "five-shot")] {
            let mut results = serde_json::Map::new();
            for task in 0..=at {
                let value = (at + shots) as f64 / 16.0;
                results.insert(format!("task{task}"), json!({"acc": value, "acc_stderr": 0.125, "ppl": 100.0 - value}));
            }
            let model = format!("pretrained=EleutherAI/pythia-70m,revision=step{step}");
            let file = json!({"results": results, "config": {"model_args": model, "num_fewshot": shots}});
            release.write(&format!("pythia-70m/{folder}/70m_step{step}.json"), file.to_string());
        }
    }
    every_value_of_a_tree_is_imported(&release.path("pythia-70m"), 7);
}

/// Logs and databases as their tools leave them in a directory.
#[cfg(unix)]
#[test]
fn what_trackers_leave_is_read_and_nothing_is_written_beside_it() {
    let release = Release::new();
    let log = "wandb/offline-run-20261130_080000-abcd1234/run-abcd1234.wandb";
    release.write(log, include_bytes!("../../crates/import/tests/trackers/run-abcd1234.wandb"));
    release.write("mlflow/mlflow.db", include_bytes!("../../crates/import/tests/trackers/mlflow.db"));
    release.write("mlflow/mlflow.db-wal", "");
    release.write("trackio/small.db", include_bytes!("../../crates/import/tests/trackers/trackio.db"));
    std::os::unix::fs::symlink("offline-run-20261130_080000-abcd1234", release.path("wandb/latest-run")).unwrap();
    let before = release.content();
    let import = |kind: &str| release.run(&["import", kind, kind, "--release", "r", "-o", "tables"]).code(0);
    import("wandb").says(&["the step is `train/global_step`"]);
    import("mlflow").says(&["deleted runs that are left out: 1"]);
    import("trackio");
    let after = release.content().into_iter().filter(|(path, _)| !path.starts_with("tables")).collect::<Vec<_>>();
    assert!(before == after);
    let sql = "select kind, count(*) as n, min(loss) as least from train_log join sources using (source) group by kind order by kind";
    assert_eq!(csv(&release, sql), "kind,n,least\nmlflow,4,0.625\ntrackio,4,0.625\nwandb,4,0.625\n");
    // A link beside a database may lead anywhere.
    release.write("linked/mlflow.db", release.read("mlflow/mlflow.db"));
    std::os::unix::fs::symlink("/etc/hostname", release.path("linked/mlflow.db-wal")).unwrap();
    release
        .run(&["import", "mlflow", "linked"])
        .code(1)
        .says(&["`-wal` file beside it, which has transactions, is a link"]);
    // A log that is cut off, and a database.
    let whole = release.read(log);
    release.write("cut/run-abcd1234.wandb", &whole[..whole.len() - 9]);
    release.run(&["import", "wandb", "cut"]).code(1).says(&["the file ends inside a record"]);
    let whole = release.read("mlflow/mlflow.db");
    release.write("cut/mlflow.db", &whole[..whole.len() / 2]);
    release.run(&["import", "mlflow", "cut/mlflow.db"]).code(1).says(&["it is cut off", "0 rows"]);
}

/// The help lists every kind, with the files that it reads from a directory.
#[test]
fn the_help_lists_every_kind() {
    let help = Ran::from(retrace().args(["import", "--help"]).env("COLUMNS", "100").output().unwrap()).code(0).out;
    for kind in ImportKind::ALL {
        let line = help.lines().find(|line| line.trim_start().split(' ').next() == Some(kind.name()));
        let line = line.unwrap_or_else(|| panic!("{kind} is not in the help"));
        assert!(line.contains(kind.names()), "{line}: not {}", kind.names());
    }
}

#[test]
fn what_the_tables_have_already_is_told() {
    let release = Release::new();
    let state = |steps: &[u32]| {
        let history: Vec<_> = steps.iter().map(|step| json!({"step": step, "loss": 4.5, "epoch": 0.5})).collect();
        json!({"log_history": history}).to_string()
    };
    release.write("out/checkpoint-10/trainer_state.json", state(&[5, 10]));
    release.write("out/checkpoint-15/trainer_state.json", state(&[5, 10, 15]));
    let import = |path: &str| release.run(&["import", "trainer-state", path, "--release", "m"]).code(0).err;
    assert!(!import("out/checkpoint-10").contains("already"));
    let told = import("out/checkpoint-15");
    assert!(told.contains("already, of checkpoint-10/trainer_state.json in m") && told.contains("twice: 2;"), "{told}");
    // All at once, each step is there once.
    release.run(&["import", "trainer-state", "out", "-o", "whole"]).code(0);
    let steps = release.run(&["query", "select run, step from train_log order by step", "whole", "--format", "csv"]);
    assert_eq!(steps.code(0).out, "run,step\nout,5\nout,10\nout,15\n");
}

#[test]
fn processes_that_differ_and_logs_without_numbers_are_problems() {
    let release = Release::new();
    release.write("a/run.log", "0: iteration 1/ 9 | lm loss: 4.5 |\n1: iteration 1/ 9 | lm loss: nan |\n");
    let told = release.run(&["import", "text-log", "a"]).code(1).err;
    assert!(told.contains("line 2: lm loss is NaN in 1, and 4.5 in 0 (line 1), which is taken"), "{told}");
    release.write("b/run.log", "x [step=1/9,epoch=0]\n# train/loss=4\n");
    assert!(release.run(&["import", "text-log", "b"]).code(1).err.contains("none with numbers"));
    release.write("c/events.out.tfevents.1", "");
    assert!(release.run(&["import", "tensorboard", "c"]).code(0).err.contains("no row was read from it"));
}

/// Two models whose names end alike, imported one after the other and at once.
#[test]
fn models_whose_names_end_alike_are_never_one_run() {
    let release = Release::new();
    let results = |model: &str, step: u32| {
        let arguments = format!("pretrained={model},revision=step{step}");
        json!({"results": {"t": {"acc": 0.5}}, "model_name": model, "config": {"model_args": arguments}}).to_string()
    };
    for (folder, model, step) in [("a", "org1/x", 1), ("b", "org2/x", 2), ("c", "org1/x", 3)] {
        release.write(&format!("{folder}/results.json"), results(model, step));
    }
    let import = |folder: &str, code| release.run(&["import", "lm-eval", folder, "--release", "r"]).code(code).err;
    import("a", 0);
    let told = import("b", 1);
    assert!(
        told.contains("its run `x` is of org2/x, and in the tables it is of org1/x too (a/results.json)"),
        "{told}"
    );
    release.run(&["import", "lm-eval", "a", "b", "c", "--release", "r", "-o", "whole"]).code(0);
    let runs = release.run(&["query", "select run, step from metrics order by step", "whole", "--format", "csv"]);
    assert_eq!(runs.code(0).out, "run,step\norg1/x,1\norg2/x,2\norg1/x,3\n");
    release.run(&["import", "lm-eval", "a", "c", "--release", "r", "-o", "one"]).code(0);
    release.run(&["import", "lm-eval", "c", "--release", "r", "-o", "one"]).code(0);
}
