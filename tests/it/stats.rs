//! `retrace stats`: weights as a table.

use tempfile::tempdir;

use crate::support::{Ran, retrace};

#[test]
fn a_release_is_asked_for_its_weights() {
    let shared = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/models");
    let (good, bad) = (shared.join("stories260K"), shared.join("llama2xs/ckpt.pt"));
    if !good.exists() {
        println!("skipped: there is no {}", good.display());
        return;
    }
    let model = std::fs::read_dir(&good).unwrap().map(|entry| entry.unwrap().path());
    let model = model.filter(|path| path.extension().is_some_and(|e| e == "bin")).min().unwrap();
    let directory = tempdir().unwrap();
    let mut command = retrace();
    command.current_dir(directory.path()).args(["stats", "-o", "."]).args([&model, &bad]);
    Ran::from(command.output().unwrap()).code(0).says(&["finite every number of", "tables/tensors.parquet"]);
    let sql = "select count(*) as n, sum(elements) as elements from tensors where checkpoint like '%ckpt.pt'";
    let mut query = retrace();
    query.current_dir(directory.path()).args(["query", sql, "--format", "csv"]);
    let ran = Ran::from(query.output().unwrap()).code(0);
    let elements: u64 = ran.out.lines().nth(1).unwrap().split(',').nth(1).unwrap().parse().unwrap();
    assert!(elements > 100_000, "{}", ran.out);
    let ran = Ran::from(retrace().arg("stats").args([&model, &bad]).arg("--json").output().unwrap()).code(0);
    let tensors = &ran.json("stats/1")["checkpoints"][0]["tensors"];
    assert!(tensors.as_array().unwrap().iter().all(|tensor| tensor["norm"].as_f64().unwrap() > 0.0));
}
