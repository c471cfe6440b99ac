//! An untrusted release, and an untrusted query.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use retrace_query::{By, Held, Limits, NamedQuery, Options, QueryError, Session};
use retrace_spec::manifest::{Artifact, ArtifactKind};
use retrace_spec::{Document, Manifest};
use retrace_tables::{Metric, TablesError};

use crate::{csv, metric, release};

const TABLE: &str = "tables/metrics.parquet";

fn open(path: &Path, options: Options) -> Session {
    Session::open_with(&[path.to_owned()], options).unwrap()
}

/// A sealed release.
fn sealed(manifest: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    release(directory.path());
    reseal(directory.path(), manifest, &[(TABLE, ArtifactKind::Table)]);
    directory
}

/// Writes a manifest of these files.
fn reseal(directory: &Path, manifest: &str, files: &[(&str, ArtifactKind)]) {
    let artifact = |(path, kind): &(&str, ArtifactKind)| {
        let (size, digest) = retrace_files::hash_file(&directory.join(path)).unwrap();
        Artifact { path: path.parse().unwrap(), kind: *kind, size, digest, sha256: None, slices: vec![], tensors: None }
    };
    let artifacts = files.iter().map(artifact).collect();
    let made = Manifest::new("r", "by hand", vec![], artifacts, vec![]).unwrap();
    let json = || serde_json::to_string_pretty(&made).unwrap();
    let text = if manifest.ends_with("json") { json() } else { made.to_yaml().unwrap() };
    fs::write(directory.join(manifest), text).unwrap();
}

/// Flips a bit in the middle of a column's values, and keeps the file's length and times.
fn flip(path: &Path) {
    let times = fs::metadata(path).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(8).position(|value| value == 1f64.to_le_bytes()).unwrap();
    bytes[at + 6] ^= 1;
    fs::write(path, &bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(times.modified().unwrap())).unwrap();
}

const SUM: &str = "select sum(value) as s from metrics";

#[test]
fn a_table_that_is_not_as_sealed_gives_no_answer() {
    for manifest in ["manifest.yaml", "manifest.json"] {
        let directory = sealed(manifest);
        let (root, table) = (directory.path(), directory.path().join(TABLE));
        let session = open(root, Options::default());
        assert_eq!(csv(&session, SUM), "s\n1.3\n");
        let held = |by| [Held { file: table.display().to_string(), by }];
        assert_eq!(session.held(), held(By::Manifest));
        // Valid and with a correct checksum of its own, but a different file.
        let rows: Vec<Metric> = vec![metric(0, "a", 2.0)];
        retrace_tables::write(&root.join("tables"), &rows).unwrap();
        let path = format!("select * from '{}'", table.display());
        for sql in [SUM, &path, "with a as (select * from metrics) select (select count(*) from a) as n"] {
            // In a session that answered already, and in a new one.
            for session in [&session, &open(root, Options::default())] {
                match session.run(sql).unwrap_err() {
                    QueryError::NotAsSealed { path, .. } => assert_eq!(path, table, "{sql}"),
                    other => panic!("{sql}: {other}"),
                }
            }
        }
        // A query that does not read the table is answered, and so is every query without a check.
        assert_eq!(csv(&session, "select count(*) as n from artifacts"), "n\n1\n");
        let unchecked = open(root, Options { checked: false, ..Options::default() });
        assert_eq!(csv(&unchecked, SUM), "s\n2.0\n");
        assert_eq!(unchecked.held(), held(By::Nothing));
    }
}

#[test]
fn what_a_function_reads_is_held_too() {
    let directory = sealed("manifest.yaml");
    retrace_tables::write(&directory.path().join("tables"), &[metric(0, "a", 2.0)]).unwrap();
    let error = open(directory.path(), Options::default()).run("select * from aligned('base', 'base')").unwrap_err();
    assert!(matches!(error, QueryError::NotAsSealed { .. }), "{error}");
}

#[test]
fn a_table_in_a_part_is_held_against_the_manifest_of_the_part() {
    let directory = tempfile::tempdir().unwrap();
    release(&directory.path().join("part"));
    reseal(&directory.path().join("part"), "manifest.yaml", &[(TABLE, ArtifactKind::Table)]);
    reseal(directory.path(), "manifest.yaml", &[("part/manifest.yaml", ArtifactKind::Manifest)]);
    let table = directory.path().join("part").join(TABLE);
    let sql = format!("select sum(value) as s from '{}'", table.display());
    let session = open(directory.path(), Options::default());
    assert_eq!(csv(&session, &sql), "s\n1.3\n");
    assert_eq!(session.held(), [Held { file: table.display().to_string(), by: By::Manifest }]);
    retrace_tables::write(table.parent().unwrap(), &[metric(0, "a", 2.0)]).unwrap();
    assert!(matches!(session.run(&sql), Err(QueryError::NotAsSealed { .. })));
}

#[test]
fn damage_shows_without_a_manifest() {
    let directory = tempfile::tempdir().unwrap();
    release(directory.path());
    let table = directory.path().join(TABLE);
    let session = open(directory.path(), Options::default());
    assert_eq!(csv(&session, SUM), "s\n1.3\n");
    assert_eq!(session.held(), [Held { file: table.display().to_string(), by: By::Checksum }]);
    flip(&table);
    let session = open(directory.path(), Options::default());
    assert!(matches!(session.run(SUM), Err(QueryError::Tables(TablesError::Checksum { path })) if path == table));
    // A reader that does not check the complete file still detects that the page is damaged.
    let unchecked = open(directory.path(), Options { checked: false, ..Options::default() });
    let error = unchecked.run(SUM).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
    // And it cannot be a part of another table.
    let none = Default::default();
    let locked = retrace_tables::Tables::lock(&directory.path().join("tables")).unwrap();
    let merged = locked.merge::<Metric>(&none, vec![]);
    assert!(matches!(merged, Err(TablesError::Checksum { .. })));
}

#[cfg(unix)]
#[test]
fn notes_are_believed_of_bytes_alone_and_from_oneself_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, cache) = (sealed("manifest.yaml"), tempfile::tempdir().unwrap());
    let (root, notes) = (directory.path(), cache.path().join("notes"));
    let options = || Options { notes: Some(notes.clone()), ..Options::default() };
    let ask = || open(root, options()).run(SUM).map(|_| ());
    // A file that was just written may be written again with the same times: no note is made of it.
    ask().unwrap();
    assert!(!notes.exists());
    std::thread::sleep(Duration::from_millis(2100));
    ask().unwrap();
    let note = fs::read_dir(&notes).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::metadata(&note).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&note).unwrap();
    let (_, digest) = retrace_files::hash_file(&root.join(TABLE)).unwrap();
    assert!(text.contains(&digest.to_string()));
    // A note is used: one with other digests is accepted.
    let lie =
        |digit: &str| fs::write(&note, text.replace(&digest.to_string(), &format!("b3:{}", digit.repeat(64)))).unwrap();
    lie("0");
    assert!(matches!(ask(), Err(QueryError::NotAsSealed { .. })));
    // But not if others can write the file or its directory.
    for (place, mode) in [(&note, 0o620), (&note, 0o602), (&notes, 0o722)] {
        lie("0");
        let before = fs::metadata(place).unwrap().permissions();
        fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
        ask().unwrap();
        fs::set_permissions(place, before).unwrap();
    }
    // The manifest's digests are looked up each time: a note from before a change has no effect.
    fs::write(&note, &text).unwrap();
    ask().unwrap();
    let manifest = fs::read_to_string(root.join("manifest.yaml")).unwrap();
    retrace_tables::write(&root.join("tables"), &[metric(0, "a", 2.0)]).unwrap();
    fs::remove_file(root.join("manifest.yaml")).unwrap();
    reseal(root, "manifest.yaml", &[(TABLE, ArtifactKind::Table)]);
    ask().unwrap();
    fs::write(root.join("manifest.yaml"), manifest).unwrap();
    assert!(matches!(ask(), Err(QueryError::NotAsSealed { .. })));
    // Invalid or empty notes are ignored.
    fs::write(&note, "{").unwrap();
    fs::remove_file(root.join("manifest.yaml")).unwrap();
    ask().unwrap();
}

#[test]
fn sql_from_a_file_asks_open_tables_only() {
    let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let session = release(directory.path());
    let private = outside.path().join("private.csv");
    fs::write(&private, "name\nhunter2\n").unwrap();
    let inside = directory.path().join(TABLE);
    for place in [private.display().to_string(), inside.display().to_string(), "https://127.0.0.1:1/a.csv".to_owned()] {
        for sql in [
            format!("select * from '{place}'"),
            format!("select * from metrics where task in (select name from '{place}')"),
            format!("with a as (select * from '{place}') select * from a, metrics"),
            format!("select * from metrics union all select * from '{place}'"),
            format!("select exists (select 1 from '{place}')"),
            format!("explain select * from '{place}'"),
        ] {
            let named = NamedQuery::parse("a", &format!("-- question: ?\n{sql}"), "a.sql").unwrap();
            for error in [session.run_foreign(&sql).unwrap_err(), session.ask(&named, &Default::default()).unwrap_err()]
            {
                assert!(matches!(&error, QueryError::Reach { place: of } if *of == place), "{sql}: {error}");
            }
        }
    }
    assert!(session.run_foreign("select * from metrics").is_ok());
    let sql = format!("select * from '{}'", private.display());
    assert_eq!(csv(&session, &sql), "name\nhunter2\n");
    let trusting = open(directory.path(), Options { trusting: true, ..Options::default() });
    assert_eq!(trusting.run_foreign(&sql).unwrap().rows(), 1);
}

#[cfg(unix)]
#[test]
fn nothing_below_a_release_leads_out_of_it() {
    let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    release(directory.path());
    release(outside.path());
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, directory.path().join(name)).unwrap();
    link(&outside.path().join(TABLE), "link.parquet.old");
    fs::rename(directory.path().join("link.parquet.old"), directory.path().join("tables/.hidden.parquet")).unwrap();
    link(&outside.path().join("tables"), "elsewhere");
    let pipe = directory.path().join("pipe.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let session = open(directory.path(), Options::default());
    for name in
        ["tables/.hidden.parquet", "elsewhere/metrics.parquet", "pipe.csv", "tables/../elsewhere/metrics.parquet"]
    {
        let path = directory.path().join(name);
        let asked = session.run(&format!("select * from '{}'", path.display())).map(|_| ());
        // A path that leaves the release by `..` through a link is elsewhere, and the user may query it.
        assert_eq!(asked.is_err(), name != "tables/../elsewhere/metrics.parquet", "{name}: {asked:?}");
    }
    // The directory of the tables itself, and the manifest.
    for name in ["tables", "manifest.yaml"] {
        let strange = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path().join("tables"), strange.path().join(name)).unwrap();
        let error = Session::open(&[strange.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("link") && error.contains(name), "{error}");
    }
}

#[test]
fn texts_of_strangers_are_short_and_regular_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("good.sql"), "-- question: ?\nselect 1").unwrap();
    assert_eq!(NamedQuery::read(directory.path()).unwrap().len(), 1);
    fs::write(path("long.sql"), " ".repeat((1 << 20) + 1)).unwrap();
    assert!(NamedQuery::read(directory.path()).unwrap_err().to_string().contains("long.sql"));
    fs::remove_file(path("long.sql")).unwrap();
    #[cfg(unix)]
    for to in ["/dev/zero", "good.sql"] {
        std::os::unix::fs::symlink(to, path("link.sql")).unwrap();
        assert!(NamedQuery::read(directory.path()).unwrap_err().to_string().contains("link.sql"));
        fs::remove_file(path("link.sql")).unwrap();
    }
}

fn limited(seconds: f64, memory: usize) -> Session {
    let limits = Limits { time: Some(Duration::from_secs_f64(seconds)), memory: Some(memory) };
    Session::open_with(&[], Options { limits, ..Options::default() }).unwrap()
}

#[test]
fn a_query_without_end_is_given_up() {
    let session = limited(0.3, 1 << 30);
    let began = SystemTime::now();
    let endless = "select sum(a.value * b.value % 7) from range(1000000000000) a cross join range(1000000000000) b";
    let error = session.run(endless).unwrap_err();
    assert!(matches!(error, QueryError::TooLong { .. }), "{error}");
    assert!(began.elapsed().unwrap() < Duration::from_secs(10));
    // The session still works.
    assert_eq!(csv(&limited(10.0, 1 << 30), "select 1 as one"), "one\n1\n");
}

#[test]
fn a_query_that_takes_too_much_is_given_up() {
    for sql in [
        // All rows in one place: sorted, grouped, joined, in a window, in the answer.
        "select value from range(200000000) order by value % 1000, value desc",
        "select value, count(*) from range(200000000) group by value",
        "select count(*) from range(100000000) a join range(100000000) b on a.value = b.value + 1",
        "select max(n) from (select row_number() over (order by value % 10) as n from range(200000000))",
        "select array_agg(value) from range(200000000)",
        "select string_agg(cast(value as varchar), ',') from range(200000000)",
        "select value, value + 1, value + 2 from range(200000000)",
    ] {
        let error = limited(120.0, 32 << 20).run(sql).map(|answer| answer.rows()).unwrap_err();
        assert!(matches!(error, QueryError::TooLarge { .. }), "{sql}: {error:?}");
    }
}

/// The batches of a sort share the texts of the table, and DataFusion requests memory for all of them with each batch:
/// some gigabytes here, for 70 MB of texts.
#[test]
fn a_query_is_not_given_up_for_what_its_batches_share() {
    let text = |n: u32| format!("repeat(cast(value * {n} as varchar), 12) as t{n}");
    let texts = (1..5).map(text).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "with texts as (select value, {texts} from range(200000)), \
         numbered as (select *, row_number() over (partition by value % 7 order by t1) as n, \
             count(*) over (partition by value % 3) as of from texts) \
         select count(*) as rows, min(n) as least, max(of) as most, \
             max(length(t1) + length(t2) + length(t3) + length(t4)) as longest \
         from (select * from numbered order by value % 11, t2 limit 199999)"
    );
    assert_eq!(csv(&limited(120.0, 1 << 30), &sql), "rows,least,most,longest\n199999,1,66667,288\n");
}

#[test]
fn no_function_makes_what_does_not_fit() {
    let session = limited(60.0, 1 << 30);
    // Ten, and then ten times as much with each level.
    let replaced = (0..9).fold("'a'".to_owned(), |text, _| format!("replace({text}, 'a', 'aaaaaaaaaa')"));
    let by_pattern = (0..9).fold("'a'".to_owned(), |text, _| format!("regexp_replace({text}, 'a', 'aaaaaaaaaa', 'g')"));
    let doubled =
        |from: &str, by: &str| (0..11).fold(from.to_owned(), |sql, _| format!("select {by} as s from ({sql})"));
    // 24 MB at the start: twice as much with each level.
    let text = "select repeat('0123456789', 300000) as s from range(8)";
    let list = "select range(400000) as s from range(8)";
    for sql in [
        "select array_repeat(array_repeat(array_repeat(1,10000),10000),10000)",
        "select list_repeat(list_repeat(list_repeat(1,10000),10000),10000)",
        "select repeat('x', 10000000000)",
        "select length(repeat('x', 2000000000))",
        "select length(repeat(task, 1000000000)) from (values ('a'), ('b')) as t(task)",
        "select lpad('x', 2000000000)",
        "select rpad('x', 2000000000, 'ab')",
        "select range(100000000000)",
        "select generate_series(1, 100000000000, 2)",
        "select length(cast(range(1, -9223372036854775807, -1) as varchar))",
        "select generate_series(timestamp '1700-01-01', timestamp '2200-01-01', interval '1 microsecond')",
        "select array_resize([1], 100000000000)",
        "select array_resize([1], 2000000000, 7)",
        "select array_to_string(range(1000000), repeat('x', 1000000))",
        "select array_replace_all(array_repeat('a', 100000), 'a', repeat('x', 100000))",
        &format!("select length({replaced})"),
        &format!("select length({by_pattern})"),
        &format!("select length(s) from ({})", doubled(text, "s || s")),
        &format!("select length(s) from ({})", doubled(text, "concat(s, s)")),
        &format!("select array_length(s) from ({})", doubled(list, "array_concat(s, s)")),
        &format!("select s from ({})", doubled(list, "[s, s]")),
        // A constant that each of very many rows would have.
        "select sum(length(s)) from (select value, repeat('x', 10000000) as s from range(1000000))",
    ] {
        let error = match session.run(sql) {
            Ok(answer) => panic!("{sql}: {} rows", answer.rows()),
            Err(error) => error,
        };
        assert!(!matches!(error, QueryError::TooLong { .. } | QueryError::Damaged { .. }), "{sql}: {error}");
    }
}

/// Results that fit are the same as those of DataFusion's functions.
#[test]
fn bounded_functions_are_the_functions() {
    let session = limited(60.0, 2 << 30);
    for (sql, answer) in [
        ("select repeat('ab', 3) as a", "ababab"),
        ("select lpad('x', 4, 'ab') as a", "abax"),
        ("select 'a' || 'b' || 1 as a", "ab1"),
        ("select cast(null as varchar) || 'b' as a", ""),
        ("select max(task || '!') as a from (values ('a'), ('b')) as t(task)", "b!"),
        // If no argument is null, the result is not null: plans rely on it.
        ("select n || 'b' as a from (select 'x' || cast(count(*) as varchar) as n from range(3))", "x3b"),
        ("select concat('a', null, 'b') as a", "ab"),
        ("select concat_ws('-', 'a', null, 'b') as a", "a-b"),
        ("select array_to_string(range(1, 4), '+') as a", "1+2+3"),
        ("select array_to_string([1] || [2, 3], '+') as a", "1+2+3"),
        ("select replace('banana', 'a', 'o') as a", "bonono"),
        ("select regexp_replace('banana', '(an)', '<\\1>', 'g') as a", "b<an><an>a"),
        ("select array_length(generate_series(date '2024-01-01', date '2024-03-01', interval '1 month')) as a", "3"),
        ("select count(*) as a from (select unnest(range(1000000)))", "1000000"),
        // A result that fits only in parts, because the matches of a pattern are not known in advance.
        (
            "select sum(length(replace(s, 'b', 'xxxxxxxxxx'))) as a from \
               (select repeat('a', 4000 + value % 2) as s from range(8000))",
            "32004000",
        ),
    ] {
        assert_eq!(csv(&session, sql), format!("a\n{answer}\n"), "{sql}");
    }
    // The name of a column is the text of the query.
    assert!(csv(&session, "select 'a' || 'b'").starts_with("\"Utf8(\"\"a\"\") || Utf8(\"\"b\"\")\"\n"));
}

#[test]
fn sql_of_many_parts_is_no_end_of_the_process() {
    let session = limited(60.0, 1 << 30);
    for sql in [
        format!("select {}1", "1 + ".repeat(20_000)),
        format!("select {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("select {}1", "- ".repeat(20_000)),
        format!("select {}true", "not ".repeat(20_000)),
        format!("select 'a' {}", "|| 'a' ".repeat(20_000)),
        format!("select 1 {}", "union all select 1 ".repeat(2_000)),
        format!("select {} 1 {}", "case when true then".repeat(2_000), "end".repeat(2_000)),
    ] {
        // There is either an answer or an error.
        let _ = session.run(&sql);
    }
}

#[test]
fn a_directory_is_told_from_paths() {
    // The same release through a path with a link in it, and from within: the manifest is found.
    let directory = sealed("manifest.yaml");
    let whole = directory.path().canonicalize().unwrap();
    let held = |root: &Path, file: PathBuf| {
        let session = open(root, Options::default());
        session.run(&format!("select * from '{}'", file.display())).unwrap();
        session.held()[0].by
    };
    assert_eq!(held(&whole, whole.join(TABLE)), By::Manifest);
    assert_eq!(held(&whole.join("tables/.."), whole.join(TABLE)), By::Manifest);
    assert_eq!(held(&whole, whole.join("tables/../tables/metrics.parquet")), By::Manifest);
    #[cfg(unix)]
    {
        let elsewhere = tempfile::tempdir().unwrap();
        let way = elsewhere.path().join("way");
        std::os::unix::fs::symlink(&whole, &way).unwrap();
        assert_eq!(held(&way, whole.join(TABLE)), By::Manifest);
        assert_eq!(held(&whole, way.join(TABLE)), By::Manifest);
    }
}
