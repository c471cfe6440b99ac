//! `retrace report contamination`: items planted in a corpus, and a corpus without.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::{Ran, retrace};

/// Questions that no other text here has.
const QUESTIONS: [(&str, &str); 4] = [
    (
        "A ferry crosses the strait nine times a day and carries at most 118 cars each time. How many cars can it carry \
         in a week?",
        "7434",
    ),
    (
        "Which of the following minerals did the surveyors of Mount Ordway first describe as green glass: olivine, \
         beryl or serpentine?",
        "olivine",
    ),
    ("一列火车从清河站出发，每小时行驶七十二公里，四小时后到达白塔镇，两地相距多少公里？", "288"),
    (
        "Mirela glazes 14 bowls in the morning and twice as many plates in the evening. How many pieces does she glaze \
         in five days?",
        "210",
    ),
];

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn report(&self, arguments: &[&str]) -> Ran {
        let mut command = retrace();
        command.current_dir(self.0.path()).args(["report", "contamination"]).args(arguments);
        command.output().unwrap().into()
    }

    /// Every file below `directory`, with its bytes.
    fn content(&self, directory: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut content = Vec::new();
        let mut left = vec![self.path(directory)];
        while let Some(next) = left.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => left.push(path),
                    false => {
                        let bytes = fs::read(&path).unwrap();
                        content.push((path.strip_prefix(self.path(directory)).unwrap().to_owned(), bytes));
                    }
                }
            }
        }
        content.sort();
        content
    }
}

fn lines(values: &[Value]) -> Vec<u8> {
    values.iter().flat_map(|value| format!("{value}\n").into_bytes()).collect()
}

fn benchmark() -> Vec<Value> {
    let item = |(at, (question, answer)): (usize, &(&str, &str))| {
        let subset = ["words", "sums"][at % 2];
        json!({"id": format!("q{at}"), "question": question, "answer": answer, "subset": subset})
    };
    QUESTIONS.iter().enumerate().map(item).collect()
}

/// A text that has nothing of the questions.
fn filler(seed: usize) -> String {
    let words =
        ["harbour", "lantern", "slowly", "the", "gravel", "winter", "of", "paper", "under", "brass", "a", "hill"];
    (0..60).map(|at| words[(seed * 31 + at * at * 7 + at * seed) % words.len()]).collect::<Vec<_>>().join(" ")
}

/// Documents of two sources, in two languages; item q0 and q2 planted in the second shard if `leaks`.
fn shard(number: usize, leaks: bool) -> Vec<Value> {
    let mut documents: Vec<Value> = (0..12)
        .map(|at| {
            let source = ["web", "books"][at % 2];
            json!({"id": format!("d{number}-{at}"), "text": filler(number * 100 + at), "lang": "en", "source": source})
        })
        .collect();
    if leaks && number == 1 {
        let of = |item: usize| {
            format!("{}\n\n{} Answer: {}\n\n{}", filler(7), QUESTIONS[item].0, QUESTIONS[item].1, filler(8))
        };
        documents[3] = json!({"id": "planted-0", "text": of(0), "lang": "en", "source": "web"});
        documents[7] = json!({"id": "planted-2", "text": of(2), "lang": "zh", "source": "books"});
    }
    documents
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn parquet(path: &Path, values: &[Value]) {
    let column =
        |name: &str| -> ArrayRef { Arc::new(StringArray::from_iter(values.iter().map(|value| value[name].as_str()))) };
    let names = ["id", "text", "lang", "source", "question", "answer", "subset"];
    let there = names.iter().filter(|name| !values[0][**name].is_null()).map(|name| (*name, column(name)));
    let batch = RecordBatch::try_from_iter(there).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The leaks of a report: item, shard without its ending, line.
fn leaks(report: &Value) -> Vec<(String, String, u64)> {
    let findings = report["findings"].as_array().unwrap().iter().filter(|hit| hit["verdict"] == "leak");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|hit| {
            let shard = text(&hit["shard"]);
            let shard = shard.split('.').next().unwrap().to_owned();
            (text(&hit["item"]), shard, hit["line"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn planted_items_are_found_in_every_format_and_nothing_else() {
    let place = Place::new();
    place.write("bench.jsonl", lines(&benchmark()));
    place.write("bench2.jsonl.gz", gzip(&lines(&benchmark())));
    place.write("bench3.jsonl.zst", zstd::encode_all(&lines(&benchmark())[..], 3).unwrap());
    parquet(&place.path("bench4.parquet"), &benchmark());
    for leak in [true, false] {
        let directory = if leak { "leaky" } else { "clean" };
        for number in 0..2 {
            let (documents, name) = (shard(number, leak), format!("{directory}/s{number}"));
            place.write(&format!("{name}.jsonl"), lines(&documents));
            place.write(&format!("{name}.jsonl.gz"), gzip(&lines(&documents)));
            place.write(&format!("{name}.json.zst"), zstd::encode_all(&lines(&documents)[..], 3).unwrap());
            parquet(&place.path(&format!("{name}.parquet")), &documents);
        }
    }
    let mut reports = Vec::new();
    for (benchmark, end) in [
        ("bench.jsonl", "jsonl"),
        ("bench2.jsonl.gz", "jsonl.gz"),
        ("bench3.jsonl.zst", "json.zst"),
        ("bench4.parquet", "parquet"),
    ] {
        let corpus = |of: &str| [0, 1].map(|number| format!("{of}/s{number}.{end}"));
        let [one, two] = corpus("leaky");
        let found = place.report(&["--benchmark", benchmark, "--corpus", &one, &two, "--json"]).code(1);
        let report = found.json("contamination-report/1");
        let planted =
            [("q0", "s1", 4), ("q2", "s1", 8)].map(|(item, shard, line)| (item.to_owned(), shard.to_owned(), line));
        assert_eq!(leaks(&report), planted, "{benchmark}");
        assert_eq!(report["documents"], 24);
        reports.push(report);
        let [one, two] = corpus("clean");
        let clean = place.report(&["--benchmark", benchmark, "--corpus", &one, &two, "--json"]).code(0);
        assert_eq!(leaks(&clean.json("contamination-report/1")), []);
    }
    // By hand: 2 of 4 items, which are the two of the subset `words`.
    let rate = |subset: Value| {
        let rates = reports[0]["rates"].as_array().unwrap();
        let rate = rates.iter().find(|rate| rate["subset"] == subset).unwrap();
        (rate["leaked"]["count"].as_u64().unwrap(), rate["leaked"]["of"].as_u64().unwrap())
    };
    assert_eq!([rate(Value::Null), rate(json!("words")), rate(json!("sums"))], [(2, 4), (2, 2), (0, 2)]);
    let group = |kind: &str, name: &str| {
        let groups = reports[0][kind].as_array().unwrap();
        let documents = &groups.iter().find(|group| group["name"] == name).unwrap()["documents"];
        (documents["count"].as_u64().unwrap(), documents["of"].as_u64().unwrap())
    };
    // Of twelve each, one document of `books` gave its place to one of `web`.
    assert_eq!(group("sources", "web"), (1, 13));
    assert_eq!(group("sources", "books"), (1, 11));
    assert_eq!(group("languages", "zh"), (1, 1));
    assert_eq!(group("languages", "en"), (1, 23));
}

#[test]
fn a_report_has_a_page_tables_and_marked_spans() {
    let place = Place::new();
    place.write("bench.jsonl", lines(&benchmark()));
    place.write("corpus/s1.jsonl", lines(&shard(1, true)));
    let arguments = ["--benchmark", "bench.jsonl", "--corpus", "corpus/s1.jsonl", "-o", "out"];
    let ran = place.report(&arguments).code(1).says(&["wrote out/report.html"]);
    assert!(ran.out.contains("leaked 2 of 4 items (50.0 %"), "{}", ran.out);
    assert!(ran.out.contains("s1.jsonl:4  planted-0"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "plain text where there is no terminal");
    let page = fs::read_to_string(place.path("out/report.html")).unwrap();
    for part in [
        "<mark>一列火车从清河站出发，每小时行驶七十二公里，四小时后到达白塔镇，两地相距多少公里",
        "2 of 4 items have a leak",
        "planted-2",
        "with the answer",
        "href=\"csv/rates.csv\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for outside in ["<script", "http://", "https://", "<link", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let rates = fs::read_to_string(place.path("out/csv/rates.csv")).unwrap();
    // Wilson's interval of 2 of 4: 0.15 to 0.85 (by hand: 0.5 ± 1.96 √(0.25/4 + 1.96²/64) / (1 + 1.96²/4)).
    assert!(rates.contains("spans,bench,,2,4,0.500000,0.150"), "{rates}");
    let sql = "select item, document, line, part, form, language,
        strpos(excerpt, split_part(item_text, chr(10), 1)) > 0 as shown
        from contamination where verdict = 'leak' order by item";
    let query =
        Ran::from(retrace().current_dir(place.path("out")).args(["query", sql, "--format", "csv"]).output().unwrap());
    let expected = "item,document,line,part,form,language,shown\n\
        q0,planted-0,4,question,verbatim,en,true\nq2,planted-2,8,question,verbatim,zh,true\n";
    assert_eq!(query.code(0).out, expected);
    let md = place.report(&["--benchmark", "bench.jsonl", "--corpus", "corpus/s1.jsonl", "--format", "md"]).code(1);
    assert!(md.out.starts_with("# Contamination report\n") && md.out.contains("planted-2"), "{}", md.out);
}

#[test]
fn threads_order_and_resumption_change_no_byte() {
    let place = Place::new();
    place.write("bench.jsonl", lines(&benchmark()));
    place.write("other.jsonl", lines(&benchmark()[..2]));
    for number in 0..5 {
        place.write(&format!("corpus/s{number}.jsonl"), lines(&shard(number, true)));
    }
    let shards: Vec<String> = (0..5).map(|number| format!("corpus/s{number}.jsonl")).collect();
    let run = |output: &str, shards: Vec<&str>, more: &[&str]| {
        let mut arguments =
            vec!["--benchmark", "other.jsonl", "bench.jsonl", "-o", output, "--method", "decon,spans,gpt3"];
        arguments.extend(more);
        arguments.push("--corpus");
        arguments.extend(shards);
        place.report(&arguments)
    };
    let forward: Vec<&str> = shards.iter().map(String::as_str).collect();
    let backward: Vec<&str> = forward.iter().rev().copied().collect();
    run("one", forward.clone(), &["--threads", "1"]).code(1);
    let one = place.content("one");
    run("many", backward.clone(), &["--threads", "4"]).code(1);
    assert!(one == place.content("many"), "threads and the order of shards");

    // A damaged last shard stops a search; the shards before it are kept.
    let good = fs::read(place.path("corpus/s4.jsonl")).unwrap();
    place.write("corpus/s4.jsonl", [&good[..], b"{\n"].concat());
    run("resumed", forward.clone(), &["--resume", "--threads", "1"]).code(2).says(&["s4.jsonl:13"]);
    let kept = place.content("resumed");
    assert_eq!(kept.len(), 4, "a file for each shard that was searched, and no report");
    place.write("corpus/s4.jsonl", &good);
    // That they are used shows in what happens if one is another result; a damaged one is not used.
    let path = place.path("resumed").join(&kept[0].0);
    fs::write(&path, &kept[0].1[..kept[0].1.len() / 2]).unwrap();
    run("resumed", backward, &["--resume"]).code(1).says(&["searched before: 3 of 5 shards"]);
    assert!(one == place.content("resumed"), "a search that went on, and nothing is left of what was kept");
}

#[test]
fn bad_input_is_named_with_its_place_and_nothing_is_written() {
    let place = Place::new();
    place.write("bench.jsonl", lines(&benchmark()));
    place.write("prompts.jsonl", lines(&[json!({"task_id": "a", "prompt": QUESTIONS[0].0})]));
    place.write("twice.jsonl", lines(&[benchmark()[0].clone(), benchmark()[0].clone()]));
    place.write("empty-item.jsonl", lines(&[benchmark()[0].clone(), json!({"id": "x", "question": " "})]));
    place.write("nothing.jsonl", "");
    place.write("good.jsonl", lines(&shard(1, true)));
    let long: Vec<Value> = (0..400).map(|number| json!({"text": filler(number)})).collect();
    let zipped = gzip(&lines(&long));
    place.write("cut.jsonl.gz", &zipped[..zipped.len() / 2]);
    let frame = zstd::encode_all(&lines(&long)[..], 3).unwrap();
    place.write("cut.jsonl.zst", &frame[..frame.len() / 2]);
    let mut damaged = zipped.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 9].iter_mut().for_each(|byte| *byte ^= 0xa5);
    place.write("damaged.jsonl.gz", &damaged);
    place.write("no.jsonl.gz", "{\"text\": \"a\"}\n");
    parquet(&place.path("whole.parquet"), &shard(0, false));
    let whole = fs::read(place.path("whole.parquet")).unwrap();
    place.write("cut.parquet", &whole[..whole.len() - 9]);
    place.write(
        "line.jsonl",
        [&lines(&shard(0, false))[..], b"{\"text\": 5\n{\"id\": \"a\"}\n{\"text\": [\"b\"]}\n"].concat(),
    );
    place.write("content.jsonl", lines(&[json!({"content": "a", "meta": {}})]));
    let ledger = json!({"id": "a", "shard": "raw/a.jsonl", "line": 3, "rule": "duplicate", "detail": ""});
    place.write("clean/ledger.jsonl", lines(&[ledger]));
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "prompts.jsonl",
            "good.jsonl",
            &["prompts.jsonl has no column \"question\"", "task_id", "--fields question=COLUMN"],
        ),
        ("twice.jsonl", "good.jsonl", &["twice.jsonl:2", "\"q0\"", "line 1"]),
        ("empty-item.jsonl", "good.jsonl", &["empty-item.jsonl:2", "no question"]),
        ("nothing.jsonl", "good.jsonl", &["nothing.jsonl has no items", "not empty"]),
        ("missing.jsonl", "good.jsonl", &["missing.jsonl"]),
        ("bench.jsonl", "cut.jsonl.gz", &["cut.jsonl.gz: after line", "ends too early"]),
        ("bench.jsonl", "cut.jsonl.zst", &["cut.jsonl.zst: after line", "ends too early"]),
        ("bench.jsonl", "damaged.jsonl.gz", &["damaged.jsonl.gz: after line"]),
        ("bench.jsonl", "no.jsonl.gz", &["no.jsonl.gz: byte 0", "gzip"]),
        ("bench.jsonl", "cut.parquet", &["cut.parquet", "damaged or incomplete Parquet"]),
        ("bench.jsonl", "line.jsonl", &["line.jsonl:13", "--skip-unreadable"]),
        (
            "bench.jsonl",
            "content.jsonl",
            &["content.jsonl has no column \"text\"", "content, meta", "--corpus-fields text=COLUMN"],
        ),
        ("bench.jsonl", "nothing.jsonl", &["the corpus has no document", "not empty"]),
        ("bench.jsonl", "clean/ledger.jsonl", &["is a ledger of `retrace clean`"]),
        ("bench.jsonl", "missing.jsonl", &["missing.jsonl"]),
    ];
    for (benchmark, corpus, says) in cases {
        let ran = place.report(&["--benchmark", benchmark, "--corpus", corpus, "-o", "out"]).code(2);
        let shown = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in *says {
            assert!(shown.contains(part), "{benchmark} {corpus}: {part:?} is not in\n{}", ran.err);
        }
        assert!(!place.path("out").exists(), "{benchmark} {corpus}: nothing is written");
    }
    place
        .report(&["--benchmark", "bench.jsonl", "--corpus", "good.jsonl", "./good.jsonl"])
        .code(2)
        .says(&["given twice"]);
    let fields = ["--benchmark", "prompts.jsonl", "--fields", "prompt=question", "--corpus", "good.jsonl"];
    place.report(&fields).code(2).says(&["no field \"prompt\""]);
    place
        .report(&["--benchmark", "bench.jsonl", "--corpus", "good.jsonl", "--method", "minhash"])
        .code(2)
        .says(&["spans"]);

    // What is left out is counted and said.
    let skipping = ["--benchmark", "bench.jsonl", "--corpus", "line.jsonl", "--skip-unreadable"];
    // No leak was found in what was read, and not all was read: that is no yes.
    let ran = place.report(&skipping).code(1).says(&["not read 3 lines of line.jsonl"]);
    assert!(ran.out.contains("leaked 0 of 4"), "{}", ran.out);
    // A page that another step made is not written over.
    place.write("release/report.html", "a page");
    let there = ["--benchmark", "bench.jsonl", "--corpus", "good.jsonl", "-o", "release"];
    place.report(&there).code(2).says(&["is not a report of this verb"]);
    assert_eq!(fs::read(place.path("release/report.html")).unwrap(), b"a page");
    // Other names of columns.
    let named =
        ["--benchmark", "prompts.jsonl", "--fields", "question=prompt,id=task_id", "--corpus", "good.jsonl", "--json"];
    let report = place.report(&named).code(1).json("contamination-report/1");
    assert_eq!(leaks(&report), [("a".to_owned(), "good".to_owned(), 4)]);
}

/// The words of a run's messages, in one line.
fn said(ran: &Ran) -> String {
    ran.err.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_column_that_is_named_is_the_only_one_that_is_read() {
    let place = Place::new();
    place.write("bench.jsonl", lines(&benchmark()));
    let document =
        |at: usize| json!({"id": at, "text": "a summary", "raw": QUESTIONS[at].0, "meta": {"body": QUESTIONS[at].0}});
    place.write("s.jsonl", lines(&[document(0), document(1)]));
    place.write("half.jsonl", lines(&[document(0), json!({"id": 1, "text": QUESTIONS[1].0})]));
    let run = |corpus: &str, fields: &str, more: &[&str]| {
        let arguments = ["--benchmark", "bench.jsonl", "--corpus", corpus, "--corpus-fields", fields, "-o", "out"];
        place.report(&[&arguments[..], more].concat())
    };
    for (corpus, fields, says) in [
        ("s.jsonl", "text=rwa", "s.jsonl has no column \"rwa\""),
        ("s.jsonl", "text=mta.body", "s.jsonl has no column \"mta.body\""),
        ("s.jsonl", "text=meta.bdy", "s.jsonl:1: has no text in the column \"meta.bdy\""),
        ("half.jsonl", "text=raw", "half.jsonl:2: has no text in the column \"raw\""),
        ("s.jsonl", "source=sauce", "no document has the column \"sauce\" of `source=sauce`"),
        ("s.jsonl", "text=", "the name of the column in `text=` is empty"),
    ] {
        let ran = run(corpus, fields, &[]).code(2);
        assert!(said(&ran).contains(says), "{fields}: {}", ran.err);
        assert!(!place.path("out").exists(), "{fields}: nothing is written");
    }
    place.write("late.jsonl", lines(&[json!({"id": 1, "text": QUESTIONS[1].0}), document(0)]));
    let late = run("late.jsonl", "text=raw", &["--skip-unreadable"]).code(1);
    assert!(
        late.out.contains("leaked 1 of 4") && said(&late).contains("not read 1 line of late.jsonl"),
        "{}",
        late.out
    );
    fs::remove_dir_all(place.path("out")).unwrap();
    let skipping = run("s.jsonl", "text=meta.bdy", &["--skip-unreadable"]).code(2);
    assert!(said(&skipping).contains("no document has the column \"meta.bdy\""), "{}", skipping.err);
    let items = |ran: Ran| -> Vec<String> {
        leaks(&ran.json("contamination-report/1")).into_iter().map(|(item, ..)| item).collect()
    };
    assert_eq!(items(run("s.jsonl", "text=raw", &["--json"]).code(1)), ["q0", "q1"]);
    assert_eq!(items(run("s.jsonl", "text=meta.body", &["--json"]).code(1)), ["q0", "q1"]);
    let skipped = run("half.jsonl", "text=raw", &["--json", "--skip-unreadable"]).code(1);
    assert_eq!(items(skipped), ["q0"], "the second document has no such column, and its `text` is not read");

    // Of benchmarks a column that no item has is an error, whatever else the items have.
    place.write(
        "nested.jsonl",
        lines(&[json!({"id": 1, "doc": {"query": QUESTIONS[0].0}, "A": "1", "B": "2", "answer": "A"})]),
    );
    for (fields, says) in [
        ("question=doc.qury", "has the column \"doc.qury\" of `question=doc.qury`"),
        ("question=doc.query,choices=A+Bb", "has the column \"Bb\" of `choices=A+Bb`"),
    ] {
        let ran = place.report(&["--benchmark", "nested.jsonl", "--fields", fields, "--corpus", "s.jsonl"]).code(2);
        assert!(said(&ran).contains(says), "{fields}: {}", ran.err);
    }
}

#[test]
fn parquet_with_text_that_is_not_utf8_is_no_empty_document() {
    let place = Place::new();
    place.write("bench.jsonl", lines(&benchmark()));
    let texts: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![b"good".as_slice(), b"\xff bad", b"good"]));
    let batch = RecordBatch::try_from_iter([("text", Arc::clone(&texts)), ("question", texts)]).unwrap();
    let file = File::create(place.path("bytes.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    for (benchmark, corpus) in [("bench.jsonl", "bytes.parquet"), ("bytes.parquet", "bytes.parquet")] {
        let ran = place.report(&["--benchmark", benchmark, "--corpus", corpus]).code(2);
        assert!(said(&ran).contains("bytes.parquet:2: column") && said(&ran).contains("not UTF-8"), "{}", ran.err);
    }
    let skipping = ["--benchmark", "bench.jsonl", "--corpus", "bytes.parquet", "--skip-unreadable"];
    place.report(&skipping).code(1).says(&["not read 1 line of bytes.parquet"]);
}

#[test]
fn items_without_anything_to_search_for_are_not_clean() {
    let place = Place::new();
    let mut items = benchmark();
    items.extend([
        json!({"id": "e", "question": "", "answer": "42"}),
        json!({"id": "s", "question": "∫∑∏ ≤ ≥ ??"}),
        json!({"id": "c", "choices": ["one", "two"], "answer": "B"}),
    ]);
    place.write("bench.jsonl", lines(&items));
    place.write("s.jsonl", lines(&[json!({"text": format!("{} The answer is 42. ∫∑∏ ≤ ≥ ??", filler(1))})]));
    let arguments = ["--benchmark", "bench.jsonl", "--corpus", "s.jsonl", "-o", "out"];
    let ran = place.report(&arguments).code(1).says(&["not searched", "3 items of bench have nothing to search for"]);
    assert!(ran.out.contains("leaked 0 of 4 items") && ran.out.contains("not searched 3"), "{}", ran.out);
    let page = fs::read_to_string(place.path("out/report.html")).unwrap();
    assert!(page.contains("Not searched: 3 items of bench have nothing to search for."));
    assert!(!page.contains("outcome holds"), "no yes that was not earned");
    let report = place.report(&[&arguments[..], &["--json"]].concat()).code(1).json("contamination-report/1");
    let rate = &report["rates"][0];
    assert_eq!((&rate["not_searched"], &rate["leaked"]["of"], &rate["nothing"]), (&json!(3), &json!(4), &json!(4)));
    let none = lines(&items[4..]);
    place.write("none.jsonl", none);
    let ran = place.report(&["--benchmark", "none.jsonl", "--corpus", "s.jsonl"]).code(1);
    assert!(ran.out.contains("leaked 0 of 0 items, not searched 3"), "{}", ran.out);
}

#[test]
fn shares_of_sources_are_lower_bounds_if_documents_were_not_kept() {
    let place = Place::new();
    place.write("bench.jsonl", lines(&benchmark()));
    let document = |at: usize| {
        let (source, asked) = if at < 90 { ("forum", QUESTIONS[0].0) } else { ("books", "") };
        json!({"id": at, "text": format!("{} {asked}", filler(at)), "source": source})
    };
    place.write("s.jsonl", lines(&(0..120).map(document).collect::<Vec<_>>()));
    let arguments = ["--benchmark", "bench.jsonl", "--corpus", "s.jsonl", "-o", "out"];
    let ran = place.report(&arguments).code(1);
    // 90 documents leak the item: 50 are kept, of which 20 are listed.
    for part in ["and 30 more leaks, which the report lists", "and up to 40 more leaks that no list has"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let sources = fs::read_to_string(place.path("out/csv/sources.csv")).unwrap();
    let rows: Vec<&str> = sources.lines().collect();
    assert_eq!(rows[1..], ["spans,books,0,30,0.000000,,,0", "spans,forum,50,90,0.555556,,,1"], "no interval");
    let page = fs::read_to_string(place.path("out/report.html")).unwrap();
    assert!(page.contains("at least 50") && page.contains("at least 55.6"), "the page says it");
}

#[test]
fn a_report_that_fails_leaves_no_page_of_the_earlier_one() {
    let place = Place::new();
    place.write("bench.jsonl", lines(&benchmark()));
    place.write("s1.jsonl", lines(&shard(1, true)));
    place.write("s0.jsonl", lines(&shard(0, false)));
    place.report(&["--benchmark", "bench.jsonl", "--corpus", "s1.jsonl", "-o", "out"]).code(1);
    // What stops the second report after its table was written.
    fs::remove_file(place.path("out/csv/rates.csv")).unwrap();
    fs::create_dir_all(place.path("out/csv/rates.csv/x")).unwrap();
    place.report(&["--benchmark", "bench.jsonl", "--corpus", "s0.jsonl", "-o", "out"]).code(2);
    assert!(place.path("out/tables/contamination.parquet").exists());
    assert!(!place.path("out/report.html").exists(), "the page would be of another table");
    fs::remove_dir_all(place.path("out/csv/rates.csv")).unwrap();
    place.report(&["--benchmark", "bench.jsonl", "--corpus", "s0.jsonl", "-o", "out"]).code(0);
    assert!(fs::read_to_string(place.path("out/report.html")).unwrap().contains("No leak was found"));
}

#[test]
fn what_is_not_known_is_not_said() {
    let place = Place::new();
    let passage = json!({"id": 1, "passage": QUESTIONS[0].0});
    place.write("passages.jsonl", lines(&[passage]));
    place.write("bench.jsonl", lines(&benchmark()));
    place.write("s.jsonl", lines(&shard(1, true)));
    let passages = ["--benchmark", "passages.jsonl", "--fields", "question=", "--corpus", "s.jsonl", "-o", "out"];
    let ran = place.report(&passages).code(1);
    assert!(ran.out.contains("false alarms: not estimated, because no item has a question"), "{}", ran.out);
    let page = fs::read_to_string(place.path("out/report.html")).unwrap();
    assert!(page.contains("impossible items are made of questions") && !page.contains("--no-impossible"));
    // The methods of papers do not tell in which form a text is there.
    let gpt3 = ["--benchmark", "bench.jsonl", "--corpus", "s.jsonl", "--method", "gpt3", "-o", "gpt3"];
    place.report(&gpt3).code(1);
    let sql = "select distinct form = '' as unknown from contamination";
    let query =
        Ran::from(retrace().current_dir(place.path("gpt3")).args(["query", sql, "--format", "csv"]).output().unwrap());
    assert_eq!(query.code(0).out, "unknown\ntrue\n");
    let findings = fs::read_to_string(place.path("gpt3/csv/findings.csv")).unwrap();
    assert!(!findings.contains("edited"), "{findings}");
}

/// Text of others is escaped on the page, in Markdown and on the terminal.
#[test]
fn hostile_texts_are_texts() {
    let place = Place::new();
    let question = format!("<script>alert(1)</script> {} <img src=x>", QUESTIONS[0].0);
    place.write("bench.jsonl", lines(&[json!({"id": "<b>|x\u{1b}[31m", "question": question, "subset": "\u{202e}s"})]));
    place.write(
        "s.jsonl",
        lines(&[json!({"id": "<i>\u{1b}]0;x", "text": question, "source": "<u>", "lang": "\"><s>"})]),
    );
    let arguments = ["--benchmark", "bench.jsonl", "--corpus", "s.jsonl", "-o", "out"];
    let ran = place.report(&arguments).code(1);
    assert!(!ran.out.contains('\u{1b}') && !ran.out.contains('\u{202e}'), "{}", ran.out);
    let page = fs::read_to_string(place.path("out/report.html")).unwrap();
    for tag in ["<script", "<img", "<i>", "<b>", "<u>", "<s>", "\u{202e}", "\u{1b}"] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert!(page.contains("&lt;script&gt;"), "it is shown");
}
