//! Search, clean by what was found, search again: the steps `contamination/1` and `clean/1`, in English and Chinese.

use serde_json::{Value, json};

use crate::support::Release;

/// Questions that no other text here has, and their answers.
const QUESTIONS: [(&str, &str); 5] = [
    (
        "A ferry crosses the strait nine times a day and carries at most 118 cars. How many cars is that in a week?",
        "7434",
    ),
    ("Which mineral did the surveyors of Mount Ordway first describe as green glass, \"olivine\" or beryl?", "olivine"),
    ("一列火车从清河站出发，每小时行驶七十二公里，四小时后到达白塔镇，两地相距多少公里？", "288"),
    ("请问“白塔镇”的钟楼在哪一年被洪水冲毁，又是由哪一位木匠主持重建的？", "1871"),
    ("Mirela glazes 14 bowls and twice as many plates. How many pieces does she glaze in five days?", "210"),
];

/// The last question is in no document.
const LEAKED: usize = QUESTIONS.len() - 1;

/// A text that has nothing of the questions.
fn filler(number: usize) -> String {
    let words =
        ["harbour", "lantern", "quarry", "meadow", "thimble", "orchard", "gravel", "kettle", "saddle", "willow"];
    let word = |k: usize| words[(number * 7 + k * 3 + number * k) % words.len()];
    let english = (0..14).map(word).collect::<Vec<_>>().join(" ");
    format!("Note {number}: {english}. 山下有溪，溪边第{number}块石头。")
}

/// Every character that is not ASCII as an escape.
fn escaped(value: &Value) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        match c.is_ascii() {
            true => line.push(c),
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| line += &format!("\\u{unit:04x}")),
        }
    }
    line
}

/// The document at a line of a raw shard: every third has a question, in one of several forms.
fn document(shard: &str, number: usize) -> Value {
    let (question, answer) = QUESTIONS[number / 3 % LEAKED];
    let question = match number / 12 {
        0 => question.to_owned(),
        // As a program's output has it.
        _ => question.replace('"', "\\\"").replace(' ', "\\n"),
    };
    let text = match number % 3 {
        0 => format!("{}\n{question}\nAnswer: {answer}\n{}", filler(number), filler(number + 50)),
        _ => filler(number),
    };
    json!({"id": format!("{shard}-{number}"), "lang": shard, "meta": {"text": question, "n": 1.5}, "text": text})
}

const DOCUMENTS: usize = 24;

const SEARCH: &str = "retrace: contamination/1
name: search
benchmarks: [bench/*.jsonl]
fields: {question: prompt}
corpus: [raw/*.jsonl]
output: search
counts: search.json
report: found
";

const CLEAN: &str = "retrace: clean/1
name: clean
input: [raw/*.jsonl]
output: clean
contamination: {table: search/contamination.parquet, remove: documents}
rules: []
";

const AGAIN: &str = "retrace: contamination/1
name: again
benchmarks: [bench/*.jsonl]
fields: {question: prompt}
corpus: [clean/en-*.jsonl, clean/zh-*.jsonl]
output: again
counts: again.json
";

fn release(remove: &str) -> Release {
    let release = Release::new();
    for name in ["raw/en-00.jsonl", "raw/en-01.jsonl", "clean.yaml", "tokenize.yaml"] {
        std::fs::remove_file(release.path(name)).unwrap();
    }
    let item = |(at, (question, answer)): (usize, &(&str, &str))| {
        format!("{}\n", json!({"id": format!("q{at}"), "prompt": question, "answer": answer}))
    };
    release.write("bench/exam.jsonl", QUESTIONS.iter().enumerate().map(item).collect::<String>());
    for (shard, escapes) in [("en", false), ("zh", true)] {
        let line = |number: usize| {
            let document = document(shard, number);
            if escapes { escaped(&document) } else { document.to_string() }
        };
        let lines: String = (0..DOCUMENTS).map(|number| line(number) + "\n").collect();
        release.write(&format!("raw/{shard}-0.jsonl"), lines);
    }
    release.write("search.yaml", SEARCH);
    release.write("clean.yaml", CLEAN.replace("documents", remove));
    release.write("again.yaml", AGAIN);
    release
}

/// The items with a leak, and all items, by the counts of a step.
fn leaked(release: &Release, counts: &str) -> (u64, u64) {
    let counts: Value = serde_json::from_slice(&release.read(counts)).unwrap();
    let rate = &counts["rates"][0];
    assert_eq!((&rate["benchmark"], &rate["method"]), (&json!("exam"), &json!("spans")));
    (rate["leaked"]["count"].as_u64().unwrap(), rate["leaked"]["of"].as_u64().unwrap())
}

fn documents(release: &Release, path: &str) -> Vec<Value> {
    let text = String::from_utf8(release.read(path)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A leak: shard, line and stretches of bytes.
type Leak = (String, usize, Vec<(usize, usize)>);

/// The leaks of a table.
fn found(release: &Release) -> Vec<Leak> {
    let sql = "select shard, line, document_spans from contamination where verdict = 'leak' order by shard, line";
    let ran = release.run(&["query", sql, "search", "--json"]).code(0);
    let rows = ran.json("query/1")["rows"].as_array().unwrap().clone();
    let span =
        |span: &str| span.split_once('-').map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap())).unwrap();
    rows.iter()
        .map(|row| {
            let spans = row["document_spans"].as_str().unwrap().split(' ').map(span).collect();
            (row["shard"].as_str().unwrap().to_owned(), row["line"].as_u64().unwrap() as usize, spans)
        })
        .collect()
}

#[test]
fn spans_are_the_bytes_of_the_question_and_nothing_else() {
    let release = release("documents");
    release.run(&["make", "."]).code(0);
    let all = found(&release);
    assert_eq!(all.len(), 2 * DOCUMENTS / 3, "each document with a question");
    for (shard, line, spans) in all {
        assert_eq!((line - 1) % 3, 0, "{shard}:{line}");
        let document = documents(&release, &shard)[line - 1].clone();
        let text = document["text"].as_str().unwrap();
        let (question, _) = QUESTIONS[(line - 1) / 3 % LEAKED];
        // What stands between two words or stretches is punctuation or an escape.
        let plain = |text: &str| text.replace("\\n", "").replace(|c: char| !c.is_alphanumeric(), "");
        let inside: String = spans.iter().map(|(from, to)| &text[*from..*to]).collect();
        assert!(plain(&inside).contains(&plain(question)), "{shard}:{line}: {inside}");
        assert_eq!(text[..spans[0].0], format!("{}\n", filler(line - 1)), "{shard}:{line}");
    }
}

#[test]
fn what_was_found_is_removed_and_then_nothing_is_found() {
    for remove in ["documents", "spans"] {
        let release = release(remove);
        let made = release.run(&["make", "."]).code(0);
        assert_eq!(leaked(&release, "search.json"), (LEAKED as u64, QUESTIONS.len() as u64), "{remove}");
        assert_eq!(leaked(&release, "again.json"), (0, QUESTIONS.len() as u64), "{remove}: {}", made.err);
        let page = String::from_utf8(release.read("found/report.html")).unwrap();
        assert!(page.contains("4 of 5 items have a leak") && page.contains("<mark>"), "{remove}");
        assert!(release.path("found/csv/rates.csv").is_file());
        let ledger = documents(&release, "clean/ledger.jsonl");
        assert_eq!(ledger.len(), 2 * DOCUMENTS / 3);
        assert!(ledger.iter().all(|entry| entry["rule"] == "contamination"));
        assert_eq!(ledger[0]["detail"], "exam q0 by spans");
        for shard in ["en", "zh"] {
            let (raw, clean) = (
                documents(&release, &format!("raw/{shard}-0.jsonl")),
                documents(&release, &format!("clean/{shard}-0.jsonl")),
            );
            let untouched = raw.iter().enumerate().filter(|(number, _)| number % 3 != 0).map(|(_, document)| document);
            match remove {
                "documents" => assert!(clean.iter().eq(untouched)),
                _ => {
                    assert_eq!(clean.len(), raw.len());
                    for (number, (before, after)) in raw.iter().zip(&clean).enumerate() {
                        if number % 3 != 0 {
                            assert_eq!(before, after);
                            continue;
                        }
                        let text = after["text"].as_str().unwrap();
                        // The notes around the question are there, the question is not; nor are other fields touched.
                        assert!(text.starts_with(&format!("{}\n", filler(number))), "{text}");
                        assert!(text.ends_with(&format!("\n{}", filler(number + 50))), "{text}");
                        let rest = text.len() - filler(number).len() - filler(number + 50).len();
                        assert!(rest < 40, "{rest} bytes are left of the question: {text}");
                        let mut back = after.clone();
                        back["text"] = before["text"].clone();
                        assert_eq!(*before, back);
                    }
                }
            }
        }
        // The same again changes nothing; another way to clean is another result.
        let before = release.content();
        release.run(&["make", "."]).code(0);
        assert_eq!(release.content(), before);
        release.write("search.yaml", SEARCH.replace("corpus:", "methods: [gpt3]\ncorpus:"));
        let made = release.run(&["make", ".", "--json"]).code(0).json("make/1");
        let made: Vec<&Value> =
            made["steps"].as_array().unwrap().iter().filter(|step| step["outcome"] == "made").collect();
        let of = |id: &str| made.iter().find(|step| step["id"] == id).map(|step| step["why"].clone());
        assert_eq!(of("clean"), Some(json!(["search/contamination.parquet changed"])), "{made:?}");
    }
}

#[test]
fn a_table_that_does_not_fit_is_refused_and_nothing_is_written() {
    let release = release("spans");
    release.run(&["make", "."]).code(0);
    std::fs::remove_dir_all(release.path("clean")).unwrap();
    let raw = String::from_utf8(release.read("raw/en-0.jsonl")).unwrap();
    let clean = CLEAN.replace("documents", "spans");
    let refused = |says: &[&str]| {
        let ran = release.run(&["clean", "clean.yaml"]).code(2);
        let err = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in says {
            assert!(err.contains(part), "{part:?} is not in {}", ran.err);
        }
        assert!(!release.path("clean").exists());
    };
    // The corpus was changed since: a document less, other text, or a shard less.
    release.write("raw/en-0.jsonl", raw.split_once('\n').unwrap().1);
    refused(&[
        "raw/en-0.jsonl:1: the document is \"en-1\", and items were found in \"en-0\"",
        "search these shards again",
    ]);
    release.write("raw/en-0.jsonl", raw.replace("A ferry", "The ferry"));
    refused(&["raw/en-0.jsonl:1: the text of \"en-0\" at byte", "is not what was searched"]);
    release.write("raw/en-0.jsonl", raw.lines().take(9).map(|line| format!("{line}\n")).collect::<String>());
    refused(&["raw/en-0.jsonl:10: items were found in \"en-9\", and there is no such line"]);
    release.write("raw/en-0.jsonl", &raw);
    // None of the shards of the table is cleaned.
    release.write("other/x.jsonl", &raw);
    release.write("clean.yaml", clean.replace("raw/*", "other/*"));
    refused(&["16 documents with findings are in shards that are not cleaned here: raw/en-0.jsonl, raw/zh-0.jsonl"]);
    // No table, and no table of a search.
    release.write("clean.yaml", clean.replace("search/contamination", "search/none"));
    refused(&["search/none.parquet"]);
    release.write("metrics.csv", "run,value\na,1\n");
    release.write("clean.yaml", clean.replace("search/contamination.parquet", "metrics.csv"));
    refused(&["benchmark"]);
    release.write("cut.parquet", &release.read("search/contamination.parquet")[..900]);
    release.write("clean.yaml", clean.replace("search/contamination.parquet", "cut.parquet"));
    refused(&["cut.parquet"]);
    // Documents are as they should be.
    for (field, wrong, says) in [
        ("spans}", "some}", "some"),
        ("remove: spans}", "remove: spans, verdicts: [bad]}", "bad"),
        ("remove: spans}", "remove: spans, verdicts: []}", "contamination.verdicts"),
        ("remove: spans}", "remove: spans, methods: [spans, spans]}", "contamination.methods"),
    ] {
        release.write("clean.yaml", clean.replace(field, wrong));
        refused(&[says]);
    }
    // A part of the shards, of which the others are named.
    release.write("clean.yaml", clean.replace("raw/*", "raw/zh-*"));
    let ran = release.run(&["clean", "clean.yaml"]).code(0);
    let said = "not removed 8 documents with findings are in shards that are not cleaned here: raw/en-0.jsonl";
    assert!(ran.err.contains(said), "{}", ran.err);
    assert!(ran.err.contains("kept and cut by contamination"), "{}", ran.err);
}

#[test]
fn a_search_by_n_grams_of_one_length_is_refused_with_a_reason() {
    let release = release("documents");
    for (from, to, says) in [
        ("output:", "ngram: 8\noutput:", "ngram: is not a field any more"),
        ("benchmarks: [bench/*.jsonl]\nfields: {question: prompt}\n", "", "tasks: is empty"),
        ("benchmarks: [bench/*.jsonl]\n", "tasks: [t.yaml]\n", "fields: names columns of benchmarks"),
        ("output:", "methods: [ngrams]\noutput:", "ngrams"),
        ("output:", "methods: []\noutput:", "methods"),
        ("question: prompt", "prompt: question", "there is no field \"prompt\""),
        ("fields: {question: prompt}\n", "", "has no column \"question\""),
        ("output:", "documents_per_item: 0\noutput:", "documents_per_item"),
        ("output:", "runs: [runs/none]\noutput:", "runs/none"),
    ] {
        release.write("search.yaml", SEARCH.replace(from, to));
        release.run(&["make", "."]).code(2).says(&[says]);
        assert!(!release.path("search").exists() && !release.path("search.json").exists(), "{says}");
    }
    // A search of what is cleaned by its own table.
    release.write("search.yaml", SEARCH.replace("raw/*", "clean/*-0"));
    release.run(&["make", "."]).code(2).says(&["clean", "search"]);
    assert!(!release.path("clean").exists());
}

#[test]
fn more_leaks_than_are_kept_are_not_forgotten() {
    let release = release("documents");
    release.write("search.yaml", SEARCH.replace("output:", "documents_per_item: 3\noutput:"));
    // Each question is in four documents.
    let ran = release.run(&["make", "."]).code(1);
    assert!(ran.err.contains("up to 4 more documents leak an item"), "{}", ran.err);
    assert!(ran.err.contains("counted up to 4 more documents"), "{}", ran.err);
    assert_eq!(leaked(&release, "again.json"), (4, 5), "they are still there");
    release.run(&["clean", "clean.yaml"]).code(1).says(&["incomplete"]);
    release.write("search.yaml", SEARCH.replace("output:", "documents_per_item: 4\noutput:"));
    release.run(&["make", "."]).code(0);
    assert_eq!(leaked(&release, "again.json"), (0, 5));
}
