//! `clean` and `tokenize`: their outputs and their errors.

use crate::support::{CLEAN, Release, TOKENIZE};

#[test]
fn documents_become_tokens_the_same_on_any_number_of_threads() {
    let release = Release::new();
    let report = release.run(&["clean", "clean.yaml", "--json"]).code(0).json("clean/1");
    // By construction: forty documents, one too short, one occurring twice.
    assert_eq!((&report["documents"], &report["kept"]), (&40.into(), &38.into()));
    assert_eq!(report["dropped"], serde_json::json!({"characters": 1, "duplicate": 1}));
    let report = release.run(&["tokenize", "tokenize.yaml", "--json", "--threads", "1"]).code(0).json("tokenize/1");
    assert_eq!(report["documents"], 38);

    let other = Release::new();
    other.run(&["clean", "clean.yaml", "--threads", "7"]).code(0);
    let out = other.run(&["tokenize", "tokenize.yaml", "--threads", "5"]).code(0).out;
    assert_eq!(out.lines().collect::<Vec<_>>().len(), 1, "{out}");
    assert_eq!(release.content(), other.content());
}

#[test]
fn bad_input_is_told_with_its_place_and_nothing_is_written() {
    let raw = |release: &Release, from: &str, to: &str| {
        let text = String::from_utf8(release.read("raw/en-01.jsonl")).unwrap();
        assert!(text.contains(from));
        release.write("raw/en-01.jsonl", text.replace(from, to));
    };
    type Harm<'a> = &'a dyn Fn(&Release);
    let cases: [(&str, Harm<'_>, &[&str]); 7] = [
        (
            "a truncated shard",
            &|release| {
                let bytes = release.read("raw/en-01.jsonl");
                release.write("raw/en-01.jsonl", &bytes[..bytes.len() - 9]);
            },
            &["en-01.jsonl:20", "truncated"],
        ),
        (
            "a line that is no document",
            &|release| raw(release, "\"id\":\"3\"", "\"text\":\"3\""),
            &["en-01.jsonl:2", "duplicate field `text`"],
        ),
        (
            "a file name that leaves the directory",
            &|release| {
                release.write("clean.yaml", CLEAN.replace("raw/*.jsonl", "../*.jsonl"));
            },
            &["clean.yaml", "input", "`..`"],
        ),
        (
            "an unknown key",
            &|release| {
                release.write("clean.yaml", CLEAN.replace("name: clean", "name: clean\nlanguage: en"));
            },
            &["clean.yaml:3:1", "language"],
        ),
        (
            "a value that cannot be meant",
            &|release| {
                release.write("clean.yaml", CLEAN.replace("at_least: 10", "at_least: 2000"));
            },
            &["clean.yaml", "rules[0]", "2000"],
        ),
        ("another document", &|release| release.write("clean.yaml", TOKENIZE), &["clean.yaml", "\"tokenize/1\""]),
        ("no shards", &|release| std::fs::remove_dir_all(release.path("raw")).unwrap(), &["raw/*.jsonl"]),
    ];
    for (what, harm, parts) in cases {
        let release = Release::new();
        harm(&release);
        let before = release.content();
        let ran = release.run(&["clean", "clean.yaml"]);
        assert_eq!(ran.code, 2, "{what}: {}", ran.err);
        assert!(ran.out.is_empty(), "{what}");
        ran.says(parts).says(&["help:"]);
        assert_eq!(release.content(), before, "{what}: something was written");
    }
}

/// Shards as Dolma, C4 and FineWeb publish them: compressed, without a language or an id, with a number as id.
#[test]
fn published_shards_are_cleaned_and_tokenized() {
    let release = Release::new();
    let lines = "{\"content\": \"the first of the documents\", \"n\": 7}\n{\"content\": \"short\"}\n\
                 {\"content\": \"half an emoji \\ud83d of a document\"}\n{\"content\": \"the second of the documents\"}";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, lines.as_bytes()).unwrap();
    std::fs::remove_dir_all(release.path("raw")).unwrap();
    release.write("raw/a.json.gz", gzip.finish().unwrap());
    release.write("raw/b.jsonl.zst", zstd::encode_all(lines.replace(" of the", " of").as_bytes(), 1).unwrap());
    let recipe = "input: [raw/*.gz, raw/*.zst]\nfields: {text: content, id: n}";
    let recipe = CLEAN.replace("input: [raw/*.jsonl]", recipe);
    release.write("clean.yaml", &recipe);
    let ran = release.run(&["clean", "clean.yaml"]).code(2);
    ran.says(&["raw/a.json.gz:3: has half of a surrogate pair", "raw/b.jsonl.zst:3: ", "unreadable: drop"]);
    release.write("clean.yaml", format!("{recipe}\nunreadable: drop\n"));
    let report = release.run(&["clean", "clean.yaml", "--json"]).code(0).json("clean/1");
    assert_eq!(report["dropped"], serde_json::json!({"characters": 2, "unreadable": 2}));
    assert_eq!(report["outputs"], serde_json::json!(["clean/a.json", "clean/b.jsonl"]));
    let kept = String::from_utf8(release.read("clean/a.json")).unwrap();
    let all: Vec<&str> = lines.lines().collect();
    assert_eq!(kept.lines().collect::<Vec<_>>(), [all[0], all[3]]);
    let tokenize = "retrace: tokenize/1\nname: tokenize\ntext: content\n\
        tokenizer: {from: train, path: tokenizer/tokenizer.json, vocab_size: 270, end_of_text: <|end|>}\n\
        shards: [{input: [clean/*.json, clean/b.jsonl], output: tokens/a.tokens}]\n";
    release.write("tokenize.yaml", tokenize);
    let report = release.run(&["tokenize", "tokenize.yaml", "--json"]).code(0).json("tokenize/1");
    assert_eq!(report["documents"], 4);
    release.write("tokenize.yaml", tokenize.replace("text: content", "text: body"));
    release.run(&["tokenize", "tokenize.yaml"]).code(2).says(&["clean/a.json:1: has no text in the column \"body\""]);
}
