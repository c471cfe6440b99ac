//! Differences of releases and checkpoints, each made by hand.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use retrace_files::Silent;
use retrace_files::safetensors::{self, Dtype, Tensor};
use retrace_manifest::{Change, Diff, Difference, SealOptions, Side, diff, seal, verify};
use retrace_weights::Distance;

fn floats(shape: &[usize], numbers: &[f32]) -> Tensor {
    Tensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes: numbers.iter().flat_map(|x| x.to_le_bytes()).collect() }
}

fn write(path: &Path, tensors: &[(&str, Tensor)]) {
    let tensors: BTreeMap<_, _> = tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
    safetensors::write(path, &tensors).unwrap();
}

fn of_directories(a: &Path, b: &Path) -> Diff {
    diff(&Side::of_directory(a, &Silent).unwrap(), &Side::of_directory(b, &Silent).unwrap()).unwrap()
}

#[test]
fn files_are_added_removed_renamed_and_changed() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, content) in [("same", "1"), ("changed", "22"), ("removed", "3"), ("old name", "4"), ("twin", "4")] {
        fs::write(a.path().join(name), content).unwrap();
    }
    for (name, content) in [("same", "1"), ("changed", "2"), ("added", "5"), ("new name", "4")] {
        fs::write(b.path().join(name), content).unwrap();
    }
    let found = of_directories(a.path(), b.path());
    assert_eq!(found.equal, 1);
    let told: Vec<_> =
        found.files.iter().map(|f| (f.path.as_str(), f.change, f.from.as_ref().map(|p| p.as_str()), f.sizes)).collect();
    assert_eq!(
        told,
        [
            ("added", Change::Added, None, [None, Some(1)]),
            ("changed", Change::Changed, None, [Some(2), Some(1)]),
            ("new name", Change::Renamed, Some("old name"), [Some(1), Some(1)]),
            ("removed", Change::Removed, None, [Some(1), None]),
            ("twin", Change::Removed, None, [Some(1), None]),
        ]
    );
    assert!(of_directories(a.path(), a.path()).files.is_empty());
}

#[test]
fn every_difference_of_a_tensor_is_told_as_what_it_is() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let narrow = |numbers: &[f32]| Tensor {
        dtype: Dtype::BF16,
        shape: vec![numbers.len()],
        bytes: numbers.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect(),
    };
    // 1 + 2⁻⁸ is half-way between two bf16 numbers, 1 and 1 + 2⁻⁷: ties go to the even one, 1.
    let half_way = 1.0 + 1.0 / 256.0;
    let before = [
        ("changed", floats(&[4], &[1.0, 2.0, -4.0, 0.0])),
        ("equal", floats(&[1], &[7.0])),
        ("moved", floats(&[2], &[8.0, 9.0])),
        ("nan", floats(&[2], &[1.0, 1.0])),
        ("recast", floats(&[3], &[1.0, -2.5, half_way])),
        ("recast badly", floats(&[2], &[1.0, 2.0])),
        ("removed", floats(&[1], &[3.0])),
        ("reshaped", floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("reshaped badly", floats(&[1, 2], &[1.0, 2.0])),
    ];
    let after = [
        ("added", floats(&[1], &[3.5])),
        ("changed", floats(&[4], &[1.0, 2.5, -4.0, -0.0])),
        ("equal", floats(&[1], &[7.0])),
        ("moved here", floats(&[2], &[8.0, 9.0])),
        ("nan", floats(&[2], &[f32::NAN, 1.0])),
        ("recast", narrow(&[1.0, -2.5, 1.0])),
        ("recast badly", narrow(&[1.0, 3.0])),
        ("reshaped", floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("reshaped badly", floats(&[2, 1], &[2.0, 1.0])),
    ];
    write(&a.path().join("model.safetensors"), &before);
    // In two files: no tensor differs.
    write(&b.path().join("model-1.safetensors"), &after[..4]);
    write(&b.path().join("model-2.safetensors"), &after[4..]);
    let found = of_directories(a.path(), b.path());
    assert_eq!(found.checkpoints.len(), 1);
    assert_eq!(found.checkpoints[0].equal, 1);
    let told: BTreeMap<&str, &Difference> =
        found.checkpoints[0].tensors.iter().map(|t| (t.name.as_str(), &t.difference)).collect();
    let distance = |differing, of, largest, largest_relative| Distance { differing, of, largest, largest_relative };
    let expected = [
        ("added", Difference::Added),
        // 2 to 2.5 and 0 to -0: two numbers, with a maximum distance of 0.5, which is a fifth of 2.5.
        ("changed", Difference::Changed { distance: Some(distance(2, 4, 0.5, 0.2)) }),
        ("moved", Difference::Removed { now: Some("moved here".to_owned()) }),
        ("moved here", Difference::Added),
        ("nan", Difference::Changed { distance: Some(distance(1, 2, f64::INFINITY, f64::INFINITY)) }),
        (
            "recast",
            Difference::Recast {
                dtypes: [Dtype::F32, Dtype::BF16],
                equal_after_casting: true,
                distance: distance(1, 3, 0.003_906_25, 0.003_906_25 / 1.003_906_25),
            },
        ),
        (
            "recast badly",
            Difference::Recast {
                dtypes: [Dtype::F32, Dtype::BF16],
                equal_after_casting: false,
                distance: distance(1, 2, 1.0, 1.0 / 3.0),
            },
        ),
        ("removed", Difference::Removed { now: None }),
        ("reshaped", Difference::Reshaped { shapes: [vec![2, 3], vec![3, 2]], same_numbers: true }),
        ("reshaped badly", Difference::Reshaped { shapes: [vec![1, 2], vec![2, 1]], same_numbers: false }),
    ];
    for (name, expected) in &expected {
        assert_eq!(told.get(name), Some(&expected), "{name}");
    }
    assert_eq!(told.len(), expected.len());
}

/// More numbers than one block of the comparison: those at the ends, and at the border of two blocks.
#[test]
fn a_large_tensor_is_compared_to_its_end() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let count = (1 << 18) + 3;
    let mut numbers: Vec<f32> = (0..count).map(|at| at as f32).collect();
    write(&a.path().join("x.safetensors"), &[("w", floats(&[count], &numbers)), ("v", floats(&[count], &numbers))]);
    for (at, by) in [(0, 2.0), ((1 << 18) - 1, 1.0), (1 << 18, 1.0), (count - 1, 4.0)] {
        numbers[at] += by;
    }
    write(&b.path().join("x.safetensors"), &[("w", floats(&[count], &numbers)), ("v", floats(&[1, count], &numbers))]);
    let found = of_directories(a.path(), b.path());
    let of = |name: &str| &found.checkpoints[0].tensors.iter().find(|change| change.name == name).unwrap().difference;
    let Difference::Changed { distance: Some(distance) } = of("w") else { panic!("{:?}", of("w")) };
    // For the first number, 0 and 2, the relative distance is 1.
    assert_eq!(*distance, Distance { differing: 4, of: count as u64, largest: 4.0, largest_relative: 1.0 });
    assert!(matches!(of("v"), Difference::Reshaped { same_numbers: false, .. }));
}

/// Counters beyond 2⁵³ that binary64 cannot tell apart.
#[test]
fn integers_of_64_bits_are_compared_exactly() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tensor = |dtype: Dtype, numbers: [u64; 2]| Tensor {
        dtype,
        shape: vec![2],
        bytes: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
    };
    let large = 1_u64 << 60;
    write(
        &a.path().join("x.safetensors"),
        &[("i", tensor(Dtype::I64, [large, u64::MAX])), ("u", tensor(Dtype::U64, [u64::MAX, 3]))],
    );
    write(
        &b.path().join("x.safetensors"),
        &[("i", tensor(Dtype::I64, [large + 1, 1])), ("u", tensor(Dtype::U64, [u64::MAX - 1, 3]))],
    );
    let found = of_directories(a.path(), b.path());
    let of = |name: &str| match &found.checkpoints[0]
        .tensors
        .iter()
        .find(|change| change.name == name)
        .unwrap()
        .difference
    {
        Difference::Changed { distance: Some(distance) } => *distance,
        other => panic!("{other:?}"),
    };
    // −1 and 1 are 2 apart, twice the larger of them.
    assert_eq!(of("i"), Distance { differing: 2, of: 2, largest: 2.0, largest_relative: 2.0 });
    assert_eq!((of("u").differing, of("u").largest), (1, 1.0));
}

#[test]
fn two_cuts_into_files_are_equal_tensors() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let all = [("x", floats(&[1], &[1.0])), ("y", floats(&[1], &[2.0]))];
    write(&a.path().join("model.safetensors"), &all);
    write(&b.path().join("model-1.safetensors"), &all[..1]);
    write(&b.path().join("model-2.safetensors"), &all[1..]);
    let found = of_directories(a.path(), b.path());
    assert_eq!(found.files.len(), 3);
    assert_eq!((found.checkpoints[0].equal, found.checkpoints[0].tensors.len()), (2, 0));
}

/// Manifests alone show which tensors differ; with the files, the distance too.
#[test]
fn manifests_tell_what_they_can() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&a.path().join("model.safetensors"), &[("x", floats(&[1], &[1.0])), ("y", floats(&[1], &[2.0]))]);
    write(&b.path().join("model.safetensors"), &[("x", floats(&[1], &[1.0])), ("y", floats(&[1], &[4.0]))]);
    let sealed = |root: &Path| {
        let options = SealOptions { name: "m".to_owned(), tool: "t".to_owned(), ..SealOptions::default() };
        seal(root, &options, &Silent).unwrap()
    };
    let (sealed_a, sealed_b) = (sealed(a.path()), sealed(b.path()));
    let told = |root_a: Option<&Path>, root_b: Option<&Path>| {
        let found =
            diff(&Side::of_manifest(&sealed_a, root_a).unwrap(), &Side::of_manifest(&sealed_b, root_b).unwrap())
                .unwrap();
        assert_eq!(found.checkpoints[0].equal, 1);
        found.checkpoints[0].tensors.iter().map(|t| (t.name.clone(), t.difference.clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(None, None), [("y".to_owned(), Difference::Changed { distance: None })]);
    let distance = Distance { differing: 1, of: 1, largest: 2.0, largest_relative: 0.5 };
    assert_eq!(
        told(Some(a.path()), Some(b.path())),
        [("y".to_owned(), Difference::Changed { distance: Some(distance) })]
    );
}

#[test]
fn single_files_are_compared_whatever_they_are_called() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (directory.path().join("a.safetensors"), directory.path().join("b.safetensors"));
    write(&a, &[("x", floats(&[1], &[1.0]))]);
    write(&b, &[("x", floats(&[1], &[2.0]))]);
    let found = diff(&Side::of_file(&a).unwrap(), &Side::of_file(&b).unwrap()).unwrap();
    assert_eq!((found.files.len(), found.checkpoints[0].tensors.len()), (1, 1));
    fs::copy(&a, &b).unwrap();
    assert_eq!(diff(&Side::of_file(&a).unwrap(), &Side::of_file(&b).unwrap()).unwrap().equal, 1);
}

/// An export of llama2.c with a width of 2, hidden 3, 2 layers, 1 head, a vocabulary of 4 and 2 positions.
fn llama2c(numbers: impl Iterator<Item = f32>) -> Vec<u8> {
    let header = [2, 3, 2, 1, 1, 4, 2].into_iter().flat_map(i32::to_le_bytes);
    header.chain(numbers.flat_map(f32::to_le_bytes)).collect()
}

/// Two exports of the same size and header. The tensors with different numbers are found by position, counted by hand:
/// embedding 8, then of both layers each: norm 2, q, k, v and o 4, norm 2, w1 to w3 6; norm 2, two tables of 2.
#[test]
fn two_exports_of_one_shape_differ_by_their_tensors() {
    const NUMBERS: usize = 8 + 2 * (2 + 4 * 4 + 2 + 3 * 6) + 2 + 2 * 2;
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (directory.path().join("a.bin"), directory.path().join("b.bin"));
    fs::write(&a, llama2c((0..NUMBERS).map(|at| at as f32))).unwrap();
    // The last of the embedding, the first of layer 1's first norm, and of layer 0's wq.
    let other = |at: usize| at as f32 + if [7, 10, 12].contains(&at) { 0.5 } else { 0.0 };
    fs::write(&b, llama2c((0..NUMBERS).map(other))).unwrap();
    let found = diff(&Side::of_file(&a).unwrap(), &Side::of_file(&b).unwrap()).unwrap();
    let checkpoint = &found.checkpoints[0];
    let names: Vec<&str> = checkpoint.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["layers.0.wq", "layers.1.rms_att_weight", "token_embedding_table"]);
    assert_eq!(checkpoint.equal, 2 * 9 + 4 - 3);
    for tensor in &checkpoint.tensors {
        let Difference::Changed { distance: Some(distance) } = &tensor.difference else { panic!("{tensor:?}") };
        assert_eq!((distance.differing, distance.largest), (1, 0.5), "{}", tensor.name);
    }
    let release = directory.path().join("release");
    fs::create_dir(&release).unwrap();
    fs::copy(&a, release.join("model.bin")).unwrap();
    let options = SealOptions { name: "m".to_owned(), tool: "t".to_owned(), ..SealOptions::default() };
    let manifest = seal(&release, &options, &Silent).unwrap();
    fs::remove_file(release.join("model.bin")).unwrap();
    fs::copy(&b, release.join("model.bin")).unwrap();
    let verified = verify(&manifest, &release, None, &Silent).unwrap();
    assert_eq!(verified.findings().next().unwrap().tensors, names);
}
