//! `report scaling`: points in any form of table, what it says, what it writes, and what it refuses.

use serde_json::Value;

use crate::support::{Ran, Release};

/// A table of exact losses of a law, E = 1.7, A = 400, B = 410, α = 0.34, β = 0.28, with small noise: five budgets of
/// seven sizes each, one run each.
fn table(columns: &str) -> String {
    let mut text = format!("{columns}\n");
    let mut state = 1u64;
    for compute in [1e18_f64, 3e18, 1e19, 3e19, 1e20] {
        for factor in [0.25, 0.4, 0.7, 1.0, 1.5, 2.5, 4.0] {
            let params = (compute / 6.0 / 20.0).sqrt() * factor;
            let tokens = compute / 6.0 / params;
            // Park and Miller's generator.
            state = state * 48271 % 2_147_483_647;
            let noise = (state as f64 / 2_147_483_647.0 - 0.5) * 0.004;
            let loss = (1.7 + 400.0 / params.powf(0.34) + 410.0 / tokens.powf(0.28)) * (1.0 + noise);
            text += &format!("run{state},{params:.0},{tokens:.0},{loss:.6}\n");
        }
    }
    text
}

fn release() -> Release {
    let release = Release::new();
    release.write("runs.csv", table("run,params_total,tokens,loss_nats_per_token"));
    release.write("plain.csv", table("name,N,D,L"));
    release
}

fn report(release: &Release, arguments: &[&str]) -> Ran {
    release.run(&[&["report", "scaling"], arguments].concat())
}

#[test]
fn a_law_is_found_again_from_every_form_of_points() {
    let release = release();
    let quick = ["--samples", "100", "--json"];
    let first = report(&release, &[&["--points", "runs.csv"], &quick[..]].concat()).code(0).json("scaling-report/1");
    let law = &first["laws"][0];
    assert_eq!((&law["law"], first["points"]["rows"].as_array().unwrap().len()), (&"hoffmann-3".into(), 35));
    assert_eq!(first["points"]["params_unit"], "total");
    for (name, expected, near) in [("E", 1.7, 0.1), ("alpha", 0.34, 0.04), ("beta", 0.28, 0.04)] {
        let value = law["parameters"][name].as_f64().unwrap();
        assert!((value - expected).abs() < near, "{name}: {value}");
        let interval: Vec<f64> =
            law["intervals"][name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(interval[0] < value && value < interval[1] && interval[1] - interval[0] < 1.0, "{name}: {interval:?}");
    }
    assert_eq!(law["starts"]["tried"], 4500);
    assert!(law["starts"]["converged"].as_bool().unwrap() && law["objective"].as_f64().unwrap() < 1e-3, "{law}");
    let columns =
        ["--columns", "params=N,tokens=D,loss=L,run=name", "--params-unit", "total", "--loss-unit", "nats/token"];
    let sql = "select name as run, N as params_total, D as tokens, L as loss_nats_per_token from plain";
    for points in [
        &[&["--points", "plain.csv"][..], &columns].concat()[..],
        &[
            "--points",
            &sql.replace(" N ", " \"N\" ").replace(" D ", " \"D\" ").replace(" L ", " \"L\" "),
            "--tables",
            "plain.csv",
        ],
    ] {
        let other = report(&release, &[points, &quick].concat()).code(0).json("scaling-report/1");
        assert_eq!(other["laws"], first["laws"], "{points:?}");
    }
    let quiet = report(&release, &["--points", "runs.csv", "--samples", "10"]).code(0);
    assert!(!quiet.err.contains("not sealed"), "{}", quiet.err);
    let threads = report(&release, &["--points", "runs.csv", "--threads", "1", "--samples", "100", "--json"]);
    assert_eq!(threads.code(0).json("scaling-report/1")["laws"], first["laws"]);
}

#[test]
fn the_page_and_its_data_are_written_whole_and_the_same_each_time() {
    let release = release();
    let laws = "hoffmann-3,hoffmann-2,kaplan";
    let arguments = ["--points", "runs.csv", "--law", laws, "--samples", "50", "--predict", "compute=1e22", "-o"];
    let ran = report(&release, &[&arguments[..], &["page"]].concat()).code(0);
    ran.says(&["fitted 3 laws to 35 points", "Kaplan's law counts parameters without embeddings"]);
    let files = [
        "report.html",
        "report.md",
        "scaling.json",
        "points.csv",
        "prediction.json",
        "loss-by-compute.csv",
        "isoflop.csv",
        "contours.csv",
        "held-out.csv",
    ];
    let first: Vec<Vec<u8>> = files.iter().map(|file| release.read(&format!("page/{file}"))).collect();
    let page = String::from_utf8(first[0].clone()).unwrap();
    for part in [
        "hoffmann-3",
        "Compute-optimal models",
        "Held-out points",
        "href=\"isoflop.csv\"",
        "retrace report scaling --points runs.csv",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("http"), "it needs nothing else");
    report(&release, &[&arguments[..], &["page"]].concat()).code(2).says(&["exists"]);
    std::fs::rename(release.path("page"), release.path("before")).unwrap();
    report(&release, &[&arguments[..], &["page"]].concat()).code(0);
    report(&release, &[&arguments[..], &["another"]].concat()).code(0);
    for directory in ["page", "another"] {
        for (file, bytes) in files.iter().zip(&first) {
            assert_eq!(&release.read(&format!("{directory}/{file}")), bytes, "{directory}/{file}");
        }
    }
    // The Markdown is also printed, and the JSON is what --json prints.
    let printed = report(&release, &[&arguments[..6], &["--format", "md"]].concat()).code(0);
    let markdown = String::from_utf8(release.read("page/report.md")).unwrap();
    assert!(printed.out.starts_with("# Scaling report\n") && printed.out.contains("| E | "), "{}", printed.out);
    assert!(markdown.contains("## Predictions") && !printed.out.contains("## Predictions"));
    let json = |flag: &[&str]| report(&release, &[&arguments[..8], flag].concat()).code(0).out;
    assert_eq!(json(&["--format", "json"]), json(&["--json"]));
}

/// The report has its points, in a form that is fitted again to the same laws.
#[test]
fn a_reader_fits_the_points_of_a_report_again() {
    let release = release();
    let how = ["--law", "hoffmann-3,kaplan", "--samples", "20"];
    report(&release, &[&["--points", "runs.csv", "-o", "page"], &how[..]].concat()).code(0);
    let made: Value = serde_json::from_slice(&release.read("page/scaling.json")).unwrap();
    for points in ["page/points.csv", "page/scaling.json"] {
        let ran = report(&release, &[&["--points", points, "--json"], &how[..]].concat()).code(0);
        let again = ran.json("scaling-report/1");
        for part in ["laws", "compared", "points", "request", "retrace"] {
            assert_eq!(again[part], made[part], "{points} {part}");
        }
    }
    let unit = ["--points", "page/scaling.json", "--params-unit", "total"];
    report(&release, &unit).code(2).says(&["whose points have their units"]);
    let broken = String::from_utf8(release.read("page/scaling.json")).unwrap().replace("\"rows\"", "\"lines\"");
    release.write("page/scaling.json", broken);
    report(&release, &unit[..2]).code(2).says(&["scaling.json", "lines"]);
}

/// Each choice of the fit is a flag, the page says all of them, and what it says can be run.
#[test]
fn every_choice_is_a_flag_and_on_the_page() {
    let release = release();
    let start =
        ["--grid", "E=1.5", "--grid", "A=300,500", "--grid", "B=300", "--grid", "alpha=0.3", "--grid", "beta=0.3"];
    let more = [
        "--tolerance",
        "absolute=1e-14",
        "--delta",
        "inf",
        "--skip",
        "0.2",
        "--window",
        "3",
        "--cuts",
        "1",
        "--loss",
        "C4's validation split",
        "--bootstrap",
        "case",
        "--samples",
        "10",
        "-o",
        "page",
    ];
    report(&release, &[&["--points", "runs.csv"], &start[..], &more[..]].concat());
    let made: Value = serde_json::from_slice(&release.read("page/scaling.json")).unwrap();
    assert_eq!(made["laws"][0]["starts"]["tried"], 2);
    assert_eq!((&made["request"]["fit"]["delta"], &made["loss"]), (&"inf".into(), &"C4's validation split".into()));
    let markdown = String::from_utf8(release.read("page/report.md")).unwrap();
    let command = markdown.lines().find(|line| line.starts_with("retrace report scaling")).unwrap();
    let mut shell = std::process::Command::new("sh");
    shell
        .current_dir(release.root())
        .args(["-c", &format!("\"$0\" {} -o again", command.strip_prefix("retrace").unwrap())]);
    let ran = Ran::from(shell.arg(crate::support::retrace().get_program()).output().unwrap());
    assert!(ran.code < 2, "{}", ran.err);
    for file in ["report.html", "report.md", "scaling.json"] {
        assert!(release.read(&format!("page/{file}")) == release.read(&format!("again/{file}")), "{file}");
    }
    let refused = report(&release, &["--points", "runs.csv", "--grid", "E=1", "-o", "out"]).code(2);
    refused.says(&["grid", "values of each parameter"]);
    report(&release, &["--points", "runs.csv", "--base", "E=1", "-o", "out"]).code(2).says(&["E=…,A=…"]);
    report(&release, &["--points", "runs.csv", "--skip", "1", "-o", "out"]).code(2).says(&["--skip must be from 0"]);
    assert!(!release.path("out").exists());
}

/// A path need not be text.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_text_is_read_and_written() {
    use std::os::unix::ffi::OsStrExt;

    let release = release();
    let odd = |name: &[u8]| release.root().join(std::ffi::OsStr::from_bytes(name));
    std::fs::copy(release.path("runs.csv"), odd(b"r\xff.csv")).unwrap();
    let mut command = crate::support::retrace();
    command.args(["report", "scaling", "--samples", "20", "-o"]).arg(odd(b"o\xff"));
    command.arg("--points").arg(odd(b"r\xff.csv")).current_dir(release.root());
    let ran = Ran::from(command.output().unwrap());
    // Tables are opened by names that are text; it says so, and does not panic.
    assert!(ran.code == 0 || (ran.code == 2 && ran.err.contains("help:")), "{}", ran.err);
    assert!(!ran.err.contains("panicked") && !ran.err.contains("bug"), "{}", ran.err);
    let mut command = crate::support::retrace();
    command.args(["report", "scaling", "--samples", "20", "--points", "runs.csv", "-o"]).arg(odd(b"o\xff"));
    Ran::from(command.current_dir(release.root()).output().unwrap()).code(0);
    assert!(odd(b"o\xff").join("report.html").is_file());
}

/// A prediction that is written before a run says later whether it held.
#[test]
fn a_prediction_is_compared_with_the_run() {
    let release = release();
    let model = "params=1e10,tokens=2e11";
    report(&release, &["--points", "runs.csv", "--samples", "100", "--predict", model, "-o", "before"]).code(0);
    let made: Value = serde_json::from_slice(&release.read("before/prediction.json")).unwrap();
    let said = &made["predictions"][0]["said"];
    let truth = 1.7 + 400.0 / 1e10_f64.powf(0.34) + 410.0 / 2e11_f64.powf(0.28);
    let interval: Vec<f64> = said["run_interval"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert!(interval[0] < truth && truth < interval[1], "{truth} {said}");
    let check = |loss: f64, columns: &str, params: &str| {
        release.write("later.csv", format!("{columns}\n{params},200000000000,{loss}\n"));
        report(&release, &["--points", "later.csv", "--check", "before/prediction.json"])
    };
    let columns = "params_total,tokens,loss_nats_per_token";
    assert!(check(truth, columns, "10000000000").code(0).out.starts_with("inside"));
    assert!(check(truth * 1.2, columns, "10000000000").code(1).out.starts_with("outside"));
    check(truth, columns, "20000000000").code(2).says(&["no point is this model"]);
    check(truth, "params_nonembedding,tokens,loss_nats_per_token", "10000000000").code(2).says(&["units"]);
    report(&release, &["--points", "runs.csv", "--check", "before/prediction.json"]).code(2).says(&["were made from"]);
    release.write("other.json", "{\"retrace\": \"prediction/2\"}");
    report(&release, &["--points", "runs.csv", "--check", "other.json"]).code(2).says(&["missing field"]);
    release.write("old.json", "{\"retrace\": \"prediction/1\"}");
    let says = ["does not say which points its laws were fitted to", "field `made`"];
    report(&release, &["--points", "runs.csv", "--check", "old.json"]).code(2).says(&says);
    // The old points and one new: only the new one is compared.
    let old = String::from_utf8(release.read("runs.csv")).unwrap();
    let columns = old.lines().next().unwrap().to_owned();
    let new: Vec<&str> = columns
        .split(',')
        .map(|name| match name {
            "run" => "later",
            name if name.starts_with("params") => "1e10",
            "tokens" => "2e11",
            _ => "3",
        })
        .collect();
    release.write("more.csv", format!("{old}{}\n", new.join(",")));
    let ran = report(&release, &["--points", "more.csv", "--check", "before/prediction.json"]).code(1);
    assert!(ran.out.starts_with("outside") && ran.out.lines().count() == 1, "{}", ran.out);
    ran.says(&["the laws were fitted to them"]);
    // That it cannot be compared later is said before the run.
    let none = ["--points", "runs.csv", "--bootstrap", "none", "--predict", model];
    report(&release, &none).code(0).says(&["cannot be checked later", "no interval"]);
}

/// Runs "1" and "01" are two. The report's own points are read back with the same runs.
#[test]
fn a_run_is_text_as_it_stands_in_the_file() {
    let release = release();
    let mut lines = vec!["run,params_total,tokens,loss_nats_per_token".to_owned()];
    let made = table("run,params_total,tokens,loss_nats_per_token");
    for (at, line) in made.lines().skip(1).enumerate() {
        let (_, numbers) = line.split_once(',').unwrap();
        let run = if at % 2 == 0 { format!("{}", at / 2) } else { format!("0{}", at / 2) };
        lines.push(format!("{run},{numbers}"));
    }
    release.write("ids.csv", lines.join("\n") + "\n");
    release.write("named.csv", (lines.join("\n") + "\n").replace("run,", "id,"));
    let quick = ["--bootstrap", "none", "--cuts", "0", "-o", "out", "--json"];
    let first = report(&release, &[&["--points", "ids.csv"], &quick[..]].concat()).code(0).json("scaling-report/1");
    let runs = |value: &Value| -> Vec<String> {
        let rows = value["points"]["rows"].as_array().unwrap();
        rows.iter().map(|row| row["run"].as_str().unwrap().to_owned()).collect()
    };
    let mut expected: Vec<String> = lines[1..].iter().map(|line| line.split(',').next().unwrap().to_owned()).collect();
    let mut found = runs(&first);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let sql = "select run, params_total, tokens, loss_nats_per_token from ids";
    let quick = &quick[..4];
    for points in [
        &["--points", "out/points.csv"][..],
        &["--points", "named.csv", "--columns", "run=id"],
        &["--points", sql, "--tables", "ids.csv"],
    ] {
        let again = report(&release, &[points, quick, &["--json"]].concat()).code(0).json("scaling-report/1");
        assert_eq!(again["points"], first["points"], "{points:?}");
    }
}

#[test]
fn what_a_law_does_not_say_has_its_reason() {
    let release = release();
    let laws =
        ["--points", "runs.csv", "--law", "hoffmann-3,hoffmann-2", "--samples", "20", "--predict", "compute=1e21"];
    let ran = report(&release, &[&laws[..], &["-o", "out"]].concat()).code(0);
    ran.says(&[
        "cannot be checked later hoffmann-2, compute=1e21: the law says the best model for a compute, and no loss",
    ]);
    let page = String::from_utf8(release.read("out/report.md")).unwrap();
    for part in [
        "hoffmann-2, compute=1e21: the law says the best model for a compute, and no loss.",
        "hoffmann-2 was not tested: the law hoffmann-2 says the best model for a compute, and no loss",
        "Bootstrap samples are drawn for hoffmann-3 alone",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let short = ["--points", "runs.csv", "--bootstrap", "none", "--cuts", "0", "--updates", "3"];
    let ran = report(&release, &short);
    ran.says(&["None of the 4500 starts reached the best optimum"]);
    // Loss on a task, then accuracy.
    let mut two = "run,params_total,tokens,loss_bits_per_byte,accuracy\n".to_owned();
    for params in [1.9e8_f64, 3.7e8, 7.6e8, 1.3e9] {
        for multiple in [1.0, 3.0, 9.0] {
            for part in 1..=12 {
                let tokens = 20.0 * params * multiple * f64::from(part) / 12.0;
                let loss = 0.45 + 38.0 / params.powf(0.226) + 100.0 / tokens.powf(0.236);
                let accuracy = 1.0 - 0.74 / (1.0 + (-4.8 * (loss - 1.2)).exp());
                two += &format!("{params}x{multiple},{params},{tokens},{loss},{accuracy}\n");
            }
        }
    }
    release.write("two.csv", two);
    let model = "params=7e9,tokens=4e12";
    let two = ["--points", "two.csv", "--law", "two-step", "--samples", "5", "--cuts", "0", "--predict", model];
    let ran = report(&release, &two);
    assert!(
        ran.code < 2 && ran.out.contains("    accuracy 0.") && ran.out.contains(" to 0."),
        "{} {}",
        ran.out,
        ran.err
    );
}

/// A page goes to other people: it names the files, and not where they were.
#[test]
fn the_page_has_no_path_of_the_machine() {
    let release = release();
    let place = release.path("runs.csv");
    let quick = ["--bootstrap", "none", "--predict", "params=1e10,tokens=2e11", "-o", "out"];
    let points = ["--points", place.to_str().unwrap()];
    report(&release, &[&points, &quick[..]].concat()).code(0);
    let root = release.root().to_str().unwrap().to_owned();
    for name in ["report.html", "report.md", "scaling.json", "prediction.json"] {
        let text = String::from_utf8(release.read(&format!("out/{name}"))).unwrap();
        assert!(!text.contains(&root), "{name}");
        assert!(name == "scaling.json" || text.contains("--points runs.csv"), "{name}");
    }
}

#[test]
fn bad_points_are_told_with_their_place_and_nothing_is_written() {
    let release = release();
    let head = "params_total,tokens,loss_nats_per_token\n";
    let rows = |rows: &[&str]| format!("{head}{}\n", rows.join("\n"));
    let good =
        ["1e8,2e9,3.1", "2e8,4e9,2.9", "4e8,8e9,2.7", "8e8,1e9,2.9", "1e9,2e10,2.5", "2e9,4e10,2.4", "3e9,1e10,2.45"];
    let with = |row: &str| rows(&[&good[..3], &[row], &good[3..]].concat());
    for (what, text, more, said) in [
        ("three points", rows(&good[..3]), &[][..], &["3 points cannot determine", "help:"][..]),
        ("no points", head.to_owned(), &[], &["there are no points"]),
        (
            "one N only",
            rows(&["1e8,1e9,3.1", "1e8,2e9,3", "1e8,3e9,2.9", "1e8,4e9,2.8", "1e8,5e9,2.7", "1e8,6e9,2.6"]),
            &[],
            &["the same params"],
        ),
        ("NaN", with("1e8,2e9,NaN"), &[], &["params 100000000, tokens 2000000000, loss NaN: loss is not"]),
        ("a loss below 0", with("1e8,2e9,-2"), &[], &["loss -2: loss is not"]),
        ("no tokens", with("1e8,0,2"), &[], &["tokens 0, loss 2: tokens is not"]),
        ("an unknown column", rows(&good), &["--columns", "params=P"], &["no column \"P\""]),
        (
            "a text for a number",
            "params_total,tokens,loss_nats_per_token,flops\n1e8,2e9,3.1,1e18\n2e8,4e9,2.9,some\n".to_owned(),
            &[],
            &["tokens 4000000000", "the column \"flops\" has \"some\", which is not a number"],
        ),
        (
            "a text for the parameters",
            with("7B,1e9,2.2"),
            &[],
            &["params 7B, tokens 1", "the column \"params_total\" has \"7B\", which is not a number"],
        ),
        (
            "a column twice",
            rows(&good)
                .replace("params_total,tokens", "params_total,tokens,tokens")
                .replace("e8,", "e8,1,")
                .replace("e9,", "e9,1,"),
            &[],
            &["bad.csv", "has the column \"tokens\" twice"],
        ),
        ("no runs", rows(&good), &["--finals"], &["no point has a run", "--finals"]),
        ("nothing held out", rows(&good), &["--held-out", "nan"], &["--held-out must be between 0 and 1"]),
        ("too many cuts", rows(&good), &["--cuts", "100000"], &["--cuts must be at most 100"]),
        ("no unit", rows(&good).replace("params_total", "params"), &[], &["unit of params", "--params-unit"]),
        (
            "no loss",
            rows(&good).replace("loss_nats_per_token", "l"),
            &[],
            &["no column has loss", "l, params_total, tokens"],
        ),
        ("two units", rows(&good), &["--params-unit", "non-embedding"], &["says another unit"]),
        ("a law that needs more", rows(&good), &["--law", "data-constrained"], &["needs", "unique"]),
        ("a budget of nothing", rows(&good), &["--predict", "compute=0"], &["not one finite number above 0"]),
    ] {
        release.write("bad.csv", text);
        let ran = report(&release, &[&["--points", "bad.csv", "-o", "out"], more].concat()).code(2);
        let ran = ran.says(said);
        assert!(ran.out.is_empty() && !release.path("out").exists(), "{what}");
    }
    release.write("rows.json", "{\"params_total\": 1e8}\n");
    report(&release, &["--points", "rows.json", "-o", "out"])
        .code(2)
        .says(&["rows.json is not the scaling.json", ".jsonl"]);
    report(&release, &["--points", "absent.csv", "-o", "out"]).code(2).says(&["absent.csv"]);
}
