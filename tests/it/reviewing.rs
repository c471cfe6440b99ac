//! `report release` and `report checkpoints`: what their pages say, and what they must not say.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{LLAMA2C, Ran, Release};

/// A sealed release of a cleaning step, beside which `out` and keys can be written.
fn release() -> Release {
    let release = Release::new();
    for (from, to) in [("raw", "r/raw"), ("clean.yaml", "r/clean.yaml"), ("tokenize.yaml", "r/tokenize.yaml")] {
        fs::create_dir_all(release.path("r")).unwrap();
        fs::rename(release.path(from), release.path(to)).unwrap();
    }
    release.run(&["clean", "r/clean.yaml"]).code(0);
    release.run(&["seal", "r", "--name", "rivers"]).code(0);
    release
}

/// A key pair: the files `NAME.pem` and `NAME.pub.pem`.
fn key(release: &Release, name: &str) {
    let (private, public) = (format!("{name}.pem"), format!("{name}.pub.pem"));
    for arguments in [
        &["genpkey", "-algorithm", "ed25519", "-out", &private][..],
        &["pkey", "-in", &private, "-pubout", "-out", &public],
    ] {
        assert!(Command::new("openssl").args(arguments).current_dir(release.root()).output().unwrap().status.success());
    }
}

fn review(release: &Release, arguments: &[&str]) -> Ran {
    release.run(&[&["report", "release", "r/manifest.yaml"], arguments].concat())
}

fn page(release: &Release, directory: &str) -> String {
    String::from_utf8(release.read(&format!("{directory}/report.html"))).unwrap()
}

fn root(release: &Release) -> String {
    let manifest = String::from_utf8(release.read("r/manifest.yaml")).unwrap();
    manifest.lines().find_map(|line| line.strip_prefix("root: ")).unwrap().to_owned()
}

#[test]
fn without_keys_nobody_vouches_and_the_page_says_so() {
    let release = release();
    review(&release, &["-o", "out"]).code(0).says(&[
        "verified 7 files: all as sealed",
        "audited",
        "wrote out/report.html",
    ]);
    let text = page(&release, "out");
    for part in [
        "Everything that was checked holds.",
        "Nobody vouches for it as far as this page knows",
        "Nobody signed it.",
        "The root was not compared with a published one.",
        "No replay is known.",
        "The records of 1 step fit together.",
        &format!("retrace verify manifest.yaml --root {}", root(&release)),
        "retrace replay manifest.yaml --all",
        "claimed",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("http") && !text.contains("<script") && !text.contains(release.root().to_str().unwrap()));
    // Every artifact with its whole digest, as the manifest has it.
    let csv = String::from_utf8(release.read("out/data/artifacts.csv")).unwrap();
    let manifest = String::from_utf8(release.read("r/manifest.yaml")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 7);
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert!(manifest.contains(cells[3]) && cells[3].len() == 67 && cells[5] == "verified", "{line}");
        assert!(text.contains(cells[3]), "{line}");
    }
    // The same again, elsewhere too. The terminal also says that nobody vouches for it, and what no rule was applied to.
    let ran = review(&release, &["-o", "again"]).code(0);
    ran.says(&["unsigned nobody vouches for it", "not applied", "rolled-back (there is no known-roots)"]);
    fs::rename(release.path("r"), release.path("moved")).unwrap();
    release.run(&["report", "release", "moved/manifest.yaml", "-o", "third"]).code(0);
    for other in ["again", "third"] {
        for file in ["report.html", "data/artifacts.csv", "data/steps.csv", "data/rules.csv"] {
            assert_eq!(
                release.read(&format!("{other}/{file}")),
                release.read(&format!("out/{file}")),
                "{other}/{file}"
            );
        }
    }
}

#[test]
fn signatures_roots_and_attestations_are_checked_with_what_the_reader_has() {
    let release = release();
    key(&release, "author");
    key(&release, "auditor");
    key(&release, "other");
    release.run(&["sign", "r/manifest.yaml", "--key", "author.pem"]).code(0);
    release.run(&["replay", "r/manifest.yaml", "--all", "-o", "replayed.json", "--key", "auditor.pem"]).code(0);
    let root = root(&release);

    // Present, and not checked: claims.
    review(&release, &["--replayed", "replayed.json", "-o", "claims"])
        .code(0)
        .says(&["unchecked", "nobody's signature was checked"]);
    let text = page(&release, "claims");
    assert!(
        text.contains("Its signature was not checked.") && text.contains("1 of 1 steps are said to give the same bits")
    );
    assert!(!text.contains("Signed by"));

    let accepted = [
        "--public-key",
        "author.pub.pem",
        "--root",
        &root,
        "--replayed",
        "replayed.json",
        "--replayed-key",
        "auditor.pub.pem",
    ];
    let ran = review(&release, &[&accepted[..], &["-o", "checked", "--json"]].concat()).code(0);
    let told = ran.json("release-report/1");
    assert_eq!(
        (&told["holds"], &told["trust"], &told["root"]),
        (&true.into(), &"signed".into(), &root.as_str().into())
    );
    let text = page(&release, "checked");
    for part in [
        "Signed by key sha256:",
        "The root is the one that was given.",
        "1 of 1 steps gave the same bits again, says an attestation whose signature holds.",
        "--public-key author.pub.pem",
    ] {
        assert!(text.contains(part), "{part}");
    }

    // The wrong key, the wrong root, an attestation by someone else, one of another release.
    let wrong = review(&release, &["--public-key", "other.pub.pem", "-o", "wrong"]).code(1);
    wrong.says(&["refused manifest.yaml.sig"]);
    assert!(page(&release, "wrong").contains("A signature is not valid"));
    let other = format!("b3:{}", "0".repeat(64));
    review(&release, &["--root", &other, "-o", "root"]).code(1).says(&["the manifest has"]);
    assert!(page(&release, "root").contains("The root is not the one that was given."));
    let foreign = ["--replayed", "replayed.json", "--replayed-key", "other.pub.pem", "-o", "none"];
    review(&release, &foreign).code(2).says(&["replayed.json"]);
    release.write("r/new.txt", "new");
    release.run(&["seal", "r", "--name", "rivers"]).code(0);
    review(&release, &["--replayed", "replayed.json", "-o", "none"]).code(2).says(&["not for this one"]);
    assert!(!release.path("none").exists());
}

#[test]
fn findings_are_on_the_page_in_full() {
    let release = release();
    let mut bytes = release.read("r/clean/en-00.jsonl");
    bytes[10] ^= 1;
    release.write("r/clean/en-00.jsonl", bytes);
    for n in 0..30 {
        release.write(&format!("r/extra/{n:02}.txt"), "x");
    }
    let ran = review(&release, &["-o", "out", "--json"]).code(1);
    assert_eq!(ran.json("release-report/1")["findings"].as_array().unwrap().len(), 31);
    let text = page(&release, "out");
    assert!((0..30).all(|n| text.contains(&format!("extra/{n:02}.txt"))) && text.contains("What differs"));
    assert_eq!(String::from_utf8(release.read("out/data/findings.csv")).unwrap().lines().count(), 32);
    // Nothing is written into a release, nor over anything.
    review(&release, &["-o", "r/out"]).code(2).says(&["inside the release"]);
    review(&release, &["-o", "out"]).code(2).says(&["exists"]);
    assert!(!release.path("r/out").exists());
    review(&release, &["--known-roots", "r/clean.yaml"]).code(2);
    release.run(&["report", "release", "r/clean.yaml"]).code(2);
    release.run(&["report", "release", "nowhere.yaml"]).code(2);
}

#[test]
fn checkpoints_are_drawn_with_queries_that_give_the_same_rows() {
    let release = Release::new();
    let made = std::path::Path::new(LLAMA2C);
    let weights = [made.join("model.bin"), made.join("ckpt.pt")].map(|path| path.to_str().unwrap().to_owned());
    release.run(&["stats", "-o", "t", &weights[0], &weights[1]]).code(0);
    let header = "step,tokens,acc,loss\n";
    for (run, shift) in [("one", 0), ("two", 1)] {
        let line =
            |n: u64| format!("{},{},{},{}\n", n * 10, n * 1000, 0.2 + 0.1 * (n + shift) as f64, 5.0 - n as f64 / 4.0);
        release.write(&format!("in/{run}.csv"), header.to_owned() + &(0..6).map(line).collect::<String>());
    }
    let mapping = "retrace: mapping/1\nstep: [step]\ntokens: tokens\nloss: loss\n";
    release.write("mapping.yaml", mapping);
    release.run(&["import", "csv", "in", "--mapping", "mapping.yaml", "--release", "demo", "-o", "t/tables"]).code(0);
    let arguments = ["report", "checkpoints", "--tables", "t", "-o"];
    release.run(&[&arguments[..], &["out"]].concat()).code(0).says(&["wrote", "out/report.html"]);
    let text = page(&release, "out");
    for part in ["Metrics compared", "Training loss less one", "Heat map", "prefers-color-scheme"] {
        assert!(text.contains(part) || part == "Heat map", "{part}");
    }
    let mut figures = 0;
    for entry in fs::read_dir(release.path("out/data")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "sql") {
            figures += 1;
            let sql = fs::read_to_string(&path).unwrap();
            let answer = release.run(&["query", "--sql", &sql, "t", "--format", "csv", "--quiet"]).code(0);
            assert_eq!(answer.out, fs::read_to_string(path.with_extension("csv")).unwrap(), "{}", path.display());
        }
    }
    assert!(figures >= 6, "{figures}");
    release.run(&[&arguments[..], &["again"]].concat()).code(0);
    assert_eq!(page(&release, "out"), page(&release, "again"));
    let one = ["--metric", "acc", "--run", "two", "--run", "one", "--json"];
    let told = release.run(&[&arguments[..], &["one"], &one].concat()).code(0).json("checkpoint-report/1");
    let titles: Vec<&Value> = told["sections"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|of| of["figures"].as_array().unwrap())
        .map(|of| &of["title"])
        .collect();
    assert!(titles.iter().any(|title| title.as_str().unwrap().ends_with("less two")), "{titles:?}");
    // What is wrong is said, and nothing is written.
    for (more, says) in
        [(&["--run", "three"][..], "there is no run \"three\""), (&["--metric", "nothing*"], "there is no metric")]
    {
        release.run(&[&arguments[..], &["none"], more].concat()).code(2).says(&[says]);
    }
    release
        .run(&["report", "checkpoints", "--tables", "in/one.csv", "-o", "none"])
        .code(2)
        .says(&["metrics, train_log and tensors are missing"]);
    release.run(&[&arguments[..], &["out"]].concat()).code(2).says(&["exists"]);
    assert!(!release.path("none").exists());
    // A value that is not finite is a finding.
    release.write("in/one.csv", header.to_owned() + "0,0,0.5,nan\n10,1000,0.6,2.0\n");
    release.run(&["import", "csv", "in", "--mapping", "mapping.yaml", "--release", "demo", "-o", "odd"]).code(0);
    release.run(&["report", "checkpoints", "--tables", "odd", "-o", "bad"]).code(1).says(&["not finite 1 value"]);
}
