//! Lists of released checkpoints in OLMo's format: a CSV with one line per checkpoint.
//!
//! The run is the file's name, with the stage and the ingredient if a line gives them, because the steps are
//! counted from zero for each of these. The label is the last part of the checkpoint's directory.
//!
//! A table with two columns, neither of which is a step or a directory, gives other facts about the run, such
//! as the locations of its data sets. Its lines are claims.

use retrace_spec::{CheckpointName, Step, Tokens};
use retrace_tables::Checkpoint;

use crate::csv::Table;
use crate::rows::{Input, Problem, Rows};
use crate::value::whole;

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
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
        let mut run = input.stem().to_owned();
        if let Some(stage) = stage.and_then(|column| cells.get(column)) {
            run = format!("{run}/{stage}");
        }
        match ingredient.and_then(|column| cells.get(column)) {
            Some(number) if whole(number).is_some() => run = format!("{run}/ingredient{number}"),
            // Not an ingredient but the average of several: `soup`.
            Some(name) => run = format!("{run}/{name}"),
            None => {}
        }
        if !rows.accept(&place, &[&run, label]) {
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
            place: place.clone(),
        });
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
        assert_eq!(told(branches), [row("OLMo-2", "stage1-step1000-tokens5B", 1000, None, "line 2")]);
        survives("a.csv", stages, read);
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
    }
}
