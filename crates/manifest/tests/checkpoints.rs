//! The tensor root of a checkpoint: the same for every division into files, and different after any change.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use retrace_files::Silent;
use retrace_files::safetensors::{self, Dtype, Tensor};
use retrace_manifest::{SealOptions, seal};
use retrace_spec::{Digest, Manifest};
use serde_json::json;

type Tensors = BTreeMap<String, Tensor>;

fn sealed(root: &Path) -> Manifest {
    let options = SealOptions { name: "m".to_owned(), tool: "t".to_owned(), ..SealOptions::default() };
    seal(root, &options, &Silent).unwrap()
}

fn root_of(manifest: &Manifest, path: &str) -> Option<Digest> {
    manifest.artifact(&path.parse().unwrap()).unwrap().tensors.as_ref().map(|tensors| tensors.root)
}

fn in_one_file(tensors: &Tensors) -> Digest {
    let directory = tempfile::tempdir().unwrap();
    safetensors::write(&directory.path().join("model.safetensors"), tensors).unwrap();
    root_of(&sealed(directory.path()), "model.safetensors").unwrap()
}

const INDEX: &str = "run/model.safetensors.index.json";

/// Writes the tensors into files as `cut` states and returns the index's `weight_map`.
fn in_shards(root: &Path, tensors: &Tensors, cut: &[usize]) -> BTreeMap<String, String> {
    std::fs::create_dir(root.join("run")).unwrap();
    let mut map = BTreeMap::new();
    let mut shards: BTreeMap<usize, Tensors> = BTreeMap::new();
    for ((name, tensor), at) in tensors.iter().zip(cut) {
        map.insert(name.clone(), format!("model-{at}.safetensors"));
        shards.entry(*at).or_default().insert(name.clone(), tensor.clone());
    }
    for (at, shard) in shards {
        safetensors::write(&root.join(format!("run/model-{at}.safetensors")), &shard).unwrap();
    }
    map
}

fn index(root: &Path, text: &str) -> Option<Digest> {
    std::fs::write(root.join(INDEX), text).unwrap();
    root_of(&sealed(root), INDEX)
}

fn tensors() -> impl Strategy<Value = Tensors> {
    let tensor = prop::collection::vec(any::<u8>(), 1..5).prop_map(|bytes| Tensor {
        dtype: Dtype::I16,
        shape: vec![bytes.len(), 2],
        bytes: bytes.iter().flat_map(|byte| [*byte, 1, 2, *byte]).collect(),
    });
    prop::collection::btree_map("[a-z]{1,6}(\\.[a-z]{1,3})?", tensor, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_root_is_the_same_for_one_file_and_for_shards(tensors in tensors(), cut in prop::collection::vec(0usize..4, 8)) {
        let directory = tempfile::tempdir().unwrap();
        let map = in_shards(directory.path(), &tensors, &cut);
        let text = json!({"metadata": {"total_size": 9}, "weight_map": map}).to_string();
        prop_assert_eq!(index(directory.path(), &text), Some(in_one_file(&tensors)));
    }

    #[test]
    fn the_root_is_another_for_any_change(tensors in tensors(), which: prop::sample::Index, bit: prop::sample::Index) {
        let sealed = in_one_file(&tensors);
        let name = tensors.keys().nth(which.index(tensors.len())).unwrap().clone();
        let changed = |change: &dyn Fn(&mut Tensor)| {
            let mut tensors = tensors.clone();
            tensors.get_mut(&name).map(change);
            in_one_file(&tensors)
        };
        let flip = |tensor: &mut Tensor| {
            let at = bit.index(tensor.bytes.len() * 8);
            tensor.bytes[at / 8] ^= 1 << (at % 8);
        };
        prop_assert_ne!(changed(&flip), sealed);
        prop_assert_ne!(changed(&|tensor| tensor.dtype = Dtype::F16), sealed);
        prop_assert_ne!(changed(&|tensor| tensor.shape.push(1)), sealed);
        prop_assert_ne!(changed(&|tensor| tensor.shape = vec![tensor.bytes.len() / 2]), sealed);
        let mut renamed = tensors.clone();
        let tensor = renamed.remove(&name).unwrap();
        renamed.insert(format!("{name}_"), tensor);
        prop_assert_ne!(in_one_file(&renamed), sealed);
        let mut more = tensors.clone();
        more.insert("_".to_owned(), Tensor { dtype: Dtype::U8, shape: vec![0], bytes: vec![] });
        prop_assert_ne!(in_one_file(&more), sealed);
    }
}

proptest! {
    #[test]
    fn any_index_is_survived(text in any::<String>(), near in "[{}\\[\\]\":,a-z/.0-9]{0,60}") {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("run")).unwrap();
        prop_assert_eq!(index(directory.path(), &text), None);
        // The empty set has a root; a name that is listed does not exist there.
        let near = format!("{{\"weight_map\": {{\"a\": {near}}}}}");
        prop_assert_eq!(index(directory.path(), &near), None);
    }
}

#[test]
fn an_index_that_does_not_fit_its_shards_has_no_root() {
    let tensor = |byte| Tensor { dtype: Dtype::U8, shape: vec![1], bytes: vec![byte] };
    let tensors =
        BTreeMap::from([("a".to_owned(), tensor(1)), ("b".to_owned(), tensor(2)), ("c".to_owned(), tensor(3))]);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let map = in_shards(root, &tensors, &[0, 1, 1]);
    let said = |map: serde_json::Value| index(root, &json!({"weight_map": map}).to_string());
    assert!(said(json!(map)).is_some());
    for wrong in [
        // A different tensor, one missing, one in another file, a file that does not exist or is elsewhere.
        json!({"a": "model-0.safetensors", "b": "model-1.safetensors", "d": "model-1.safetensors"}),
        json!({"a": "model-0.safetensors", "b": "model-1.safetensors"}),
        json!({"a": "model-1.safetensors", "b": "model-1.safetensors", "c": "model-1.safetensors"}),
        json!({"a": "model-0.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}),
        json!({"a": "../run/model-0.safetensors", "b": "model-1.safetensors", "c": "model-1.safetensors"}),
        json!({"a": 1}),
    ] {
        assert_eq!(said(wrong.clone()), None, "{wrong}");
    }
    for wrong in [
        "",
        "[]",
        "{}",
        "\u{0}",
        r#"{"weight_map": {"a": "model-0.safetensors", "b": "x", "b": "model-1.safetensors", "c": "model-1.safetensors"}}"#,
    ] {
        assert_eq!(index(root, wrong), None, "{wrong}");
    }
    std::fs::write(root.join(INDEX), [0xff, 0xfe]).unwrap();
    assert_eq!(root_of(&sealed(root), INDEX), None);
}
