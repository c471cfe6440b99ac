//! A malicious release of all kinds combined: every verb that is run on it ends soon, with an error or a finding, in
//! little memory, and changes nothing outside it.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use retrace_numerics::random::Stream;

use crate::runs::trained;
use crate::support::{Ran, VERBS, retrace};

/// Longer than any of these runs takes, on a busy machine and without optimisation.
const LONGEST: Duration = Duration::from_secs(60);
/// More memory than any of them may use.
const MOST_MEMORY: u64 = 1 << 30;

/// An untrusted directory `release`, and `outside`, which no verb may access.
struct Hostile {
    directory: TempDir,
}

impl Hostile {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let hostile = Self { directory };
        hostile.outside();
        hostile.links_and_pipes();
        hostile.documents();
        hostile.checkpoints();
        hostile.tables();
        hostile.lists();
        hostile
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn link(&self, target: &str, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn pipe(&self, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    /// A file with the given length and no blocks on disk.
    fn sparse(&self, path: &str, length: u64) {
        self.write(path, "");
        fs::File::options().write(true).open(self.path(path)).unwrap().set_len(length).unwrap();
    }

    fn outside(&self) {
        self.write("outside/a.jsonl", "{\"id\":\"a\",\"text\":\"a secret of some length\",\"lang\":\"en\"}\n");
        self.write("outside/.profile", "precious\n");
        self.write("outside/secret.csv", "name,password\nme,hunter2\n");
        self.write("outside/config.json", "{}");
        self.write("outside/train_log.parquet", "precious");
        self.write("outside/steps/clean.json", "precious");
        self.write("outside/runs/small/journal.jsonl", "precious\n");
    }

    fn links_and_pipes(&self) {
        self.link("../outside", "release/raw");
        self.link("../outside", "release/out");
        self.link("../outside", "release/.retrace");
        self.link("../outside/runs", "release/runs");
        self.link("../outside/a.jsonl", "release/shards/a.jsonl");
        self.link("/dev/zero", "release/zero.json");
        self.link("loop", "release/loop");
        self.pipe("release/manifest.yaml.sig");
        self.pipe("release/pipe.jsonl");
        self.sparse("release/sparse.bin", 1 << 42);
    }

    fn documents(&self) {
        let escapes = "\u{1b}[2K\u{1b}[1A\u{9b}31m\u{202e}";
        self.write(
            "release/clean.yaml",
            "retrace: clean/1\nname: clean\ninput: [raw/*.jsonl]\noutput: out\nrules: []\ndeduplicate: exact\n",
        );
        self.write(
            "release/clean-shards.yaml",
            "retrace: clean/1\nname: clean\ninput: [shards/*.jsonl]\noutput: new\nrules: []\ndeduplicate: exact\n",
        );
        self.write(
            "release/clean-pipe.yaml",
            "retrace: clean/1\nname: clean\ninput: [pipe.jsonl]\noutput: new\nrules: []\ndeduplicate: exact\n",
        );
        self.write("release/tokenize.yaml", "retrace: tokenize/1\nname: tokenize\ntokenizer: {from: file, path: tokenizer.json, end_of_text: a}\nshards:\n  - {input: [own/*.jsonl], output: out/a.jsonl}\n");
        self.write("release/own/a.jsonl", "{\"id\":\"a\",\"text\":\"abababab\",\"lang\":\"en\"}\n");
        self.write("release/tokenizer.json", r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,"model":{"type":"BPE","dropout":0.5,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}"#);
        let run = |layers: u64, output: &str| {
            format!(
                "retrace: run/1\nname: r\nseed: 1\nnumerics: 1\nmodel: {{architecture: llama, vocab_size: 64, \
                 hidden_size: 64, intermediate_size: 128, num_hidden_layers: {layers}, num_attention_heads: 4, \
                 num_key_value_heads: 2, max_position_embeddings: 64, rope_theta: 10000.0, rms_norm_eps: 1.0e-5, \
                 initializer_range: 0.05}}\ntokenizer: config.json\noutput: {output}\nsequence_length: 16\n\
                 batch_size: 2\nmicro_batch_size: 2\noptimizer: {{beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, \
                 weight_decay: 0.1, clip: 1.0}}\nphases:\n  - {{name: one, steps: 4, learning_rate: {{schedule: \
                 cosine, warmup: 1, peak: 0.01, floor: 0.001}}, mix: [{{tokens: own/a.jsonl, share: 1}}]}}\n\
                 checkpoint_every: 2\n"
            )
        };
        self.write("release/train.yaml", run(2, "runs/small"));
        self.write("release/layers.yaml", run(1_000_000, "here"));
        self.write("release/config.json", "{}");
        self.write(
            "release/deep.yaml",
            format!("retrace: run/1\nname: {}{}\n", "[".repeat(200_000), "]".repeat(200_000)),
        );
        self.write("release/escapes.yaml", format!("retrace: clean/1\n{escapes}verified: all as sealed\n"));
        self.write("release/long.yaml", format!("retrace: clean/1\nname: {}\n  bad: [\n", "x".repeat(20 << 20)));
    }

    fn checkpoints(&self) {
        let config = |layers: u64| {
            format!(
                "{{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],\"vocab_size\":64,\"hidden_size\":64,\
                 \"intermediate_size\":128,\"num_hidden_layers\":{layers},\"num_attention_heads\":4,\
                 \"num_key_value_heads\":2,\"max_position_embeddings\":64,\"rope_theta\":10000.0,\
                 \"rms_norm_eps\":1e-5,\"initializer_range\":0.02,\"hidden_act\":\"silu\",\
                 \"tie_word_embeddings\":false}}"
            )
        };
        let tokenizer = fs::read(self.path("release/tokenizer.json")).unwrap();
        for (name, layers) in [("deep-model", 30_000_000), ("pipe-model", 2), ("lying-model", 2), ("linked-model", 2)] {
            self.write(&format!("release/{name}/config.json"), config(layers));
            self.write(&format!("release/{name}/tokenizer.json"), &tokenizer);
        }
        self.write("release/deep-model/model.safetensors", [2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']);
        self.pipe("release/pipe-model/model.safetensors");
        // A header whose length field is larger than memory.
        self.write("release/lying-model/model.safetensors", [0xff; 8]);
        self.link("/dev/zero", "release/linked-model/model.safetensors");
        self.link("/dev/zero", "release/zero-model/config.json");
        let header =
            (0..300_000).map(|at| format!("\"{at}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}"));
        let header = format!("{{{}}}", header.collect::<Vec<_>>().join(","));
        self.write("release/wide.safetensors", [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat());
    }

    fn tables(&self) {
        self.link("../../outside/train_log.parquet", "release/tables/train_log.parquet");
        self.pipe("release/tables/metrics.parquet");
        self.write("release/tables/samples.parquet", b"PAR1 is what it says it is PAR1");
        self.write("release/queries/nice.sql", "-- title: nice\nselect password from '../outside/secret.csv'\n");
        let outside = self.path("outside/secret.csv");
        let rule = format!(
            "-- title: nice\n-- severity: note\n-- means: m\n-- do: d\nselect 'r' as release, name as subject, \
             password as finding, '' as evidence, '' as sure from '{}'\n",
            outside.display()
        );
        self.write("release/rules/nice.sql", rule);
        let columns = (0..100_000).map(|at| format!("c{at}")).collect::<Vec<_>>().join(",");
        self.write("release/wide.csv", format!("{columns}\n1\n"));
        self.write("release/mapping.yaml", "retrace: mapping/1\nstep: [c0]\nloss: c1\n");
    }

    fn lists(&self) {
        self.write("release/SHA256SUMS", format!("{}  ../outside/secret.csv\n", "0".repeat(64)));
        self.write("release/manifest.yaml", "retrace: manifest/1\nname: \u{1b}[2Jtour\nroot: b3:00\n");
        self.write("release/model.sig", "{\"mediaType\":\"\u{1b}[2J\",\"dsseEnvelope\":{}}");
        self.write("key.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    }

    /// Runs the binary in the release's directory, as [`guarded`].
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Ran {
        guarded(self.directory.path(), arguments)
    }
}

/// Runs the binary in `directory/release`; it must end by itself in time, in little memory, and show nothing that
/// moves a cursor or that exists only in `directory/outside`.
#[track_caller]
fn guarded(directory: &Path, arguments: &[&str]) -> Ran {
    let (out, err) = (directory.join("stdout"), directory.join("stderr"));
    let mut command = retrace();
    command.args(arguments).current_dir(directory.join("release")).env("HOME", directory.join("home"));
    command.env("XDG_CACHE_HOME", directory.join("home"));
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap()).stdin(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut most = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        most = most.max(peak_memory(child.id()));
        if began.elapsed() > LONGEST || most > MOST_MEMORY {
            child.kill().unwrap();
            panic!("{arguments:?}: after {:?} it has used {most} bytes", began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (out, err) = (fs::read(out).unwrap(), fs::read(err).unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
    let ran = Ran {
        code: status.code().unwrap_or_else(|| panic!("{arguments:?}: {status}")),
        out: text(out),
        err: text(err),
    };
    for shown in [&ran.out, &ran.err] {
        let raw = shown.chars().find(|c| (c.is_control() && !"\n\t".contains(*c)) || *c == '\u{202e}');
        assert_eq!(raw, None, "{arguments:?}: {shown:?}");
        assert!(!shown.contains("hunter2"), "{arguments:?}: {shown}");
    }
    assert!(ran.err.len() < 16_000, "{arguments:?}: {} bytes on standard error", ran.err.len());
    ran
}

/// The maximum memory of a process so far, in bytes.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// Everything below `directory`: names, types, and bytes.
fn everything(directory: &Path) -> Vec<(PathBuf, String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (path, metadata) = (entry.path(), entry.path().symlink_metadata().unwrap());
            if metadata.is_dir() {
                directories.push(path.clone());
            }
            let small = metadata.is_file() && metadata.len() < 64 << 20;
            let bytes = if small { fs::read(&path).unwrap() } else { Vec::new() };
            let what = format!("{:?} {:?} {}", metadata.permissions(), metadata.file_type(), metadata.nlink());
            all.push((path, what, bytes));
        }
    }
    all.sort();
    all
}

/// The commands: the arguments, and the allowed exit codes.
const RUNS: &[(&[&str], &[i32])] = &[
    (&["tour", "."], &[2]),
    (&["make", "."], &[2]),
    (&["make", ".", "--dry-run"], &[2]),
    (&["seal", "."], &[2]),
    (&["seal", ".", "-o", "../new.yaml", "--name", "x"], &[2]),
    (&["verify", "manifest.yaml"], &[1, 2]),
    (&["verify", "manifest.yaml", "--public-key", "../key.pem"], &[1, 2]),
    (&["verify", "SHA256SUMS"], &[1, 2]),
    (&["verify", "model.sig", "--public-key", "../key.pem"], &[1, 2]),
    (&["verify", "zero.json"], &[2]),
    (&["verify", "deep.yaml"], &[2]),
    (&["verify", "long.yaml"], &[2]),
    (&["diff", ".", "own"], &[1, 2]),
    (&["diff", "pipe-model", "lying-model"], &[1, 2]),
    (&["diff", "wide.safetensors", "zero.json"], &[1, 2]),
    (&["sign", "manifest.yaml", "--key", "../key.pem"], &[2]),
    (&["export", "slsa", "manifest.yaml"], &[2]),
    (&["export", "cyclonedx", "zero.json"], &[2]),
    (&["clean", "clean.yaml"], &[2]),
    (&["clean", "clean-shards.yaml"], &[2]),
    (&["clean", "clean-pipe.yaml"], &[2]),
    (&["clean", "escapes.yaml"], &[2]),
    (&["clean", "long.yaml"], &[2]),
    (&["clean", "zero.json"], &[2]),
    (&["clean", "pipe.jsonl"], &[2]),
    (&["tokenize", "tokenize.yaml"], &[2]),
    (&["tokenize", "deep.yaml"], &[2]),
    (&["train", "train.yaml"], &[2]),
    (&["train", "train.yaml", "--resume"], &[2]),
    (&["train", "layers.yaml"], &[2]),
    (&["train", "deep.yaml"], &[2]),
    (&["work", "train.yaml", "--coordinator", "127.0.0.1:9", "--token", "pipe.jsonl"], &[2]),
    (&["replay", "manifest.yaml"], &[1, 2]),
    (&["replay", "manifest.yaml", "--all"], &[1, 2]),
    (&["eval", "deep-model", "--tasks", "escapes.yaml"], &[2]),
    (&["logits", "lying-model", "--tokens", "pipe.jsonl", "-o", "../new"], &[2]),
    (&["logits", "lying-model", "--tokens", "zero.json", "-o", "../new"], &[2]),
    (&["generate", "deep-model", "--prompt", "a"], &[2]),
    (&["generate", "pipe-model", "--prompt", "a"], &[2]),
    (&["generate", "linked-model", "--prompt", "a"], &[2]),
    (&["generate", "zero-model", "--prompt", "a"], &[2]),
    (&["convert", "pipe.jsonl", "-o", "../new"], &[2]),
    (&["convert", "zero.json", "-o", "../new"], &[2]),
    (&["query", "select * from train_log", "."], &[2]),
    (&["query", "select * from metrics", "."], &[2]),
    (&["query", "select * from samples", "."], &[2]),
    (&["query", "select * from 'pipe.jsonl'"], &[2]),
    (&["query", "select * from 'http://127.0.0.1:9/a.csv'"], &[2]),
    (&["query", "@nice", "."], &[2]),
    (&["import", "csv", "wide.csv", "--mapping", "mapping.yaml", "-o", "../new"], &[1, 2]),
    (&["import", "text-log", "pipe.jsonl", "-o", "../new"], &[1, 2]),
    (&["import", "configs", "deep.yaml", "-o", "../new"], &[1, 2]),
    (&["import", "lm-eval", "zero.json", "-o", "../new"], &[1, 2]),
    (&["import", "csv", "own/a.jsonl", "-o", "out"], &[2]),
    (&["average", "pipe-model", "--against", "lying-model"], &[2]),
    (&["audit", ".", "--rules", "rules", "--only", "nice"], &[1, 2]),
    (&["audit", "."], &[1, 2]),
    (&["openness", "manifest.yaml"], &[1, 2]),
    (&["report", "contamination", "--benchmark", "pipe.jsonl", "--corpus", "own/a.jsonl", "-o", "../new"], &[2]),
    (&["report", "contamination", "--benchmark", "own/a.jsonl", "--corpus", "zero.json"], &[2]),
    (&["report", "contamination", "--benchmark", "zero.json", "--corpus", "pipe.jsonl"], &[2]),
    (&["report", "checkpoints", "--tables", ".", "-o", "../new"], &[1, 2]),
    (&["report", "checkpoints", "--tables", "pipe.jsonl", "-o", "../new"], &[2]),
    (&["report", "release", "manifest.yaml", "-o", "../new"], &[1, 2]),
    (&["report", "release", "pipe.jsonl"], &[2]),
    (&["cluster", "worker", "--scheduler", "127.0.0.1:9", "--token", "pipe.jsonl"], &[2]),
    (&["stats", "pipe-model"], &[2]),
    (&["stats", "linked-model"], &[2]),
    (&["stats", "lying-model"], &[2]),
    (&["stats", "wide.safetensors"], &[0, 2]),
    (&["completions", "bash"], &[0]),
    (&["man", "pipe.jsonl"], &[2]),
];

#[test]
fn every_verb_over_a_hostile_release_ends_soon_and_changes_nothing_outside_it() {
    let hostile = Hostile::new();
    let outside = everything(&hostile.path("outside"));
    let tried: std::collections::BTreeSet<&str> = RUNS.iter().map(|(arguments, _)| arguments[0]).collect();
    assert_eq!(VERBS.iter().filter(|verb| !tried.contains(**verb)).collect::<Vec<_>>(), Vec::<&&str>::new());
    let mut wrong = Vec::new();
    for (arguments, right) in RUNS {
        let ran = hostile.run(arguments);
        if !right.contains(&ran.code) {
            wrong.push(format!("{arguments:?}: {}\n{}{}", ran.code, ran.out, ran.err));
        }
        assert_eq!(everything(&hostile.path("outside")), outside, "{arguments:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let made = fs::read_dir(hostile.path(".")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut made: Vec<_> = made.filter(|name| !["stdout", "stderr", "home"].contains(&name.as_str())).collect();
    made.sort();
    made.retain(|name| name != "new");
    assert_eq!(made, ["key.pem", "outside", "release"]);
}

/// The commands for random trees.
const FUZZED: &[&[&str]] = &[
    &["seal", ".", "-o", "new.yaml"],
    &["verify", "manifest.yaml"],
    &["verify", "manifest.yaml", "--json"],
    &["diff", "manifest.yaml", "."],
    &["export", "cyclonedx", "manifest.yaml"],
    &["clean", "clean.yaml"],
    &["tokenize", "tokenize.yaml"],
    &["train", "run.yaml", "--resume"],
    &["replay", "manifest.yaml"],
    &["replay", "manifest.yaml", "--all"],
    &["generate", "runs/small/step-000010", "--prompt", "a", "--tokens", "2"],
    &["stats", "runs/small/step-000010", "runs/small/step-000020"],
    &["average", "runs/small/step-000010", "--against", "runs/small/step-000020"],
    &["query", "select * from artifacts", "manifest.yaml"],
    &["query", "select count(*) from '*.jsonl'", "."],
    &["audit", "."],
    &["openness", "manifest.yaml"],
    &["import", "configs", ".", "-o", "../tables"],
    &["import", "text-log", ".", "-o", "../tables"],
];

/// Makes one random change below `root`.
fn mutate(root: &Path, chance: &Stream, case: u64, nth: u64) {
    let small = |path: &Path| path.symlink_metadata().is_ok_and(|file| file.is_file() && file.len() < 64 << 20);
    let mut files: Vec<PathBuf> =
        everything(root).into_iter().filter(|(path, ..)| small(path)).map(|(path, ..)| path).collect();
    files.sort();
    let below = |draw: u64, below: u64| chance.below(case, nth * 16 + draw, below.max(1));
    let Some(path) = files.get(below(0, files.len() as u64) as usize) else { return };
    let other = &files[below(1, files.len() as u64) as usize];
    let mut bytes = fs::read(path).unwrap();
    let at = below(2, bytes.len() as u64) as usize;
    let replace = |with: &dyn Fn(&Path)| {
        fs::remove_file(path).unwrap();
        with(path);
    };
    match below(3, 14) {
        0 => bytes.truncate(at),
        1 if !bytes.is_empty() => bytes[at] ^= 1 << below(4, 8),
        2 => bytes.splice(at..at, [0xff; 9]).for_each(drop),
        3 => bytes.splice(at..at, *b"\x1b[2J[[[[{{{{\"\\u0000").for_each(drop),
        4 => bytes = fs::read(other).unwrap(),
        5 => bytes.clear(),
        6 => return replace(&|path| symlink("/dev/zero", path).unwrap()),
        7 => return replace(&|path| symlink(root.join("../outside/secret"), path).unwrap()),
        8 => return replace(&|path| symlink(path.file_name().unwrap(), path).unwrap()),
        9 => return replace(&|path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
        10 => return replace(&|path| fs::create_dir(path).unwrap()),
        11 => return replace(&|_| {}),
        12 => return fs::File::options().write(true).open(path).unwrap().set_len(1 << 32).unwrap(),
        // A false number.
        _ => {
            if let Some(at) = bytes.iter().position(u8::is_ascii_digit) {
                bytes.splice(at..=at, *b"99999999999").for_each(drop);
            }
        }
    }
    fs::write(path, bytes).unwrap();
}

/// Verbs on a release with random changes: never a panic, always an end, and nothing outside is changed.
/// `RETRACE_FUZZ=2000` sets the number of runs.
#[test]
fn random_trees_of_files_links_and_pipes() {
    let cases: u64 = std::env::var("RETRACE_FUZZ").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20);
    let seed: u64 = std::env::var("RETRACE_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let chance = Stream::new(seed, "hostile trees");
    let good = trained();
    good.run(&["seal", ".", "-o", "manifest.yaml"]).code(0);
    let mut codes = std::collections::BTreeMap::new();
    for case in 0..cases {
        let directory = tempfile::tempdir().unwrap();
        let (release, outside) = (directory.path().join("release"), directory.path().join("outside"));
        assert!(Command::new("cp").arg("-r").args([good.root(), &release]).status().unwrap().success());
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "hunter2").unwrap();
        let before = everything(&outside);
        for nth in 0..1 + chance.below(case, 15, 5) {
            mutate(&release, &chance, case, nth + 1);
        }
        let arguments = FUZZED[(case % FUZZED.len() as u64) as usize];
        let ran = guarded(directory.path(), arguments);
        assert!((0..=2).contains(&ran.code), "case {case}, {arguments:?}: {}\n{}", ran.code, ran.err);
        assert_eq!(everything(&outside), before, "case {case}, {arguments:?}");
        *codes.entry((arguments[0], ran.code)).or_insert(0) += 1;
    }
    println!("{cases} random trees, exit codes by verb: {codes:?}");
}
