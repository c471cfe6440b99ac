//! Lists of released checkpoints, as OLMo publishes them: a CSV with a line a checkpoint.
//!
//! The run is the file's name, with the stage and the ingredient where a line states them, because
//! each of these counts its steps anew. The label is the last part of where the checkpoint lies.

use retrace_query::tables::Checkpoint;
use retrace_spec::{Step, Tokens};

use crate::csv::Table;
use crate::label::Label;
use crate::rows::{Input, Problem, Rows};
use crate::value::whole;

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let table = Table::open(input.bytes)?;
    let column = |wanted: &[&str]| {
        table.names.iter().position(|name| wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)))
    };
    let path = column(&["checkpoint directory", "checkpoint", "directory", "path", "url", "revision", "branch"]);
    let step = column(&["step"]);
    let Some(path) = path.filter(|_| step.is_some() || column(&["revision", "branch"]).is_some()) else {
        let names = table.names.join(", ");
        return Err(Problem::at(
            "line 1",
            format!("no list of checkpoints: it has no step and directory, but {names}"),
        ));
    };
    let tokens = column(&["tokens seen", "tokens"]);
    let (stage, ingredient) = (column(&["stage"]), column(&["ingredient"]));
    table.each(rows, |line, cells, rows| {
        let place = format!("line {line}");
        let Some(path) = cells.get(path) else {
            return rows.problem(Problem::at(place, "it does not say where the checkpoint lies"));
        };
        let label = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
        let said = Label::of(label);
        let mut number = |column: Option<usize>, what: &str| {
            let text = cells.get(column?)?;
            let number = whole(text);
            if number.is_none() {
                rows.problem(Problem::at(&place, format_args!("{what} is {text:?}, no whole number")));
            }
            number
        };
        let step = number(step, "the step").or(said.step);
        let tokens = number(tokens, "tokens").or(said.tokens);
        let mut run = input.stem().to_owned();
        if let Some(stage) = stage.and_then(|column| cells.get(column)) {
            run = format!("{run}/{stage}");
        }
        match ingredient.and_then(|column| cells.get(column)) {
            Some(number) if whole(number).is_some() => run = format!("{run}/ingredient{number}"),
            // Not one ingredient but what is made of them: `soup`.
            Some(name) => run = format!("{run}/{name}"),
            None => {}
        }
        rows.checkpoints.push(Checkpoint {
            release: input.release.to_owned(),
            run,
            label: label.to_owned(),
            step: step.map(Step),
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
