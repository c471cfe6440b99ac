//! Whether a final model is the average of its ingredients.

use std::fs;
use std::path::Path;

use crate::foreign::alter;
use crate::support::{Ran, retrace};

/// A model of two tensors of one number each, written by hand: an eight-byte length, a header, the numbers.
fn model(directory: &Path, name: &str, a: f32, b: f32) {
    let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let bytes =
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &a.to_le_bytes(), &b.to_le_bytes()].concat();
    fs::create_dir_all(directory.join(name)).unwrap();
    fs::write(directory.join(name).join("model.safetensors"), bytes).unwrap();
}

#[test]
fn an_average_is_told_from_none() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for (name, a, b) in [("x", 1.0, 0.5), ("y", 2.0, 0.25), ("final", 1.5, 0.375)] {
        model(root, name, a, b);
    }
    let run = |arguments: &[&str]| Ran::from(retrace().current_dir(root).args(arguments).output().unwrap());
    run(&["average", "x", "y", "--against", "final", "-o", "made"]).code(0).says(&["the same bits", "2 tensors"]);
    run(&["average", "made", "--against", "final"]).code(0).says(&["the same bits"]);
    alter(&root.join("final/model.safetensors"), "b", 1.0 + f32::EPSILON);
    run(&["average", "x", "y", "--against", "final"]).code(0).says(&["to rounding: 1 of 2 tensors"]);
    alter(&root.join("final/model.safetensors"), "b", 1.001);
    let ran = run(&["average", "x", "y", "--against", "final"]).code(1);
    assert!(ran.out.starts_with("differs  b: 1 of 1") && ran.out.lines().count() == 1, "{}", ran.out);
    let told = run(&["average", "x", "y", "--against", "final", "--json"]).code(1).json("average/1");
    assert_eq!(told["average"]["tensors"][0]["closeness"], "exact");
    // As a table, it gives a finding of the audit; the correct average gives none.
    run(&["average", "x", "y", "--against", "final", "--table", "tables"]).code(1);
    let audited = run(&["audit", "tables"]).code(1);
    assert!(audited.out.contains("error not-the-average"), "{}", audited.out);
    assert!(audited.out.contains("1 tensors are not the average of x, y"), "{}", audited.out);
    run(&["average", "x", "y", "--against", "made", "--table", "tables"]).code(0);
    run(&["audit", "tables"]).code(0).says(&["clean"]);
    run(&["average", "x", "none", "--against", "final"]).code(2);
}

/// By hand: 100.5 + 0.25 is 101 in bfloat16, less 100 is 1, and a third of that is 0x3eab. The mean is 0.25.
#[test]
fn an_average_computed_in_sixteen_bits_is_no_accusation() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let save = |name: &str, dtype: &str, bytes: &[u8]| {
        let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{}]}}}}"#, bytes.len());
        let all = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), bytes].concat();
        fs::write(root.join(format!("{name}.safetensors")), all).unwrap();
    };
    for (name, number) in [("x", 100.5f32), ("y", 0.25), ("z", -100.0)] {
        save(name, "F32", &number.to_le_bytes());
    }
    save("final", "BF16", &0x3eab_u16.to_le_bytes());
    save("other", "BF16", &0x3eac_u16.to_le_bytes());
    let run = |arguments: &[&str]| Ran::from(retrace().current_dir(root).args(arguments).output().unwrap());
    let average = |last: &str, more: &[&str]| {
        let parts =
            ["average", "x.safetensors", "y.safetensors", "z.safetensors", "--against", last, "--table", "tables"];
        run(&[&parts[..], more].concat())
    };
    let words = "of 3 ingredients, computed in BF16 (each sum is rounded, then the division): 1 of 1 tensor";
    average("final.safetensors", &[]).code(0).says(&[words]);
    run(&["audit", "tables"]).code(0).says(&["clean"]);
    average("other.safetensors", &[]).code(1);
    assert!(run(&["audit", "tables"]).code(1).out.contains("not-the-average"));
    // 2 · 100.5 + 0.5 − 200 is 1.5, by 5 is 0.3: 0x3e9a in bfloat16.
    save("weighted", "BF16", &0x3e9a_u16.to_le_bytes());
    average("weighted.safetensors", &[]).code(1);
    average("weighted.safetensors", &["--weights", "2,2,2"]).code(1);
    average("weighted.safetensors", &["--weights", "2,2,1"]).code(1);
    save("z", "F32", &(-200f32).to_le_bytes());
    average("weighted.safetensors", &["--weights", "2,2,1"]).code(0).says(&["the same bits"]);
    average("weighted.safetensors", &["--weights", "2,2"]).code(2).says(&["2 weights for 3 ingredients"]);
    average("weighted.safetensors", &["--weights", "2,-2,1"]).code(2).says(&["no weight"]);
}
