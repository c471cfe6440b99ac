//! `retrace stats`: weights as a table.

use retrace_files::safetensors::read;
use tempfile::tempdir;

use crate::support::{LLAMA2C, Ran, retrace};

#[test]
fn a_release_is_asked_for_its_weights() {
    let made = std::path::Path::new(LLAMA2C);
    let (export, checkpoint) = (made.join("model.bin"), made.join("ckpt.pt"));
    let directory = tempdir().unwrap();
    let mut command = retrace();
    command.current_dir(directory.path()).args(["stats", "-o", "."]).args([&export, &checkpoint]);
    Ran::from(command.output().unwrap()).code(0).says(&["finite every value of", "tables/tensors.parquet"]);
    let sql = "select count(*) as n, sum(elements) as elements from tensors where checkpoint like '%ckpt.pt'";
    let mut query = retrace();
    query.current_dir(directory.path()).args(["query", sql, "--format", "csv"]);
    // Width 8, hidden width 12, 2 layers, 2 heads of 4 and 1 key-value head, a vocabulary of 272. The head is tied to
    // the embedding, each of the 20 weights has two moments and a count, and there is a loss.
    let layer = 8 + 64 + 32 + 32 + 64 + 8 + 3 * 8 * 12;
    let model = 272 * 8 + 2 * layer + 8;
    let expected = format!("n,elements\n{},{}\n", 21 + 3 * 20 + 1, 3 * model + 272 * 8 + 20 + 1);
    assert_eq!(Ran::from(query.output().unwrap()).code(0).out, expected);

    let ran = Ran::from(retrace().arg("stats").args([&export, &checkpoint]).arg("--json").output().unwrap()).code(0);
    let told = ran.json("stats/1");
    // PyTorch's norm of the same numbers.
    let expected = &read(&made.join("expected.safetensors")).unwrap()["embedding_norm"].bytes;
    let expected = f64::from_le_bytes(expected.as_slice().try_into().unwrap());
    for (at, name) in ["token_embedding_table", "model.tok_embeddings.weight"].into_iter().enumerate() {
        let tensors = told["checkpoints"][at]["tensors"].as_array().unwrap();
        let norm = tensors.iter().find(|tensor| tensor["tensor"] == name).unwrap()["norm"].as_f64().unwrap();
        assert!((norm / expected - 1.0).abs() < 1e-12, "{name}: {norm}, not {expected}");
    }
}

/// A file of weights with one tensor of one number.
fn one_weight(value: f32) -> Vec<u8> {
    let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &value.to_le_bytes()].concat()
}

#[test]
fn several_runs_at_once_are_told_apart() {
    let directory = tempdir().unwrap();
    let paths = ["runs/a/step-1", "runs/a/step-2", "runs/b/step-1", "runs/b/step-2", "more/a/step-1"];
    for (path, value) in paths.iter().zip([1f32, 3.0, 100.0, 107.0, 5.0]) {
        let place = directory.path().join(path);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("model.safetensors"), one_weight(value)).unwrap();
    }
    let told = |arguments: &[&str]| {
        let mut command = retrace();
        Ran::from(command.current_dir(&directory).arg("stats").args(arguments).output().unwrap())
    };
    told(&[&["-o", "."], &paths[..4]].concat()).code(0);
    let sql =
        "select run, step, distance_to_previous as moved, distance_to_first as far from tensors order by run, step";
    let mut query = retrace();
    query.current_dir(&directory).args(["query", sql, "--format", "csv"]);
    let expected = "run,step,moved,far\na,1,,\na,2,2.0,2.0\nb,1,,\nb,2,7.0,7.0\n";
    assert_eq!(Ran::from(query.output().unwrap()).code(0).out, expected);
    // The table has the names alone.
    told(&["-o", "two", paths[0], paths[4]]).code(2).says(&["two runs of the name a", "--run NAME"]);
    assert!(!directory.path().join("two").exists());
    told(&["--run", "all", "-o", "two", paths[0], paths[4]]).code(0);
}

#[test]
fn a_file_in_the_directory_of_a_checkpoint_has_its_step_and_run() {
    let directory = tempdir().unwrap();
    let weights = directory.path().join("runs/small/step-000120/model.safetensors");
    let blob = directory.path().join("blobs/1f0c/model.safetensors");
    for place in [&weights, &blob] {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    }
    std::fs::write(&blob, one_weight(1.0)).unwrap();
    // As in a cache of downloads: the name that says the step is a link to a file that has none.
    #[cfg(unix)]
    std::os::unix::fs::symlink(&blob, &weights).unwrap();
    #[cfg(not(unix))]
    std::fs::copy(&blob, &weights).unwrap();
    let mut command = retrace();
    command.current_dir(&directory).args(["stats", "-o", ".", "runs/small/step-000120/model.safetensors"]);
    Ran::from(command.output().unwrap()).code(0);
    let mut query = retrace();
    query.current_dir(&directory).args(["query", "select run, step from tensors", "--format", "csv"]);
    assert_eq!(Ran::from(query.output().unwrap()).code(0).out, "run,step\nsmall,120\n");
}

/// As DeepSpeed ZeRO-3 leaves a model that was saved without gathering it: the weights have shape [0].
#[test]
fn tensors_without_elements_are_found() {
    let directory = tempdir().unwrap();
    let save = |name: &str, header: &str, bytes: &[u8]| {
        let header = header.as_bytes();
        let all = [&(header.len() as u64).to_le_bytes()[..], header, bytes].concat();
        std::fs::write(directory.path().join(name), all).unwrap();
    };
    let none = |name: &str| format!(r#""{name}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    let some = |name: &str| format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#);
    save("part.safetensors", &format!("{{{},{}}}", none("a"), some("b")), &1f32.to_le_bytes());
    save("all.safetensors", &format!("{{{},{}}}", none("a"), none("b")), &[]);
    save("state.safetensors", &format!("{{{},{}}}", none("a._extra_state"), some("b")), &1f32.to_le_bytes());
    let told = |verb: &str, arguments: &[&str]| {
        let mut command = retrace();
        Ran::from(command.current_dir(&directory).arg(verb).args(arguments).output().unwrap())
    };
    let named = "1 of 2 tensors have no elements, the first is a of shape [0]";
    let ran = told("stats", &["part.safetensors"]).code(1).says(&["every value of 1 tensor", named]);
    assert!(ran.out.contains("a  no elements, shape [0]"), "{}", ran.out);
    let ran = told("stats", &["all.safetensors"]).code(1).says(&["2 of 2 tensors have no elements"]);
    assert!(!ran.err.contains("every value"), "{}", ran.err);
    told("stats", &["state.safetensors"]).code(0);
    told("stats", &["-o", "part", "part.safetensors"]).code(1).says(&[named]);
    told("stats", &["-o", "state", "state.safetensors"]).code(0);
    let ran = told("audit", &["part"]).code(1);
    assert!(ran.out.contains("error empty-tensors") && ran.out.contains(named), "{}", ran.out);
    let ran = told("audit", &["state"]);
    assert!(!ran.out.contains("empty-tensors"), "{}", ran.out);
}
