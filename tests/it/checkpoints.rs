//! Which tensors a directory contains: the same answer in every verb, for valid and invalid checkpoints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use retrace_files::safetensors::{self, Dtype, Tensor};
use serde_json::{Value, json};

use crate::runs::trained;
use crate::support::{Ran, Release};

const INDEX: &str = "model.safetensors.index.json";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
/// Only in the second shard.
const LAST: &str = "model.norm.weight";

type Tensors = BTreeMap<String, Tensor>;

/// A trained release with a task, and the weights of its last checkpoint.
fn release() -> (Release, Tensors) {
    let release = trained();
    release.write(
        "words.yaml",
        "retrace: task/1\nname: words\nmeasure: bits_per_byte\nitems: words.jsonl\nprefix: <|end|>\n",
    );
    release.write("words.jsonl", "{\"id\":\"1\",\"text\":\"Document 1 tells of 7 rivers.\"}\n");
    release.write("ids.json", "[[1, 2, 3]]");
    let weights = safetensors::read(&release.path(&format!("{WHOLE}/model.safetensors"))).unwrap();
    (release, weights)
}

const WHOLE: &str = "runs/small/step-000040";

/// The other files of the checkpoint.
fn rest(release: &Release, directory: &str) {
    for file in ["config.json", "tokenizer.json"] {
        release.write(&format!("{directory}/{file}"), release.read(&format!("{WHOLE}/{file}")));
    }
}

/// The shard of a tensor.
fn shard(name: &str) -> &'static str {
    SHARDS[usize::from(name >= "model.layers.1")]
}

/// Writes the weights into two shards, with an index.
fn sharded(release: &Release, directory: &str, weights: &Tensors) {
    rest(release, directory);
    for file in SHARDS {
        let part: Tensors =
            weights.iter().filter(|(name, _)| shard(name) == file).map(|(n, t)| (n.clone(), t.clone())).collect();
        assert!(!part.is_empty());
        safetensors::write(&release.path(&format!("{directory}/{file}")), &part).unwrap();
    }
    index(&release.path(directory), &weight_map(weights));
}

fn weight_map(weights: &Tensors) -> Value {
    weights.keys().map(|name| (name.clone(), Value::from(shard(name)))).collect::<serde_json::Map<_, _>>().into()
}

fn index(directory: &Path, weight_map: &Value) {
    fs::write(directory.join(INDEX), json!({"weight_map": weight_map}).to_string()).unwrap();
}

/// The arguments of each verb for the checkpoint in `wrong`, where `good` is a valid one.
const READERS: &[&[&str]] = &[
    &["stats", "wrong"],
    &["diff", "good", "wrong"],
    &["diff", "wrong", "good"],
    &["diff", "wrong", "wrong"],
    &["average", "good", "--against", "wrong"],
    &["average", "wrong", "--against", "good"],
    &["logits", "wrong", "--tokens", "ids.json", "-o", "logits.safetensors"],
    &["generate", "wrong", "--prompt", "a", "--tokens", "2"],
    &["eval", "wrong", "--tasks", "words.yaml"],
    &["eval", "eval.yaml"],
    &["train", "start.yaml"],
];

/// A way to damage the directory of a checkpoint, and the expected error of every verb.
type Wrong = (&'static str, fn(&Path, &Tensors), &'static str);

const WRONG: &[Wrong] = &[
    (
        "an index names a tensor that no shard holds",
        |directory, weights| {
            let mut map = weight_map(weights);
            map["model.extra"] = SHARDS[1].into();
            index(directory, &map);
        },
        "\"model.extra\" is in model-00002-of-00002.safetensors, which does not hold it",
    ),
    (
        "a shard holds a tensor that the index lacks",
        |directory, weights| {
            let mut map = weight_map(weights);
            map.as_object_mut().unwrap().remove(LAST);
            index(directory, &map);
        },
        "it holds tensor \"model.norm.weight\", which model.safetensors.index.json does not list",
    ),
    (
        "a shard is not there",
        |directory, _| fs::remove_file(directory.join(SHARDS[1])).unwrap(),
        "is in model-00002-of-00002.safetensors, which is not there",
    ),
    (
        "a tensor is in two shards",
        |directory, weights| {
            let mut part = safetensors::read(&directory.join(SHARDS[0])).unwrap();
            part.insert(LAST.to_owned(), weights[LAST].clone());
            safetensors::write(&directory.join(SHARDS[0]), &part).unwrap();
        },
        "it holds tensor \"model.norm.weight\", which model.safetensors.index.json says is in model-00002-of-00002.safetensors",
    ),
    (
        "a tensor is in two shards, and there is no index",
        |directory, weights| {
            fs::remove_file(directory.join(INDEX)).unwrap();
            let mut part = safetensors::read(&directory.join(SHARDS[0])).unwrap();
            part.insert(LAST.to_owned(), weights[LAST].clone());
            safetensors::write(&directory.join(SHARDS[0]), &part).unwrap();
        },
        "tensor \"model.norm.weight\", as model-00001-of-00002.safetensors has: it is in two files",
    ),
    (
        "the index is cut off",
        |directory, _| {
            let text = fs::read(directory.join(INDEX)).unwrap();
            fs::write(directory.join(INDEX), &text[..text.len() / 2]).unwrap();
        },
        "it is no index of a checkpoint",
    ),
    (
        "the index says of a tensor twice where it is",
        |directory, _| {
            let twice = format!("{{\"weight_map\": {{\"{LAST}\": \"{}\", \"{LAST}\": \"{}\"}}}}", SHARDS[0], SHARDS[1]);
            fs::write(directory.join(INDEX), twice).unwrap();
        },
        "tensor \"model.norm.weight\" comes twice",
    ),
    (
        "the index leads out of the directory",
        |directory, _| index(directory, &json!({"a": "../good/model-00001-of-00002.safetensors"})),
        "tensor \"a\" is in \"../good/model-00001-of-00002.safetensors\", which is not the name of a .safetensors file beside it",
    ),
    (
        "the index leads anywhere",
        |directory, _| index(directory, &json!({"a": directory.join(SHARDS[0]).to_str()})),
        "which is not the name of a .safetensors file beside it",
    ),
    (
        "the index has a million tensors",
        |directory, _| {
            let entries: Vec<String> = (0..1_000_000).map(|at| format!("\"{at}\":\"{}\"", SHARDS[0])).collect();
            fs::write(directory.join(INDEX), format!("{{\"weight_map\":{{{}}}}}", entries.join(","))).unwrap();
        },
        "more than 262144 tensors",
    ),
    (
        "a shard is a directory",
        |directory, _| {
            fs::remove_file(directory.join(SHARDS[1])).unwrap();
            fs::create_dir(directory.join(SHARDS[1])).unwrap();
        },
        "model-00002-of-00002.safetensors is not a regular file",
    ),
    (
        "the index is a directory",
        |directory, _| {
            fs::remove_file(directory.join(INDEX)).unwrap();
            fs::create_dir(directory.join(INDEX)).unwrap();
        },
        "model.safetensors.index.json is not a regular file",
    ),
];

#[test]
fn a_wrong_checkpoint_is_told_by_every_verb() {
    let (release, weights) = release();
    sharded(&release, "good", &weights);
    release.write("eval.yaml", "retrace: eval/1\nname: eval\nmodels: [wrong]\ntasks: [words.yaml]\noutput: results\n");
    let run = String::from_utf8(release.read("run.yaml")).unwrap();
    let run = run.replace("output: runs/small", "output: runs/other").replace("name: small", "name: other");
    release.write("start.yaml", format!("{run}start: {{checkpoint: wrong}}\n"));
    for (what, spoil, expected) in WRONG {
        let wrong = release.path("wrong");
        sharded(&release, "wrong", &weights);
        spoil(&wrong, &weights);
        for arguments in READERS {
            let Ran { code, out, err } = release.run(arguments);
            assert!(code == 2 && err.contains(expected), "{what}: {arguments:?}: {code}\n{out}{err}");
            // The error names the file, and does not accuse anyone.
            assert!(err.contains("wrong/") && !err.contains("anew"), "{what}: {arguments:?}\n{err}");
        }
        release.run(&["convert", "wrong", "-o", "new"]).code(2);
        // Sealed, with a finding; and every verification finds it too, against the manifest or a list.
        let told = release.run(&["seal", "wrong", "-o", "wrong.yaml"]).code(1).says(&[expected]);
        assert!(!told.err.contains("anew"), "{what}: {}", told.err);
        let sealed = release.run(&["seal", "wrong", "-o", "wrong.yaml", "--json"]).code(1).json("seal/1");
        assert_eq!(sealed["checkpoints"].as_array().unwrap().len(), 1, "{what}: {sealed}");
        let verified = release.run(&["verify", "wrong.yaml", "wrong"]).code(1);
        assert!(
            verified.out.starts_with("checkpoint   ") && verified.out.lines().count() == 1,
            "{what}: {}",
            verified.out
        );
        assert!(verified.out.contains(expected), "{what}: {}", verified.out);
        let told = release.run(&["verify", "wrong.yaml", "wrong", "--json"]).code(1).json("verify/1");
        assert_eq!((&told["holds"], &told["checkpoints"]), (&false.into(), &sealed["checkpoints"]), "{what}");
        let list = release.run(&["export", "b3sums", "wrong.yaml"]).code(0).out;
        release.write("B3SUMS", list);
        assert!(release.run(&["verify", "B3SUMS", "wrong"]).code(1).out.contains(expected), "{what}");
        fs::remove_dir_all(wrong).unwrap();
    }
    for made in ["logits.safetensors", "results", "new"] {
        assert!(!release.path(made).exists(), "{made}");
    }
}

/// A checkpoint in one file, in shards, and as PyTorch saves it: the same for every verb.
#[test]
fn the_same_tensors_in_any_form_are_the_same_checkpoint() {
    let (release, weights) = release();
    sharded(&release, "shards", &weights);
    rest(&release, "torch");
    release.write("torch/pytorch_model.bin", torch(&weights));
    rest(&release, "torch-shards");
    for (at, file) in ["pytorch_model-1.bin", "pytorch_model-2.bin"].iter().enumerate() {
        let part =
            weights.iter().filter(|(name, _)| shard(name) == SHARDS[at]).map(|(n, t)| (n.clone(), t.clone())).collect();
        release.write(&format!("torch-shards/{file}"), torch(&part));
    }
    let map: BTreeMap<&String, &str> = weights
        .keys()
        .map(|n| (n, if shard(n) == SHARDS[0] { "pytorch_model-1.bin" } else { "pytorch_model-2.bin" }))
        .collect();
    release.write("torch-shards/pytorch_model.bin.index.json", json!({"weight_map": map}).to_string());
    let mut said: Vec<[Value; 4]> = Vec::new();
    for form in [WHOLE, "shards", "torch", "torch-shards"] {
        let mut stats = release.run(&["stats", form, "--json"]).code(0).json("stats/1");
        let logits = ["logits", form, "--tokens", "ids.json", "-o", "logits.safetensors", "--json"];
        let generated = ["generate", form, "--prompt", "Document", "--tokens", "4", "--json"];
        let mut evaluated = release.run(&["eval", form, "--tasks", "words.yaml", "--json"]).code(0).json("eval/1");
        said.push([
            stats["checkpoints"][0]["tensors"].take(),
            release.run(&logits).code(0).json("logits/1")["digest"].take(),
            release.run(&generated).code(0).json("generate/1"),
            evaluated["models"][0]["results"].take(),
        ]);
        release.run(&["average", WHOLE, "--against", form]).code(0).says(&["the same bits"]);
        assert_eq!(said.first(), said.last(), "{form}");
        assert!(said[0].iter().all(|value| !value.is_null()), "{said:?}");
    }
    // No tensor of the two differs; the optimizer's moments are missing.
    let diff = release.run(&["diff", "shards", "torch-shards", "--json"]).code(1).json("diff/1");
    assert_eq!(diff["checkpoints"][0]["tensors"], json!([]), "{diff}");
    assert_eq!(diff["checkpoints"][0]["equal"], weights.len());
    release.run(&["seal", "torch-shards"]).code(0);
    release.run(&["verify", "torch-shards/manifest.yaml"]).code(0);
}

/// A PyTorch file that is empty, cut off, a pointer of Git LFS or a web page has no tensors that could contradict
/// anything; its name says that it should.
#[test]
fn a_file_that_is_named_as_weights_and_is_not_shows_in_the_exit_code() {
    let (_, weights) = release();
    let whole = torch(&weights);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n", "a".repeat(64));
    let no_weights: [&[u8]; 5] = [b"", b"PK", &whole[..whole.len() / 2], pointer.as_bytes(), b"<!DOCTYPE html>\n"];
    for (at, bytes) in no_weights.into_iter().enumerate() {
        // Also under a name of its own, which only the index says is that of weights.
        for (index, name) in [(true, "pytorch_model-2.bin"), (false, "pytorch_model-2.bin"), (true, "odd.bin")] {
            let release = Release::new();
            release.write("m/pytorch_model-1.bin", &whole);
            release.write(&format!("m/{name}"), bytes);
            if index {
                let mut map: BTreeMap<&String, &str> = weights.keys().map(|n| (n, "pytorch_model-1.bin")).collect();
                let more = "more".to_owned();
                map.insert(&more, name);
                release.write("m/pytorch_model.bin.index.json", json!({"weight_map": map}).to_string());
            }
            let expected = format!("{name}: its name is that of weights, and its content is not");
            release.run(&["seal", "m"]).code(1).says(&[&expected]);
            let verified = release.run(&["verify", "m/manifest.yaml"]).code(1);
            assert!(verified.out.contains(&expected), "{at}: {}", verified.out);
            let class = release.run(&["openness", "m/manifest.yaml"]).code(0).says(&[&expected]);
            assert!(!class.out.contains("verified"), "{at}: {}", class.out);
            release.run(&["stats", "m"]).code(2);
        }
    }
    // PyTorch before 1.6 wrote pickles without an archive. One that cannot be read is named with the reason.
    let release = Release::new();
    release.write("m/pytorch_model.bin", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.");
    release
        .run(&["seal", "m"])
        .code(0)
        .says(&["pytorch_model.bin: its tensors have no digests", "its pickle is cut off"]);
}

/// The files are those of `crates/files/tests/torch`, where their tensors are compared with safetensors' own.
#[test]
fn every_type_and_both_formats_of_pytorch_are_compared_and_have_statistics() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../files/tests/torch");
    let release = Release::new();
    for (to, name) in [("zip", "types.pt"), ("old", "types-before-1.6-protocol-2.pt"), ("safe", "types.safetensors")] {
        let content = fs::read(from.join(name)).unwrap();
        let to = if to == "safe" { "safe/model.safetensors".to_owned() } else { format!("{to}/model.pt") };
        release.write(&to, content);
    }
    let of = |name: &str| format!("{name}/model.{}", if name == "safe" { "safetensors" } else { "pt" });
    for other in ["old", "safe"] {
        let diff = release.run(&["diff", &of("zip"), &of(other)]).code(1);
        assert!(diff.out.contains("all 23 tensors are equal; only the files differ"), "{}", diff.out);
    }
    // Some bytes are those of NaN, which is a finding.
    let stats = |name: &str| {
        let told = release.run(&["stats", "--json", &of(name)]).code(1).json("stats/1");
        let tensors = told["checkpoints"][0]["tensors"].as_array().unwrap().clone();
        tensors.iter().map(|t| ["tensor", "digest", "norm", "non_finite"].map(|key| t[key].clone())).collect::<Vec<_>>()
    };
    assert_eq!(stats("zip").len(), 23);
    assert_eq!(stats("zip"), stats("old"));
    assert_eq!(stats("zip"), stats("safe"));
}

/// Transposed matrices are the same weights. Weights that cannot be read are named with the reason, and nothing is said
/// of their numbers.
#[test]
fn views_are_read_and_what_cannot_be_read_is_named() {
    let (release, weights) = release();
    release.write("plain/model.pth", torch(&weights));
    release.write("views/model.pth", torch_as(&weights, "FloatStorage", true));
    release.run(&["diff", "plain", "views"]).code(1).says(&["1 file, 0 tensors"]);
    let diff = release.run(&["diff", "plain", "views"]).code(1);
    assert!(diff.out.contains("tensors are equal; only the files differ"), "{}", diff.out);
    let digests = |of: &str| {
        let told = release.run(&["stats", "--json", of]).code(0).json("stats/1");
        told["checkpoints"][0]["tensors"].as_array().unwrap().iter().map(|t| t["digest"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(digests("plain/model.pth"), digests("views/model.pth"));
    let reason = "is of torch.ComplexDoubleStorage, which is not read here";
    let odd = torch_as(&weights, "ComplexDoubleStorage", false);
    release.write("odd/model.pth", &odd);
    release.run(&["stats", "odd/model.pth"]).code(2).says(&[reason]);
    let diff = release.run(&["diff", "plain", "odd"]).code(1);
    let diff = diff.says(&["1 file, no tensors compared", "tensors of odd/model.pth", reason]);
    assert!(!diff.err.contains("0 tensors"), "{}", diff.err);
    let told = release.run(&["diff", "--json", "plain", "odd"]).code(1).json("diff/1");
    assert_eq!((&told["not_compared"][0]["path"], &told["not_compared"][0]["side"]), (&json!("model.pth"), &json!(1)));
    // What stands in such a file is not said to be gone.
    release.write("both/more.pth", torch(&weights));
    release.write("part/more.pth", torch_as(&weights, "FloatStorage", true));
    release.write(
        "both/model.pth",
        torch(&Tensors::from([("only".to_owned(), weights.values().next().unwrap().clone())])),
    );
    release.write("part/model.pth", &odd);
    let diff = release.run(&["diff", "both", "part"]).code(1).says(&["0 tensors of those compared", reason]);
    assert!(
        diff.out.contains("tensors that can be compared are equal") && !diff.out.contains("removed"),
        "{}",
        diff.out
    );
    release.run(&["seal", "odd"]).code(0).says(&["model.pth: its tensors have no digests", reason]);
    release.run(&["verify", "odd/manifest.yaml"]).code(0);
    release.write("odd/model.pth", [&odd[..odd.len() - 60], &[7], &odd[odd.len() - 59..]].concat());
    let verified = release.run(&["verify", "odd/manifest.yaml"]).code(1);
    assert!(verified.out.contains("its tensors were not compared"), "{}", verified.out);
}

/// A file as `torch.save` writes it, of F32 tensors: an archive of a pickle and a storage for each tensor, by the
/// format's description (PKWARE's APPNOTE; Python's pickletools).
fn torch(tensors: &Tensors) -> Vec<u8> {
    torch_as(tensors, "FloatStorage", false)
}

/// As [`torch`], with another class of storage; or with each matrix as the transpose of what is stored.
fn torch_as(tensors: &Tensors, class: &str, transposed: bool) -> Vec<u8> {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let number = |number: usize| [&b"J"[..], &(number as i32).to_le_bytes()].concat();
    let tuple =
        |numbers: &[usize]| [b"(".to_vec(), numbers.iter().flat_map(|n| number(*n)).collect(), b"t".to_vec()].concat();
    let mut pickle = b"\x80\x02}(".to_vec();
    let mut entries = Vec::new();
    for (at, (name, tensor)) in tensors.iter().enumerate() {
        assert_eq!(tensor.dtype, Dtype::F32);
        let count = tensor.bytes.len() / 4;
        let mut strides: Vec<usize> = (0..tensor.shape.len()).map(|d| tensor.shape[d + 1..].iter().product()).collect();
        let mut stored = tensor.bytes.clone();
        if let (true, [rows, columns]) = (transposed, &tensor.shape[..]) {
            strides = vec![1, *rows];
            for (nth, number) in tensor.bytes.chunks(4).enumerate() {
                let (row, column) = (nth / columns, nth % columns);
                stored[4 * (column * rows + row)..][..4].copy_from_slice(number);
            }
        }
        for part in [
            text(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
            text("storage"),
            format!("ctorch\n{class}\n").into_bytes(),
            text(&at.to_string()),
            text("cpu"),
            number(count),
            b"tQ".to_vec(),
            number(0),
            tuple(&tensor.shape),
            tuple(&strides),
            b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
        ] {
            pickle.extend(part);
        }
        entries.push((format!("archive/data/{at}"), stored));
    }
    pickle.extend(b"u.");
    entries.insert(0, ("archive/data.pkl".to_owned(), pickle));
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in &entries {
        let mut rest = vec![0; 8];
        rest.extend(crc32(bytes).to_le_bytes());
        rest.extend([(bytes.len() as u32).to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat());
        rest.extend([(name.len() as u16).to_le_bytes(), [0; 2]].concat());
        directory.extend(
            [&b"PK\x01\x02\x14\x00\x14\x00"[..], &rest, &[0; 10], &(file.len() as u32).to_le_bytes(), name.as_bytes()]
                .concat(),
        );
        file.extend([&b"PK\x03\x04\x14\x00"[..], &rest, name.as_bytes(), bytes].concat());
    }
    let begin = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([(entries.len() as u16).to_le_bytes(), (entries.len() as u16).to_le_bytes()].concat());
    file.extend([(directory.len() as u32).to_le_bytes(), begin.to_le_bytes()].concat());
    file.extend([0, 0]);
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// A damaged file is sealed as its bytes, so that the release can be sealed, and is a finding of `seal` and `verify`.
#[test]
fn a_damaged_file_of_weights_does_not_stop_a_seal() {
    let release = Release::new();
    let cut = [&40u64.to_le_bytes()[..], b"{\"a\":{\"dtype\":\"F32\",\"shap"].concat();
    for (file, bytes) in [("model/extra.safetensors", &b"no header"[..]), ("model/model.safetensors", &cut)] {
        release.write(file, bytes);
        let says = format!("checkpoint {file}: its name is that of weights, and its content is not: ");
        release.run(&["seal", "."]).code(1).says(&[&says]);
        // Its bytes are sealed.
        let verified = release.run(&["verify", "manifest.yaml", "--json"]).code(1).json("verify/1");
        assert_eq!(verified["counts"], json!({"verified": 5}), "{verified}");
        assert_eq!(verified["checkpoints"][0]["path"], file);
        std::fs::remove_file(release.path(file)).unwrap();
    }
}
