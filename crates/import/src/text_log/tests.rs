use super::*;
use crate::rows::{read_as, survives};

fn rows(text: &str) -> Rows {
    read_as("logs/run.log", text.as_bytes(), read)
}

#[test]
fn lines_of_megatron_and_gpt_neox() {
    let text = "0:  iteration      100/  500000 | consumed samples:       102400 | consumed tokens:    209715200 | \
        elapsed time per iteration (s): 1.50 | learning rate: 1.000E-05 | global batch size:  1024 | lm loss: 2.500000E+00 | \
        loss scale: 4096.0 | grad norm: 0.750 | number of skipped iterations:   0 | TFLOPs: 50.25 |\n\
        0: valid loss at iteration 100 | lm loss value: 2.25 | lm loss PPL: 9.5 | \n\
        samples/sec: 12.5 | iteration 200/ 143000 | elapsed time per iteration (ms): 80.0 | learning rate: 6.000E-06 | \
        approximate flops per GPU: 3.5TFLOPS | lm_loss: nan | number of nan iterations: 0 |\n\
        [2024-05-01 12:00:00] iteration 300/ 500 | learning rate: 1.0 | lm loss: 0.5 |\n\
        saving checkpoint at iteration  100 to checkpoints/x\n";
    let rows = rows(text);
    assert_eq!(rows.problems(), None);
    let [first, second, third] = rows.train_log.as_slice() else { panic!("{:?}", rows.train_log) };
    assert_eq!((first.run.as_str(), first.step.0, first.tokens.map(|t| t.0)), ("run", 100, Some(209_715_200)));
    assert_eq!((first.loss, first.learning_rate, first.grad_norm), (Some(2.5), Some(1e-5), Some(0.75)));
    assert!(second.step.0 == 200 && second.loss.unwrap().is_nan() && second.learning_rate == Some(6e-6));
    assert_eq!((third.step.0, third.place.as_str()), (300, "line 4"));
    let metric =
        |name: &str| rows.metrics.iter().find(|row| row.metric == name).map(|row| (row.task.as_str(), row.value));
    assert_eq!(metric("TFLOPs"), Some(("train", 50.25)));
    assert_eq!(metric("lm loss value"), Some(("validation", 2.25)));
    assert_eq!(metric("samples/sec"), Some(("train", 12.5)));
    assert_eq!(metric("approximate flops per GPU"), Some(("train", 3.5)));
}

#[test]
fn lines_that_count_steps() {
    let text = "2025-06-28 11:48:34.886 | INFO | x:28 - Epoch:[2/3](100/44173) loss:6.460 lr:0.000549993677 epoch_Time:115.0min:\n\
        step:1000/1750 val_loss:3.25 train_time:1500ms step_avg:1.50ms\nanything: else\n";
    let rows = rows(text);
    assert_eq!(rows.problems(), None);
    let [log] = rows.train_log.as_slice() else { panic!("{:?}", rows.train_log) };
    assert_eq!((log.step.0, log.loss, log.learning_rate), (44_273, Some(6.46), Some(0.000_549_993_677)));
    let found: Vec<_> = rows.metrics.iter().map(|row| (row.task.as_str(), row.metric.as_str(), row.value)).collect();
    assert_eq!(
        found,
        [
            ("train", "epoch_Time", 115.0),
            ("validation", "val_loss", 3.25),
            ("train", "train_time", 1500.0),
            ("train", "step_avg", 1.5)
        ]
    );
}

/// As nanotron prints them: numbers for people, once by each process.
#[test]
fn lines_of_nanotron() {
    let line = |pp: u32, step: u32, loss: &str| {
        format!(
            "11/02/2025 08:31:01 [INFO|DP=0|PP={pp}|TP=0]: iteration: {step} / 200000 | consumed_tokens: 10.5M | \
             tokens_per_sec: 31.5K | lm_loss: {loss} | lr: 1e-05 | grad_norm: 0.91\n"
        )
    };
    let text: String =
        [(1, 1, "7"), (0, 1, "7"), (0, 2, "6.5"), (1, 2, "6.5")].map(|(pp, step, loss)| line(pp, step, loss)).concat();
    let rows = rows(&format!("11/02/2025 08:15:00 [INFO|DP=0|PP=0|TP=0]: Config:\n{text}"));
    assert_eq!(rows.problems(), None);
    let told: Vec<_> =
        rows.train_log.iter().map(|row| (row.step.0, row.tokens, row.loss, row.learning_rate, row.grad_norm)).collect();
    assert_eq!(
        told,
        [7.0, 6.5].map(|loss| (if loss == 7.0 { 1 } else { 2 }, None, Some(loss), Some(1e-5), Some(0.91)))
    );
    let metrics: Vec<_> = rows.metrics.iter().map(|row| (row.metric.as_str(), row.value)).collect();
    assert_eq!(metrics, [("tokens_per_sec", 31_500.0), ("tokens_per_sec", 31_500.0)]);
    let notes = rows.notes().join("; ");
    assert!(notes.contains("its tokens are left out") && notes.contains("several processes"), "{notes}");
}

fn told(rows: &Rows) -> Vec<(u64, Option<f64>, Option<f64>, &str)> {
    rows.train_log.iter().map(|row| (row.step.0, row.loss, row.learning_rate, &row.place[..])).collect()
}

#[test]
fn another_process_is_compared_and_what_only_it_has_is_taken() {
    let line = |process: &str, step: u32, loss: &str, more: &str| {
        format!(
            "11/02/2025 08:31:01 [INFO|{process}]: iteration: {step} / 9 | lm_loss: {loss} | tokens_per_sec: 1{step}{more}\n"
        )
    };
    // Nodes have names, the last of which is of other hosts; the second process has a NaN, and a rate of its own.
    let (one, two, later) = ("DP=0|PP=0|TP=0|ip-1", "DP=0|PP=1|TP=0|ip-2", "DP=0|PP=1|TP=0|ip-9");
    let text = [
        line(one, 1, "7", ""),
        line(two, 1, "7.0", " | lr: 0.5"),
        line(two, 2, "nan", ""),
        line(one, 2, "6.5", ""),
        line(later, 2, "6.5", ""),
        line(later, 3, "6", ""),
    ];
    let rows = rows(&text.concat());
    assert_eq!(
        told(&rows),
        [(1, Some(7.0), Some(0.5), "line 1"), (2, Some(6.5), None, "line 4"), (3, Some(6.0), None, "line 6"),]
    );
    assert_eq!(rows.metrics.iter().map(|row| row.value).collect::<Vec<_>>(), [11.0, 12.0, 13.0]);
    let expected =
        "line 3: lm_loss is NaN in DP=0|PP=1|TP=0|ip-2, and 6.5 in DP=0|PP=0|TP=0|ip-1 (line 4), which is taken";
    assert_eq!(rows.problems().as_deref(), Some(expected));
}

/// One process that logs a step again after a restart has it twice, as in any log.
#[test]
fn lines_of_srun_are_of_its_tasks() {
    let line = |task: u32, step: u32, loss: &str| {
        format!(
            "{task}:  iteration {step}/ 9 | samples/sec: {task}.5 | lm loss: {loss} | eta: 1 day, 2:03:04 | left: 2:03 |\n"
        )
    };
    let both = |step, loss| [line(0, step, loss), line(1, step, loss)].concat();
    let text = [
        both(1, "4"),
        both(2, "3"),
        both(2, "3.5"),
        "1: validation loss at iteration 2 | lm loss value: 5 |\n".to_owned(),
    ];
    let rows = rows(&text.concat());
    assert_eq!(rows.problems(), None);
    assert_eq!(
        told(&rows),
        [(1, Some(4.0), None, "line 1"), (2, Some(3.0), None, "line 3"), (2, Some(3.5), None, "line 5")]
    );
    let metrics: Vec<_> = rows.metrics.iter().map(|row| (&row.metric[..], row.value)).collect();
    let speed = ("samples/sec", 0.5);
    assert_eq!(metrics, [speed, speed, speed, ("lm loss value", 5.0)]);
    assert!(rows.notes()[0].contains("several processes"), "{:?}", rows.notes());
}

#[test]
fn blocks_of_olmo_behind_what_a_launcher_writes() {
    let block = |prefix: &dyn Fn(u32) -> String, host: &str, step: u32, loss: &str| {
        let lines = [
            format!("2025-03-01 12:30:0{step}.181 {host}:0  olmo.train:908  INFO    [step={step}/9,epoch=0]"),
            format!("    train/CrossEntropyLoss={loss}"),
            "/x.py:7: UserWarning: a=1".to_owned(),
            "  warnings.warn(".to_owned(),
            "    optim/total_grad_norm=0.5".to_owned(),
            "2025-03-01 12:30:09.181 INFO c4-validation".to_owned(),
            "    eval/loss=1".to_owned(),
        ];
        lines.iter().zip(0..).map(|(line, at)| format!("{}{line}\n", prefix(at))).collect::<Vec<_>>()
    };
    let prefixes: [&dyn Fn(u32) -> String; 7] = [
        &|_| String::new(),
        &|_| "[default0]:".to_owned(),
        &|_| "0: ".to_owned(),
        &|at| format!("2025-03-01T12:30:01.12345678{at}Z "),
        &|_| "node1  | ".to_owned(),
        &|_| "\u{1b}[36m(RayTrainWorker pid=7)\u{1b}[0m ".to_owned(),
        &|at| format!("[pod/a-0/main] 2025-03-01T12:30:0{at}Z "),
    ];
    for prefix in prefixes {
        let text = [block(prefix, "a", 1, "4.5"), block(prefix, "a", 2, "nan"), block(prefix, "b", 2, "nan")];
        let rows = rows(&text.concat().concat());
        assert_eq!((rows.problems(), rows.metrics.len()), (None, 0), "{}", prefix(0));
        let [one, two] = rows.train_log.as_slice() else { panic!("{}{:?}", prefix(0), rows.train_log) };
        assert_eq!(
            (one.loss, one.grad_norm, two.grad_norm, &two.place[..]),
            (Some(4.5), Some(0.5), Some(0.5), "line 8")
        );
        assert!(two.loss.unwrap().is_nan());
    }
    // Two tasks at once.
    let (one, two) = (block(&|_| "0: ".to_owned(), "a", 1, "4.5"), block(&|_| "1: ".to_owned(), "b", 2, "3.5"));
    let rows = rows(&one.iter().zip(&two).map(|(one, two)| format!("{one}{two}")).collect::<String>());
    assert_eq!(rows.problems(), None);
    assert_eq!(told(&rows), [(1, Some(4.5), None, "line 1"), (2, Some(3.5), None, "line 2")]);
}

#[test]
fn a_log_without_a_number_is_told() {
    let lines = "date [step=1/9,epoch=0]\n??    train/loss=4\n";
    assert!(rows(lines).problems().unwrap().contains("from line 1 on"));
}

/// As OLMo and OLMo-core print them.
#[test]
fn blocks_of_olmo() {
    let text = "2025-03-01 12:30:01.181 host:0  olmo.train:908  INFO    [step=1/500000,epoch=0]\n    \
        optim/total_grad_norm=198.4\n    train/CrossEntropyLoss=11.27\n    train/Perplexity=78,433\n    \
        throughput/total_tokens=1,048,576\n    note=a, b\nother line\n    train/CrossEntropyLoss=1\n\
        2026-02-25 10:00:01.181 host:0  INFO  [step=2,000/???,epoch=1,eta=12 days 3h]\r\n    train/CE loss=9.5\r\n    \
        optim/LR (group 0)=0.0003\r\n";
    let rows = rows(text);
    assert_eq!(rows.problems(), None);
    let told: Vec<_> = rows
        .train_log
        .iter()
        .map(|row| (row.step.0, row.tokens.map(|t| t.0), row.loss, row.grad_norm, row.learning_rate, &row.place[..]))
        .collect();
    assert_eq!(
        told,
        [
            (1, Some(1_048_576), Some(11.27), Some(198.4), None, "line 1"),
            (2000, None, Some(9.5), None, Some(0.0003), "line 9")
        ]
    );
    let [row] = rows.metrics.as_slice() else { panic!("{:?}", rows.metrics) };
    assert_eq!((&row.task[..], &row.metric[..], row.value), ("train", "Perplexity", 78_433.0));
}

/// As torchtitan prints them, with colours and by two processes, one of which has no loss.
#[test]
fn lines_of_torchtitan() {
    let line = |rank: u32, what: &str, step: u32, loss: &str| {
        format!(
            "[rank{rank}]:[titan] 2026-05-01 12:00:00,123 - root - INFO - \x1b[31m{what}step: {step:2}  \x1b[32mloss: {loss}  \
             \x1b[38;2;180;60;0mgrad_norm:  1.2500  \x1b[36mmemory: 47.03GiB(59.37%)  \x1b[34mtps: 1,234  \
             \x1b[36mtflops: 50.25  \x1b[35mmfu: 5.10%\x1b[39m\n"
        )
    };
    let text = [
        line(0, "", 1, "-1.0000"),
        line(1, "", 1, " 8.5000"),
        line(2, "", 1, " 8.5000"),
        line(1, "", 10, "12.2500"),
        line(1, "validate ", 10, " 7.7500"),
        "[rank1]:[titan] INFO - Saving the checkpoint at step: 10 now\n".to_owned(),
    ];
    let rows = rows(&text.concat());
    assert_eq!(rows.problems(), None);
    let told: Vec<_> = rows.train_log.iter().map(|row| (row.step.0, row.loss, row.grad_norm, &row.place[..])).collect();
    assert_eq!(told, [(1, Some(8.5), Some(1.25), "line 2"), (10, Some(12.25), Some(1.25), "line 4")]);
    let of = |task: &str, step: u64| -> Vec<(&str, f64)> {
        let rows = rows.metrics.iter().filter(|row| row.task == task && row.step.unwrap().0 == step);
        rows.map(|row| (&row.metric[..], row.value)).collect()
    };
    assert_eq!(of("train", 10), [("memory", 47.03), ("tps", 1234.0), ("tflops", 50.25), ("mfu", 5.1)]);
    assert_eq!(of("validation", 10)[..2], [("loss", 7.75), ("grad_norm", 1.25)]);
    let notes = rows.notes().join("; ");
    assert!(notes.contains("several processes") && notes.contains("print -1"), "{notes}");
}

/// As nanochat prints them in training, validation and fine-tuning.
#[test]
fn lines_of_nanochat() {
    let text = "Step 00250 | Validation bpb: 1.125000\nStep 00250 | CORE metric: 0.0625\n\
        step 00250/21400 (1.17%) | loss: 4.500000 | lrm: 1.00 | dt: 123.50ms | tok/sec: 1,234,567 | bf16_mfu: 50.25 | \
        epoch: 1 pq: 0 rg: 5 | total time: 1.50m | eta: 5.0m\n\
        step 00260 (5.00%) | loss: 4.250000 | lrm: 0.50 | dt: 1.00ms\n\
        Step 00270/00700 | Training loss: 1.750000| lrm: 0.250000| num_tokens: 12,345\nOne step at | a time: 5\n";
    let rows = rows(text);
    assert_eq!(rows.problems(), None);
    let told: Vec<_> = rows.train_log.iter().map(|row| (row.step.0, row.loss, &row.place[..])).collect();
    assert_eq!(told, [(250, Some(4.5), "line 3"), (260, Some(4.25), "line 4"), (270, Some(1.75), "line 5")]);
    let metric = |name: &str| rows.metrics.iter().find(|row| row.metric == name).map(|row| (&row.task[..], row.value));
    assert_eq!(metric("Validation bpb"), Some(("validation", 1.125)));
    assert_eq!(metric("CORE metric"), Some(("", 0.0625)));
    assert_eq!(metric("dt"), Some(("train", 123.5)));
    assert_eq!(metric("sec"), None);
    assert_eq!(metric("tok/sec"), Some(("train", 1_234_567.0)));
    assert_eq!(metric("num_tokens"), Some(("train", 12_345.0)));
    assert_eq!(rows.notes(), ["its losses are moving averages, as nanochat prints them"]);
}

/// As litgpt prints them: the validation loss of a later line is an earlier one, and a step has many iterations.
#[test]
fn lines_of_litgpt() {
    let text = "Validating ...\nEpoch 1 | iter 16 step 2 | loss train: 10.500, val: n/a | iter time: 35.25 ms (step) remaining time: 0:00:12\n\
        iter 16: val loss 9.2500, val time: 12.30 ms\n\
        Epoch 1 | iter 32 step 4 | loss train: 8.125, val: 9.250 | iter time: 35.50 ms remaining time: 0:00:10\n\
        iter 40: val loss 8.0000, val time: 12.30 ms\n";
    let rows = rows(text);
    assert_eq!(rows.problems(), None);
    let told: Vec<_> = rows.train_log.iter().map(|row| (row.step.0, row.loss)).collect();
    assert_eq!(told, [(2, Some(10.5)), (4, Some(8.125))]);
    let told: Vec<_> =
        rows.metrics.iter().map(|row| (&row.task[..], &row.metric[..], row.step.map(|s| s.0), row.value)).collect();
    assert_eq!(
        told,
        [
            ("train", "iter time", Some(2), 35.25),
            ("validation", "loss", Some(2), 9.25),
            ("train", "iter time", Some(4), 35.5),
            ("validation", "loss", None, 8.0)
        ]
    );
    assert!(rows.notes()[0].contains("have no step"));
}

#[test]
fn numbers_for_people() {
    for (text, expected, rounded) in [
        ("1,048,576", "1048576", false),
        ("31,204.5", "31204.5", false),
        ("1,04", "1,04", false),
        (",123", ",123", false),
        ("10.5M", "10.5e6", true),
        ("1.2k", "1.2e3", true),
        ("85.8G", "85.8e9", true),
        ("1.5TFLOPS", "1.5TFLOPS", false),
        ("nanK", "nanK", false),
        ("-2K", "-2e3", true),
        ("nan", "nan", false),
        ("", "", false),
    ] {
        assert_eq!(number(text), (expected.into(), rounded), "{text}");
    }
}

#[test]
fn what_does_not_fit_is_told_and_anything_is_survived() {
    for (text, expected) in [
        ("nothing\n", "no known line"),
        ("", "no known line"),
        (" iteration 1/ 2 | lm loss: x1 | learning rate: 1.0 |\n", "line 1: lm loss is \"x1\""),
        (" iteration 99999999999999999999999/ 2 | lm loss: 1.0 |\n", "line 1: its step"),
        ("Epoch:[1/1](x/3) loss:1\n", "no known line"),
    ] {
        let problems = rows(text).problems().unwrap_or_default();
        assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
    }
    let bytes = b"\xff\xfe junk\n iteration 1/ 2 | lm loss: 1.0 | \xe5\x8e |\n";
    assert_eq!(read_as("a.log", bytes, read).train_log.len(), 1);
    survives("a.log", bytes, read);
    let mixed = "0: iteration 1/ 2 | lm loss: 1.0 | a: 2 |\n1: iteration 1/ 2 | lm loss: nan |\n\u{1b}[1m0: x [step=1/2,e]\n\
        1: x [step=1/2]\n0:     a=1\n1:     a=1\n2025-03-01T12:30:01Z a [INFO|DP=0|PP=1]: iteration: 1 / 2 | b: 2\n";
    survives("a.log", mixed.as_bytes(), read);
    survives("a.log", b"\x1b[31mstep: 1  loss: 1.5  tps: 1,2GiB(3%)\nstep 1/2 (5%) | loss: 1.5 | dt: 1ms\n", read);
    survives("a.log", b"| iter 1 step 2 | loss train: 1.5, val: n/a | iter time: 1 ms\niter 1: val loss 1.5,\n", read);
    survives("a.log", b"Epoch:[1/1](100/44173) loss:6.460 lr:0.0005:\nstep:1/2 a:b c:1ms\n", read);
}
