//! Lists of released checkpoints: a CSV with one line per checkpoint, as OLMo has them; and the revisions of a repository,
//! as a line for each (also as `git ls-remote` prints them) or as JSON (`list_repo_refs` of huggingface_hub, or the hub's
//! own `/refs`).
//!
//! The run is the file's name, with the stage and the ingredient if a line gives them, because the steps are
//! counted from zero for each of these. The label is the last part of the checkpoint's directory, or the revision. The
//! commit of a revision is a claim about it.
//!
//! A CSV with two columns, neither of which is a step or a directory, gives other facts about the run, such
//! as the locations of its data sets. Its lines are claims.

use retrace_spec::{CheckpointName, Step, Tokens};
use retrace_tables::Checkpoint;

use crate::csv::Table;
use crate::json;
use crate::rows::{Input, Problem, Rows};
use crate::value::{Value, pointer, whole};

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let mut lines = input.bytes.split(|byte| *byte == b'\n');
    let is_table = input.name().ends_with(".csv") || lines.next().is_some_and(|line| line.contains(&b','));
    match input.bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => refs(input, rows),
        _ if is_table => table(input, rows),
        _ => revisions(input, rows),
    }
}

/// A revision: its name, its place in the file, and the commit that it is.
struct Revision<'a> {
    name: &'a str,
    place: String,
    commit: Option<&'a str>,
}

/// Revisions one by one, and what is known of them all.
#[derive(Default)]
struct Revisions {
    any: bool,
    /// Whether a name says which checkpoint it is.
    named: bool,
    pull_requests: bool,
}

impl Revisions {
    fn take(&mut self, input: &Input<'_>, revision: &Revision<'_>, rows: &mut Rows) {
        let Revision { name, place, commit } = revision;
        let said = CheckpointName::of(name);
        self.any = true;
        self.named |= said.step.is_some() || said.ordinal.is_some() || said.tokens.is_some();
        let row = Listed { path: name, label: name, step: said.step, tokens: None, stage: None, ingredient: None };
        row.give(input, place, rows);
        if let Some(commit) = commit {
            rows.claim(input, name, "commit", commit, None, place);
        }
    }

    fn end(&self, rows: &mut Rows) -> Result<(), Problem> {
        if self.pull_requests {
            rows.note(Problem::whole("pull requests and conversions of the hub are left out"));
        }
        if self.any && !self.named {
            return Err(Problem::whole("not a list of checkpoints: no name has a step"));
        }
        if self.any { Ok(()) } else { Err(Problem::whole("not a list of checkpoints: it has no revisions")) }
    }
}

/// A line for each revision: its name, or the commit and the name of a reference.
fn revisions(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let mut all = Revisions::default();
    let mut found = Rows::default();
    for (index, line) in input.bytes.split(|byte| *byte == b'\n').enumerate() {
        let place = format!("line {}", index + 1);
        let Ok(line) = std::str::from_utf8(line) else {
            rows.problem(Problem::at(place, "not UTF-8"));
            continue;
        };
        let line = line.trim_start_matches('\u{feff}').trim();
        let (commit, name) = match line.split_once('\t') {
            Some((commit, name)) => (Some(commit.trim()).filter(|commit| is_commit(commit)), name.trim()),
            None => (None, line),
        };
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        let Some(name) = branch_or_tag(name) else {
            all.pull_requests = true;
            continue;
        };
        if name.contains(char::is_whitespace) || line.contains('\t') && commit.is_none() {
            rows.problem(Problem::at(place, "not the name of a revision"));
            continue;
        }
        all.take(input, &Revision { name, place, commit }, &mut found);
    }
    all.end(rows)?;
    rows.append(found);
    Ok(())
}

/// Whether a text is the digest of a commit.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name of a branch or tag, of a reference or by itself; `None` for other references.
fn branch_or_tag(name: &str) -> Option<&str> {
    match name.strip_prefix("refs/") {
        Some(reference) => {
            let name = reference.strip_prefix("heads/").or_else(|| reference.strip_prefix("tags/"))?;
            // What an annotated tag is of, which stands beside the tag.
            Some(name).filter(|name| !name.ends_with("^{}"))
        }
        None => Some(name).filter(|name| *name != "HEAD"),
    }
}

/// Revisions as JSON: `{"branches": [{"name": …, "target_commit": …}], "tags": […]}`, or a list of names or such objects.
fn refs(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let value = json::read(input.bytes)?;
    let lists: Vec<(&str, &[Value<'_>])> = match &value {
        Value::Array(items) => vec![("", items)],
        value => {
            let list = |name| Some((name, value.get(name)?.array()?));
            ["branches", "tags"].into_iter().filter_map(list).collect()
        }
    };
    if lists.is_empty() {
        return Err(Problem::whole("not a list of checkpoints: it has no list `branches` or `tags`"));
    }
    let mut all = Revisions::default();
    let others = ["converts", "pull_requests", "pullRequests"].into_iter().filter_map(|name| value.get(name)?.array());
    all.pull_requests = others.map(<[_]>::len).sum::<usize>() > 0;
    let mut found = Rows::default();
    for (list, items) in lists {
        for (index, item) in items.iter().enumerate() {
            let index = index.to_string();
            let place = if list.is_empty() { pointer([&*index]) } else { pointer([list, &index]) };
            let commit = item.get("target_commit").or_else(|| item.get("targetCommit")).and_then(Value::text);
            match item.text().or_else(|| item.get("name")?.text()) {
                Some(name) => all.take(input, &Revision { name, place, commit }, &mut found),
                None => rows.problem(Problem::at(place, "it has no name")),
            }
        }
    }
    all.end(rows)?;
    rows.append(found);
    Ok(())
}

/// A checkpoint in a list.
struct Listed<'a> {
    path: &'a str,
    label: &'a str,
    step: Option<Step>,
    tokens: Option<u64>,
    /// Stage and ingredient, if the list has them beside the name.
    stage: Option<&'a str>,
    ingredient: Option<&'a str>,
}

impl Listed<'_> {
    fn give(self, input: &Input<'_>, place: &str, rows: &mut Rows) {
        let Self { path, label, step, tokens, stage, ingredient } = self;
        let said = CheckpointName::of(label);
        let mut run = input.stem().to_owned();
        match (stage, said.stage) {
            (Some(stage), _) => run = format!("{run}/{stage}"),
            (None, Some(stage)) => run = format!("{run}/stage{stage}"),
            (None, None) => {}
        }
        match ingredient {
            Some(number) if whole(number).is_some() => run = format!("{run}/ingredient{number}"),
            // Not an ingredient but the average of several: `soup`.
            Some(name) => run = format!("{run}/{name}"),
            None => run += &said.ingredient.map_or_else(String::new, |number| format!("/ingredient{number}")),
        }
        if !rows.accept(place, &[&run, label, path]) {
            return;
        }
        rows.checkpoints.push(Checkpoint {
            release: input.release.to_owned(),
            run,
            label: label.to_owned(),
            step,
            tokens: tokens.map(Tokens),
            parameters: None,
            path: path.to_owned(),
            state: None,
            source: input.source.to_owned(),
            place: place.to_owned(),
        });
    }
}

/// A CSV with a line for each checkpoint.
fn table(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let table = Table::open(input.bytes)?;
    let column = |wanted: &[&str]| {
        table.names.iter().position(|name| wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)))
    };
    let path = column(&["checkpoint directory", "checkpoint", "directory", "path", "url", "revision", "branch"]);
    let step = column(&["step"]);
    if let ([thing, _], None, None) = (table.names.as_slice(), path, step) {
        let thing = thing.to_lowercase();
        table.each(rows, |line, cells, rows| {
            if let (Some(name), Some(value)) = (cells.get(0), cells.get(1)) {
                let (name, place) = (format!("{thing}.{name}"), format!("line {line}"));
                rows.claim(input, input.stem(), &name, value, value.parse().ok(), &place);
            }
        });
        return Ok(());
    }
    let Some(path) = path.filter(|_| step.is_some() || column(&["revision", "branch"]).is_some()) else {
        let names = table.names.join(", ");
        return Err(Problem::at(
            "line 1",
            format!("not a list of checkpoints: it needs columns for step and directory, and has {names}"),
        ));
    };
    let tokens = column(&["tokens seen", "tokens"]);
    let (stage, ingredient) = (column(&["stage"]), column(&["ingredient"]));
    table.each(rows, |line, cells, rows| {
        let place = format!("line {line}");
        let Some(path) = cells.get(path) else {
            return rows.problem(Problem::at(place, "it has no directory for the checkpoint"));
        };
        let label = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
        let said = CheckpointName::of(label);
        let mut number = |column: Option<usize>, what: &str| {
            let text = cells.get(column?)?;
            let number = whole(text);
            if number.is_none() {
                rows.problem(Problem::at(&place, format_args!("{what} is {text:?}, not an integer")));
            }
            number
        };
        let step = number(step, "the step").map(Step).or(said.step);
        // A label's tokens are rounded, so they are only in the label.
        let tokens = number(tokens, "tokens");
        let text = |column: Option<usize>| column.and_then(|column| cells.get(column));
        Listed { path, label, step, tokens, stage: text(stage), ingredient: text(ingredient) }
            .give(input, &place, rows);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

    /// Lines as in OLMo's lists.
    #[test]
    fn lists_of_real_releases_and_anything_is_survived() {
        let plain = b"Step,Checkpoint Directory\n150,https://example.org/peteish7/step150-unsharded/\n";
        let ingredients = b"Ingredient,Step,Checkpoint Directory\n1,1000,https://example.org/a/step1000-unsharded/\nsoup,11921,https://example.org/soup/step11921-unsharded\n";
        let stages = b"Stage,Step,Tokens Seen,Checkpoint Directory\nstage1_pretraining,1000,4194304000,https://example.org/stage1/step1000/\n";
        let branches = b"revision\nstage1-step1000-tokens5B\n";
        let rows = |bytes| read_as("list/OLMo-2.csv", bytes, read);
        let told = |bytes| -> Vec<_> {
            let rows = rows(bytes);
            assert_eq!(rows.problems(), None);
            rows.checkpoints
                .into_iter()
                .map(|row| (row.run, row.label, row.step.map(|s| s.0), row.tokens.map(|t| t.0), row.place))
                .collect()
        };
        let row = |run: &str, label: &str, step, tokens, place: &str| {
            (run.to_owned(), label.to_owned(), Some(step), tokens, place.to_owned())
        };
        assert_eq!(told(plain), [row("OLMo-2", "step150-unsharded", 150, None, "line 2")]);
        assert_eq!(
            told(ingredients),
            [
                row("OLMo-2/ingredient1", "step1000-unsharded", 1000, None, "line 2"),
                row("OLMo-2/soup", "step11921-unsharded", 11921, None, "line 3"),
            ]
        );
        assert_eq!(told(stages), [row("OLMo-2/stage1_pretraining", "step1000", 1000, Some(4_194_304_000), "line 2")]);
        assert_eq!(told(branches), [row("OLMo-2/stage1", "stage1-step1000-tokens5B", 1000, None, "line 2")]);
        survives("a.csv", stages, read);
    }

    /// Run, label, step and place of each row, and the claims.
    type Told = (Vec<(String, String, Option<u64>, String)>, Vec<(String, String)>);

    fn revisions_of(source: &str, bytes: &[u8]) -> Told {
        let rows = read_as(source, bytes, read);
        assert_eq!(rows.problems(), None);
        let claims = rows.claims.into_iter().map(|claim| (claim.subject, claim.value)).collect();
        let rows = rows.checkpoints.into_iter().map(|row| (row.run, row.label, row.step.map(|s| s.0), row.place));
        (rows.collect(), claims)
    }

    #[test]
    fn lists_of_revisions_and_anything_is_survived() {
        let row = |run: &str, label: &str, step: Option<u64>, place: &str| {
            (run.to_owned(), label.to_owned(), step, place.to_owned())
        };
        // Names as Pythia, OLMo 2, K2-V2 and OpenEuroLLM have them.
        let names = b"main\nstep143000\r\n\n# a comment\nstage2-ingredient3-step1000-tokens5B\nstage_1_0065000\ncheckpoint_0005000\n";
        let expected = [
            row("revisions", "main", None, "line 1"),
            row("revisions", "step143000", Some(143_000), "line 2"),
            row("revisions/stage2/ingredient3", "stage2-ingredient3-step1000-tokens5B", Some(1000), "line 5"),
            row("revisions/stage1", "stage_1_0065000", Some(65_000), "line 6"),
            row("revisions", "checkpoint_0005000", Some(5000), "line 7"),
        ];
        assert_eq!(revisions_of("r/revisions.txt", names), (expected.to_vec(), vec![]));
        let commit = |digit: &str| digit.repeat(40);
        let remote = format!(
            "{}\tHEAD\n{}\trefs/heads/step1000\n{}\trefs/pr/1\n{}\trefs/tags/step2000\n{}\trefs/tags/step2000^{{}}\n",
            commit("0"),
            commit("1"),
            commit("2"),
            commit("3"),
            commit("4")
        );
        let two = |places: [&str; 2]| {
            vec![row("refs", "step1000", Some(1000), places[0]), row("refs", "step2000", Some(2000), places[1])]
        };
        let commits = vec![("step1000".to_owned(), commit("1")), ("step2000".to_owned(), commit("3"))];
        assert_eq!(revisions_of("r/refs.txt", remote.as_bytes()), (two(["line 2", "line 4"]), commits.clone()));
        // As `dataclasses.asdict(list_repo_refs(…))`, and as the hub answers.
        for (commit_key, requests) in [("target_commit", "pull_requests"), ("targetCommit", "pullRequests")] {
            let item = |name: &str, digit: &str| {
                format!("{{\"name\": \"{name}\", \"ref\": \"refs/x\", \"{commit_key}\": \"{}\"}}", commit(digit))
            };
            let json = format!(
                "{{\"branches\": [{}], \"converts\": [], \"tags\": [{}], \"{requests}\": [{}]}}",
                item("step1000", "1"),
                item("step2000", "3"),
                item("refs/pr/1", "2")
            );
            assert_eq!(
                revisions_of("r/refs.json", json.as_bytes()),
                (two(["/branches/0", "/tags/0"]), commits.clone())
            );
            survives("r/refs.json", json.as_bytes(), read);
        }
        assert_eq!(
            revisions_of("r/refs.json", b"[\"step1000\", {\"name\": \"step2000\"}]"),
            (two(["/0", "/1"]), vec![])
        );
        survives("r/revisions.txt", names, read);
        survives("r/refs.txt", remote.as_bytes(), read);
    }

    #[test]
    fn a_table_beside_lists_is_claims() {
        let rows = read_as("list/provenance.csv", b"Dataset,Data Directory\ndolma,https://example.org/d\n", read);
        assert_eq!((rows.problems(), rows.checkpoints.len()), (None, 0));
        let told: Vec<_> =
            rows.claims.iter().map(|c| (&c.subject[..], &c.name[..], &c.value[..], &c.place[..])).collect();
        assert_eq!(told, [("provenance", "dataset.dolma", "https://example.org/d", "line 2")]);
    }

    #[test]
    fn what_is_no_list_is_told() {
        for (bytes, expected) in [
            (&b"Dataset,Data Directory,Size\na,b,1\n"[..], "line 1: not a list of checkpoints"),
            (b"Step,Checkpoint Directory\nx,y\n", "line 2: the step is \"x\""),
            (b"Step,Checkpoint Directory\n1,\n", "line 2: it has no directory"),
            (b"", "empty"),
        ] {
            let problems = read_as("a.csv", bytes, read).problems().unwrap();
            assert!(problems.contains(expected), "{problems}");
        }
        for (bytes, expected) in [
            (&b"Read\nme\n"[..], "no name has a step"),
            (b"", "it has no revisions"),
            (
                b"step1\nthe second step2\n\xff\nx\tstep3\n",
                "line 2: not the name of a revision; line 3: not UTF-8; line 4",
            ),
            (b"{\"a\": 1}", "no list `branches` or `tags`"),
            (b"{\"branches\": [{\"name\": \"step1\"}, 7]}", "/branches/1: it has no name"),
            (b"[\"step1\"", "the file ends"),
        ] {
            let problems = read_as("revisions.txt", bytes, read).problems().unwrap();
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
        }
    }
}
