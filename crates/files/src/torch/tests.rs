use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::file_tensors;
use crate::safetensors::{Tensor, read_tensor, write};

fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![b'X'];
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn tuple(items: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'('];
    bytes.extend(items.iter().flat_map(|item| [b'K', *item]));
    bytes.push(b't');
    bytes
}

/// The instructions that make a tensor, as `torch.save` writes them.
fn tensor(class: &str, key: &str, first: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut bytes = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    bytes.extend(text("storage"));
    bytes.extend(format!("ctorch\n{class}\n").as_bytes());
    bytes.extend([text(key), text("cpu")].concat());
    bytes.extend([b'K', 6, b't', b'Q', b'K', first]);
    bytes.extend([tuple(shape), tuple(strides)].concat());
    bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    bytes
}

/// A pickle of an ordered dictionary.
fn state(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(".to_vec();
    for (name, value) in entries {
        bytes.extend([&text(name), value].map(Vec::as_slice).concat());
    }
    bytes.extend(b"u}");
    bytes.extend([text("_metadata"), b"}sb.".to_vec()].concat());
    bytes
}

fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(format!("archive/{name}"), SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const FLOATS: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24];

fn good() -> Vec<u8> {
    let pickle = state(&[
        ("b.weight", tensor("FloatStorage", "0", 0, &[2, 3], &[3, 1])),
        ("a", tensor("HalfStorage", "1", 4, &[1, 2, 0], &[9, 0, 1])),
        // Tied to the first, except for its shape.
        ("tied", tensor("FloatStorage", "0", 2, &[4], &[1])),
        ("scalar", tensor("LongStorage", "1", 1, &[], &[])),
    ]);
    let entries: [(&str, &[u8]); 5] = [
        ("data.pkl", &pickle),
        ("byteorder", b"little"),
        ("data/0", &FLOATS),
        ("data/1", &FLOATS),
        ("version", b"3\n"),
    ];
    archive(&entries, CompressionMethod::Stored)
}

fn found_in(bytes: &[u8]) -> Found<BTreeMap<String, TensorLocation>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.pt");
    std::fs::write(&path, bytes).unwrap();
    read_header(&RegularFile::open(&path).unwrap()).unwrap()
}

fn places_of(bytes: &[u8]) -> Option<BTreeMap<String, TensorLocation>> {
    found_in(bytes).tensors()
}

fn tensors_of(path: &std::path::Path) -> retrace_spec::manifest::Tensors {
    let name = path.file_name().unwrap().to_str().unwrap();
    file_tensors(&RegularFile::open(path).unwrap(), name).unwrap().tensors().unwrap()
}

/// The call of `function` with these arguments.
fn call(function: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    let (module, name) = function.rsplit_once('.').unwrap();
    [format!("c{module}\n{name}\n(").into_bytes(), arguments.concat(), b"tR".to_vec()].concat()
}

#[test]
fn the_twin_in_safetensors_has_the_same_root() {
    let directory = tempfile::tempdir().unwrap();
    let (torch, twin) = (directory.path().join("pytorch_model.bin"), directory.path().join("model.safetensors"));
    std::fs::write(&torch, good()).unwrap();
    let tensor = |dtype, shape: &[usize], bytes: &[u8]| Tensor { dtype, shape: shape.to_vec(), bytes: bytes.to_vec() };
    let tensors = BTreeMap::from([
        ("b.weight".to_owned(), tensor(Dtype::F32, &[2, 3], &FLOATS)),
        ("a".to_owned(), tensor(Dtype::F16, &[1, 2, 0], &[])),
        ("tied".to_owned(), tensor(Dtype::F32, &[4], &FLOATS[8..])),
        ("scalar".to_owned(), tensor(Dtype::I64, &[], &FLOATS[8..16])),
    ]);
    write(&twin, &tensors).unwrap();
    assert_eq!(tensors_of(&torch), tensors_of(&twin));
}

/// A name, the instructions that make it, its type, its shape, and which numbers of the storage it has.
type View = (&'static str, Vec<u8>, Dtype, &'static [usize], &'static [usize]);

/// Views of six floats, and what PyTorch's definition of strides makes of them, by hand.
#[test]
fn views_have_the_numbers_of_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let (torch, twin) = (directory.path().join("model.pth"), directory.path().join("model.safetensors"));
    let with_state = |data: Vec<u8>| {
        let arguments =
            [data, b"\x88".to_vec(), b"}".to_vec(), [b"}".to_vec(), text("tp"), b"K\x01s".to_vec()].concat()];
        call("torch._utils._rebuild_parameter_with_state", &arguments)
    };
    // The numbers have the type that the tensor names.
    let untyped = |dtype: &str| {
        let mut storage = b"(".to_vec();
        storage
            .extend([text("storage"), b"ctorch.storage\nUntypedStorage\n".to_vec(), text("0"), text("cpu")].concat());
        storage.extend(b"K\x18tQ");
        let dtype = format!("ctorch\n{dtype}\n").into_bytes();
        let arguments = [storage, b"K\x01".to_vec(), tuple(&[2]), tuple(&[3]), b"\x89".to_vec(), b"}".to_vec(), dtype];
        call("torch._utils._rebuild_tensor_v3", &arguments)
    };
    let attributes = {
        let made = tensor("FloatStorage", "0", 0, &[6], &[1]);
        let (arguments, function) =
            (&made[b"ctorch._utils\n_rebuild_tensor_v2\n".len()..made.len() - 1], "torch._utils");
        let function = format!("c{function}\n_rebuild_tensor_v2\n").into_bytes();
        let class = b"ctorch.nn.parameter\nParameter\n".to_vec();
        call("torch._tensor._rebuild_from_type_v2", &[function, class, arguments.to_vec(), b"}".to_vec()])
    };
    let views: [View; 8] = [
        ("transposed", tensor("FloatStorage", "0", 0, &[2, 3], &[1, 2]), Dtype::F32, &[2, 3], &[0, 2, 4, 1, 3, 5]),
        ("column", tensor("FloatStorage", "0", 1, &[2, 1], &[3, 1]), Dtype::F32, &[2, 1], &[1, 4]),
        ("left half", tensor("FloatStorage", "0", 0, &[2, 2], &[3, 1]), Dtype::F32, &[2, 2], &[0, 1, 3, 4]),
        ("expanded", tensor("FloatStorage", "0", 2, &[2, 2], &[0, 1]), Dtype::F32, &[2, 2], &[2, 3, 2, 3]),
        (
            "permuted",
            tensor("FloatStorage", "0", 0, &[3, 1, 2], &[1, 9, 3]),
            Dtype::F32,
            &[3, 1, 2],
            &[0, 3, 1, 4, 2, 5],
        ),
        ("with state", with_state(tensor("FloatStorage", "0", 0, &[2], &[5])), Dtype::F32, &[2], &[0, 5]),
        ("with attributes", attributes, Dtype::F32, &[6], &[0, 1, 2, 3, 4, 5]),
        ("untyped", untyped("uint32"), Dtype::U32, &[2], &[1, 4]),
    ];
    let pickle = state(&views.each_ref().map(|(name, made, ..)| (*name, made.clone())));
    std::fs::write(&torch, archive(&[("data.pkl", &pickle), ("data/0", &FLOATS)], CompressionMethod::Stored)).unwrap();
    let expected = views.map(|(name, _, dtype, shape, order)| {
        let bytes = order.iter().flat_map(|at| FLOATS[4 * at..][..4].to_vec()).collect();
        (name.to_owned(), Tensor { dtype, shape: shape.to_vec(), bytes })
    });
    write(&twin, &BTreeMap::from(expected)).unwrap();
    assert_eq!(tensors_of(&torch), tensors_of(&twin));
}

/// What cannot be read is named, with the reason.
#[test]
fn the_reason_is_told() {
    let with = |pickle: &[u8]| archive(&[("data.pkl", pickle), ("data/0", &FLOATS)], CompressionMethod::Stored);
    let one = |tensor: Vec<u8>| with(&state(&[("x", tensor)]));
    let float = |shape: &[u8], strides: &[u8]| tensor("FloatStorage", "0", 0, shape, strides);
    let negated = {
        // The arguments of a tensor, and after them `{"neg": True}`.
        let mut made = float(&[6], &[1]);
        made.truncate(made.len() - 2);
        made.extend([b"}".to_vec(), text("neg"), b"\x88stR".to_vec()].concat());
        made
    };
    let module = [b"cmodels\nNet\n)\x81}".to_vec(), text("w"), float(&[6], &[1]), b"sb".to_vec()].concat();
    let class =
        call("torch._tensor._rebuild_from_type_v2", &[b"ctorch._utils\n_rebuild_tensor_v2\nclab\nOdd\n)".to_vec()]);
    let good = good();
    // The method of each entry, as its header and the archive's list say it.
    let mut compressed = good.clone();
    for (start, method) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        for at in 0..good.len() - 4 {
            if good[at..].starts_with(start) {
                compressed[at + method] = 8;
            }
        }
    }
    for (says, bytes) in [
        ("tensor x is of torch.Float8_e4m3fnStorage", one(tensor("Float8_e4m3fnStorage", "0", 0, &[6], &[1]))),
        ("tensor x is of torch.ComplexDoubleStorage", one(tensor("ComplexDoubleStorage", "0", 0, &[1], &[1]))),
        ("tensor x has numbers that overlap", one(float(&[3, 3], &[1, 1]))),
        ("tensor x ends after its storage", one(float(&[2, 3], &[4, 1]))),
        ("tensor x ends after its storage", one(float(&[2], &[6]))),
        ("tensor x is to be negated", one(negated)),
        (
            "tensor x is made by torch._utils._rebuild_sparse_tensor",
            one(b"ctorch._utils\n_rebuild_sparse_tensor\n)R".to_vec()),
        ),
        ("tensor x is made by torch._tensor._rebuild_from_type_v2, for a class", one(class)),
        ("objects of Python classes", one(module)),
        (
            "big-endian",
            archive(&[("byteorder", b"big"), ("data.pkl", b""), ("data/0", b"")], CompressionMethod::Stored),
        ),
        ("compressed", compressed),
        ("damaged or cut off", good[..good.len() - 9].to_vec()),
        ("its pickle is cut off", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec()),
    ] {
        match found_in(&bytes) {
            Found::Unreadable(why) => assert!(why.contains(says), "{why:?} does not say {says:?}"),
            other => panic!("{says}: {other:?}"),
        }
    }
    // Files that are no weights, as a Trainer leaves them beside its weights.
    for bytes in [
        archive(&[("data.pkl", b"\x80\x02ccollections\nDeque\n)R.")], CompressionMethod::Stored),
        archive(&[("sheet.xml", b"<a/>")], CompressionMethod::Stored),
        FLOATS.to_vec(),
        Vec::new(),
    ] {
        assert_eq!(found_in(&bytes), Found::Nothing);
    }
}

#[test]
fn what_is_no_dense_checkpoint_is_not_read_as_one() {
    let with = |pickle: &[u8]| archive(&[("data.pkl", pickle), ("data/0", &FLOATS)], CompressionMethod::Stored);
    let one = |tensor: Vec<u8>| with(&state(&[("x", tensor)]));
    assert!(places_of(&one(tensor("FloatStorage", "0", 0, &[6], &[1]))).is_some());
    for (what, bytes) in [
        ("beyond its storage", one(tensor("FloatStorage", "0", 1, &[6], &[1]))),
        ("an unknown storage", one(tensor("FloatStorage", "1", 0, &[6], &[1]))),
        ("an unknown type", one(tensor("ComplexDoubleStorage", "0", 0, &[1], &[1]))),
        ("strides of another rank", one(tensor("FloatStorage", "0", 0, &[6], &[1, 1]))),
        ("another way to make it", one(b"ctorch._utils\n_rebuild_sparse_tensor\n)R".to_vec())),
        ("the same name twice", with(&state(&[(); 2].map(|()| ("x", tensor("FloatStorage", "0", 0, &[6], &[1])))))),
        ("no tensor", with(&state(&[]))),
        ("no pickle", archive(&[("data/0", &FLOATS)], CompressionMethod::Stored)),
        ("an empty pickle", with(b"")),
        ("big-endian", archive(&[("byteorder", b"big"), ("data.pkl", b"")], CompressionMethod::Stored)),
        ("no archive", FLOATS.to_vec()),
    ] {
        assert_eq!(places_of(&bytes), None, "{what}");
    }
}

/// No call is executed, whatever its function and arguments; the tensors beside it are read.
#[test]
fn nothing_is_executed() {
    let evil = [b"cos\nsystem\n(".to_vec(), text("touch /tmp/never"), b"tR".to_vec()].concat();
    let pickle = state(&[("evil", evil), ("x", tensor("FloatStorage", "0", 0, &[6], &[1]))]);
    let bytes = archive(&[("data.pkl", &pickle), ("data/0", &FLOATS)], CompressionMethod::Stored);
    assert_eq!(places_of(&bytes).unwrap().into_keys().collect::<Vec<_>>(), ["x"]);
}

/// Each level contains the one below twice: short to write, and 2^31 values to search.
#[test]
fn values_within_values_end() {
    let mut pickle = b"\x80\x02]q\x00".to_vec();
    for level in 0..31 {
        pickle.extend([b']', b'q', level + 1, b'(', b'h', level, b'h', level, b'e']);
    }
    pickle.push(b'.');
    assert_eq!(places_of(&archive(&[("data.pkl", &pickle)], CompressionMethod::Stored)), None);
    // A list that contains itself.
    assert_eq!(places_of(&archive(&[("data.pkl", b"\x80\x02]q\x00h\x00a.")], CompressionMethod::Stored)), None);
}

/// Made by Python's own `pickle.dumps(…, 2)` of `{"a": 3, "lr": 0.5, "on": True, "x": None, "l": [1, (2, 3)], "a":
/// 4}`, with the second `a` inserted by hand.
#[test]
fn plain_values_are_what_python_wrote() {
    let mut pickle =
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x03X\x02\x00\x00\x00lrq\x02G?\xe0\x00\x00\x00\x00\x00\x00".to_vec();
    pickle.extend(b"X\x02\x00\x00\x00onq\x03\x88X\x01\x00\x00\x00xq\x04NX\x01\x00\x00\x00lq\x05]q\x06(K\x01K\x02K\x03");
    pickle.extend(b"\x86q\x07eh\x01K\x04u.");
    let (values, id) = pickle::read(&pickle, MOST_INSTRUCTIONS).unwrap();
    let top = Plain { values: &values, id };
    let get = |key| top.get(key).unwrap();
    assert_eq!((get("a").count(), get("a").number(), get("a").text()), (Some(4), Some(4.0), None));
    assert_eq!((get("lr").number(), get("lr").count()), (Some(0.5), None));
    assert!(get("x").number().is_none() && get("x").entries().next().is_none() && top.get("y").is_none());
    let list: Vec<_> = get("l").items().map(Plain::count).collect();
    assert_eq!(list, [Some(1), None]);
    assert_eq!(get("l").items().flat_map(Plain::items).map(Plain::count).collect::<Vec<_>>(), [Some(2), Some(3)]);
    assert_eq!(top.entries().filter_map(|(key, _)| key.text()).collect::<Vec<_>>(), ["a", "lr", "on", "x", "l", "a"]);
    // However the bytes are cut or changed, there is a result.
    for cut in 0..pickle.len() {
        assert!(pickle::read(&pickle[..cut], MOST_INSTRUCTIONS).is_none(), "{cut}");
    }
}

/// A dictionary that contains itself, and lists nested as deeply as the file is long: only what is requested is read.
#[test]
fn plain_values_without_end_cost_nothing() {
    let (values, id) = pickle::read(b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01h\x00s.", MOST_INSTRUCTIONS).unwrap();
    let mut inner = Plain { values: &values, id };
    for _ in 0..1000 {
        inner = inner.get("a").unwrap();
    }
    let deep = [b"\x80\x02".as_slice(), &vec![b']'; 1 << 20], &vec![b'a'; (1 << 20) - 1], b"."].concat();
    let (values, id) = pickle::read(&deep, MOST_INSTRUCTIONS).unwrap();
    let mut inner = Plain { values: &values, id };
    let mut depth = 0;
    while let Some(next) = inner.items().next() {
        (inner, depth) = (next, depth + 1);
    }
    assert_eq!(depth, (1 << 20) - 1);
}

/// A checkpoint of a model and its optimizer, which PyTorch wrote, beside the model's export to llama2.c
/// (`tests/llama2c/make.py`).
#[test]
fn a_checkpoint_of_pytorch_has_the_numbers_of_its_export() {
    let made = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/llama2c");
    let (torch, export) = (made.join("ckpt.pt"), made.join("model.bin"));
    let (torch, export) = (RegularFile::open(&torch).unwrap(), RegularFile::open(&export).unwrap());
    let ours = read_header(&torch).unwrap().tensors().unwrap();
    let theirs = crate::llama2c::read_header(&export).unwrap().unwrap();
    let mut compared = 0;
    for (name, place) in theirs.iter().filter(|(name, _)| !name.starts_with("freq_cis")) {
        let name = match name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
            None if name == "token_embedding_table" => "model.tok_embeddings.weight".to_owned(),
            None => "model.norm.weight".to_owned(),
            Some((layer, matrix)) => {
                let module = match matrix {
                    "rms_att_weight" => "attention_norm".to_owned(),
                    "rms_ffn_weight" => "ffn_norm".to_owned(),
                    "wq" | "wk" | "wv" | "wo" => format!("attention.{matrix}"),
                    _ => format!("feed_forward.{matrix}"),
                };
                format!("model.layers.{layer}.{module}.weight")
            }
        };
        let ours = &ours[&name];
        assert_eq!(ours.shape, place.shape, "{name}");
        assert_eq!(read_tensor(&torch, ours).unwrap(), read_tensor(&export, place).unwrap(), "{name}");
        compared += 1;
    }
    // Two layers of 9, the embedding and the last norm; each has two moments and a count of updates. The head is the
    // embedding, and the checkpoint also contains a loss.
    assert_eq!(compared, 2 * 9 + 2);
    assert_eq!(ours.keys().filter(|name| name.starts_with("optimizer.state.")).count(), 3 * compared);
    assert_eq!(ours.len(), 4 * compared + 2);
    let expected = crate::safetensors::read(&made.join("expected.safetensors")).unwrap();
    // The optimizer numbers the embedding, then each layer's 7 matrices, of which w2 is the sixth: 1 + 7 + 5.
    let moment = read_tensor(&torch, &ours["optimizer.state.13.exp_avg_sq"]).unwrap();
    assert_eq!(moment, expected["w2_second_moment"].bytes);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), at: prop::sample::Index, byte in any::<u8>(), cut: prop::sample::Index) {
        let _ = pickle::read(&bytes, MOST_INSTRUCTIONS);
        let mut near = good();
        let at = at.index(near.len());
        near[at] = byte;
        let _ = places_of(&near);
        near.truncate(cut.index(near.len()));
        let _ = places_of(&near);
        let _ = places_of(&[b"PK\x03\x04".as_slice(), &bytes].concat());
        // Only instructions, which reach more states than arbitrary bytes.
        let codes = b"(.0123NK\x01}]tesuadcab\n\n)RQbq\x00h\x00\x85\x86\x87\x94\x88\x93\x81X\x01\x00\x00\x00a";
        let program: Vec<u8> = bytes.iter().map(|byte| codes[usize::from(*byte) % codes.len()]).collect();
        if let Some((values, id)) = pickle::read(&program, MOST_INSTRUCTIONS) {
            let top = Plain { values: &values, id };
            let _ = (top.get("a"), top.count(), top.number(), top.items().count(), top.entries().count());
        }
    }
}

/// The pickles before the content: the mark, the version and the byte order.
fn before_1_6(version: u16, little_endian: bool) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(
        [b".\x80\x02}".to_vec(), text("little_endian"), vec![0x88 + u8::from(!little_endian), b's', b'.']].concat(),
    );
    bytes
}

/// The pickle of the keys, and each storage with the number of elements that it states.
fn storages(storages: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x80\x02](".to_vec();
    bytes.extend(storages.iter().flat_map(|(key, ..)| text(key)));
    bytes.extend(b"e.");
    bytes.extend(storages.iter().flat_map(|(_, numbers, content)| [&numbers.to_le_bytes(), *content].concat()));
    bytes
}

fn good_before_1_6() -> Vec<u8> {
    let pickle = state(&[
        ("w", tensor("FloatStorage", "7", 0, &[2, 3], &[3, 1])),
        ("half", tensor("HalfStorage", "8", 1, &[2], &[2])),
        ("tied", tensor("FloatStorage", "7", 2, &[4], &[1])),
    ]);
    [before_1_6(1001, true), pickle, storages(&[("8", 6, &FLOATS[..12]), ("7", 6, &FLOATS)])].concat()
}

#[test]
fn files_from_before_1_6_are_read() {
    let places = places_of(&good_before_1_6()).unwrap();
    let length = good_before_1_6().len() as u64;
    assert_eq!(places["w"].begin, length - 24);
    assert_eq!((places["tied"].begin, places["tied"].length), (length - 16, 16));
    assert_eq!((places["half"].begin, places["half"].strides.clone()), (length - 24 - 8 - 10, Some(vec![2])));
}

#[test]
fn files_from_before_1_6_that_contradict_themselves_are_refused() {
    let one = state(&[("w", tensor("FloatStorage", "7", 0, &[2, 3], &[3, 1]))]);
    let with =
        |head: Vec<u8>, pickle: &[u8], tail: &[(&str, u64, &[u8])]| [head, pickle.to_vec(), storages(tail)].concat();
    let right: [(&str, u64, &[u8]); 1] = [("7", 6, &FLOATS)];
    let head = || before_1_6(1001, true);
    assert!(places_of(&with(head(), &one, &right)).is_some());
    let two = state(&[
        ("w", tensor("FloatStorage", "7", 0, &[2, 3], &[3, 1])),
        ("x", tensor("HalfStorage", "7", 0, &[2], &[1])),
    ]);
    let long = [head(), vec![b'N'; LONGEST_PICKLE as usize]].concat();
    for (says, bytes) in [
        ("unknown version", with(before_1_6(1002, true), &one, &right)),
        ("big-endian", with(before_1_6(1001, false), &one, &right)),
        ("does not have the length", with(head(), &one, &[("7", 5, &FLOATS)])),
        ("does not have the length", with(head(), &one, &[("7", u64::MAX, &FLOATS)])),
        ("is cut off", with(head(), &one, &[("7", 6, &FLOATS[..23])])),
        ("is listed twice, or belongs to no tensor", with(head(), &one, &[("8", 6, &FLOATS)])),
        ("is listed twice, or belongs to no tensor", with(head(), &one, &[right[0], right[0]])),
        ("has no storage in the file", with(head(), &one, &[])),
        ("two lengths or types", with(head(), &two, &right)),
        (
            "ComplexDoubleStorage, which is not read",
            with(head(), &state(&[("w", tensor("ComplexDoubleStorage", "7", 0, &[1], &[1]))]), &right),
        ),
        ("longer than", long),
    ] {
        match found_in(&bytes) {
            Found::Unreadable(why) => assert!(why.contains(says), "{why:?} does not say {says:?}"),
            // No storage at all is a file without weights.
            other => assert!(says == "has no storage in the file" && other == Found::Nothing, "{says}: {other:?}"),
        }
    }
    let good = good_before_1_6();
    for length in 0..good.len() {
        assert_eq!(places_of(&good[..length]), None, "cut after {length} bytes");
    }
}

proptest! {
    #[test]
    fn a_changed_file_from_before_1_6_is_survived(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = good_before_1_6();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let length = bytes.len() as u64;
        if let Some(places) = places_of(&bytes) {
            let inside = |place: &TensorLocation| place.begin.checked_add(place.length).is_some_and(|end| end <= length);
            prop_assert!(places.values().all(|place| place.strides.is_some() || inside(place)));
        }
    }
}
